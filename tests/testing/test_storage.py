from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.testing import Fault, FaultyStorage, MemoryStorage
from gateway.testing.storage import SECTOR_BYTES


def written(storage: MemoryStorage, name: str, data: bytes, *, offset: int = 0) -> MemoryStorage:
    storage.open(name, create=True).write(data, offset)
    return storage


def test_what_was_written_reads_at_once() -> None:
    storage = written(MemoryStorage(), "a", b"one")
    assert storage.open("a").read(9, 0) == b"one"


def test_what_was_not_synced_is_gone_after_a_cut() -> None:
    storage = MemoryStorage({"a": b"old"})
    written(storage, "a", b"new")
    assert storage.cut() == {"a": b"old"}


def test_what_was_synced_outlives_a_cut() -> None:
    storage = MemoryStorage({"a": b"old"})
    file = storage.open("a")
    file.write(b"new", 0)
    file.sync()
    assert storage.cut() == {"a": b"new"}


def test_a_name_is_gone_after_a_cut_until_its_folder_is_synced() -> None:
    storage = MemoryStorage()
    storage.open("a", create=True).sync()
    before = storage.cut()
    storage.sync_folder()
    assert (before, storage.cut()) == ({}, {"a": b""})


def test_a_new_folder_is_gone_with_all_in_it_until_the_one_above_is_synced() -> None:
    storage = MemoryStorage()
    storage.make_folder("hot")
    storage.open("hot/a", create=True)
    storage.sync_folder("hot")
    before = storage.cut()
    storage.sync_folder()
    assert (before, storage.cut()) == ({}, {"hot/": b"", "hot/a": b""})


def test_a_rename_replaces_a_file_at_once_and_for_good_only_after_a_sync() -> None:
    storage = MemoryStorage({"a": b"new", "b": b"old"})
    storage.rename("a", "b")
    before = storage.cut()
    storage.sync_folder()
    assert (storage.image(), before, storage.cut()) == ({"b": b"new"}, {"a": b"new", "b": b"old"}, {"b": b"new"})


def test_of_pending_changes_of_names_any_can_be_kept() -> None:
    storage = MemoryStorage({"a": b"1", "b": b"2"})
    storage.remove("a")
    storage.rename("b", "c")
    cuts = [sorted(storage.cut(names={"": storage.root.after_cut(kept)})) for kept in range(4)]
    assert cuts == [["a", "b"], ["b"], ["a", "c"], ["c"]]


def test_unsynced_sectors_are_told_with_everything_the_medium_may_hold() -> None:
    storage = MemoryStorage({"a": bytes(3 * SECTOR_BYTES)})
    file = storage.open("a")
    file.write(b"\x01" * SECTOR_BYTES, SECTOR_BYTES)
    file.write(b"\x02" * 2 * SECTOR_BYTES, SECTOR_BYTES)
    assert file.node.unsynced() == {
        1: [b"\x01" * SECTOR_BYTES, b"\x02" * SECTOR_BYTES],
        2: [b"\x02" * SECTOR_BYTES],
    }


@pytest.mark.parametrize("reads_old", [False, True])
def test_a_later_sync_does_not_bring_back_what_a_failed_one_lost(reads_old: bool) -> None:
    storage = MemoryStorage({"a": b"old"})
    file = storage.open("a")
    file.write(b"new", 0)
    file.lose(reads_old=reads_old)
    file.sync()
    assert (file.read(3, 0), storage.cut()) == (b"old" if reads_old else b"new", {"a": b"old"})


def test_what_a_failed_sync_lost_may_be_on_the_medium_all_the_same() -> None:
    storage = MemoryStorage({"a": b"old"})
    file = storage.open("a")
    file.write(b"new", 0)
    file.lose(reads_old=True)
    assert file.node.unsynced() == {0: [b"new"]}


def test_a_sector_written_and_synced_after_a_failed_sync_is_certain_again() -> None:
    storage = MemoryStorage({"a": b"old"})
    file = storage.open("a")
    file.write(b"new", 0)
    file.lose(reads_old=True)
    file.write(b"end", 0)
    file.sync()
    assert (file.node.unsynced(), storage.cut()) == ({}, {"a": b"end"})


def test_a_file_opened_for_reading_refuses_a_write() -> None:
    storage = MemoryStorage({"a": b""})
    with pytest.raises(OSError, match="Bad file descriptor"):
        storage.open("a", writable=False).write(b"x", 0)


NAMES = st.sampled_from(["a", "b", "hot/c", "hot/d"])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), NAMES, st.binary(max_size=1200), st.integers(0, 1500)),
        st.tuples(st.just("sync"), NAMES),
        st.tuples(st.just("remove"), NAMES),
        st.tuples(st.just("rename"), NAMES, NAMES),
        st.tuples(st.just("sync_folder"), st.sampled_from(["", "hot"])),
    ),
    max_size=30,
)


@given(steps=STEPS)
def test_the_operations_of_one_storage_done_again_lead_to_the_same_medium(steps: list[tuple[object, ...]]) -> None:
    image = {"hot/": b"", "a": b"a" * 700}
    storage = MemoryStorage(image)
    for kind, *rest in steps:
        try:
            if kind == "write":
                storage.open(rest[0], create=True).write(rest[1], rest[2])
            elif kind == "sync":
                storage.open(rest[0]).sync()
            else:
                getattr(storage, str(kind))(*rest)
        except OSError:
            continue
    again = MemoryStorage(image)
    for operation in storage.operations:
        again.apply(operation)
    assert (storage.image(), storage.cut()) == (again.image(), again.cut())


def test_a_fault_strikes_the_call_it_names_and_no_other() -> None:
    storage = FaultyStorage(MemoryStorage(), [Fault(frozenset({"write"}), at=2, error=errno.ENOSPC)])
    file = storage.open("a", create=True)
    file.write(b"1", 0)
    with pytest.raises(OSError, match="No space left"):
        file.write(b"2", 1)
    file.write(b"3", 2)
    assert (storage.counts["write"], storage.failed) == (3, 1)


def test_a_fault_that_lasts_strikes_for_ever() -> None:
    storage = FaultyStorage(MemoryStorage(), [Fault(frozenset({"write", "sync"}), at=2, lasts=True)])
    file = storage.open("a", create=True)
    file.write(b"1", 0)
    for _ in range(3):
        with pytest.raises(OSError, match="a"):
            file.sync()
    with pytest.raises(OSError, match="a"):
        file.write(b"2", 1)


def test_a_short_write_leaves_what_was_taken() -> None:
    inner = MemoryStorage()
    storage = FaultyStorage(inner, [Fault(frozenset({"write"}), at=1, error=errno.ENOSPC, taken_bytes=2)])
    with pytest.raises(OSError, match="No space left"):
        storage.open("a", create=True).write(b"1234", 0)
    assert inner.image() == {"a": b"12"}


def test_a_sync_that_fails_loses_what_it_should_have_written() -> None:
    inner = MemoryStorage({"a": b"old"})
    file = FaultyStorage(inner, [Fault(frozenset({"sync"}), at=1)]).open("a")
    file.write(b"new", 0)
    with pytest.raises(OSError, match="a"):
        file.sync()
    file.sync()
    assert inner.cut() == {"a": b"old"}
