from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from gateway.runtime.device import Device
from gateway.runtime.discovery import Discovery
from gateway.sinks.homeassistant.announcer import WAITING_MOST, Announcer
from gateway.testing import FakeClock, run_on_fake_clock
from tests.runtime.kit import cobs_profile
from tests.sinks.homeassistant.kit import TOPICS

NOTE = b'{"sensor":["sensor_climate_temperature"]}'
PROFILE = cobs_profile()


class Link:
    """A connection that keeps what it is given."""

    def __init__(self) -> None:
        self.waiting = 0
        self.is_choked = False
        self.said: list[tuple[str, bytes]] = []

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> int:
        assert retain
        self.said.append((topic, payload))
        return len(self.said)

    def configs(self) -> list[tuple[str, bool]]:
        """Return device and whether it was announced (else: cleared), of each configuration."""
        return [(topic.split("/")[2], payload != b"") for topic, payload in self.said if topic.endswith("/config")]


class Bench:
    def __init__(self, *names: str, is_wanted: bool = True, limit: int = 2) -> None:
        clock = FakeClock()
        self.devices = [Device(name, PROFILE, clock) for name in names]
        self.link = Link()
        found = Discovery("tag", PROFILE, limit, lambda name, _address: Device(name, PROFILE, clock))
        self.announcer = Announcer(
            TOPICS, "gw", is_wanted=is_wanted, devices=lambda: self.devices, twins=dict, discoveries=lambda: [found]
        )

    def note(self, device: str, *, is_retained: bool = True) -> None:
        assert self.announcer.take(TOPICS.announced(device), NOTE, is_retained=is_retained)

    def during(self, scenario: Callable[[], Awaitable[Any]]) -> list[tuple[str, bool]]:
        async def run() -> None:
            async with asyncio.TaskGroup() as group:
                working = group.create_task(self.announcer.run(self.link))
                await scenario()
                working.cancel()

        run_on_fake_clock(run())
        return self.link.configs()


async def a_while() -> None:
    await asyncio.sleep(7)


def test_a_device_of_an_earlier_run_that_is_gone_is_cleared_after_those_that_are_there() -> None:
    bench = Bench("node")
    bench.note("old")
    assert bench.during(a_while) == [("gw_node", True), ("gw_old", False)]


def test_a_note_that_comes_late_counts_all_the_same() -> None:
    bench = Bench("node")

    async def late() -> None:
        await a_while()
        bench.note("old")
        await a_while()

    assert bench.during(late) == [("gw_node", True), ("gw_old", False)]


def test_an_echo_of_what_was_noted_is_no_note() -> None:
    bench = Bench("node")
    bench.note("old", is_retained=False)
    assert bench.during(a_while) == [("gw_node", True)]


def test_a_discovered_device_that_is_away_stays_announced() -> None:
    bench = Bench("tag-1")

    async def leaves_and_returns() -> None:
        await a_while()
        (away,), bench.devices = bench.devices, []
        await a_while()
        bench.devices = [away]
        await a_while()

    assert bench.during(leaves_and_returns) == [("gw_tag-1", True)]


def test_of_discovered_devices_that_are_away_no_more_stay_announced_than_there_is_room_for() -> None:
    bench = Bench("tag-1", "tag-2")

    async def others_come() -> None:
        await a_while()
        bench.devices = [Device("tag-3", PROFILE, FakeClock()), Device("tag-4", PROFILE, FakeClock())]
        await a_while()

    found = bench.during(others_come)
    assert found[2:] == [("gw_tag-3", True), ("gw_tag-4", True), ("gw_tag-1", False), ("gw_tag-2", False)]


def test_nothing_is_sent_while_the_broker_takes_nothing() -> None:
    bench = Bench("node")
    bench.link.waiting = WAITING_MOST

    async def taken_later() -> None:
        await a_while()
        assert bench.link.said == []
        bench.link.waiting = 0
        await a_while()

    assert bench.during(taken_later) == [("gw_node", True)]


def test_where_it_is_not_wanted_nothing_is_announced_and_everything_taken_back() -> None:
    bench = Bench("node", is_wanted=False)
    bench.note("node")
    assert bench.during(a_while) == [("gw_node", False)]


def test_a_new_label_is_told() -> None:
    bench = Bench("node")

    async def relabelled() -> None:
        await a_while()
        bench.devices[0].label = "Boiler"
        await a_while()

    assert bench.during(relabelled) == [("gw_node", True)] * 2


def test_a_status_that_is_retained_is_old_news() -> None:
    bench = Bench("node")

    async def old_and_new() -> None:
        await a_while()
        for payload, is_retained in ((b"online", True), (b"offline", False), (b"online", False)):
            assert bench.announcer.take("homeassistant/status", payload, is_retained=is_retained)
        await a_while()

    assert bench.during(old_and_new) == [("gw_node", True)] * 2


def test_messages_for_others_are_left_to_them() -> None:
    bench = Bench("node")
    for topic in ("tidegate/gw/node/x", "tidegate/gw/node/climate/@homeassistant", "tidegate/gw/+/@homeassistant"):
        assert not bench.announcer.take(topic, b"", is_retained=True)
