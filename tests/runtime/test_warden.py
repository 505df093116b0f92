"""Who may, and what of it is on record. What is decided is tested in `tests/authority`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from gateway.authority.decision import Caller
from gateway.authority.grants import Grants
from gateway.authority.moment import ClockQuality
from gateway.authority.refusals import AT_ONCE
from gateway.authority.walls import Wall, Walls
from gateway.errors import DeniedError, UsageError
from gateway.runtime.durable import Durable, Item
from gateway.runtime.warden import Warden
from gateway.testing import FakeClock
from tests.authority.kit import KEY, grant, grants, route

ME = Caller(principal="user:pi", is_local=True)
STRANGER = Caller(principal="user:eve", is_local=True)
SPEED = route("pump/motor/speed@desired")


class Kept(Durable):
    """A ledger that takes everything."""

    def __init__(self) -> None:
        super().__init__(None)
        self.records: list[tuple[str, str | None, Any]] = []

    async def append(self, items: Sequence[Item]) -> list[int | None]:
        self.records += [(kind, where, body) for kind, where, body, _, _ in items]
        return [None] * len(items)

    def put(self, kind: str, route: str | None, body: dict[str, Any], class_: str) -> None:
        assert class_ == "audit"
        self.records.append((kind, route, body))

    @property
    def denied(self) -> list[dict[str, Any]]:
        return [body for kind, _, body in self.records if kind == "denied"]


class Bench:
    """A warden of a gateway with one pump on can0."""

    def __init__(self, given: Grants | None = None, quality: ClockQuality = "none") -> None:
        self.quality = quality
        self.clock = FakeClock()
        self.kept = Kept()
        self.warden = Warden(
            self.clock, self.kept, grants=given or grants(grant("**", ("write", "admin"))),
            devices=lambda: ["pump"], ports_of=lambda _: {"can0"}, quality=lambda: self.quality,
            signing_key=lambda: KEY, boot="boot-1",
        )  # fmt: skip

    def play(self, scenario: Callable[[Warden], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            return await scenario(self.warden)

        return asyncio.run(run())


def test_a_token_that_counts_for_nothing_is_on_record_also_where_it_only_asks_who_it_is() -> None:
    bench = Bench()
    with pytest.raises(DeniedError):
        bench.play(lambda warden: warden.principal_of(Caller(principal="user:pi", token="bad", is_local=True)))
    assert [(body["reason"], body["has_token"]) for body in bench.kept.denied] == [("token_malformed", True)]


def test_who_may_raise_no_wall_learns_of_no_name() -> None:
    bench = Bench()
    with pytest.raises(DeniedError) as caught:
        bench.play(lambda warden: warden.wall(STRANGER, "pmup", "write", "off"))
    assert "pump" not in str(caught.value)


def test_who_may_raise_a_wall_is_told_what_there_is() -> None:
    with pytest.raises(UsageError, match="did you mean 'pump'"):
        Bench().play(lambda warden: warden.wall(ME, "pmup", "write", "off"))


def test_walls_that_stand_can_be_seen_from_behind_them() -> None:
    wall = Wall(subject="**", kind="routes", verb="read", by="user:pi", since_ns=7)
    bench = Bench()
    bench.warden.restore(Walls((wall,)))
    told = {"subject": "**", "kind": "routes", "verb": "read", "by": "user:pi", "since_ns": 7}
    assert bench.play(lambda warden: warden.standing(STRANGER)) == {"walls": [told]}


def test_who_came_from_elsewhere_sees_no_walls_without_a_grant() -> None:
    with pytest.raises(DeniedError):
        Bench().play(lambda warden: warden.standing(Caller(principal="user:pi")))


def test_a_flood_of_refusals_is_a_few_records_that_say_how_many_they_were() -> None:
    async def flood(warden: Warden) -> None:
        for _ in range(5_000):
            await warden.authorise(STRANGER, SPEED, "write")
        warden.tell_refusals()

    bench = Bench()
    bench.play(flood)
    counts = [body["count"] for body in bench.kept.denied]
    assert (len(counts), sum(counts)) == (AT_ONCE + 1, 5_000)


def test_what_expired_while_the_network_set_the_clock_stays_so_when_it_falls_back() -> None:
    bench = Bench(quality="ntp")
    now_ns = bench.clock.wall_ns()
    bench.warden.moment()
    bench.quality = "none"
    bench.clock.step_wall(-1e9)
    assert bench.warden.moment().passed_ns == now_ns


def test_a_time_that_has_passed_in_an_earlier_run_has_passed() -> None:
    bench = Bench()
    later_ns = bench.clock.wall_ns() + 10**18
    bench.warden.has_passed(later_ns)
    assert bench.warden.moment().passed_ns == later_ns
