"""Devices that are asked, over a real pty: values arrive, silence is counted and slows, a wrong value never."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.config import DeviceConfig, PortConfig, SiteConfig
from gateway.framing.modbus_pdu import sealed
from gateway.ledger import Ledger
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from hil.sim.modbus import ModbusSlave, ModbusWire
from hil.sim.pty import Cable

METER = """
[profile]
id = "test/meter@1.0.0"
[params]
unit = { type = "u8", default = 1 }
[link]
bus = "uart"
baud = 115200
[framing]
kind = "modbus-rtu"
[message.power]
ask = { input = 0, count = 2 }
every = "50ms"
timeout = "200ms"
fields = [{ name = "power", register = 0, type = "f32be", units = "W" }]
[message.energy]
ask = { input = 8, count = 2 }
every = "50ms"
timeout = "200ms"
fields = [{ name = "energy", register = 8, type = "f32be", units = "kW.h" }]
[message.serial]
ask = { holding = 4, count = 1 }
every = "connect"
timeout = "200ms"
fields = [{ name = "serial", register = 4, type = "u16be" }]
"""


class Bench:
    """A gateway with meters on one wire, and the wire's far end."""

    def __init__(self, folder: Path, units: list[int]) -> None:
        (folder / "meter.toml").write_text(METER)
        self.cable = Cable(folder / "wire")
        self.slaves = {
            unit: ModbusSlave(
                CompiledProfile(load_profile(folder / "meter.toml", {"unit": unit})),
                {"power": {"power": 100.0 + unit}, "energy": {"energy": 0.5 + unit}, "serial": {"serial": 7000 + unit}},
            )
            for unit in units
        }
        self.wire = ModbusWire(self.cable, list(self.slaves.values()))
        devices = {
            f"meter-{unit}": DeviceConfig(profile="meter.toml", port="wire", params={"unit": unit}) for unit in units
        }
        ports = {"wire": PortConfig(bus="uart", path=str(self.cable.path))}
        self.gateway = Gateway(SiteConfig(devices=devices, ports=ports), folder / "data", folder=folder)

    def play(self, scenario: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            loop.add_reader(self.cable.fileno(), self.wire.step)
            try:
                async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                    group.create_task(self.gateway.run(stop))
                    try:
                        await scenario()
                    finally:
                        stop.set()
            finally:
                loop.remove_reader(self.cable.fileno())

        asyncio.run(run())

    def polls(self, unit: int) -> dict[str, Any]:
        name = f"meter-{unit}"
        device = next(each for each in self.gateway.status()["devices"] if each["name"] == name)
        frames = device["frames"]
        assert frames["in"] == sum(frames[part] for part in ("delivered", "dropped", "refused", "pending"))
        return dict(device["polls"])

    def value(self, unit: int, message: str) -> Any:
        latest = {(entry["device"], entry["message"]): entry["values"] for entry in self.gateway.queries.latest()}
        return next(iter(latest[f"meter-{unit}", message].values()))

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():  # noqa: ASYNC110 - a gateway is watched from outside; play() sets the limit
            await asyncio.sleep(0.005)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Callable[..., Bench]]:
    benches: list[Bench] = []

    def make(*units: int) -> Bench:
        benches.append(Bench(tmp_path, list(units)))
        benches[0].cable.plug()
        return benches[0]

    yield make
    for each in benches:
        each.cable.unplug()


def test_two_meters_on_one_wire_give_their_own_values(bench):
    both = bench(1, 2)

    async def scenario() -> None:
        await both.until(lambda: all(both.polls(unit)["answered"] > 10 for unit in (1, 2)))
        for unit in (1, 2):
            assert (100.0 + unit, 0.5 + unit, 7000 + unit) == tuple(
                both.value(unit, message) for message in ("power", "energy", "serial")
            )
            assert {key: both.polls(unit)[key] for key in ("timeouts", "exceptions", "late", "slowed")} == {
                "timeouts": 0,
                "exceptions": {},
                "late": 0,
                "slowed": False,
            }

    both.play(scenario)
    for slave in both.slaves.values():
        assert sum(question.function == 3 for question in slave.asked) == 1, "every = connect asks once"
        assert {slave.unit} == {question.unit for question in slave.asked}


def test_a_silent_meter_is_counted_and_asked_less_and_comes_back_to_its_pace(bench):
    both = bench(1, 2)

    async def scenario() -> None:
        await both.until(lambda: both.polls(1)["answered"] > 5)
        both.slaves[1].is_silent = True
        await both.until(lambda: both.polls(1)["timeouts"] >= 4)
        assert both.polls(1)["slowed"]
        assert "no answer" in both.polls(1)["failing"].values()
        before = both.polls(2)["answered"]
        await both.until(lambda: both.polls(2)["answered"] > before + 10)
        assert not both.polls(2)["slowed"]
        both.slaves[1].is_silent = False
        back = both.polls(1)["answered"]
        await both.until(lambda: both.polls(1)["answered"] > back + 20)
        assert not both.polls(1)["slowed"]
        assert both.polls(1)["failing"] == {}

    both.play(scenario)


def test_a_meter_that_falls_silent_backs_off_says_why_and_until_when_and_the_ledger_tells(bench, tmp_path):
    both = bench(1, 2)

    def told(unit: int) -> dict[str, Any]:
        return next(each for each in both.gateway.queries.devices() if each["name"] == f"meter-{unit}")

    async def scenario() -> None:
        await both.until(lambda: both.polls(1)["answered"] > 5)
        both.slaves[1].is_silent = True
        await both.until(lambda: told(1)["lifecycle"] == "BACKING_OFF")
        entry = told(1)
        assert entry["stale"]
        assert entry["next_retry_s"] > 0
        assert entry["first_error"].endswith("no answer")
        assert entry["health"]["losses"] == 1
        assert told(2)["lifecycle"] == "CONNECTED"
        both.slaves[1].is_silent = False
        await both.until(lambda: told(1)["lifecycle"] == "CONNECTED")
        assert told(1)["first_error"] is None
        assert 0 < told(1)["health"]["availability"] < told(2)["health"]["availability"]

    both.play(scenario)
    with Ledger.open(tmp_path / "data" / "ledger", read_only=True) as ledger:
        bodies = [each.body for each in ledger.read() if each.kind == "lifecycle" and each.body["device"] == "meter-1"]
    states = [body["state"] for body in bodies]
    assert states[:4] == ["CONNECTING", "CONNECTED", "BACKING_OFF", "CONNECTING"]
    assert states[-1] == "CONNECTED"
    assert all({"device", "state", "reason", "attempt"} <= set(body) for body in bodies)


def test_a_refused_message_is_counted_by_its_reason_and_keeps_its_last_value(bench):
    one = bench(1)

    async def scenario() -> None:
        await one.until(lambda: one.polls(1)["answered"] > 5)
        one.slaves[1].exception = 6
        await one.until(lambda: one.polls(1)["exceptions"].get("exception 6 (server device busy)", 0) >= 2)
        assert one.value(1, "power") == 101.0
        assert one.polls(1)["timeouts"] == 0

    one.play(scenario)


def test_a_late_answer_to_an_earlier_request_never_becomes_a_value(bench):
    one = bench(1)
    foreign = sealed(bytes.fromhex("010404447a0000"))  # 1000.0, as if it answered whatever is asked

    async def scenario() -> None:
        await one.until(lambda: one.polls(1)["answered"] > 5)
        one.slaves[1].is_silent = True
        timeouts = one.polls(1)["timeouts"]
        await one.until(lambda: one.polls(1)["timeouts"] > timeouts)
        one.cable.send(foreign)  # after the time-out, before the next attempt
        await one.until(lambda: one.polls(1)["late"] == 1)
        one.slaves[1].is_silent = False
        answered = one.polls(1)["answered"]
        await one.until(lambda: one.polls(1)["answered"] > answered + 5)
        assert (one.value(1, "power"), one.value(1, "energy")) == (101.0, 1.5)

    one.play(scenario)


def test_an_answer_of_another_unit_never_becomes_a_value(bench):
    one = bench(1)

    async def scenario() -> None:
        await one.until(lambda: one.polls(1)["answered"] > 5)
        one.slaves[1].unit = 9  # whoever is asked as 1 answers as 9 from now on
        one.wire.slaves[0].unit = 9
        one.cable.send(sealed(bytes.fromhex("090404447a0000")))
        await one.until(lambda: one.polls(1)["timeouts"] >= 2)
        assert one.value(1, "power") == 101.0

    one.play(scenario)


def test_a_co2_sensor_is_asked_with_its_own_bytes(tmp_path: Path) -> None:
    cable = Cable(tmp_path / "co2")
    cable.plug()
    profile = load_profile(find_profile("mh-z19b"))
    request = CompiledProfile(profile).framer().encode(bytes.fromhex(profile.message["data"].ask.send))  # type: ignore[union-attr, arg-type]
    assert bytes.fromhex("ff0186000000000079") == request  # MH-Z19B manual V1.0, command 0x86
    gateway = Gateway(
        SiteConfig(devices={"co2": DeviceConfig(profile="mh-z19b", port=str(cable.path))}), tmp_path / "d"
    )
    heard: list[bytes] = []

    def far_end() -> None:
        heard.append(cable.receive())
        cable.send(bytes.fromhex("ff86027c42000000ba"))

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_reader(cable.fileno(), far_end)
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(gateway.run(stop))
            while gateway.queries.latest()[0]["values"]["co2"] is None:  # noqa: ASYNC110 - watched from outside
                await asyncio.sleep(0.005)
            stop.set()
        asyncio.get_running_loop().remove_reader(cable.fileno())

    asyncio.run(run())
    cable.unplug()
    assert [request] == heard
    assert gateway.queries.latest()[0]["values"]["co2"] == 636
