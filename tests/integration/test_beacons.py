"""A whole gateway and beacons that come and go: what leaves lies in the ledger, and is there again when it is heard."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.authority.decision import Caller
from gateway.config import read_site
from gateway.errors import PortLostError, UnknownError, UsageError
from gateway.frame import Element
from gateway.ledger import Ledger, Record
from gateway.route import RoutePattern
from gateway.runtime.means import MACHINE
from gateway.testing import AnsweringPort, FakeClock
from tests.runtime.kit import BEACON
from tests.runtime.test_connect import OneDriver

SITE = '[discover.tag]\nprofile = "p.toml"\nport = "hci0"\nlimit = {limit}\n[ledger]\nfootprint = "small"\n{ledger}\n'
ME = Caller(principal="user:somebody", is_local=True)
IDLE_S = 301.0  # ten times the profile's stale_after of 30 s


class Bench:
    """A gateway whose adapter and clock are the test's hand, run after run over one folder."""

    def __init__(self, folder: Path, *, limit: int = 50, ledger: str = "") -> None:
        self.folder = folder
        self.site = SITE.format(limit=limit, ledger=ledger)
        self.clock = FakeClock()
        self.boots = 0
        (folder / "p.toml").write_text(BEACON)

    def begin(self, data: str = "data") -> None:
        """Wire a new run, as after a reboot: monotonic time is another one."""
        self.boots += 1
        self.clock = FakeClock(monotonic_ns=self.boots * 7_000_000, wall_ns=self.clock.wall_ns())
        self.port = AnsweringPort("hci0", lambda _request, _address: [], self.clock)
        site = read_site("site.toml", self.site.encode())
        means = MACHINE._replace(driver_for=OneDriver(self.port))
        self.gateway = Gateway(site, self.folder / data, self.clock, folder=self.folder, means=means)

    def play(self, scenario: Callable[[], Awaitable[None]], data: str = "data") -> None:
        async def run() -> None:
            self.begin(data)
            stop = asyncio.Event()
            async with asyncio.timeout(60), asyncio.TaskGroup() as group:
                group.create_task(self.gateway.run(stop))
                await until(lambda: self.port._is_open)
                try:
                    await scenario()
                finally:
                    stop.set()

        asyncio.run(run())

    async def hear(self, tag: int, value: int, message: str = "a") -> None:
        """Let a tag speak, and wait until it was taken."""
        facts: dict[str, Any] = {"manufacturer": 0x0499} if message == "a" else {"service": "181a"}
        frames = self.gateway.status()["ports"][0]["frames"]
        self.port.say(bytes([value]), Element(f"00:00:00:00:00:{tag:02X}", -60, **facts))
        await until(lambda: self.gateway.status()["ports"][0]["frames"] > frames and not self.pending)

    @property
    def pending(self) -> bool:
        return any(device["frames"]["pending"] for device in self.gateway.status()["devices"])

    async def fall_silent(self) -> None:
        """Let time pass until every device has left, and what it knew is on the medium."""
        self.clock.advance(IDLE_S)
        await until(lambda: not self.gateway.queries.devices())
        stubs = self.gateway._discoveries()[0].stubs
        await until(lambda: self.gateway._recorder is None or not stubs.held())

    async def ask(self, name: str, **args: Any) -> dict[str, Any]:
        return await self.gateway.asks.answer(name, args, ME)

    async def value(self, route: str) -> tuple[Any, bool, int]:
        told = await self.ask("get", route=route)
        return told["value"], told["stale"], told["seq"]

    @property
    def told(self) -> dict[str, Any]:
        found: dict[str, Any] = self.gateway.status()["ports"][0]["discovered"][0]
        return found

    def records(self, kind: str) -> list[Record]:
        with Ledger.open(self.folder / "data" / "ledger", read_only=True) as ledger:
            return [item for item in ledger.read() if isinstance(item, Record) and item.kind == kind]


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - a gateway is watched from outside; play() sets the limit
        await asyncio.sleep(0.01)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_beacon_that_left_is_asked_for_its_last_value_and_told_with_its_true_age(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.hear(1, 7)
        await bench.fall_silent()
        bench.clock.advance(1000)
        told = await bench.ask("get", route="tag-0001/climate/a")
        assert (told["value"], told["stale"], told["seq"]) == (7, True, 1)
        assert told["age_s"] == pytest.approx(IDLE_S + 1000)
        assert "coherence.stale" in told["taints"]

    bench.play(scenario)


def test_a_beacon_that_is_heard_again_has_its_older_values_and_goes_on_counting(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.hear(1, 7)
        await bench.hear(1, 8, "b")
        first_seen = bench.gateway.queries.devices()[0]["first_seen"]
        await bench.fall_silent()
        await bench.hear(1, 9)
        await until(lambda: bench.gateway.queries.latest()[1]["age"] is not None)
        assert await bench.value("tag-0001/climate/a") == (9, False, 2)
        assert await bench.value("tag-0001/climate/b") == (8, True, 1)
        assert bench.gateway.status()["devices"][0]["frames"]["in"] == 3
        assert bench.gateway.queries.devices()[0]["first_seen"] == first_seen

    bench.play(scenario)


def test_values_that_the_record_rule_kept_back_are_not_lost(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.hear(1, 7)
        await bench.hear(1, 8)  # within a second of the one that was kept
        await bench.fall_silent()
        assert await bench.value("tag-0001/climate/a") == (8, True, 2)

    bench.play(scenario)


def test_coming_and_going_are_records_of_the_lifecycle_with_their_reasons(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.hear(1, 7)
        await bench.fall_silent()
        await bench.hear(1, 9)

    bench.play(scenario)
    told = [record.body for record in bench.records("lifecycle") if record.body["device"] == "tag-0001"]
    assert [(each["state"], each["reason"]) for each in told] == [
        ("CONNECTED", ""), ("ABSENT", "idle"), ("CONNECTED", ""), ("CONNECTED", "stopped"),
    ]  # fmt: skip
    assert all(each["attempt"] == 0 for each in told)


def test_one_whose_older_values_are_still_being_read_when_the_gateway_stops_goes_on_counting_in_the_next_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def before() -> None:
        await bench.hear(1, 7)
        await bench.fall_silent()
        recorder = bench.gateway._recorder
        assert recorder is not None
        ask, loop = recorder.committer.ask, asyncio.get_running_loop()
        monkeypatch.setattr(recorder.committer, "ask", lambda job: loop.call_later(0.1, ask, job))
        await bench.hear(1, 9)

    async def after() -> None:
        assert await bench.value("tag-0001/climate/a") == (9, True, 2)
        await bench.hear(1, 11)
        assert await bench.value("tag-0001/climate/a") == (11, False, 3)

    bench.play(before)
    assert [record.body["reason"] for record in bench.records("lifecycle")][-2:] == ["stopped", "stopped"]
    bench.play(after)


def test_one_that_made_room_is_remembered_like_one_that_fell_silent(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, limit=1)

    async def scenario() -> None:
        await bench.hear(1, 7)
        await bench.hear(2, 8)
        assert await bench.value("tag-0001/climate/a") == (7, True, 1)
        assert (bench.told["evicted"], bench.told["remembered"]) == (1, 1)

    bench.play(scenario)
    reasons = [record.body["reason"] for record in bench.records("lifecycle") if record.body["device"] == "tag-0001"]
    assert reasons == ["", "made room"]


def test_beacons_are_remembered_across_a_restart_whether_they_had_left_or_not(bench: Bench) -> None:
    async def before() -> None:
        await bench.hear(1, 7)
        await bench.hear(1, 70, "b")
        await bench.fall_silent()
        await bench.hear(2, 8)
        await bench.hear(2, 9)  # kept back by the rule

    async def after() -> None:
        assert bench.gateway.queries.devices() == []
        assert bench.told["remembered"] == 2
        assert await bench.value("tag-0001/climate/a") == (7, True, 1)
        assert await bench.value("tag-0002/climate/a") == (9, True, 2)
        await bench.hear(1, 17)
        assert await bench.value("tag-0001/climate/a") == (17, False, 2)
        await until(lambda: bench.gateway.queries.latest()[1]["age"] is not None)
        assert await bench.value("tag-0001/climate/b") == (70, True, 1)

    bench.play(before)
    bench.clock.advance(3600)
    bench.play(after)


def test_a_crash_costs_a_beacon_that_was_here_neither_its_name_nor_what_was_kept(bench: Bench) -> None:
    async def before() -> None:
        await bench.hear(1, 7)
        assert bench.gateway._recorder is not None
        await until(lambda: bench.gateway.status()["ledger"]["queue"]["records"] == 0)
        bench.gateway._recorder.committer.ask(lambda ledger: None if ledger is None else ledger.flush())
        await until(lambda: not bench.gateway._recorder.committer._jobs)  # type: ignore[union-attr]
        shutil.copytree(bench.folder / "data", bench.folder / "crashed", ignore=shutil.ignore_patterns("*.sock*"))

    async def after() -> None:
        assert await bench.value("tag-0001/climate/a") == (7, True, 1)
        await bench.hear(1, 9)
        assert await bench.value("tag-0001/climate/a") == (9, False, 2)

    bench.play(before)
    bench.play(after, "crashed")


def test_without_a_ledger_values_are_held_in_memory_and_a_restart_knows_nothing(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, ledger="enabled = false")

    async def before() -> None:
        await bench.hear(1, 7)
        await bench.hear(1, 8, "b")
        await bench.fall_silent()
        assert await bench.value("tag-0001/climate/a") == (7, True, 1)
        await bench.hear(1, 9)
        assert await bench.value("tag-0001/climate/b") == (8, True, 1)

    async def after() -> None:
        with pytest.raises(UnknownError):
            await bench.ask("get", route="tag-0001/climate/a")

    bench.play(before)
    bench.play(after)


def test_a_device_with_a_command_under_way_does_not_leave(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.hear(1, 7)
        await bench.hear(2, 8)
        bench.gateway._dispatch.twins["tag-0001"].open.add("valve")
        bench.clock.advance(IDLE_S)
        await until(lambda: bench.told["remembered"] == 1)
        assert [device["name"] for device in bench.gateway.queries.devices()] == ["tag-0001"]

    bench.play(scenario)


def test_the_adapter_that_is_pulled_sends_nobody_away(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.hear(1, 7)
        bench.port.say(PortLostError("hci0", "unplugged"))
        await until(lambda: bench.gateway.queries.devices()[0]["state"] == "DISCONNECTED")
        bench.clock.advance(IDLE_S)
        bench.gateway._evictor.tick()
        assert [device["name"] for device in bench.gateway.queries.devices()] == ["tag-0001"]

    bench.play(scenario)


def test_a_device_that_left_has_a_shadow_and_is_led_nowhere(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.hear(1, 7)
        live = await bench.ask("shadow", device="tag-0001")
        await bench.fall_silent()
        told = await bench.ask("shadow", device="tag-0001")
        assert told == live | {"stale": told["stale"]}
        with pytest.raises(UsageError, match="tag-0001 has left"):
            await bench.gateway._looks.lead("tag-0001", "quiesce")

    bench.play(scenario)


def test_the_routes_of_a_device_that_left_are_listed_where_it_is_asked_for_by_name(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.hear(1, 7)
        await bench.fall_silent()
        found = await bench.gateway.queries.left("values", RoutePattern("tag-0001/climate"))
        assert [(each["route"], each["value"], each["stale"]) for each in found if each["seq"]] == [
            ("tag-0001/climate/a", 7, True)
        ]
        assert await bench.gateway.queries.left("values", RoutePattern("*")) == []

    bench.play(scenario)


def test_a_layout_is_told_once_for_all_beacons_alike(bench: Bench) -> None:
    async def scenario() -> None:
        for tag in range(5):
            await bench.hear(tag, tag)

    bench.play(scenario)
    bench.play(scenario)
    assert len(bench.records("schema")) == 2  # the beacon's, and that of every advertisement
    assert len(bench.records("profile")) == 1


def test_a_name_is_of_one_address_across_a_restart_however_they_come(bench: Bench) -> None:
    first, second = "00:00:00:01:88:4F", "00:00:00:02:88:4F"

    async def say(address: str, value: int) -> None:
        heard = bench.gateway.status()["ports"][0]["frames"]
        bench.port.say(bytes([value]), Element(address, -60, manufacturer=0x0499))
        await until(lambda: bench.gateway.status()["ports"][0]["frames"] > heard and not bench.pending)

    async def before() -> None:
        await say(first, 1)
        await say(second, 2)

    async def after() -> None:
        await say(second, 12)
        assert await bench.value("tag-884f/climate/a") == (1, True, 1)
        assert await bench.value("tag-2884f/climate/a") == (12, False, 2)

    bench.play(before)
    bench.play(after)
