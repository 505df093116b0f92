"""A gateway on a bench's chip selects and radio: its own drivers at work, and the rig's trace tells what they did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("serial")

from gateway.errors import PortOptionError
from hil.hosts.wire import RigUnavailableError
from hil.rigs.base import Round
from hil.rigs.bench.rig import BenchRig
from hil.rigs.file import load
from hil.rigs.waiting import NotCameError
from hil.sim.spi.bosch import Bme280
from hil.sim.spi.fake import FakeBus
from tests.waiting import until

LONG = "60s"
MAC = "F0:F1:F2:F3:F4:F5"
RATE = "00002a37-0000-1000-8000-00805f9b34fb"
HEART = "0000180d-0000-1000-8000-00805f9b34fb"
HEAD = '[rig]\nname = "bench"\n[target.a.resource.{0}0]\nprotocol = "{0}"\nport = "{1}"\n'


class Bench:
    """A rig of one resource with a gateway on it."""

    def __init__(self, folder: Path, text: str, *more: Any) -> None:
        (folder / "rig.toml").write_text(text)
        self.rig = BenchRig(load(folder / "rig.toml"), "a", *more)
        self.rig.begin(Round("t", 1, folder / "data"), folder / "1.trace")
        self.gateway: Any = self.rig.make_gateway()

    def records(self, *kinds: str) -> list[Any]:
        return [record for record in self.rig.trace.records if record.kind in kinds]

    def close(self) -> None:
        self.gateway.close()
        self.rig.close()


class Chip:
    """A BME280 on the shipped spidev without hardware."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bus = FakeBus(folder)
        self.bus.plug("spidev0.0", Bme280())
        self.benches: list[Bench] = []

    def bench(self, more: str = "") -> Bench:
        text = HEAD.format("spi", self.bus.path("spidev0.0")) + more
        self.benches.append(Bench(self.folder, text, self.bus.device))
        return self.benches[-1]


@pytest.fixture
def chip(tmp_path: Path) -> Iterator[Chip]:
    made = Chip(tmp_path)
    yield made
    for bench in made.benches:
        bench.close()


def test_every_transfer_of_the_gateway_is_in_the_trace(chip: Chip) -> None:
    bench = chip.bench()
    bench.gateway.add("air", profile="bme280", port="spi0")
    assert bench.gateway.wait("air/climate/temperature", timeout=LONG).units == "Cel"
    transfers = bench.records("transfer")
    assert {(record.bus, record.dir) for record in transfers} == {("spi0", "tx")}
    assert any(record.data.startswith("d0") and record.get("rx")[2:4] == "60" for record in transfers)  # its chip id
    assert all(len(record.get("rx")) == len(record.data) for record in transfers)


def test_a_test_and_the_gateway_use_one_chip_select_side_by_side(chip: Chip) -> None:
    bench = chip.bench()
    bench.gateway.add("air", profile="bme280", port="spi0")
    bench.gateway.wait("air/climate/temperature", timeout=LONG)
    assert bench.rig.get("spi0").transfer(b"\xd0\x00")[1:] == b"\x60"
    bench.gateway.wait("air/climate/temperature", timeout=LONG)


def test_a_device_that_is_unplugged_and_comes_back_is_so_for_the_gateway(chip: Chip) -> None:
    bench = chip.bench()
    bench.gateway.add("air", profile="bme280", port="spi0")
    bench.gateway.wait("air/climate/temperature", timeout=LONG)
    up = bench.gateway.device("air").state
    fault = bench.rig.faults.add("unplug", bus="spi0")
    until(lambda: bench.gateway.device("air").state != up)
    until(lambda: bench.gateway.get("air/climate/temperature").stale)
    fault.remove()
    assert not bench.gateway.wait("air/climate/temperature", timeout=LONG).stale


def test_a_rig_file_that_contradicts_the_profile_is_told(chip: Chip) -> None:
    bench = chip.bench("mode = 1\n")
    with pytest.raises(PortOptionError, match="the rig file says mode = 1, and the profile 0"):
        bench.gateway.add("air", profile="bme280", port="spi0")


@pytest.fixture
def air(tmp_path: Path) -> Iterator[Any]:
    pytest.importorskip("bleak")
    pytest.importorskip("dbus_fast")
    from hil.sim.bluez.bus import private_bus
    from hil.sim.bluez.peripheral import Characteristic, Peripheral
    from hil.sim.bluez.service import FakeBluez

    try:
        with private_bus() as address, FakeBluez(address) as bluez:
            rate = Characteristic(RATE, ("notify",))
            strap = bluez.add(Peripheral(MAC, "Heart", services={HEART: [rate]}))
            bench = Bench(tmp_path, HEAD.format("ble", "hci0"))
            yield bench, bluez, strap
            bench.close()
    except RigUnavailableError as error:
        pytest.skip(str(error))


def test_a_link_of_the_gateway_is_in_the_trace(air: Any) -> None:
    bench, bluez, strap = air
    bench.gateway.add("strap", profile="heart-rate", port=f"ble0/{MAC}")
    value = None
    while value is None:
        bluez.notify(strap, strap.characteristics[0], b"\x00\x48")
        try:
            value = bench.gateway.wait("strap/heart/rate", timeout="200ms").value
        except NotCameError:
            continue
    assert value == 72
    connected, *_ = bench.records("connect")
    told = bench.records("notify")[0]
    assert (connected.bus, connected.dir, connected.get("address")) == ("ble0", "rx", MAC)
    assert (told.dir, told.data, told.get("uuid"), told.get("address")) == ("rx", "0048", "2a37", MAC)
    bluez.drop(strap)
    world = bench.rig.world
    ended = world.wait_for(lambda: bench.records("disconnect"), world.now_ns + 60 * 10**9)
    assert (ended[0].dir, ended[0].get("address")) == ("rx", MAC)
    assert bench.records("adv")
