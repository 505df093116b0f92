"""The log, open for writing: commits, rolling, the spare after a failed sync, what opening again finds."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Sequence
from typing import Any

import pytest

from gateway.errors import (
    LedgerBehindError,
    LedgerFormatError,
    LedgerMissingError,
    LedgerReadOnlyError,
    LedgerStorageError,
    RecordError,
    UsageError,
)
from gateway.ledger import snapshot
from gateway.ledger.base import Options
from gateway.ledger.fold import State
from gateway.ledger.frame import AFTER_UNCLEAN
from gateway.ledger.known import Known
from gateway.ledger.log import Log, Sealed
from gateway.ledger.metafile import MetaFile, read_copies
from gateway.ledger.opening import create, open_log, recover
from gateway.ledger.recovery import Live
from gateway.ledger.segment import walk
from gateway.ledger.storage import Storage
from gateway.testing import FakeClock
from gateway.testing.storage import Fault, FaultyStorage, MemoryStorage

OPTIONS = Options(ring_bytes=6 * 8192, segment_bytes=8192, unit_bytes=512)
NOTHING = Known()


class Sealer:
    """Forgets what it seals, and can fail."""

    def __init__(self) -> None:
        self.sealed: list[Live] = []
        self.error: OSError | None = None

    def __call__(self, segments: Sequence[Live]) -> Sealed:
        if self.error is not None:
            raise self.error
        self.sealed += segments
        return Sealed(segments[-1].epoch, segments[-1].next_seq - 1, bytes(32))


def made(options: Options = OPTIONS) -> MemoryStorage:
    storage = MemoryStorage()
    create(storage, options)
    return storage


def opened(storage: Storage, options: Options = OPTIONS, sealer: Sealer | None = None) -> Log:
    return open_log(storage, FakeClock(), options, NOTHING, sealer or Sealer())


def commit(log: Log, *bodies: Any, class_: str = "state") -> list[int]:
    seqs = log.put(log.check([("note", "a/b/c", body, class_) for body in bodies]))
    log.commit()
    return list(seqs)


def fill(log: Log) -> None:
    for _ in range(300):
        commit(log, bytes(300))


def readable(storage: Storage) -> list[int]:
    """Return the numbers that a recovery finds, without changing anything."""
    meta = MetaFile.read(storage)
    assert meta is not None
    return [seq for live in recover(storage, meta.meta, NOTHING).recovery.live
            for seq in range(live.first_seq, live.next_seq)]  # fmt: skip


def damage_of(log: Log) -> list[tuple[int, str]]:
    return [(each.seq, each.reason) for each in log.found]


def test_numbers_start_at_one_and_a_commit_makes_them_durable() -> None:
    log = opened(made())
    assert list(log.put(log.check([("note", None, 1), ("note", None, 2)]))) == [1, 2]
    assert log.durable_seq == 0
    log.commit()
    assert log.durable_seq == 2


def test_a_commit_is_one_write_and_one_sync() -> None:
    storage = FaultyStorage(made())
    log = opened(storage)
    commit(log, 1)
    storage.counts.clear()
    commit(log, 2, 3, 4)
    assert storage.counts == {"write": 1, "sync": 1}


def test_a_record_that_cannot_be_takes_no_number() -> None:
    log = opened(made())
    with pytest.raises(RecordError):
        log.check([("note", None, 1), ("nonsense", None, 1)])
    assert commit(log, 1) == [1]


def test_a_body_that_no_segment_can_hold_is_refused() -> None:
    log = opened(made())
    with pytest.raises(RecordError, match="segments of this ledger"):
        log.check([("note", None, bytes(5000))])


def test_a_log_goes_on_where_it_was_closed() -> None:
    storage = made()
    log = opened(storage)
    commit(log, 1, 2)
    log.close()
    again = opened(storage)
    assert (again.found, commit(again, 3)) == ([], [3])


def test_a_log_goes_on_where_it_was_killed() -> None:
    storage = made()
    commit(opened(storage), 1, 2)
    again = opened(storage)
    assert (again.found, commit(again, 3), readable(storage)) == ([], [3], [1, 2, 3])


def test_each_start_has_its_number() -> None:
    storage = made()
    starts = []
    for _ in range(3):
        log = opened(storage)
        starts.append(log.meta.meta.boot_no)
        log.close()
    assert starts == [1, 2, 3]


def test_what_was_put_and_not_committed_is_gone_after_a_kill() -> None:
    storage = made()
    log = opened(storage)
    commit(log, 1)
    log.put(log.check([("note", None, 2)]))
    assert readable(storage) == [1]


def test_a_full_ring_is_sealed_and_goes_round() -> None:
    sealer = Sealer()
    storage = made()
    log = opened(storage, sealer=sealer)
    seqs = [seq for number in range(200) for seq in commit(log, bytes(300))]
    assert seqs == list(range(1, 201))
    assert len(sealer.sealed) > 6
    assert len(log.ring.free()) >= 1


def test_sealing_takes_segments_in_order_and_never_the_current_one() -> None:
    sealer = Sealer()
    log = opened(made(), sealer=sealer)
    for _ in range(200):
        commit(log, bytes(300))
        assert log.ring.live[-1].name not in {each.name for each in log.sealable()}
    assert [each.epoch for each in sealer.sealed] == list(range(1, len(sealer.sealed) + 1))


def test_after_one_failed_sync_the_commit_goes_to_the_spare_and_counts_once() -> None:
    inner = made()
    storage = FaultyStorage(inner)
    log = opened(storage)
    commit(log, 1, 2)
    storage._faults = [Fault(frozenset({"sync"}), 1)]
    storage._seen = [0]
    assert commit(log, 3) == [3]
    assert commit(log, 4) == [4]
    assert (log.durable_seq, log.ring.poisoned, readable(inner)) == (4, {"hot/00.seg"}, [1, 2, 3, 4])


@pytest.mark.parametrize("reads_old", [False, True])
def test_after_two_failed_syncs_nothing_more_is_acknowledged(reads_old: bool) -> None:
    inner = made()
    storage = FaultyStorage(inner)
    log = opened(storage)
    commit(log, 1)
    storage._faults = [Fault(frozenset({"sync"}), 1, reads_old=reads_old), Fault(frozenset({"sync"}), 4, lasts=True)]
    storage._seen = [0, 0]
    commit(log, 2)
    commit(log, 3)
    with pytest.raises(LedgerStorageError):
        commit(log, 4)
    assert log.durable_seq == 3
    with pytest.raises(LedgerReadOnlyError):
        commit(log, 5)
    assert commit(opened(inner), 6)[0] >= 4


def test_a_commit_that_is_not_read_back_as_written_is_not_acknowledged() -> None:
    class Liar(FaultyStorage):
        def open(self, name: str, *, create: bool = False, writable: bool = True) -> Any:
            file = super().open(name, create=create, writable=writable)
            if not writable:
                file.read = lambda size, _offset: bytes(size)  # type: ignore[method-assign]
            return file

    inner = made()
    log = opened(inner)
    commit(log, 1)
    log.close()
    faulty = Liar(inner)
    log = opened(inner)
    log.ring._storage = faulty
    log.ring._close()
    faulty._faults, faulty._seen = [Fault(frozenset({"sync"}), 1)], [0]
    with pytest.raises(LedgerStorageError):
        commit(log, 2)
    assert log.durable_seq == 1


def test_while_sealing_fails_telemetry_is_shed_and_state_goes_on_until_the_spare_is_full() -> None:
    sealer = Sealer()
    log = opened(made(), sealer=sealer)
    sealer.error = OSError(errno.ENOSPC, "no space left")
    shed = taken = 0
    for _ in range(300):
        try:
            commit(log, bytes(300), class_="telemetry")
        except LedgerBehindError:
            shed += 1
            commit(log, 1)
            taken += 1
            if taken == 5:
                break
    assert (shed, taken) == (5, 5)
    with pytest.raises(LedgerStorageError, match="make room"):
        fill(log)
    sealer.error = None
    log.commit()
    assert log.durable_seq == log.next_seq - 1
    assert log.shed_since() == 5


def test_what_waits_for_a_full_ring_stays_bounded() -> None:
    sealer = Sealer()
    sealer.error = OSError(errno.ENOSPC, "no space left")
    log = opened(made(), sealer=sealer)
    for _ in range(1000):
        with contextlib.suppress(LedgerStorageError):
            commit(log, bytes(3000))
    assert log._buffered_bytes < 2 << 20


def test_the_end_of_a_cleanly_closed_log_that_is_gone_is_damage() -> None:
    storage = made()
    log = opened(storage)
    commit(log, 1)
    commit(log, 2)
    end = log.ring.live[-1].end
    log.close()
    file = storage.open("hot/00.seg")
    file.write(bytes(512), end - 512)
    again = opened(storage)
    assert damage_of(again) == [(2, "they were durable, and the end of the log is gone")]
    assert (again.meta.meta.incarnation, commit(again, 3)) == (2, [4])


def test_numbers_that_only_a_snapshot_knows_of_are_told_missing_and_never_given_again() -> None:
    storage = made()
    log = opened(storage)
    commit(log, 1, 2, 3)
    snapshot.save(storage, log.meta.meta.log_id, State(seq=9))
    again = opened(storage)
    assert damage_of(again) == [(4, "a snapshot holds later numbers")]
    assert commit(again, 4) == [11]


def test_damage_is_told_once() -> None:
    storage = made()
    log = opened(storage)
    for number in range(5):
        commit(log, number)
    file = storage.open("hot/00.seg")
    file.write(b"\xff", 512 + 145)  # the body of the second commit
    first = opened(storage)
    second = opened(storage)
    assert damage_of(first) == damage_of(second) == [(2, "the record's checksum is wrong")]
    assert first.durable_seq == second.durable_seq == 6


def test_a_ledger_without_its_meta_files_is_found_again() -> None:
    storage = made()
    log = opened(storage)
    commit(log, 1, 2)
    log.close()
    storage.remove("META.a")
    storage.remove("META.b")
    assert commit(opened(storage), 3) == [3]


def test_a_segment_of_another_ledger_is_refused_by_name() -> None:
    mine, others = made(), made()
    commit(opened(mine), 1)
    commit(opened(others), 1)
    stranger = others.open("hot/00.seg").read(8192, 0)
    mine.open("hot/00.seg").write(stranger, 0)
    with pytest.raises(LedgerFormatError, match=r"hot/00\.seg belongs to another ledger"):
        opened(mine)


def test_a_segment_that_is_gone_is_made_again_and_its_records_are_told_missing() -> None:
    storage = made()
    log = opened(storage)
    for _ in range(30):
        commit(log, bytes(300))
    gone = log.ring.live[0]
    storage.remove(gone.name)
    again = opened(storage)
    assert [seq for seq, _ in damage_of(again)] == [1]
    assert commit(again, 1)[0] > 30


def test_an_empty_folder_holds_no_ledger() -> None:
    with pytest.raises(LedgerMissingError):
        opened(MemoryStorage())


@pytest.mark.parametrize(
    "options",
    [Options(unit_bytes=1000), Options(unit_bytes=256), Options(segment_bytes=10_000), Options(segment_bytes=4096),
     Options(ring_bytes=8 << 20), Options(ring_bytes=(64 << 20) + 1)],
)  # fmt: skip
def test_sizes_that_make_no_ring_are_refused(options: Options) -> None:
    with pytest.raises(UsageError):
        create(MemoryStorage(), options)


CALLS_TO_CREATE = 40


@pytest.mark.parametrize("at", range(1, CALLS_TO_CREATE))
def test_making_a_ledger_that_fails_leaves_nothing_behind(at: int) -> None:
    inner = MemoryStorage()
    storage = FaultyStorage(
        inner, [Fault(frozenset({"write", "sync", "rename", "sync_folder", "create", "make_folder"}), at)]
    )
    try:
        create(storage, OPTIONS)
    except OSError:
        assert [name for folder in ("", "hot") for name in inner.names(folder) if "." in name] == []
    else:
        assert storage.failed == 0


def test_what_the_disk_has_no_room_for_makes_the_ring_shorter() -> None:
    inner = made()
    log = opened(FaultyStorage(inner, [Fault(frozenset({"create"}), 3, errno.ENOSPC, lasts=True)]))
    for _ in range(60):
        commit(log, bytes(300))
    assert 2 <= log.ring.count < 6
    assert inner.names("hot") == [f"{number:02d}.seg" for number in range(log.ring.count)]


def test_time_that_jumps_changes_no_order() -> None:
    clock = FakeClock()
    storage = made()
    log = open_log(storage, clock, OPTIONS, NOTHING, Sealer())
    seqs: list[int] = []
    for jump_s in (0, -3600, 7200, -10_000_000, 0.05):
        clock.step_wall(jump_s)
        seqs += commit(log, 1)
    assert seqs == readable(storage) == [1, 2, 3, 4, 5]


def test_records_of_different_hours_share_no_frame() -> None:
    clock = FakeClock()
    log = open_log(made(), clock, OPTIONS, NOTHING, Sealer())
    for jump_s in (0, -3600, 3600):
        clock.step_wall(jump_s)
        log.put(log.check([("note", None, 1)]))
    log.commit()
    assert log.counters.commits == 3


def test_a_clean_end_is_told_by_the_newer_of_two_copies() -> None:
    storage = made()
    log = opened(storage)
    commit(log, 1)
    log.close()
    told = [meta for meta in read_copies(storage).values() if meta is not None]
    assert sorted((meta.is_clean, meta.last_seq) for meta in told) == [(False, 0), (True, 1)]


def test_an_end_behind_the_one_that_meta_tells_of_is_not_taken_for_clean() -> None:
    storage = made()
    log = opened(storage)
    commit(log, 1)
    log.close()
    closed = storage.image()
    commit(opened(storage), 2)
    hurt = MemoryStorage({**storage.image(), **{name: closed[name] for name in ("META.a", "META.b")}})
    commit(opened(hurt), 3)
    frames = walk(hurt.image()["hot/00.seg"], 512, log.meta.meta.log_id).frames
    assert [bool(each.header.flags & AFTER_UNCLEAN) for each in frames] == [False, False, True]
