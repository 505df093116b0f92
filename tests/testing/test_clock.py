from __future__ import annotations

import asyncio
import time

import pytest

from gateway import testing
from gateway.testing import FakeClock, run_on_fake_clock


def test_both_clocks_advance_together_and_only_the_wall_clock_can_be_set() -> None:
    clock = FakeClock()
    wall_ns = clock.wall_ns()
    clock.advance(1.5)
    clock.step_wall(-10)
    assert clock.monotonic_ns() == 1_500_000_000
    assert clock.wall_ns() == wall_ns - 8_500_000_000


def test_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="does not go back"):
        FakeClock().advance(-1)


def test_an_hour_of_sleep_takes_no_time_and_ends_on_the_hour() -> None:
    clock = FakeClock()
    before = time.monotonic()
    run_on_fake_clock(asyncio.sleep(3600), clock)
    assert time.monotonic() - before < 60  # an hour of the fake clock
    assert 3600 <= clock.monotonic_ns() / 1e9 < 3600.01


def test_timers_fire_in_their_order() -> None:
    order: list[str] = []

    async def scenario() -> None:
        async def after(seconds: float, name: str) -> None:
            await asyncio.sleep(seconds)
            order.append(name)

        async with asyncio.TaskGroup() as group:
            for seconds, name in [(3, "c"), (1, "a"), (2, "b")]:
                group.create_task(after(seconds, name))

    run_on_fake_clock(scenario())
    assert order == ["a", "b", "c"]


def test_every_public_name_of_the_testing_package_loads() -> None:
    assert all(callable(getattr(testing, name)) for name in testing.__all__)
    with pytest.raises(AttributeError, match="FakeClock"):
        testing.NoSuchThing  # noqa: B018 - looking is the point
