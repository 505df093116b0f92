"""Faults of one test: which may be added, what they do while they last."""

from __future__ import annotations

import pytest

from hil.faults.faults import Faults
from hil.rigs.simulated.world import World
from hil.trace.record import Header
from hil.trace.writer import TraceWriter


class Bus:
    """Says what it was told."""

    def __init__(self, faults, name, protocol):
        self.told = []
        faults.attach(name, protocol, lambda fault: self.told.append(fault.kind), lambda _: self.told.append("end"))


@pytest.fixture
def world():
    return World(1, TraceWriter(None, Header(trace=1, started="2026-01-01T00:00:00Z", seed=1, buses={})))


@pytest.fixture
def faults(world):
    return Faults(world)


@pytest.fixture
def uart(faults):
    return Bus(faults, "uart0", "uart")


def kinds_of(world):
    return [(record.t_ns, record.dir, record.kind) for record in world.trace.records]


def test_a_state_lasts_as_long_as_it_says(world, faults, uart):
    faults.add("unplug", at="5ms", duration="2ms")
    world.run_until(10_000_000)
    assert kinds_of(world) == [(5_000_000, "fault", "unplug"), (7_000_000, "note", "note")]
    assert uart.told == ["unplug", "end"]
    assert not faults.active


def test_removing_a_state_ends_it(faults, uart):
    fault = faults.add("unplug")
    assert [fault] == faults.active
    fault.remove()
    fault.remove()
    assert uart.told == ["unplug", "end"]
    assert not faults.active


def test_a_fault_is_shown_as_it_was_added(faults, uart):
    fault = faults.add("drop", pattern=b"\x10", count=2)
    faults.passing("uart0", b"\x10")
    assert repr(fault) == "<fault 'drop' on uart0, pattern='10', count=2: 1 hits>"


def test_a_state_that_waits_for_traffic_begins_with_it(faults, uart):
    faults.add("unplug", after=1)
    for _ in range(3):
        faults.passing("uart0", b"x")
    assert uart.told == ["unplug"]


def test_what_strikes_is_counted_and_recorded(world, faults, uart):
    fault = faults.add("drop", after=1, count=2)
    struck = [bool(faults.passing("uart0", b"\x01\x02")) for _ in range(5)]
    assert struck == [False, True, True, False, False]
    assert fault.hits == 2
    assert [record.payload for record in world.trace.records] == [b"\x01\x02"] * 2
    assert world.trace.records[0].extra["params"] == {"after": 1, "count": 2}
    assert not faults.active
    assert not uart.told


@pytest.fixture
def radio(faults):
    return Bus(faults, "ble0", "ble")


def interrupted(faults, radio, doings):
    """Return which of these are interrupted."""
    found = []
    for doing in doings:
        told = len(radio.told)
        faults.passing("ble0", b"x", doing=doing)
        found += [doing] * (len(radio.told) - told)
    return found


def test_an_event_that_interrupts_something_waits_for_the_next_of_that(faults, radio):
    fault = faults.add("disconnect", during="read")
    assert faults.active == [fault]
    assert interrupted(faults, radio, ["write", "read", "read"]) == ["read"]
    assert (fault.hits, faults.active) == (1, [])


def test_an_event_that_interrupts_something_counts_only_that(faults, radio):
    fault = faults.add("disconnect", during="write", after=1, count=2)
    assert interrupted(faults, radio, ["read", "write", "read", "write", "write", "write"]) == ["write", "write"]
    assert fault.hits == 2


def test_an_event_that_interrupts_anything_happens_now(faults, radio):
    faults.add("disconnect")
    assert radio.told == ["disconnect"]


def test_an_event_with_a_time_to_strike_in_strikes_all_that_passes_then(faults, world, radio):
    fault = faults.add("disconnect", at="1ms", duration="2ms")
    hits = []
    for _ in range(4):
        faults.passing("ble0", b"", doing="read")
        hits.append(fault.hits)
        world.run_until(world.now_ns + 1_000_000)
    assert (hits, len(radio.told), faults.active) == ([0, 1, 2, 2], 2, [])


def test_an_event_that_takes_its_time_takes_as_long_as_it_says(faults, uart):
    faults.add("break", duration="1s")
    faults.add("break")
    assert (len(uart.told), faults.active) == (2, [])
    assert [fault.lasts_ns(5) for fault in faults.added] == [1_000_000_000, 5]


def test_what_is_on_no_bus_waits_for_what_passes_on_any(faults, world, uart):
    board = Bus(faults, "power", "power")
    faults.attach("clock", "", board.told.append, board.told.append)
    fault = faults.add("reset", pattern=b"go", after=1, count=2)
    for data in (b"go", b"stop", b"go", b"going", b"go"):
        world.record("uart0", "rx", "bytes", data)
        world.record("uart0", "note", "note", b"go")
    assert (board.told, fault.hits) == ([], 0)  # each happens behind what it waited for, never in the middle of it
    world.run_until(1)
    assert (board.told, fault.hits, faults.active) == (["reset", "reset"], 2, [])
    assert [(strike.hit, strike.passed) for strike in faults.strikes] == [(0, 2), (1, 3)]


def test_of_the_strikes_only_those_happen_that_are_wanted(world, uart):
    faults = Faults(world, only={(0, 0), (0, 2)})
    Bus(faults, "uart0", "uart")
    fault = faults.add("drop")
    assert [bool(faults.passing("uart0", b"x")) for _ in range(3)] == [True, False, True]
    assert fault.hits == 2
    assert not uart.told


def test_a_strike_does_among_others_that_do_not_happen_what_it_does_alone(world):
    drawn = []
    for only, wanted in (({(1, 0)}, 2), (None, 1)):
        faults = Faults(world, only=only)
        Bus(faults, "uart0", "uart")
        for _ in range(wanted):
            faults.add("drop")
        drawn += [fault.chance.random() for fault in faults.passing("uart0", b"xyz")]
    assert len(drawn) == 2
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("kind", "params", "named"),
    [
        ("drp", {}, "drop"), ("delay", {}, "by"), ("delay", {"bye": "1ms"}, "by"), ("delay", {"by": "soon"}, "by"),
        ("drop", {"bus": "uart1"}, "uart0"), ("dlc", {"dlc": 4, "bus": "uart0"}, "uart"), ("dlc", {"dlc": 4}, "can"),
        ("drop", {"probabilty": 1}, "probability"), ("disk_full", {"bus": "uart0"}, "bus"),
        ("reset", {"duration": "1s"}, "power"),
        ("clock_jump", {"by": "1h", "duration": "1s"}, "duration"),
        ("parity", {"send": "x"}, "send"), ("baud", {"factor": 0}, "factor"),
        ("jitter", {"by": "9ms..1ms"}, "by"),
    ],
)  # fmt: skip
def test_a_wrong_fault_is_refused_by_name(faults, uart, kind, params, named):
    faults.attach("clock", "", uart.told.append, uart.told.append)
    faults.attach("disk", "", uart.told.append, uart.told.append)
    with pytest.raises(ValueError, match=named):
        faults.add(kind, **params)
    assert not faults.active


def test_two_that_contradict_each_other_are_refused(faults, uart):
    first = faults.add("baud", factor=2)
    with pytest.raises(ValueError, match="contradicts 'baud'"):
        faults.add("baud", factor=0.5)
    first.remove()
    faults.add("baud", factor=0.5)
    assert not uart.told
