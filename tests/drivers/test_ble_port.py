"""The Bluetooth driver with bleak's real BlueZ backend, against a BlueZ of our own on a private bus."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, TypeVar

import pytest

from drivers import _ble_adapter, _ble_gatt, _ble_links, _ble_scan
from drivers._ble_links import SlotsTakenError
from drivers.ble import DRIVER
from gateway.clock import SystemClock
from gateway.errors import (
    PortBusyError,
    PortClosedError,
    PortError,
    PortLostError,
    PortNotFoundError,
    PortOptionError,
    PortRefusedError,
    PortTimeoutError,
)
from gateway.frame import Element
from gateway.port import AskingPort, FilteringPort, Port, ReportingPort
from gateway.profile.model import LinkSpec, MatchSpec

pytest.importorskip("bleak")
pytest.importorskip("dbus_fast")

from hil.hosts.wire import RigUnavailableError
from hil.sim.bluez.bus import private_bus
from hil.sim.bluez.peripheral import Characteristic, Peripheral
from hil.sim.bluez.service import FakeBluez
from tests.waiting import first_met

MAC = "F0:F1:F2:F3:F4:F5"
OTHER = "F0:F1:F2:F3:F4:06"
RATE = "00002a37-0000-1000-8000-00805f9b34fb"
LEVEL = "00002a19-0000-1000-8000-00805f9b34fb"
POINT = "00002a39-0000-1000-8000-00805f9b34fb"
HEART = "0000180d-0000-1000-8000-00805f9b34fb"
ABORT = ("org.bluez.Error.Failed", "le-connection-abort-by-local")
LIMIT_S = 60.0

T = TypeVar("T")


@pytest.fixture
def bluez() -> Iterator[FakeBluez]:
    try:
        with private_bus() as address, FakeBluez(address) as service:
            yield service
    except RigUnavailableError as error:
        pytest.skip(str(error))


def run(scenario: Callable[[], Awaitable[T]]) -> T:
    async def limited() -> T:
        async with asyncio.timeout(LIMIT_S):
            return await scenario()

    return asyncio.run(limited())


def ear(target: str = "hci0", *wanted: Element, **link: Any) -> Port:
    port = DRIVER.make(target, LinkSpec(bus="ble", mode="advertisement", **link), SystemClock())
    assert isinstance(port, FilteringPort)
    port.listen_for(wanted)
    return port


def gatt(target: str = f"hci0/{MAC}", *uuids: str, match: MatchSpec | None = None) -> Any:
    port = DRIVER.make(target, LinkSpec(bus="ble", mode="gatt", match=match), SystemClock())
    assert isinstance(port, FilteringPort)
    port.listen_for([Element("", characteristic=uuid) for uuid in uuids])
    return port


def tag(address: str = MAC, **parts: Any) -> Peripheral:
    return Peripheral(address, "Tag", **({"manufacturer": {0x0499: b"\5\1"}, "period_s": 0.02} | parts))


def band(address: str = MAC, **parts: Any) -> Peripheral:
    """A heart rate band: rate notifies, level is read, point is written."""
    table = [
        Characteristic(RATE, ("notify",)),
        Characteristic(LEVEL, ("read", "notify"), b"\x64"),
        Characteristic(POINT, ("write",)),
    ]
    return Peripheral(address, "Band", **({"service_uuids": (HEART,), "services": {HEART: table}} | parts))


async def read_all(port: Port, count: int) -> list[tuple[bytes, Element]]:
    got: list[tuple[bytes, Element]] = []
    while len(got) < count:
        batch = await port.read()
        assert batch.addresses is not None
        got += zip(batch.payloads, batch.addresses, strict=True)
    return got


async def failure(call: Awaitable[Any]) -> PortError:
    try:
        await call
    except PortError as error:
        return error
    raise AssertionError("it succeeded")


async def until(is_so: Callable[[], bool]) -> None:
    """Wait for something of another thread; `run` bounds it."""
    while not is_so():  # noqa: ASYNC110 - threads set no events of ours
        await asyncio.sleep(0.005)


def health(port: Port) -> dict[str, Any]:
    assert isinstance(port, ReportingPort)
    return port.health()


# Listening


def test_elements_of_an_advertisement_come_one_by_one(bluez):
    battery = "0000180f-0000-1000-8000-00805f9b34fb"
    bluez.add(tag(manufacturer={1: b"a", 2: b"b"}, service_data={battery: b"c"}, rssi_dbm=-71))

    async def scenario():
        port = ear()
        await port.open()
        got = await read_all(port, 3)
        await port.close()
        return got

    assert run(scenario)[:3] == [
        (b"a", Element(MAC, -71, "Tag", manufacturer=1)),
        (b"b", Element(MAC, -71, "Tag", manufacturer=2)),
        (b"c", Element(MAC, -71, "Tag", service="180f")),
    ]


def test_what_nobody_wants_stays_in_the_driver(bluez):
    bluez.add(tag(OTHER, manufacturer={2: b"b"}))
    bluez.add(tag(manufacturer={1: b"a"}))

    async def scenario():
        port = ear("hci0", Element("", manufacturer=1), duplicates="all")
        await port.open()
        got = await read_all(port, 5)
        await port.close()
        return {element.manufacturer for _, element in got}

    assert run(scenario) == {1}


def test_a_port_with_an_address_hears_that_device_alone(bluez):
    bluez.add(tag(OTHER))
    bluez.add(tag())

    async def scenario():
        port = ear(f"hci0/{MAC.lower()}", duplicates="all")
        await port.open()
        got = await read_all(port, 5)
        await port.close()
        return {element.address for _, element in got}

    assert run(scenario) == {MAC}


def test_repeats_are_held_back_and_counted(bluez):
    peripheral = bluez.add(tag(period_s=None))

    async def scenario():
        port = ear()
        await port.open()
        for _ in range(20):
            bluez.advertise(peripheral)
        peripheral.manufacturer = {0x0499: b"\5\2"}
        bluez.advertise(peripheral)
        got = await read_all(port, 2)
        seen = health(port)
        await port.close()
        return [payload for payload, _ in got], seen["coalesced"]

    assert run(scenario) == ([b"\5\1", b"\5\2"], 19)


def test_with_all_duplicates_every_report_comes(bluez):
    peripheral = bluez.add(tag(period_s=None))

    async def scenario():
        port = ear(duplicates="all")
        await port.open()
        for _ in range(20):
            bluez.advertise(peripheral)
        got = await read_all(port, 20)
        await port.close()
        return len(got)

    assert run(scenario) == 20


def test_data_from_before_the_scan_are_not_given_as_heard(bluez):
    peripheral = tag(period_s=None)
    bluez.remember(peripheral)

    async def scenario():
        port = ear()
        await port.open()
        peripheral.manufacturer = {0x0499: b"\5\2"}
        bluez.advertise(peripheral)
        got = await read_all(port, 1)
        await port.close()
        return [payload for payload, _ in got]

    assert run(scenario) == [b"\5\2"]


def test_two_ports_share_one_scanner(bluez):
    bluez.add(tag())

    async def scenario():
        ports = [ear("hci0", Element("", manufacturer=0x0499)), ear()]
        for port in ports:
            await port.open()
        for port in ports:
            await port.read()
        await ports[0].close()
        await ports[1].read()
        await ports[1].close()

    run(scenario)
    assert bluez.calls["StartDiscovery"] == 1


def test_nobody_can_write_to_a_scanner(bluez):
    async def scenario():
        port = ear()
        await port.open()
        error = await failure(port.write(b"x"))
        await port.close()
        return error

    assert isinstance(run(scenario), PortOptionError)


def test_the_scan_ends_with_its_last_listener(bluez):
    async def scenario():
        port = ear()
        await port.open()
        was = bluez.is_discovering
        await port.close()
        await until(lambda: not bluez.is_discovering)
        return was

    assert run(scenario)


def test_a_pulled_adapter_ends_a_waiting_read_within_half_a_second(bluez):
    async def scenario():
        port = ear()
        await port.open()
        waiting = asyncio.get_running_loop().create_task(port.read())
        await asyncio.sleep(0)
        start_s = time.monotonic()
        bluez.unplug()
        error = await failure(waiting)
        took_s = time.monotonic() - start_s
        await port.close()
        bluez.plug()
        assert isinstance(error, PortLostError)
        return took_s

    assert first_met(lambda: run(scenario), lambda took_s: took_s < 0.5) < 0.5


def test_an_adapter_comes_back_for_the_same_port(bluez):
    bluez.add(tag())

    async def scenario():
        port = ear()
        await port.open()
        bluez.unplug()
        while not isinstance(await failure_or_batch(port), PortLostError):
            pass
        away = await failure(port.open())
        bluez.plug()
        await port.open()
        await port.read()
        await port.close()
        return away

    assert isinstance(run(scenario), PortNotFoundError)


async def failure_or_batch(port: Port) -> Any:
    try:
        return await port.read()
    except PortError as error:
        return error


def test_switching_the_adapter_off_is_losing_it(bluez):
    async def scenario():
        port = ear()
        await port.open()
        bluez.power(on=False)
        lost = await failure(port.read())
        off = await failure(port.open())
        await port.close()
        return lost, off

    lost, off = run(scenario)
    assert isinstance(lost, PortLostError)
    assert isinstance(off, PortNotFoundError)
    assert "bluetoothctl power on" in str(off)


@pytest.mark.parametrize("crashes", [False, True], ids=["restart", "crash"])
def test_when_bluez_ends_the_adapter_is_lost_and_it_comes_back(bluez, crashes):
    bluez.add(tag())

    async def scenario():
        port = ear()
        await port.open()
        await port.read()
        bluez.restart(crashes=crashes)
        while not isinstance(await failure_or_batch(port), PortLostError):
            pass
        await port.open()
        await port.read()
        await port.close()

    run(scenario)


def test_a_link_is_opened_again_after_bluez_crashed(bluez):
    bluez.add(band())

    async def scenario():
        port = gatt(f"hci0/{MAC}", "2a37")
        await port.open()
        bluez.restart(crashes=True)
        lost = await failure(port.read())
        await port.close()
        await port.open()
        await port.ask(b"", Element("", characteristic="2a19"))
        got = await read_all(port, 1)
        await port.close()
        return type(lost), got[0][0]

    assert run(scenario) == (PortLostError, b"\x64")


def test_an_adapter_that_is_not_there_names_those_that_are(bluez):
    error = run(lambda: failure(ear("hci7").open()))
    assert isinstance(error, PortNotFoundError)
    assert "there is hci0" in str(error)


def test_without_a_bus_the_port_is_not_there(monkeypatch):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    assert isinstance(run(lambda: failure(ear().open())), PortNotFoundError)


def test_without_bluetoothd_the_error_says_how_to_start_it():
    try:
        with private_bus():
            error = run(lambda: failure(ear().open()))
    except RigUnavailableError as reason:
        pytest.skip(str(reason))
    assert isinstance(error, PortNotFoundError)
    assert "systemctl start bluetooth" in str(error)


def test_a_scan_that_is_in_progress_is_tried_again(bluez):
    bluez.start_errors.append(("org.bluez.Error.InProgress", "Operation already in progress"))
    bluez.add(tag())

    async def scenario():
        port = ear()
        await port.open()
        await port.read()
        retries = health(port)["retries"]
        await port.close()
        return retries

    assert run(scenario) == {"retry_later": 1}


def test_a_scan_that_never_starts_is_a_busy_adapter(bluez, monkeypatch):
    monkeypatch.setattr(_ble_scan, "START_PAUSES_S", (0.01, 0.01))
    bluez.start_errors.extend([("org.bluez.Error.InProgress", "Operation already in progress")] * 9)
    assert isinstance(run(lambda: failure(ear().open())), PortBusyError)


def test_an_adapter_that_hears_nothing_is_restarted_rung_by_rung(bluez, monkeypatch):
    monkeypatch.setattr(_ble_scan, "POWER_OFF_S", 0.05)
    limits = _ble_scan.Watchdog(silence_ns=200_000_000, rung_ns=50_000_000)
    monkeypatch.setattr(_ble_scan, "Watchdog", lambda: limits)

    async def scenario():
        port = ear()
        await port.open()
        await until(lambda: health(port)["is_silent"])
        seen = health(port)
        peripheral = bluez.add(tag(period_s=None))
        bluez.advertise(peripheral)
        await port.read()
        await port.close()
        return seen["scan_restarts"], seen["resets"]

    assert run(scenario) == (2, 1)


def test_a_storm_overflows_by_dropping_the_oldest_and_counting_them(bluez, monkeypatch):
    monkeypatch.setattr("drivers._ble_adverts.HAND_OVER_ELEMENTS", 50)
    peripherals = [bluez.add(tag(f"00:00:00:00:00:{number:02X}", period_s=None)) for number in range(100)]

    async def scenario():
        port = ear(duplicates="all")
        await port.open()
        bluez.storm(peripherals, 3)
        while health(port)["adverts"] < 300:
            time.sleep(0.01)  # noqa: ASYNC251 - the gateway's loop is stuck, the radio's is not
        await asyncio.sleep(0.1)
        batch = await port.read()
        await port.close()
        return len(batch), batch.dropped

    assert run(scenario) == (50, 250)


# Connecting


def test_notifications_come_as_payloads_of_their_characteristic(bluez):
    peripheral = bluez.add(band())

    async def scenario():
        port = gatt(f"hci0/{MAC}", "2a37")
        await port.open()
        bluez.notify(peripheral, peripheral.characteristics[0], b"\0\x48")
        got = await read_all(port, 1)
        await port.close()
        return got

    assert run(scenario) == [(b"\0\x48", Element(MAC, None, "Band", characteristic="2a37"))]


def test_an_answer_comes_by_read_with_its_characteristic(bluez):
    bluez.add(band())

    async def scenario():
        port = gatt()
        assert isinstance(port, AskingPort)
        await port.open()
        await port.ask(b"", Element("", characteristic=LEVEL))
        got = await read_all(port, 1)
        await port.close()
        return got

    assert run(scenario) == [(b"\x64", Element(MAC, None, "Band", characteristic="2a19"))]


def test_a_subscribed_characteristic_that_is_asked_gives_one_value(bluez):
    peripheral = bluez.add(band())

    async def scenario():
        port = gatt(f"hci0/{MAC}", "2a19")
        await port.open()
        await port.ask(b"", Element("", characteristic="2a19"))
        bluez.notify(peripheral, peripheral.characteristics[1], b"\x63")
        got = await read_all(port, 2)
        await port.close()
        return [payload for payload, _ in got]

    assert run(scenario) == [b"\x64", b"\x63"]


def test_a_write_arrives(bluez):
    peripheral = bluez.add(band())

    async def scenario():
        port = gatt()
        await port.open()
        await port.write(b"\1", Element("", characteristic="2a39"))
        await port.close()

    run(scenario)
    assert list(peripheral.characteristics[2].received) == [b"\1"]


def refused(bluez: FakeBluez, peripheral: Peripheral, call: Callable[[Any], Awaitable[Any]]) -> PortError:
    bluez.add(peripheral)

    async def scenario():
        port = gatt()
        await port.open()
        error = await failure(call(port))
        await port.close()
        return error

    return run(scenario)


def test_a_characteristic_that_is_not_there_is_refused_by_name(bluez):
    error = refused(bluez, band(), lambda port: port.ask(b"", Element("", characteristic="2a6e")))
    assert isinstance(error, PortRefusedError)
    assert "no characteristic 2a6e" in str(error)


def test_an_att_error_is_refused_with_its_reason(bluez):
    peripheral = band()
    peripheral.characteristics[1].error = ("org.bluez.Error.NotPermitted", "Read not permitted")
    error = refused(bluez, peripheral, lambda port: port.ask(b"", Element("", characteristic="2a19")))
    assert isinstance(error, PortRefusedError)
    assert "Read Not Permitted" in str(error)


def test_a_device_that_wants_to_be_paired_says_how(bluez):
    peripheral = band()
    peripheral.characteristics[1].error = ("org.bluez.Error.Failed", "Operation failed with ATT error: 0x05")
    error = refused(bluez, peripheral, lambda port: port.ask(b"", Element("", characteristic="2a19")))
    assert "bluetoothctl pair" in str(error)


def test_a_characteristic_that_takes_no_writes_is_refused(bluez):
    error = refused(bluez, band(), lambda port: port.write(b"x", Element("", characteristic="2a37")))
    assert isinstance(error, PortRefusedError)


def test_a_write_must_say_where_to(bluez):
    assert isinstance(refused(bluez, band(), lambda port: port.write(b"x")), PortOptionError)


def test_a_peripheral_that_never_answers_is_a_timeout(bluez, monkeypatch):
    monkeypatch.setattr(_ble_gatt, "ANSWER_S", 0.2)
    peripheral = bluez.add(band())
    mute = peripheral.characteristics[1]

    async def scenario():
        port = gatt()
        await port.open()
        mute.is_mute = True
        error = await failure(port.ask(b"", Element("", characteristic="2a19")))
        mute.is_mute = False
        await port.ask(b"", Element("", characteristic="2a19"))
        got = await read_all(port, 1)
        await port.close()
        return error, got[0][0]

    error, value = run(scenario)
    assert isinstance(error, PortTimeoutError)
    assert value == b"\x64"


def test_a_device_that_is_not_heard_is_not_there(bluez, monkeypatch):
    monkeypatch.setattr(_ble_adapter, "HEAR_S", 0.2)
    error = run(lambda: failure(gatt().open()))
    assert isinstance(error, PortNotFoundError)
    assert "not heard" in str(error)


def test_a_disconnect_ends_a_waiting_read(bluez):
    peripheral = bluez.add(band())

    async def scenario():
        port = gatt(f"hci0/{MAC}", "2a37")
        await port.open()
        waiting = asyncio.get_running_loop().create_task(port.read())
        await asyncio.sleep(0)
        bluez.drop(peripheral)
        error = await failure(waiting)
        again = await failure(port.ask(b"", Element("", characteristic="2a19")))
        await port.close()
        closed = await failure(port.read())
        return error, again, closed

    assert [type(error) for error in run(scenario)] == [PortLostError, PortLostError, PortClosedError]


def test_ten_disconnects_are_ten_times_repaired_by_opening_again(bluez):
    peripheral = bluez.add(band(period_s=0.01))

    async def scenario():
        port = gatt(f"hci0/{MAC}", "2a37")
        for number in range(10):
            await port.open()
            bluez.notify(peripheral, peripheral.characteristics[0], bytes([number]))
            assert (await read_all(port, 1))[0][0] == bytes([number])
            bluez.drop(peripheral)
            assert isinstance(await failure(port.read()), PortLostError)
        await port.open()
        used = health(port)["slots_used"]
        await port.close()
        return used

    assert run(scenario) == 1


@pytest.mark.parametrize(
    "fault",
    [
        ABORT,
        ("org.bluez.Error.Failed", "Software caused connection abort"),
        ("org.bluez.Error.InProgress", "Operation already in progress"),
        ("org.bluez.Error.Failed", "le-connection-timeout"),
        ("org.bluez.Error.NotAvailable", "br-connection-profile-unavailable"),
    ],
    ids=lambda fault: fault[1],
)
def test_a_passing_fault_of_bluez_is_tried_again(bluez, fault, monkeypatch):
    monkeypatch.setattr(_ble_links, "PAUSES_S", dict.fromkeys(_ble_links.PAUSES_S, 0.01))
    peripheral = bluez.add(band())
    peripheral.connect_errors.extend([fault, fault])

    async def scenario():
        port = gatt()
        await port.open()
        await port.close()

    run(scenario)
    assert bluez.calls["Connect"] == 3


def test_a_lasting_fault_of_bluez_is_told_at_once(bluez):
    peripheral = bluez.add(band())
    peripheral.connect_errors.append(("org.bluez.Error.AuthenticationRejected", "no"))
    error = run(lambda: failure(gatt().open()))
    assert isinstance(error, PortRefusedError)
    assert bluez.calls["Connect"] == 1


def test_the_scan_pauses_while_connecting(bluez):
    peripheral = bluez.add(band())
    bluez.add(tag(OTHER))
    during = []
    peripheral.connect_errors.append(("org.bluez.Error.Failed", "le-connection-timeout"))

    async def scenario():
        listening, port = ear(), gatt()
        await listening.open()
        await listening.read()
        opening = asyncio.get_running_loop().create_task(port.open())
        await until(lambda: bluez.calls["Connect"] > 0)
        during.append(bluez.is_discovering)
        await opening
        await listening.read()
        await port.close()
        await listening.close()

    run(scenario)
    assert during == [False]


def test_a_device_found_by_what_it_is_belongs_to_one_port(bluez):
    bluez.add(band(MAC))
    bluez.add(band(OTHER))

    async def scenario():
        ports = [gatt("hci0", match=MatchSpec(service="180d")) for _ in range(2)]
        await asyncio.gather(*(port.open() for port in ports))
        for port in ports:
            await port.ask(b"", Element("", characteristic="2a19"))
        addresses = {(await read_all(port, 1))[0][1].address for port in ports}
        for port in ports:
            await port.close()
        return addresses

    assert run(scenario) == {MAC, OTHER}


def test_a_link_that_a_dead_process_left_behind_is_taken_over(bluez):
    bluez.remember(band(period_s=None), is_connected=True)

    async def scenario():
        port = gatt()
        await port.open()
        await port.ask(b"", Element("", characteristic="2a19"))
        got = await read_all(port, 1)
        await port.close()
        return got[0][0]

    assert run(scenario) == b"\x64"


def test_when_all_slots_are_taken_the_owners_are_named(bluez, monkeypatch):
    monkeypatch.setattr(_ble_links, "SLOTS", 1)
    monkeypatch.setattr(_ble_links, "WAIT_S", 0.1)
    bluez.add(band(MAC))
    bluez.add(band(OTHER))

    async def scenario():
        first, second = gatt(f"hci0/{MAC}"), gatt(f"hci0/{OTHER}")
        await first.open()
        error = await failure(second.open())
        await first.close()
        await second.open()
        await second.close()
        return error

    error = run(scenario)
    assert isinstance(error, SlotsTakenError)
    assert MAC in str(error)


def test_closing_does_not_wait_for_a_slow_disconnect(bluez):
    bluez.add(band(disconnect_s=3.0))

    async def scenario():
        port = gatt()
        await port.open()
        start_s = time.monotonic()
        await port.close()
        return time.monotonic() - start_s

    assert first_met(lambda: run(scenario), lambda took_s: took_s < 1.0) < 1.0


def test_a_port_can_be_opened_again_while_its_last_link_is_still_ending(bluez):
    bluez.add(band(disconnect_s=1.0))

    async def scenario():
        port = gatt()
        await port.open()
        await port.close()
        await port.open()
        used = health(port)["slots_used"]
        await port.close()
        return used

    assert run(scenario) == 1


def test_an_adapter_that_vanishes_in_mid_connect_is_not_there_and_comes_back(bluez):
    peripheral = bluez.add(band(never_connects=True))

    async def scenario():
        port = gatt()
        opening = asyncio.get_running_loop().create_task(port.open())
        await until(lambda: bluez.calls["Connect"] > 0)
        bluez.unplug()
        error = await failure(opening)
        peripheral.never_connects = False
        bluez.plug()
        await port.open()
        await port.close()
        return error

    assert isinstance(run(scenario), PortNotFoundError)


def test_an_open_that_is_cancelled_leaves_no_slot_behind(bluez):
    peripheral = bluez.add(band(never_connects=True))

    async def scenario():
        port = gatt()
        opening = asyncio.get_running_loop().create_task(port.open())
        await until(lambda: bluez.calls["Connect"] > 0)
        opening.cancel()
        await asyncio.wait({opening})
        peripheral.never_connects = False
        await port.open()
        used = health(port)["slots_used"]
        await port.close()
        return used

    assert run(scenario) == 1


def test_a_device_with_some_of_what_is_wanted_opens_and_says_what_is_missing(bluez):
    bluez.add(band())

    async def scenario():
        port = gatt(f"hci0/{MAC}", "2a37", "2a6e")
        await port.open()
        missing = health(port)["missing_characteristics"]
        await port.close()
        return missing

    assert run(scenario) == ["2a6e"]


def test_a_device_with_nothing_of_what_is_wanted_is_refused(bluez):
    bluez.add(band())
    error = run(lambda: failure(gatt(f"hci0/{MAC}", "2a6e").open()))
    assert isinstance(error, PortRefusedError)


def test_a_link_needs_a_device_to_connect_to():
    with pytest.raises(PortOptionError, match="which device"):
        DRIVER.make("hci0", LinkSpec(bus="ble", mode="gatt"), SystemClock())


@pytest.mark.parametrize("make", [ear, gatt], ids=["ear", "link"])
def test_health_can_be_told_as_json_open_and_closed(bluez, make):
    bluez.add(band())

    async def scenario():
        port = make(f"hci0/{MAC}")
        closed = json.dumps(health(port))
        await port.open()
        opened = json.loads(json.dumps(health(port)))
        await port.close()
        return "hci0" in closed, opened["adapter"], opened["slots"]

    assert run(scenario) == (True, "hci0", 5)


@pytest.mark.parametrize("never_connects", [False, True], ids=["linked", "connecting"])
def test_no_address_is_logged_above_debug(bluez, caplog, never_connects):
    caplog.set_level(logging.DEBUG)
    peripheral = bluez.add(band(never_connects=never_connects))
    peripheral.connect_errors.append(ABORT)

    async def scenario():
        port = gatt()
        opening = asyncio.get_running_loop().create_task(port.open())
        await until(lambda: bluez.calls["Connect"] > 0)
        if not never_connects:
            await opening
        bluez.unplug()
        await failure(opening if never_connects else port.read())
        await port.close()

    run(scenario)
    told = [record.getMessage() for record in caplog.records if record.levelno > logging.DEBUG]
    assert told
    assert [text for text in told if MAC in text or MAC.replace(":", "_") in text] == []


def test_the_driver_claims_bluetooth_but_no_recordings():
    texts = (("hci0", "ble"), ("replay:log.jsonl", "ble"), ("hci0", "uart"))
    assert [DRIVER.claims(*text) for text in texts] == [True, False, False]
