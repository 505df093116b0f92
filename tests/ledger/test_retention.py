"""What goes and what stays: declared first, leaves untouched, bytes bounded."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.archive import ArchiveInfo
from gateway.ledger.base import DAY_NS, Options
from gateway.ledger.draft import Checker, Draft, Routes
from gateway.ledger.frame import HEADER_BYTES, Header, Stamp, body_of, parse_header, records_of
from gateway.ledger.reader import Reader
from gateway.ledger.record import CLASSES, Record
from gateway.ledger.retention import expired, retain, sized
from gateway.ledger.seal import archives
from gateway.ledger.thinning import thin
from gateway.testing import FakeClock
from gateway.testing.clock import START_WALL_NS
from gateway.testing.storage import MemoryStorage
from tests.ledger.folders import commit, made, opened

LOG_ID = bytes(range(16))
MS = 1_000_000
ROUTINE = Options(ring_bytes=4 * 4096, segment_bytes=4096, unit_bytes=512, keep_ns=10 * DAY_NS)


@st.composite
def runs(draw: st.DrawFn) -> list[tuple[Header, list[Record]]]:
    """Draw frames that follow each other, with records of all classes."""
    routes, chain, seq, wall_ns, boot_no = Routes(), bytes(32), 1, 10**15, 1
    found = []
    for _ in range(draw(st.integers(1, 6))):
        wall_ns += draw(st.sampled_from([0, MS, 1_000 * MS, 70_000 * MS, -5_000 * MS]))
        boot_no += draw(st.sampled_from([0, 0, 1]))
        draft = Draft(Stamp(LOG_ID, 1, boot_no, wall_ns, 0), seq, 0)
        items = draw(
            st.lists(
                st.tuples(st.just("note"), st.sampled_from([None, "a/b/c", "a/b/d"]), st.binary(max_size=5),
                          st.sampled_from(CLASSES), st.none() | st.integers(1, 9)), min_size=1, max_size=5,
            )
        )  # fmt: skip
        draft.put(Checker(routes).check(items).records, 0, wall_ns + draw(st.integers(0, 60_000)) * MS, 65_536, routes)
        after = draft.chain(chain)
        raw = draft.build(flags=0, epoch=1, previous=chain, chain=after, unit_log2=9)
        header = parse_header(raw)
        assert header is not None
        body = body_of(raw, 0, header)
        assert body is not None
        found.append((header, records_of(header, body).records))
        chain, seq = after, draft.next_seq
    return found


@given(runs(), st.sets(st.sampled_from(CLASSES)))
def test_what_stays_of_a_run_is_as_it_was_and_both_ends_still_link(
    frames: list[tuple[Header, list[Record]]], classes: set[str]
) -> None:
    thinned = list(thin(frames, lambda record: record.class_ in classes))
    again: list[Record] = []
    for header, raw, _ in thinned:
        body = raw[HEADER_BYTES:]
        assert body_of(raw, 0, header) == body
        found = records_of(header, body)
        assert found.hurt == []
        again += found.records
    assert again == [record for _, records in frames for record in records if record.class_ in classes]
    assert (thinned[0][0].base_seq, thinned[-1][0].next_seq) == (frames[0][0].base_seq, frames[-1][0].next_seq)
    assert (thinned[0][0].link, thinned[-1][0].chain) == (frames[0][0].link, frames[-1][0].chain)
    assert all(one[0].next_seq == two[0].base_seq for one, two in itertools.pairwise(thinned))


@given(runs())
def test_thinning_what_was_thinned_changes_nothing_more(frames: list[tuple[Header, list[Record]]]) -> None:
    once = [(header, records) for header, _, records in thin(frames, lambda record: record.class_ == "state")]
    twice = [(header, records) for header, _, records in thin(once, lambda _record: True)]
    assert [records for _, records in twice if records] == [records for _, records in once if records]


def history(days: int = 30, *, per_day: int = 6) -> tuple[MemoryStorage, list[ArchiveInfo]]:
    """Return a ledger of some days, most of it in archives: telemetry of two routes, and a state a day."""
    storage = made(ROUTINE, LOG_ID)
    clock = FakeClock()
    log = opened(storage, ROUTINE, clock)
    for day in range(days):
        for number in range(per_day):
            route = f"a/b/c{number % 2}"
            log.put(
                log.check([("reading", route, bytes(200), "telemetry"), ("reading", route, bytes(200), "telemetry")])
            )
            log.commit()
        commit(log, {"day": day})
        clock.advance(86_400)
    log.close()
    return storage, archives(storage, LOG_ID)


def classes_of(storage: MemoryStorage) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in Reader(storage).read():
        if isinstance(item, Record):
            found[item.class_] = found.get(item.class_, 0) + 1
    return found


def applied(
    storage: MemoryStorage, found: list[ArchiveInfo], options: Options, now_ns: int = START_WALL_NS + 400 * DAY_NS
) -> tuple[list[ArchiveInfo], list[dict[str, Any]]]:
    told: list[dict[str, Any]] = []
    return retain(storage, found, options, now_ns, told.append), told


def test_telemetry_goes_when_its_time_is_over_and_state_stays() -> None:
    storage, found = history()
    before = classes_of(storage)
    kept, told = applied(storage, found, ROUTINE)
    after = classes_of(storage)
    assert after["state"] == before["state"] == 30
    assert after["telemetry"] == before["telemetry"] - sum(each["records"] for each in told)
    newest = max(info.wall_max_ns for info in found)
    assert not any(expired(info, ROUTINE, newest) for info in kept)


def test_what_goes_is_declared_with_its_range_before_it_goes() -> None:
    storage, found = history()
    seen: list[int] = []
    retain(
        storage,
        found,
        ROUTINE,
        START_WALL_NS + 400 * DAY_NS,
        lambda _body: seen.append(classes_of(storage)["telemetry"]),
    )
    assert seen
    assert seen[0] == 360


def test_a_second_round_finds_nothing_to_do() -> None:
    storage, found = history()
    kept, _ = applied(storage, found, ROUTINE)
    count = len(storage.operations)
    again, told = applied(storage, kept, ROUTINE)
    assert (again, told, len(storage.operations)) == (kept, [], count)


def test_a_clock_that_jumps_ahead_deletes_nothing() -> None:
    storage, found = history(days=5)
    kept, told = applied(storage, found, ROUTINE, START_WALL_NS + 20_000 * DAY_NS)
    assert (kept, told) == (found, [])


def test_a_clock_in_1970_deletes_nothing() -> None:
    storage, found = history()
    assert applied(storage, found, ROUTINE, 0)[1] == []


def test_routes_are_kept_for_as_long_as_each_asks() -> None:
    storage, found = history()
    options = Options(keep_ns=5 * DAY_NS, keep={"a/b/c1": 1000 * DAY_NS})
    applied(storage, found, options)
    routes = [item.route for item in Reader(storage).read() if isinstance(item, Record) and item.class_ == "telemetry"]
    assert routes.count("a/b/c1") == 180
    assert routes.count("a/b/c0") < 180


@pytest.mark.parametrize("share", [0.8, 0.5])
def test_beyond_the_bytes_allowed_the_oldest_telemetry_goes_first(share: float) -> None:
    storage, found = history()
    total = sum(each.size for each in sized(storage, found))
    kept, _ = applied(storage, found, Options(keep_ns=10_000 * DAY_NS, archive_bytes=int(total * share)))
    assert sum(each.size for each in sized(storage, kept)) <= total * share
    assert classes_of(storage)["state"] == 30
    telemetry = [item.seq for item in Reader(storage).read() if isinstance(item, Record) and item.class_ == "telemetry"]
    assert telemetry == list(dict.fromkeys(sorted(telemetry)))
    assert min(telemetry) > 1


def test_only_when_no_telemetry_is_left_the_oldest_archive_goes_whole() -> None:
    storage, found = history()
    kept, told = applied(storage, found, Options(keep_ns=10_000 * DAY_NS, archive_bytes=1))
    assert len(kept) == 1
    assert "state" in told[-1]["classes"]
    assert classes_of(storage)["state"] < 30


def test_thinned_neighbours_are_joined() -> None:
    storage, found = history(days=60)
    kept, _ = applied(storage, found, Options(keep_ns=DAY_NS))
    assert len(kept) < len(found) / 2
    assert [info.first_seq for info in kept[1:]] == [info.last_seq + 1 for info in kept[:-1]]
