from __future__ import annotations

import asyncio

import pytest

from gateway.route import RoutePattern
from gateway.runtime.device import Device
from gateway.runtime.parcel import Parcel
from gateway.runtime.watch import Watcher
from gateway.testing import FakeClock, run_on_fake_clock
from tests.runtime.kit import cobs_profile, reading, state

WALL_NS = 1_700_000_000_500_000_000


def watched(pattern: str, bodies: list[bytes], capacity: int = 100, stamps: list[int] | None = None) -> Watcher:
    device = Device("node", cobs_profile(), FakeClock())
    watcher = Watcher(RoutePattern(pattern), FakeClock(), capacity)
    device.watchers.append(watcher)
    names = [device.profile.match(body, None) for body in bodies]
    stamp = Parcel([], None, 1, WALL_NS, stamps)
    for mailbox, parcel in device.parcels(bodies, names, stamp):
        mailbox.put_nowait(parcel)
        for taken in mailbox.drain():
            device.serve(taken)
    return watcher


def records(watcher: Watcher) -> list[dict[str, object]]:
    return run_on_fake_clock(watcher.chunk())


def test_a_record_says_device_message_number_time_values_and_taints() -> None:
    assert records(watched("*", [reading(5), state(200)])) == [
        {
            "device": "node",
            "message": "reading",
            "seq": 1,
            "t": 1_700_000_000.5,
            "values": {"temperature": 2.5},
            "taints": [],
        },
        {
            "device": "node",
            "message": "state",
            "seq": 1,
            "t": 1_700_000_000.5,
            "values": {"load": 200},
            "taints": ["trust.range"],
        },
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("node", ["reading", "state", "reading"]),
        ("*/health", ["state"]),
        ("node/climate/temp*", ["reading", "reading"]),
        ("other", []),
        ("node/climate/load", []),
    ],
)
def test_a_pattern_chooses_messages_by_their_routes(pattern: str, expected: list[str]) -> None:
    watcher = watched(pattern, [reading(1), state(1), reading(2)])
    found = records(watcher) if len(watcher.mailbox) else []
    assert [record["message"] for record in found] == expected


def test_the_time_of_each_row_is_its_own_where_the_source_knows_it() -> None:
    watcher = watched("*/climate", [reading(1), state(1), reading(2)], stamps=[1_000_000_000, 2, 3_000_000_000])
    assert [record["t"] for record in records(watcher)] == [1.0, 3.0]


def test_a_reader_that_is_too_slow_is_told_how_much_it_missed_and_then_goes_on() -> None:
    watcher = watched("*", [reading(number) for number in range(10)], capacity=4)
    found = records(watcher)
    assert found[0] == {"dropped": 6}
    assert [record["seq"] for record in found[1:]] == [7, 8, 9, 10]


def test_all_who_look_on_share_the_rows_so_that_one_that_hangs_costs_no_copy_of_them() -> None:
    device = Device("node", cobs_profile(), FakeClock())
    first, second = (Watcher(RoutePattern("*"), FakeClock()) for _ in range(2))
    device.watchers += [first, second]
    for mailbox, parcel in device.parcels([reading(1), reading(2)], ["reading", "reading"], Parcel([], None, 1)):
        mailbox.put_nowait(parcel)
        device.serve(mailbox.drain()[0])
    assert first.mailbox.drain()[0].items is second.mailbox.drain()[0].items


def test_records_come_as_they_arrive() -> None:
    watcher = watched("*", [reading(number) for number in range(100)])

    async def first_three() -> list[object]:
        found: list[object] = []
        async for record in watcher.records():
            found.append(record["seq"])
            if len(found) == 70:
                break
        return found

    async def bounded() -> list[object]:
        async with asyncio.timeout(1):
            return await first_three()

    assert run_on_fake_clock(bounded()) == list(range(1, 71))
