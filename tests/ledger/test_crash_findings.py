"""What the crash enumerator found, told once more as small as it can be."""

from __future__ import annotations

import contextlib
import errno

import pytest

from gateway.errors import LedgerStorageError
from gateway.ledger.base import NS, Options
from gateway.ledger.fold import State
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.opening import create
from gateway.ledger.record import Record
from gateway.testing import FakeClock, Fault, FaultyStorage, MemoryStorage

OPTIONS = Options(ring_bytes=4 * 4096, segment_bytes=4096, unit_bytes=512, keep_ns=20 * NS)
NOT_YET = 1 << 30


def made() -> MemoryStorage:
    storage = MemoryStorage()
    create(storage, OPTIONS)
    return storage


def lost_by(fault: Fault, options: Options = OPTIONS) -> tuple[list[str], range]:
    """Return the routes that some cut makes nobody know of any more, and which calls came behind opening.

    Each route speaks once, one each step. Most readings are over their time, or find no room, and are taken out.
    """
    clock, storage = FakeClock(), made()
    faulty = FaultyStorage(storage, [fault])
    ledger = Ldg1Ledger(faulty, options, clock, background=False)
    first = sum(faulty.counts[call] for call in fault.calls) + 1
    spoken: list[str] = []
    lost: list[str] = []
    for place in range(20):
        spoken.append(f"pump/motor/value{place}@frame")
        ledger.append("reading", spoken[-1], bytes(200))
        ledger.append("note", None, "x" * 300, "state")
        clock.advance(5)
        known = replayed(storage).registers.get("reading", {})
        lost += [route for route in spoken if route not in known and route not in lost]
    last = sum(faulty.counts[call] for call in fault.calls)
    return lost, range(first, last + 1)


def replayed(storage: MemoryStorage) -> State:
    return Ldg1Ledger(MemoryStorage(storage.cut()), OPTIONS, FakeClock(), background=False).replay()


def test_readings_over_their_time_are_taken_out() -> None:
    clock, storage = FakeClock(), made()
    ledger = Ldg1Ledger(storage, OPTIONS, clock, background=False)
    for place in range(20):
        ledger.append("reading", f"pump/motor/value{place}@frame", bytes(200))
        ledger.append("note", None, "x" * 300, "state")
        clock.advance(5)
    assert sum(isinstance(each, Record) and each.kind == "reading" for each in ledger.read()) < 20


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["full", "failing"])
@pytest.mark.parametrize("call", ["write", "create", "rename", "sync_folder"])
def test_no_reading_is_given_up_before_a_snapshot_that_outlives_a_cut_holds_it(call: str, error: int) -> None:
    expected, calls = lost_by(Fault(frozenset({call}), NOT_YET))
    assert expected == []
    for at in calls:
        assert (at, lost_by(Fault(frozenset({call}), at, error))[0]) == (at, [])


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO], ids=["full", "failing"])
def test_what_cannot_be_read_for_once_is_not_left_out_of_a_snapshot(error: int) -> None:
    _, calls = lost_by(Fault(frozenset({"read"}), NOT_YET))
    for at in calls:
        assert (at, lost_by(Fault(frozenset({"read"}), at, error))[0]) == (at, [])


@pytest.mark.parametrize("at", range(6, 12))
def test_a_cursor_stands_where_it_was_durably_moved_to(at: int) -> None:
    storage = made()
    faulty = FaultyStorage(storage, [Fault(frozenset({"sync"}), at, errno.EIO, lasts=True)])
    ledger = Ldg1Ledger(faulty, OPTIONS, FakeClock(), background=False)
    while not faulty.failed:
        with contextlib.suppress(LedgerStorageError):
            ledger.cursor("mqtt").advance(ledger.append("note", None, 1, "state"))
    stands = ledger.cursor("mqtt").seq
    assert stands == Ldg1Ledger(MemoryStorage(storage.cut()), OPTIONS, FakeClock(), background=False).cursor("mqtt").seq
