"""The Bluetooth driver against the kernel's stack and bluetoothd."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from drivers.ble import DRIVER
from gateway.clock import SystemClock
from gateway.errors import PortError, PortLostError, PortNotFoundError, PortRefusedError, PortTimeoutError
from gateway.frame import Element
from gateway.profile.model import LinkSpec, MatchSpec
from gateway.testing import check_driver
from tests.kernel.ble.conftest import ADDRESS, RECEIVE, TRANSMIT, Air

pytest.importorskip("bleak")  # loaded here: on an emulated machine that takes as long as a scan

COMPANY = 0x0499
LIMIT_S = 90.0  # an emulated machine is ten times slower than a Pi


def ear(target: str = "hci0", *wanted: Element, **link: Any) -> Any:
    port = DRIVER.make(target, LinkSpec(bus="ble", mode="advertisement", **link), SystemClock())
    port.listen_for(wanted)
    return port


def gatt(target: str = f"hci0/{ADDRESS}", match: MatchSpec | None = None) -> Any:
    port = DRIVER.make(target, LinkSpec(bus="ble", mode="gatt", match=match), SystemClock())
    port.listen_for([Element("", characteristic=TRANSMIT)])
    return port


def run(scenario: Any) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(LIMIT_S):
            return await scenario()

    return asyncio.run(limited())


async def failure(call: Any) -> PortError:
    try:
        while True:
            result = await call()
            assert result is not None, "it succeeded"
    except PortError as error:
        return error


async def opened(port: Any) -> None:
    """Open as a supervisor does: again while the device or the adapter is not there yet."""
    while True:
        try:
            await port.open()
        except (PortNotFoundError, PortLostError):
            await asyncio.sleep(0.2)
        else:
            return


def test_ble_scan_to_first_value_takes_less_than_five_seconds(air: Air):
    async def scenario():
        port = ear("hci0", Element("", manufacturer=COMPANY))
        start_s = time.monotonic()
        await port.open()
        batch = await port.read()
        took_s = time.monotonic() - start_s
        await port.close()
        return took_s, batch

    took_s, batch = run(scenario)
    print(f"scan to first value: {took_s:.2f} s")
    assert batch.payloads[0] == b"\x05\x01"
    assert took_s < 5.0


def test_ble_elements_name_the_device_and_what_they_are(air: Air):
    async def scenario():
        port = ear(f"hci0/{ADDRESS}")
        await port.open()
        batch = await port.read()
        await port.close()
        return batch.addresses[0]

    element = run(scenario)
    assert (element.address, element.name, element.manufacturer) == (ADDRESS, "HIL", COMPANY)
    assert -127 < element.rssi < 20


def test_ble_unchanged_data_come_with_every_report_when_all_are_wanted(air: Air):
    async def scenario():
        port = ear("hci0", Element("", manufacturer=COMPANY), duplicates="all")
        await port.open()
        payloads: list[bytes] = []
        while len(payloads) < 10:
            payloads += (await port.read()).payloads
        await port.close()
        return set(payloads)

    assert run(scenario) == {b"\x05\x01"}


def test_ble_changed_data_come_through(air: Air):
    async def scenario():
        port = ear("hci0", Element("", manufacturer=COMPANY))
        await port.open()
        await port.read()
        air.obey(manufacturer={str(COMPANY): "0502"})
        heard = []
        while b"\x05\x02" not in heard:  # run() sets the limit
            heard += (await port.read()).payloads
        air.obey(manufacturer={str(COMPANY): "0501"})
        await port.close()
        return heard

    assert run(scenario)[-1] == b"\x05\x02"


def test_ble_a_characteristic_is_read(air: Air):
    async def scenario():
        port = gatt()
        await opened(port)
        await port.ask(b"", Element("", characteristic="2a19"))
        batch = await port.read()
        await port.close()
        return batch.payloads, batch.addresses

    assert run(scenario) == ([b"\x64"], [Element(ADDRESS, None, "HIL", characteristic="2a19")])


def test_ble_a_subscribed_characteristic_that_is_read_gives_one_value(air: Air):
    async def scenario():
        port = gatt()
        await opened(port)
        await port.ask(b"", Element("", characteristic=TRANSMIT))
        air.send(b"\x07")
        payloads: list[bytes] = []
        while b"\x07" not in payloads:
            payloads += (await port.read()).payloads
        await port.close()
        return payloads

    assert run(scenario) == [b"\x2a\x00", b"\x07"]


def test_ble_notifications_come_in_order(air: Air):
    async def scenario():
        port = gatt(match=MatchSpec(name="HI*"), target="hci0")
        await opened(port)
        for number in range(20):
            air.send(bytes([number]))
        payloads: list[bytes] = []
        while len(payloads) < 20:
            payloads += (await port.read()).payloads
        await port.close()
        return payloads

    assert run(scenario) == [bytes([number]) for number in range(20)]


def test_ble_a_write_arrives(air: Air):
    async def scenario():
        port = gatt()
        await opened(port)
        air.receive()
        await port.write(b"hello", Element("", characteristic=RECEIVE))
        await port.close()

    run(scenario)
    assert air.receive() == b"hello"


def test_ble_a_characteristic_that_is_not_there_is_refused(air: Air):
    async def scenario():
        port = gatt()
        await opened(port)
        error = await failure(lambda: port.ask(b"", Element("", characteristic="2a6e")))
        await port.close()
        return error

    assert isinstance(run(scenario), PortRefusedError)


def test_ble_a_peripheral_that_never_answers_is_a_timeout(air: Air):
    async def scenario():
        port = gatt()
        await opened(port)
        air.obey(mute=True)
        error = await failure(lambda: port.ask(b"", Element("", characteristic="2a19")))
        air.obey(mute=False)
        await port.close()
        return error

    assert isinstance(run(scenario), PortTimeoutError)


def test_ble_a_disconnect_is_seen(air: Air):
    async def scenario():
        port = gatt()
        await opened(port)
        air.obey(drop=True)
        error = await failure(port.read)
        await port.close()
        return error

    assert isinstance(run(scenario), PortLostError)


@pytest.mark.slow
def test_ble_ten_disconnects_are_repaired_by_opening_again(air: Air):
    async def scenario():
        port = gatt()
        for number in range(10):
            await opened(port)
            air.send(bytes([number]))
            while bytes([number]) not in (await port.read()).payloads:
                pass
            air.obey(drop=True)
            assert isinstance(await failure(port.read), PortLostError)
        used = port.health()["slots_used"]
        await port.close()
        return used

    start_s = time.monotonic()
    used = run(scenario)
    print(f"ten disconnects: {time.monotonic() - start_s:.1f} s")
    assert used == 0


def test_ble_a_peripheral_that_vanished_is_not_there_until_it_speaks_again(air: Air):
    async def scenario():
        port = gatt()
        await opened(port)
        air.obey(advertise=False)
        air.obey(drop=True)
        assert isinstance(await failure(port.read), PortLostError)
        error = await failure(port.open)
        air.obey(advertise=True)
        await opened(port)
        await port.close()
        return error

    assert isinstance(run(scenario), PortNotFoundError)


def test_ble_an_adapter_pulled_in_mid_scan_is_lost_within_half_a_second_and_comes_back(air: Air):
    async def scenario():
        port = ear("hci0", Element("", manufacturer=COMPANY))
        await opened(port)
        await port.read()
        start_s = time.monotonic()
        air.unplug()
        lost = await failure(port.read)
        took_s = time.monotonic() - start_s
        away = await failure(port.open)
        await asyncio.to_thread(air.plug)
        await opened(port)
        await port.read()
        await port.close()
        return lost, took_s, away

    lost, took_s, away = run(scenario)
    print(f"unplug seen: {took_s * 1000:.0f} ms")
    assert isinstance(lost, PortLostError)
    assert isinstance(away, PortNotFoundError)
    assert took_s < 0.5


def test_ble_an_adapter_pulled_in_mid_connect_is_a_typed_error_and_comes_back(air: Air):
    async def scenario():
        port = gatt()
        opening = asyncio.get_running_loop().create_task(port.open())
        await asyncio.to_thread(air.wait_for, "connected", sum("connected" in told for told in air.told) + 1)
        await asyncio.to_thread(air.unplug)
        try:
            await opening
            error: Exception = await failure(port.read)
        except PortError as caught:
            error = caught
        await port.close()
        await asyncio.to_thread(air.plug)
        await opened(port)
        await port.ask(b"", Element("", characteristic="2a19"))
        batch = await port.read()
        await port.close()
        return error, batch.payloads

    error, payloads = run(scenario)
    assert isinstance(error, (PortLostError, PortNotFoundError))
    assert payloads == [b"\x64"]


def test_ble_the_driver_keeps_the_contract_of_a_port(air: Air):
    class Switch:
        """The adapter's switch: what an emulated machine can do of plugging within the contract's limits."""

        def unplug(self) -> None:
            air.power("off")

        def plug(self) -> None:
            air.power("on")

    spoken = iter([Element("", manufacturer=COMPANY)])  # for the check that reads; the others want a silent wire

    def make() -> Any:
        return ear("hci0", next(spoken, Element("", manufacturer=0xFFFF)))

    assert run(lambda: check_driver(make, Switch())) == []
