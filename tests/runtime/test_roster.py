"""One configuration takes the place of another on a bus that several share, on fake time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from gateway.config import read_site
from gateway.errors import PortLostError
from gateway.frame import Element
from gateway.port import CanFilter
from gateway.runtime.blueprint import blueprint
from gateway.runtime.device import Device
from gateway.runtime.difference import Configuration
from gateway.runtime.roster import Roster
from gateway.runtime.scheduler import Scheduler
from gateway.runtime.wiring import Fitter
from gateway.testing import AnsweringPort, FakeClock, run_on_fake_clock
from tests.runtime.kit import BEACON, CAN
from tests.runtime.test_connect import OneDriver


class SharedPort(AnsweringPort):
    """A bus that leaves out what nobody wants, at once or when it is opened next."""

    def __init__(self, clock: FakeClock, *, at_once: bool) -> None:
        super().__init__("can0", lambda _request, _address: [], clock)
        self.at_once = at_once
        self.wanted: list[object] = []
        self.opened = 0

    def listen_for(self, wanted: Sequence[CanFilter | Element]) -> bool:
        self.wanted = list(wanted)
        return self.at_once or not self.opened

    async def open(self) -> None:
        self.opened += 1
        await super().open()


class Bench:
    """Motors on one bus."""

    def __init__(self, folder: Path, *names: str, at_once: bool = True) -> None:
        for number in (1, 2, 3):
            (folder / f"m{number}.toml").write_text(CAN.format(id=number))
        self.folder = folder
        self.clock = FakeClock()
        self.port = SharedPort(self.clock, at_once=at_once)
        self.scheduler = Scheduler(self.clock)
        driver = OneDriver(self.port)
        self.roster = Roster(self.configuration(*names), Fitter(self.clock, driver), self.scheduler)
        self.entered: list[str] = []
        self.left: list[str] = []
        self.roster.on_entered = lambda device: self.entered.append(device.name)
        self.roster.on_left = lambda device: self.left.append(device.name)

    def configuration(self, *names: str) -> Configuration:
        text = "".join(f'[device.{name}]\nprofile = "{name[:2]}.toml"\nport = "can0"\n' for name in names)
        site = read_site("site.toml", text.encode())
        return Configuration(site, blueprint(site, self.folder, has_store=False))

    def device(self, name: str) -> Device:
        return next(each for each in self.roster.devices if each.name == name)

    def say(self, number: int, speed: int) -> None:
        self.port.say(speed.to_bytes(2, "big"), number)

    def play(self, play: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            running = asyncio.get_running_loop().create_task(self.roster.supervisor.run())
            try:
                await asyncio.sleep(0.1)
                await play()
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running

        run_on_fake_clock(run(), self.clock)


def events_of(device: Device) -> list[str]:
    found: list[str] = []
    device.listeners.append(lambda _before, event: found.append(str(event)))
    return found


def test_one_more_device_on_a_shared_bus_disturbs_nobody_there(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "m1")

    async def play() -> None:
        events = events_of(bench.device("m1"))
        await bench.roster.change(bench.configuration("m1", "m2"))
        bench.say(1, 10)
        bench.say(2, 20)
        await asyncio.sleep(0.1)
        assert events == []
        assert [bench.device(name).messages["speed"].row for name in ("m1", "m2")] == [(10, 0), (20, 0)]

    bench.play(play)
    assert (bench.port.opened, bench.entered, bench.left) == (1, ["m2"], [])
    assert len(bench.port.wanted) == 2


def test_a_bus_that_can_only_be_opened_for_others_is_opened_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "m1", at_once=False)

    async def play() -> None:
        await bench.roster.change(bench.configuration("m1", "m2"))
        await asyncio.sleep(1)
        bench.say(2, 20)
        await asyncio.sleep(0.1)
        assert bench.device("m2").messages["speed"].row == (20, 0)
        assert bench.device("m1").lifecycle.state == "CONNECTED"

    bench.play(play)
    assert bench.port.opened == 2


def test_what_had_come_for_a_device_that_leaves_is_served_first(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "m1", "m2")
    leaving: list[Device] = []

    async def play() -> None:
        leaving.append(bench.device("m2"))
        mailbox = next(iter(leaving[0].mailboxes.values()))
        for stop in bench.roster.keepers[0]._stops["m2"]:
            bench.scheduler.detach(stop)  # nobody serves it meanwhile
        bench.say(2, 20)
        await asyncio.sleep(0.1)
        assert len(mailbox) == 1
        await bench.roster.change(bench.configuration("m1"))

    bench.play(play)
    assert leaving[0].messages["speed"].row == (20, 0)
    assert leaving[0].frames()[1:] == (1, 0, 0, 0)
    assert bench.left == ["m2"]


def test_a_port_that_is_lost_while_a_write_is_waited_for_holds_nothing_up(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "m1")

    async def play() -> None:
        (keeper,) = bench.roster.keepers
        assert keeper.outlet is not None
        async with asyncio.TaskGroup() as group:
            async with keeper.outlet.quiet():  # somebody writes
                changing = group.create_task(bench.roster.change(bench.configuration("m1", "m2")))
                await asyncio.sleep(0.1)
                bench.port.say(PortLostError("can0", "unplugged"))
                await asyncio.sleep(0.1)
                assert not changing.done()
            await asyncio.sleep(0.1)
            assert changing.done()
        await asyncio.sleep(3)
        bench.say(2, 20)
        await asyncio.sleep(0.1)
        assert bench.device("m2").messages["speed"].row is not None

    bench.play(play)


def test_the_last_device_of_a_port_takes_it_along(tmp_path: Path) -> None:
    bench = Bench(tmp_path, "m1")

    async def play() -> None:
        other = bench.configuration("m2")
        await bench.roster.change(Configuration(other.site, [other.wires[0]._replace(place="can1", name="can1")]))
        await asyncio.sleep(0.1)
        assert [keeper.name for keeper in bench.roster.keepers] == ["can1"]

    bench.play(play)
    assert (bench.entered, bench.left) == (["m2"], ["m1"])


@pytest.mark.parametrize("there", [("m1", "m2"), ("m2",), ("m3", "m1")])
def test_a_change_and_its_return_leave_what_was(tmp_path: Path, there: tuple[str, ...]) -> None:
    bench = Bench(tmp_path, "m1", "m3")

    async def play() -> None:
        before = bench.configuration("m1", "m3")
        await bench.roster.change(bench.configuration(*there))
        await bench.roster.change(before)
        bench.say(1, 10)
        bench.say(3, 30)
        await asyncio.sleep(0.1)
        assert {each.name: each.messages["speed"].row for each in bench.roster.devices} == {
            "m1": (10, 0),
            "m3": (30, 0),
        }
        assert {str(each.lifecycle.state) for each in bench.roster.devices} == {"CONNECTED"}

    bench.play(play)


class Beacons(Bench):
    """Tags that an adapter hears, and motors on the same port text."""

    def __init__(self, folder: Path) -> None:
        (folder / "tag.toml").write_text(BEACON)
        super().__init__(folder, "limit = 9")

    def configuration(self, *texts: str) -> Configuration:
        text = '[discover.tag]\nprofile = "tag.toml"\nport = "hci0"\n' + "\n".join(texts)
        site = read_site("site.toml", text.encode())
        return Configuration(site, blueprint(site, self.folder, has_store=False))

    def hear(self, tag: int) -> None:
        self.port.say(bytes([tag]), Element(f"00:00:00:00:00:{tag:02X}", -60, manufacturer=0x0499))


def test_a_discovery_that_is_begun_anew_knows_whom_it_knew(tmp_path: Path) -> None:
    bench = Beacons(tmp_path)

    async def play() -> None:
        bench.hear(1)
        await asyncio.sleep(0.1)
        await bench.roster.change(bench.configuration("limit = 5"))
        assert bench.roster.devices == []
        bench.hear(1)
        await asyncio.sleep(0.1)
        assert [(each.name, each.messages["a"].sequence) for each in bench.roster.devices] == [("tag-0001", 2)]

    bench.play(play)
    assert (bench.entered, bench.left) == (["tag-0001", "tag-0001"], ["tag-0001"])


def test_a_discovered_device_makes_way_for_one_that_the_site_calls_the_same(tmp_path: Path) -> None:
    bench = Beacons(tmp_path)

    async def play() -> None:
        bench.hear(1)
        await asyncio.sleep(0.1)
        other = '[device.tag-0001]\nprofile = "m1.toml"\nport = "can7"\n'
        await bench.roster.change(bench.configuration("limit = 9", other))
        bench.hear(1)
        await asyncio.sleep(0.1)
        assert sorted(each.name for each in bench.roster.devices) == ["tag-00001", "tag-0001"]

    bench.play(play)
    assert bench.left == ["tag-0001"]
