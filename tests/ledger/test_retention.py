"""What goes and what stays: declared first, leaves untouched, bytes bounded."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger import archive as archive_module
from gateway.ledger.archive import ArchiveInfo
from gateway.ledger.base import DAY_NS, Options
from gateway.ledger.draft import Checker, Draft, Routes
from gateway.ledger.frame import HEADER_BYTES, Header, Stamp, body_of, parse_header, records_of
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.opening import create
from gateway.ledger.reader import Reader
from gateway.ledger.record import CLASSES, Record
from gateway.ledger.retention import SMALL_BYTES, expired, retain, sized
from gateway.ledger.settings import SMALL
from gateway.ledger.thinning import thin
from gateway.testing import FakeClock
from gateway.testing.clock import START_WALL_NS
from gateway.testing.storage import MemoryStorage, Operation
from tests.ledger.folders import archives, commit, made, opened

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
    return storage, archives(storage)


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


def test_small_ones_are_joined_to_few_and_no_large_one_is_written_again_for_every_crumb() -> None:
    storage, clock, rounds = made(ROUTINE, LOG_ID), FakeClock(), 60
    log = opened(storage, ROUTINE, clock)
    kept: list[ArchiveInfo] = []
    written = 0
    for number in range(rounds):
        while len(log.ring.live) < 2:
            commit(log, {"number": number, "text": "x" * 40})
            log.put(log.check([("reading", "a/b/c", bytes(100), "telemetry")]))
            log.commit()
        clock.advance(86_400)
        log.seal(everything=True)
        start = len(storage.operations)
        kept, _ = applied(storage, archives(storage), Options(keep_ns=DAY_NS), clock.wall_ns())
        written += sum(len(each.data) for each in storage.operations[start:] if each.kind == "write")
    total = sum(each.size for each in sized(storage, kept))
    assert len(kept) < 12
    assert written < 18 * total  # joining whatever fits: 30 times


def written_by(storage: MemoryStorage, action: Callable[[], object]) -> int:
    start = len(storage.operations)
    action()
    return sum(len(each.data) for each in storage.operations[start:] if each.kind == "write")


def test_an_archive_that_is_hurt_costs_no_writing_however_often_its_time_is_over() -> None:
    storage, found = history()
    file = storage.open(found[0].name)
    byte = file.read(1, found[0].blocks[0].offset + 60)
    file.write(bytes([byte[0] ^ 1]), found[0].blocks[0].offset + 60)
    kept, _ = applied(storage, found, ROUTINE)
    assert written_by(storage, lambda: applied(storage, kept, ROUTINE)) == 0
    assert kept[0].telemetry


def test_an_archive_of_more_routes_than_are_listed_is_not_written_again_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(archive_module, "MAX_LISTED", 1)
    storage, found = history()
    options = Options(keep_ns=5 * DAY_NS, keep={f"a/b/c{number}": 1000 * DAY_NS for number in range(2)})
    assert found[0].telemetry is None
    assert expired(found[0], options, found[-1].wall_max_ns)
    assert written_by(storage, lambda: applied(storage, found, options)) == 0


@pytest.mark.parametrize("options", [Options(keep_ns=DAY_NS), Options(keep_ns=10_000 * DAY_NS, archive_bytes=1)])
def test_cut_at_any_moment_what_is_missing_was_declared_and_state_is_never_lost_to_thinning(options: Options) -> None:
    storage, found = history(days=12)
    start = len(storage.operations)
    whole = {item.seq for item in Reader(storage).read() if isinstance(item, Record)}
    told: list[tuple[int, dict[str, Any]]] = []
    retain(
        storage, found, options, START_WALL_NS + 400 * DAY_NS, lambda body: told.append((len(storage.operations), body))
    )
    again = MemoryStorage()
    for end, operation in enumerate(storage.operations, 1):
        again.apply(operation)
        if end < start:
            continue
        left = {item.seq for item in Reader(MemoryStorage(again.cut())).read() if isinstance(item, Record)}
        declared = [(body["from_seq"], body["to_seq"]) for at, body in told if at <= end]
        assert all(any(first <= seq <= last for first, last in declared) for seq in whole - left)


class Watched(MemoryStorage):
    """Remembers the most that its files took together."""

    most_bytes = 0

    def apply(self, operation: Operation) -> None:
        super().apply(operation)
        if operation.kind in {"write", "rename"}:
            self.most_bytes = max(self.most_bytes, sum(len(self.nodes[number].current) for number, _ in self.named()))


@pytest.mark.parametrize(("class_", "routes"), [("telemetry", 20), ("state", 20), ("state", 800)])
def test_a_small_ledger_is_never_larger_than_8_mib_whatever_it_is_given(class_: str, routes: int) -> None:
    storage, clock, noise = Watched(), FakeClock(), random.Random(1)
    create(storage, SMALL, whole=True)
    ledger = Ldg1Ledger(storage, SMALL, clock, background=False)
    for number in range(0, 9_600, 40):
        kind = "reading" if class_ == "telemetry" else "state"
        ledger.append_many(
            [(kind, f"a/b/c{(number + each) % routes}@frame", noise.randbytes(1500), class_) for each in range(40)]
        )
        clock.advance(1)
    assert ledger.upkeep.archives[0].first_seq > 1 or class_ == "telemetry"
    assert 4 << 20 < storage.most_bytes < SMALL_BYTES
    assert ledger.upkeep.error == ""
