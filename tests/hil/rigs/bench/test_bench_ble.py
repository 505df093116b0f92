"""Bluetooth on a bench: the real BlueZ backend of bleak against a BlueZ of our own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("bleak")
pytest.importorskip("dbus_fast")

from hil.hosts.wire import RigUnavailableError
from hil.rigs.base import BringUpError, Round
from hil.rigs.bench.rig import BenchRig
from hil.rigs.file import load
from hil.rigs.radio import BleAuthenticationError, BleLinkLostError, BleRefusedError, BleTimeoutError
from hil.sim.bluez.bus import private_bus
from hil.sim.bluez.peripheral import Characteristic, Peripheral
from hil.sim.bluez.service import FakeBluez
from tests.waiting import WITHIN_S

MAC = "F0:F1:F2:F3:F4:F5"
OTHER = "F0:F1:F2:F3:F4:06"
RATE = "00002a37-0000-1000-8000-00805f9b34fb"
HEART = "0000180d-0000-1000-8000-00805f9b34fb"
RIG = '[rig]\nname = "bench"\n[target.a.resource.ble0]\nprotocol = "ble"\nport = "{}"\n'


@pytest.fixture
def bluez() -> Iterator[FakeBluez]:
    try:
        with private_bus() as address, FakeBluez(address) as service:
            yield service
    except RigUnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture
def sensor(bluez: FakeBluez) -> Peripheral:
    rate = Characteristic(RATE, value=b"\x01\x02")
    return bluez.add(Peripheral(MAC, "Heart", manufacturer={0x0499: b"\x05\x01"}, services={HEART: [rate]}))


@pytest.fixture
def rig(sensor: Peripheral, tmp_path: Path) -> Iterator[BenchRig]:
    del sensor
    (tmp_path / "rig.toml").write_text(RIG.format(f"hci0/{MAC}"))
    made = BenchRig(load(tmp_path / "rig.toml"), "a")
    made.begin(Round("t", 1, tmp_path), None)
    yield made
    made.close()


def test_the_board_is_heard_and_no_other(rig: BenchRig, bluez: FakeBluez) -> None:
    bluez.add(Peripheral(OTHER, "Other", manufacturer={0x0499: b"\x07"}))
    heard = [rig.get("ble0").next(timeout=WITHIN_S) for _ in range(6)]
    assert {(each.address, each.name) for each in heard} == {(MAC, "Heart")}
    assert heard[0].manufacturer_data == {0x0499: b"\x05\x01"}
    adverts = [record for record in rig.trace.records if record.kind == "adv"]
    assert {record["address"] for record in adverts} == {MAC}


def test_a_link_reads_and_hears_notifications(rig: BenchRig, bluez: FakeBluez, sensor: Peripheral) -> None:
    with rig.get("ble0").connect(MAC) as link:
        assert (link.read(RATE), link.mtu >= 23) == (b"\x01\x02", True)
        kept = link.notifications(RATE)
        bluez.notify(sensor, sensor.characteristics[0], b"\x09")
        assert rig.world is not None
        assert rig.world.wait_for(lambda: kept.received, rig.world.now_ns + int(WITHIN_S * 1e9)) == [b"\x09"]
    told = [(record.dir, record.kind) for record in rig.trace.records if record.kind in {"connect", "read", "notify"}]
    assert told == [("tx", "connect"), ("rx", "connect"), ("tx", "read"), ("rx", "read"), ("rx", "notify")]


def test_a_link_that_drops_is_lost(rig: BenchRig, bluez: FakeBluez, sensor: Peripheral) -> None:
    with rig.get("ble0").connect(MAC) as link:
        bluez.drop(sensor)
        assert rig.world is not None
        rig.world.wait_for(
            lambda: any(record.kind == "disconnect" for record in rig.trace.records),
            rig.world.now_ns + int(WITHIN_S * 1e9),
        )
        with pytest.raises(BleLinkLostError, match=f"the link to {MAC} is gone: the device disconnected"):
            link.read(RATE)


def test_a_characteristic_that_it_has_not_is_refused(rig: BenchRig) -> None:
    with rig.get("ble0").connect() as link, pytest.raises(BleRefusedError, match="has no characteristic 2a19"):
        link.read("00002a19-0000-1000-8000-00805f9b34fb")


def test_an_adapter_that_goes_is_a_lost_board(rig: BenchRig, bluez: FakeBluez) -> None:
    bluez.unplug()
    ble = rig.get("ble0")
    with pytest.raises(ConnectionError, match=r"a\.ble0 \(hci0/F0.* went away"):
        list(iter(lambda: ble.next(timeout=WITHIN_S), None))


def test_an_adapter_that_is_not_there_is_named_with_those_that_are(sensor: Peripheral, tmp_path: Path) -> None:
    del sensor
    (tmp_path / "rig.toml").write_text(RIG.format(f"hci7/{MAC}"))
    made = BenchRig(load(tmp_path / "rig.toml"), "a")
    with pytest.raises(BringUpError, match=r"hci7.*hci0"):
        made.begin(Round("t", 1, tmp_path), None)


def test_a_link_that_a_test_left_open_ends_with_it(rig: BenchRig, bluez: FakeBluez, sensor: Peripheral) -> None:
    link = rig.get("ble0").connect()
    assert bluez.is_connected(sensor)
    rig.end()
    assert (bluez.is_connected(sensor), link.is_connected) == (False, False)


def test_a_device_that_wants_keys_says_so_with_the_next_step(rig: BenchRig, sensor: Peripheral) -> None:
    sensor.characteristics[0].error = ("org.bluez.Error.NotPermitted", "Not paired")
    with rig.get("ble0").connect() as link, pytest.raises(BleAuthenticationError, match="bluetoothctl pair") as refused:
        link.read(RATE)
    assert refused.value.code == 5


def test_an_error_of_the_devices_own_is_told_by_its_number(rig: BenchRig, sensor: Peripheral) -> None:
    sensor.characteristics[0].error = ("org.bluez.Error.Failed", "Operation failed with ATT error: 0x80")
    with rig.get("ble0").connect() as link, pytest.raises(BleRefusedError) as refused:
        link.read(RATE)
    assert refused.value.code == 0x80
    assert [record.get("error") for record in rig.trace.records if record.kind == "read"] == [None, 0x80]


def test_a_device_that_never_answers_is_waited_for_no_longer_than_asked(rig: BenchRig, sensor: Peripheral) -> None:
    sensor.characteristics[0].is_mute = True
    with rig.get("ble0").connect() as link, pytest.raises(BleTimeoutError, match=r"no answer in 0\.05 s"):
        link.read(RATE, timeout="50ms")


def test_a_connect_that_breaks_off_leaves_the_device_to_the_next(rig: BenchRig, sensor: Peripheral) -> None:
    sensor.never_connects = True
    with pytest.raises(BleTimeoutError, match=f"{MAC} does not answer"):
        rig.get("ble0").connect(timeout="300ms")
    sensor.never_connects = False
    with rig.get("ble0").connect() as link:
        assert link.read(RATE) == b"\x01\x02"
