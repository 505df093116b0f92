"""Reading: from anywhere, with what is there and nothing else, beside a writer that recycles what is being read."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import LedgerFormatError, LedgerMissingError
from gateway.ledger.base import Head, Options
from gateway.ledger.fold import State
from gateway.ledger.frame import first_chain
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.reader import Reader
from gateway.ledger.record import Gap, Record
from gateway.testing import FakeClock
from gateway.testing.storage import Fault, FaultyStorage, Image, MemoryStorage
from tests.ledger.folders import (
    LOG_ID,
    UNIT,
    BusyStorage,
    changed,
    checked,
    commit,
    filled,
    flipped,
    made,
    opened,
    storied,
    without,
)

ARCHIVE = "arc/00000000000000000012.arc"


@cache
def lapped() -> Image:
    """Return a ledger of 65 records in four archives and a ring that went round."""
    return storied(20)


def read(image: Image, from_seq: int = 1) -> list[Record | Gap]:
    return list(Reader(MemoryStorage(image)).read(from_seq))


def told(items: list[Record | Gap]) -> list[int | tuple[int, int]]:
    return [(item.from_seq, item.to_seq) if isinstance(item, Gap) else item.seq for item in items]


def numbers(items: list[Record | Gap]) -> list[int]:
    """Return every number that is told, record or gap."""
    return [
        seq
        for item in items
        for seq in (range(item.from_seq, item.to_seq + 1) if isinstance(item, Gap) else [item.seq])
    ]


def test_every_record_comes_once_and_in_order() -> None:
    assert told(read(lapped())) == list(range(1, 66))


def test_records_are_what_was_appended() -> None:
    first, second, third = read(lapped())[:3]
    assert isinstance(first, Record)
    assert isinstance(second, Record)
    assert isinstance(third, Record)
    assert (first.kind, first.route, first.class_, first.body) == (
        "command_intent", "pump/motor/speed@desired", "command", {"value": 0})  # fmt: skip
    assert (second.kind, second.cause, second.body) == ("command_result", 1, {"ok": True})
    assert (third.kind, third.class_, third.body) == ("reading", "telemetry", bytes(8))


@pytest.mark.parametrize("from_seq", range(-1, 68))
def test_reading_starts_at_any_number(from_seq: int) -> None:
    assert told(read(lapped(), from_seq)) == list(range(max(1, from_seq), 66))


def test_an_empty_ledger_has_nothing_to_read_and_a_head() -> None:
    reader = Reader(made())
    assert (list(reader.read()), reader.head(), reader.first_seq, reader.last_seq) == (
        [], Head(0, first_chain(LOG_ID).hex()), 0, 0)  # fmt: skip


def test_a_folder_without_a_ledger_is_refused() -> None:
    with pytest.raises(LedgerMissingError):
        Reader(MemoryStorage())


@pytest.mark.parametrize("gone", [["META.a"], ["META.b"], ["META.a", "META.b"], ["hot/00.seg"]])
def test_what_can_be_derived_is_not_needed(gone: list[str]) -> None:
    assert told(read(without(lapped(), gone))) == list(range(1, 66))


def test_the_head_is_that_of_verification() -> None:
    found = checked(lapped())
    assert Reader(MemoryStorage(lapped())).head() == Head(found.last_seq, found.head)


@pytest.mark.parametrize("commits", [1, 8, 9, 17, 40])
def test_the_head_is_that_of_the_writer_whatever_the_ring_holds(commits: int) -> None:
    storage = made()
    log = opened(storage)
    for number in range(commits):
        commit(log, number)
    assert Reader(storage).head() == log.head()


# ---- where


@pytest.mark.parametrize("seq", [1, 2, 20, 47, 65])
def test_a_record_is_found_where_it_lies(seq: int) -> None:
    place = Reader(MemoryStorage(lapped())).locate(seq)
    assert place is not None
    assert (place.record.seq, place.header.base_seq <= seq < place.header.next_seq) == (seq, True)
    data = lapped()[place.file]
    assert data[place.offset : place.offset + 4] == (b"LDAB" if place.file.startswith("arc/") else b"LDF1")


@pytest.mark.parametrize("seq", [0, 66, 1 << 40])
def test_a_record_that_is_not_there_is_nowhere(seq: int) -> None:
    assert Reader(MemoryStorage(lapped())).locate(seq) is None


def test_a_record_that_is_gone_is_nowhere() -> None:
    assert Reader(MemoryStorage(without(lapped(), [ARCHIVE]))).locate(15) is None


# ---- routes


def test_records_of_routes_are_those_a_full_reading_gives() -> None:
    routes = {"pump/link/f1@frame", "pump/motor/speed@ack"}
    wanted = [item for item in read(lapped()) if isinstance(item, Record) and item.route in routes]
    assert list(Reader(MemoryStorage(lapped())).read(routes=routes)) == wanted


def test_archives_without_a_route_are_not_opened_for_it() -> None:
    storage = FaultyStorage(MemoryStorage(lapped()))
    list(Reader(storage).read())
    everything, storage.counts["open"] = storage.counts["open"], 0
    assert list(Reader(storage).read(routes={"nobody/asks/this"})) == []
    assert storage.counts["open"] < everything


# ---- what is missing and hurt


def test_an_archive_that_is_gone_is_one_gap() -> None:
    assert told(read(without(lapped(), [ARCHIVE]))) == [*range(1, 12), (12, 23), *range(24, 66)]


@pytest.mark.parametrize("from_seq", [12, 15, 23])
def test_reading_from_inside_a_gap_tells_the_rest_of_it(from_seq: int) -> None:
    assert told(read(without(lapped(), [ARCHIVE]), from_seq)) == [(from_seq, 23), *range(24, 66)]


def test_of_an_archive_without_its_footer_everything_is_read() -> None:
    data = lapped()[ARCHIVE]
    assert told(read(changed(lapped(), ARCHIVE, data[:-20]))) == list(range(1, 66))


def test_a_hurt_block_is_one_gap() -> None:
    image = changed(lapped(), ARCHIVE, flipped(lapped()[ARCHIVE], 8 * 200))
    assert told(read(image)) == [*range(1, 12), (12, 23), *range(24, 66)]


def test_of_a_hurt_commit_the_intact_records_are_read() -> None:
    image = filled(6)
    at = image["hot/00.seg"].index(b'{"value":2}')
    hurt = changed(image, "hot/00.seg", flipped(image["hot/00.seg"], at * 8))
    assert told(read(hurt)) == [1, 2, 3, 4, (5, 5), *range(6, 13)]


def test_a_destroyed_commit_is_a_gap() -> None:
    data = filled(6)["hot/00.seg"]
    image = changed(filled(6), "hot/00.seg", data[: 2 * UNIT] + bytes(UNIT) + data[3 * UNIT :])
    assert told(read(image)) == [1, 2, 3, 4, (5, 6), *range(7, 13)]


def test_an_end_that_meta_knows_of_and_that_is_gone_is_a_gap() -> None:
    data = filled(6)["hot/00.seg"]
    image = changed(filled(6), "hot/00.seg", data[: 4 * UNIT].ljust(8 * UNIT, b"\0"))
    assert told(read(image)) == [*range(1, 9), (9, 12)]


def jumped() -> Image:
    """Return a ledger whose numbers jump from 8 to 13: the end of its first incarnation was lost."""
    data = filled(6)["hot/00.seg"]
    storage = MemoryStorage(changed(filled(6), "hot/00.seg", data[: 4 * UNIT].ljust(8 * UNIT, b"\0")))
    log = opened(storage)
    commit(log, "after")
    log.close()
    return storage.image()


@pytest.mark.parametrize("from_seq", [1, 8, 9, 11, 12, 13])
def test_a_jump_with_a_new_incarnation_is_a_gap_and_told_by_its_record(from_seq: int) -> None:
    items = read(jumped(), from_seq)
    jump = [(max(9, from_seq), 12)] if from_seq < 13 else []
    assert told(items) == [*range(from_seq, 9), *jump, 13, 14]
    assert [(item.kind, item.incarnation) for item in items[-2:] if isinstance(item, Record)] == [
        ("damage", 2), ("note", 2)]  # fmt: skip


def test_a_jump_stays_a_gap_when_it_is_sealed() -> None:
    storage = MemoryStorage(jumped())
    log = opened(storage)
    for number in range(30):
        commit(log, number)
    for from_seq in (1, 8, 9, 11, 13):
        items = list(Reader(storage).read(from_seq))
        jump = [(max(9, from_seq), 12)] if from_seq < 13 else []
        assert told(items) == [*range(from_seq, 9), *jump, *range(13, 45)]


@pytest.mark.parametrize("at", range(1, 40))
def test_a_medium_that_fails_once_costs_at_most_a_gap(at: int) -> None:
    storage = FaultyStorage(MemoryStorage(lapped()), [Fault(frozenset({"read", "open", "size"}), at=at)])
    items = list(Reader(storage).read())
    whole = {record.seq: record for record in read(lapped()) if isinstance(record, Record)}
    assert numbers(items) == list(range(1, 66))
    assert all(item == whole[item.seq] for item in items if isinstance(item, Record))


def test_a_medium_that_gives_nothing_back_ends_in_an_error_that_is_ours() -> None:
    with pytest.raises(LedgerFormatError, match="nothing of this ledger can be read"):
        Reader(FaultyStorage(MemoryStorage(lapped()), [Fault(frozenset({"read"}), at=1, lasts=True)]))


# ---- beside a writer


def test_what_is_not_written_to_its_end_is_not_there_yet() -> None:
    before, after = filled(3, is_closed=False), filled(4, is_closed=False)
    for kept in range(3 * UNIT, 3 * UNIT + 180):
        image = changed(before, "hot/00.seg", after["hot/00.seg"][:kept].ljust(8 * UNIT, b"\0"))
        assert told(read(image))[:6] == [1, 2, 3, 4, 5, 6]
        assert len(read(image)) in {6, 8}


@given(st.integers(1, 25), st.integers(1, 30), st.integers(0, 60))
def test_a_reader_beside_a_writer_that_recycles_its_segments_misses_and_repeats_nothing(
    commits: int, times: int, from_seq: int
) -> None:
    storage = BusyStorage(made().image())
    log = opened(storage)
    for number in range(20):
        commit(log, number)
    storage.left = times
    storage.busy = lambda: [commit(log, "more") for _ in range(commits)]
    seqs = numbers(list(Reader(storage).read(from_seq)))
    assert seqs == list(range(max(1, from_seq), max(seqs, default=from_seq - 1) + 1))
    assert not seqs or seqs[-1] >= 20


@given(st.lists(st.integers(0, 12), min_size=1, max_size=40))
def test_a_slow_reader_gets_every_record_whatever_happens_between_two(steps: list[int]) -> None:
    storage = made()
    log = opened(storage)
    commit(log, 0)
    reader = iter(Reader(storage).read())
    found = []
    for step in steps:
        for _ in range(step):
            commit(log, "more")
        item = next(reader, None)
        if item is None:
            reader = iter(Reader(storage).read(found[-1].seq + 1 if found else 1))
            continue
        found.append(item)
    assert all(isinstance(item, Record) for item in found)
    assert all(later.seq == earlier.seq + 1 for earlier, later in pairwise(found))


def test_a_reader_beside_retention_tells_what_went_as_a_gap_and_goes_on() -> None:
    options = Options(
        ring_bytes=4 * 8 * UNIT, segment_bytes=8 * UNIT, unit_bytes=UNIT, keep_ns=86_400 * 10**9, archive_bytes=6_000
    )
    storage = made(options)
    clock = FakeClock()
    ledger = Ldg1Ledger(storage, options, clock, background=False)

    def go_on() -> None:
        for number in range(10):
            ledger.append("reading", "pump/link/f@frame", bytes([number]) * 20)
            ledger.append("note", None, number, "state")
            clock.advance(3_600)

    go_on()
    items = []
    for item in ledger.read():
        items.append(item)
        if len(items) % 5 == 0 and len(items) < 60:
            go_on()
    seqs = numbers(items)
    assert seqs == list(range(1, seqs[-1] + 1))
    ledger.close()


def test_a_ledger_that_changes_for_ever_is_read_to_an_end_all_the_same() -> None:
    storage = BusyStorage(without(lapped(), [ARCHIVE]))
    generation = 0

    def rename() -> None:
        nonlocal generation
        generation += 1
        file = storage.open(f"snap/{generation}", create=True)
        file.close()

    storage.left = 1 << 30
    storage.busy = rename
    assert told(list(Reader(storage).read())) == [*range(1, 12), (12, 23), *range(24, 66)]


# ---- folding


@pytest.mark.parametrize("until", [None, 1, 11, 30, 46, 47, 60, 65])
def test_the_replayed_state_is_the_fold_of_what_is_read(until: int | None) -> None:
    whole = State()
    whole.apply_many(item for item in read(lapped()) if until is None or item.seq <= until)
    assert Reader(MemoryStorage(lapped())).replay(until) == whole
