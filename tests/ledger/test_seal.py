"""Sealing: whole segments become one archive, a cut loses nothing, and what cannot be read holds nothing up."""

from __future__ import annotations

import errno
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.archive import HEAD, ArchiveInfo
from gateway.ledger.base import Options
from gateway.ledger.frame import HEADER_BYTES, records_of
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.reader import Reader
from gateway.ledger.record import CLASSES, Record
from gateway.ledger.recovery import Live
from gateway.ledger.seal import Frame, Hurt, frames_of_archive, frames_of_segment, seal, tidy
from gateway.testing import FakeClock
from gateway.testing.storage import Fault, FaultyStorage, Image, MemoryFile, MemoryStorage
from tests.ledger.folders import LOG_ID, UNIT, archives, changed, checked, commit, flipped, made, opened

WIDE = Options(ring_bytes=6 * 8 * UNIT, segment_bytes=8 * UNIT, unit_bytes=UNIT)


class _DeadFile(MemoryFile):
    """A file of which some bytes are not given back."""

    dead = range(0)

    def read(self, size: int, offset: int) -> bytes:
        if max(offset, self.dead.start) < min(offset + size, self.dead.stop):
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size, offset)


class DeadStorage(MemoryStorage):
    """Does not give back some bytes of one file."""

    dead_name = ""
    dead = range(0)

    def open(self, name: str, *, create: bool = False, writable: bool = True) -> MemoryFile:
        file = super().open(name, create=create, writable=writable)
        if name != self.dead_name:
            return file
        found = _DeadFile(self, file.node, is_writable=writable)
        found.dead = self.dead
        return found


class _LyingFile(MemoryFile):
    def write(self, data: bytes, offset: int) -> None:
        super().write(flipped(data, 8 * (len(data) // 2)), offset)


class LyingStorage(MemoryStorage):
    """Writes something else than it was given to every archive."""

    def open(self, name: str, *, create: bool = False, writable: bool = True) -> MemoryFile:
        file = super().open(name, create=create, writable=writable)
        return _LyingFile(self, file.node, is_writable=writable) if name.startswith("arc/") else file


def filled(live: int = 3, options: Options = WIDE) -> tuple[MemoryStorage, list[Live]]:
    """Return a ledger with some full segments, two records a commit, and these segments."""
    storage = made(options)
    log = opened(storage, options)
    number = 0
    while len(log.ring.live) <= live:
        commit(log, {"value": number}, bytes([number]) * 9)
        number += 1
    return storage, log.ring.live[:-1]


def sealed(storage: MemoryStorage, live: list[Live], *, salvages: bool = False) -> ArchiveInfo:
    return seal(storage, LOG_ID, UNIT, live, "zlib", salvages=salvages)


def frames_of(storage: MemoryStorage, live: list[Live]) -> list[Frame]:
    return [frame for each in live for frame in frames_of_segment(storage, LOG_ID, UNIT, each)]


def records_in(storage: MemoryStorage, info: ArchiveInfo) -> list[Record]:
    found: list[Record] = []
    for frame in frames_of_archive(storage, info):
        assert not isinstance(frame, Hurt)
        found += records_of(*frame).records
    return found


def test_an_archive_holds_every_frame_of_its_segments_to_the_byte() -> None:
    storage, live = filled()
    before = [frame.raw for frame in frames_of(storage, live)]
    info = sealed(storage, live)
    kept = [frame for frame in frames_of_archive(storage, info) if not isinstance(frame, Hurt)]
    assert [body for _, body in kept] == [raw[HEADER_BYTES:] for raw in before]
    assert (info.first_seq, info.last_seq, info.records) == (1, live[-1].next_seq - 1, 2 * len(before))
    assert (info.first_epoch, info.last_epoch, info.lost) == (1, 3, [])


items = st.lists(
    st.tuples(
        st.sampled_from(["reading", "note", "gap", "damage", "state"]),
        st.sampled_from([None, "a/b/c", "d/e/f@state"]),
        st.binary(max_size=40) | st.dictionaries(st.text(max_size=3), st.integers(0, 9), max_size=2),
        st.sampled_from(CLASSES),
    ),
    min_size=1,
    max_size=4,
)


@given(st.lists(items, min_size=20, max_size=30))
def test_what_is_read_before_sealing_is_read_after_it(commits: list[list[Any]]) -> None:
    storage = made(WIDE)
    log = opened(storage, WIDE)
    for each in commits:
        log.put(log.check(each))
        log.commit()
    log.close()
    before = list(Reader(storage).read())
    log = opened(storage, WIDE)
    commit(log, "roll")
    assert log.seal(everything=True)
    assert list(Reader(storage).read())[: len(before)] == before
    assert checked(storage.image(), deep=True).damage == []


def test_numbers_that_were_written_again_after_a_failed_sync_are_taken_once() -> None:
    storage = made(WIDE)
    log = opened(FaultyStorage(storage, [Fault(frozenset({"sync"}), at=8, reads_old=False)]), WIDE)  # type: ignore[arg-type]
    for number in range(20):
        commit(log, number)
    assert log.counters.failures == 1
    assert log.seal(everything=True)
    (info,) = archives(storage)
    assert [record.seq for record in records_in(storage, info)] == list(range(1, info.last_seq + 1))
    assert info.lost == []


def test_writes_are_large() -> None:
    options = Options(ring_bytes=3 << 20, segment_bytes=1 << 20, unit_bytes=4096)
    storage = made(options)
    log = opened(storage, options)
    seed = 1
    while len(log.ring.live) < 2:
        seed = seed * 6364136223846793005 + 1442695040888963407 & (1 << 64) - 1
        log.put(log.check([("reading", "a/b/c", (seed**200).to_bytes(1700, "little")[-1600:])] * 20))
        log.commit()
    start = len(storage.operations)
    seal(storage, LOG_ID, 4096, log.ring.live[:1], "zlib")
    sizes = [len(each.data) for each in storage.operations[start:] if each.kind == "write"]
    assert sizes
    assert all(size >= 262_144 for size in sizes[:-1])


# ---- cut and failing


def test_cut_at_any_moment_of_sealing_no_record_is_lost() -> None:
    storage, live = filled()
    start = len(storage.operations)
    whole = [item.seq for item in Reader(storage).read() if isinstance(item, Record)]
    sealed(storage, live)
    for end in range(start, len(storage.operations) + 1):
        again = MemoryStorage()
        for operation in storage.operations[:end]:
            again.apply(operation)
        left = MemoryStorage(again.cut())
        assert [item.seq for item in Reader(left).read() if isinstance(item, Record)] == whole


@pytest.mark.parametrize("call", ["create", "write", "sync", "rename", "read", "sync_folder"])
def test_a_failure_leaves_the_segments_and_no_archive(call: str) -> None:
    storage, live = filled()
    faulty = FaultyStorage(storage, [Fault(frozenset({call}), at=1, error=errno.ENOSPC)])
    with pytest.raises(OSError, match="No space left"):
        seal(faulty, LOG_ID, UNIT, live, "zlib")
    assert faulty.failed == 1
    assert [leaf for leaf in storage.names("arc") if leaf.endswith(".tmp")] == []
    assert sealed(storage, live).records == 2 * len(frames_of(storage, live))


def test_an_archive_that_the_medium_wrote_differently_is_not_believed() -> None:
    storage, live = filled()
    lying = LyingStorage(storage.image())
    with pytest.raises(OSError, match="not read back as it was written"):
        sealed(lying, live)
    assert lying.names("arc") == []


# ---- what cannot be read


def hurt(storage: MemoryStorage, name: str, start: int, data: bytes) -> MemoryStorage:
    """Return another storage in which some bytes of a file are others."""
    image = storage.image()
    return MemoryStorage(changed(image, name, image[name][:start] + data + image[name][start + len(data) :]))


def test_of_a_hurt_commit_the_intact_records_are_sealed_and_the_others_are_listed() -> None:
    storage, live = filled()
    image = storage.image()
    at = image[live[0].name].index(b'{"value":2}')
    found = MemoryStorage(changed(image, live[0].name, flipped(image[live[0].name], at * 8)))
    info = sealed(found, live)
    assert info.lost == [(5, 5)]
    assert [record.seq for record in records_in(found, info)] == [1, 2, 3, 4, *range(6, info.last_seq + 1)]


def test_a_destroyed_commit_is_listed() -> None:
    storage, live = filled()
    found = hurt(storage, live[1].name, UNIT, b"\xa5" * UNIT)
    first = frames_of(storage, live[1:2])[1].header.base_seq
    info = sealed(found, live)
    assert (info.lost, info.records) == ([(first, first + 1)], info.last_seq - 2)


def test_the_first_commit_destroyed_is_listed() -> None:
    storage, live = filled()
    assert sealed(hurt(storage, live[0].name, 0, b"\xa5" * UNIT), live).lost == [(1, 2)]


def test_numbers_passed_over_with_a_new_incarnation_are_not_lost_here() -> None:
    storage = made(WIDE)
    log = opened(storage, WIDE)
    for number in range(5):
        commit(log, number)
    log.close()
    image = storage.image()
    data = image["hot/00.seg"]
    storage = MemoryStorage(changed(image, "hot/00.seg", data[: 3 * UNIT].ljust(len(data), b"\0")))
    log = opened(storage, WIDE)
    while len(log.ring.live) < 2:
        commit(log, "after")
    assert log.seal(everything=True)
    (info,) = archives(storage)
    assert (info.lost, info.records, info.incarnation) == ([], info.last_seq - 2, 2)


def dead(storage: MemoryStorage, name: str, where: range) -> DeadStorage:
    found = DeadStorage(storage.image())
    found.dead_name, found.dead = name, where
    return found


def test_a_segment_that_the_medium_does_not_give_back_fails_sealing() -> None:
    storage, live = filled()
    found = dead(storage, live[1].name, range(UNIT, UNIT + 1))
    with pytest.raises(OSError, match="Input/output error"):
        sealed(found, live)
    assert found.names("arc") == []


def test_salvaging_takes_what_the_medium_gives_back() -> None:
    storage, live = filled()
    found = dead(storage, live[1].name, range(UNIT, UNIT + 1))
    first = frames_of(storage, live[1:2])[1].header.base_seq
    info = sealed(found, live, salvages=True)
    assert (info.lost, info.records) == ([(first, first + 1)], info.last_seq - 2)


@pytest.mark.parametrize("place", [0, 1])
def test_salvaging_goes_over_a_segment_that_is_destroyed(place: int) -> None:
    storage, live = filled()
    found = hurt(storage, live[place].name, 0, b"\xa5" * 8 * UNIT)
    with pytest.raises(OSError, match="holds epoch 0"):
        sealed(found, live)
    info = sealed(found, live, salvages=True)
    assert info.lost == [(live[place].first_seq, live[place].next_seq - 1)]
    assert (info.first_seq, info.last_seq) == (live[1 if place == 0 else 0].first_seq, live[-1].next_seq - 1)


def test_salvaging_lists_the_end_of_the_last_segment() -> None:
    storage, live = filled()
    found = hurt(storage, live[-1].name, UNIT, b"\xa5" * 7 * UNIT)
    with pytest.raises(OSError, match="sealing read up to"):
        sealed(found, live)
    info = sealed(found, live, salvages=True)
    assert info.lost == [(info.last_seq + 1, live[-1].next_seq - 1)]


def test_nothing_at_all_is_no_archive() -> None:
    storage, live = filled()
    found = hurt(storage, live[0].name, 0, b"\xa5" * 8 * UNIT)
    with pytest.raises(OSError, match="nothing of 1 segments can be read"):
        sealed(found, live[:1], salvages=True)
    assert found.names("arc") == []


def recorded(image: Image) -> tuple[Ldg1Ledger, MemoryStorage]:
    storage = MemoryStorage(image)
    return Ldg1Ledger(storage, WIDE, FakeClock(), background=False), storage


@pytest.mark.parametrize("where", [(0, UNIT), (0, 8 * UNIT), (3 * UNIT, UNIT)])
def test_a_ledger_whose_ring_rots_while_it_is_open_goes_on_and_declares_what_is_lost(where: tuple[int, int]) -> None:
    ledger, storage = recorded(made(WIDE).image())
    while len(ledger.log.ring.live) < 3:
        ledger.append("note", None, "before", "state")
    rotten = ledger.log.ring.live[0]
    file = storage.open(rotten.name)
    file.write(b"\xa5" * where[1], where[0])
    for _ in range(150):
        ledger.append("note", None, "after", "state")
        ledger.upkeep.work()
    assert ledger.log.sealing_error == ""
    ledger.close()
    lost = range(rotten.first_seq + where[0] // UNIT, rotten.first_seq + (where[0] + where[1]) // UNIT)
    for deep in (False, True):
        found = checked(storage.image(), deep=deep)
        assert (found.verdict, found.damage) == ("declared", [])
        assert [(each["from_seq"], each["to_seq"]) for each in found.gaps] == [(lost[0], lost[-1])]


def test_a_block_that_the_medium_does_not_give_back_is_hurt_and_named() -> None:
    storage, live = filled()
    info = sealed(storage, live)
    found = dead(storage, info.name, range(HEAD.size + 60, HEAD.size + 61))
    (block,) = frames_of_archive(found, info)
    assert isinstance(block, Hurt)
    assert (block.from_seq, block.to_seq, block.reason) == (
        1,
        info.last_seq,
        "a block cannot be read: Input/output error",
    )


# ---- what a cut leaves


def test_tidying_removes_what_is_unfinished_or_covered_and_nothing_else() -> None:
    storage, live = filled()
    parts = [seal(storage, LOG_ID, UNIT, [each], "zlib") for each in live]
    storage.open("arc/00000000000000000001.arc.7.tmp", create=True)
    storage.open("arc/mine.txt", create=True)
    seal(storage, LOG_ID, UNIT, live[:2], "zlib")  # takes the name of the first part, and covers the second
    tidy(storage, archives(storage))
    assert storage.names("arc") == sorted(
        ["mine.txt", *(part.name.removeprefix("arc/") for part in (parts[0], parts[2]))]
    )


def test_a_covered_archive_counts_once_before_it_is_removed() -> None:
    storage, live = filled()
    for each in live:
        seal(storage, LOG_ID, UNIT, [each], "zlib")
    whole = sealed(storage, live)
    assert archives(storage) == [whole]
