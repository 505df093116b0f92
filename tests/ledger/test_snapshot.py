"""Snapshots: derived, never in the way, the older one when the newer is hurt."""

from __future__ import annotations

from gateway.ledger import snapshot
from gateway.ledger.fold import State
from gateway.ledger.record import Record
from gateway.testing.storage import MemoryStorage

LOG_ID = bytes(range(16))


def state(seq: int) -> State:
    found = State()
    found.apply(Record(seq, 1, "state", "a/b/c@state", "state", 5, 1, None, b'{"value":%d}' % seq, True))
    return found


def saved(*seqs: int) -> MemoryStorage:
    storage = MemoryStorage()
    storage.make_folder("snap")
    for seq in seqs:
        snapshot.save(storage, LOG_ID, state(seq))
    return storage


def hurt(storage: MemoryStorage, seq: int, data: bytes) -> None:
    name = f"snap/{seq:020d}.snap"
    storage.remove(name)
    storage.open(name, create=True).write(data, 0)


def test_a_state_comes_back() -> None:
    assert snapshot.load(saved(7), LOG_ID) == state(7)


def test_the_newest_that_is_not_beyond_is_taken() -> None:
    assert snapshot.load(saved(7, 9), LOG_ID, at_most_seq=8) == state(7)


def test_the_last_two_are_kept() -> None:
    assert len(saved(1, 2, 3, 4).names("snap")) == 2


def test_the_older_one_serves_where_the_newer_is_hurt() -> None:
    storage = saved(7, 9)
    hurt(storage, 9, b"nonsense")
    assert snapshot.load(storage, LOG_ID) == state(7)


def test_where_none_is_whole_there_is_none() -> None:
    storage = saved(7)
    hurt(storage, 7, b"")
    assert snapshot.load(storage, LOG_ID) is None


def test_another_ledger_s_is_not_taken() -> None:
    assert snapshot.load(saved(7), bytes(16)) is None


def test_every_flipped_bit_is_noticed() -> None:
    storage = saved(7)
    data = storage.open(f"snap/{7:020d}.snap").read(10_000, 0)
    for bit in range(len(data) * 8):
        raw = bytearray(data)
        raw[bit // 8] ^= 1 << bit % 8
        assert snapshot.raw_of(bytes(raw), LOG_ID) is None


def test_what_a_cut_left_half_written_is_removed() -> None:
    storage = saved(7)
    storage.open("snap/x.snap.tmp", create=True)
    snapshot.unfinished_in(storage)
    assert storage.names("snap") == [f"{7:020d}.snap"]


def test_what_a_cut_left_of_a_longer_one_does_not_get_into_it() -> None:
    storage = saved()
    storage.open(f"snap/{7:020d}.snap.tmp", create=True).write(bytes(10_000), 0)
    snapshot.save(storage, LOG_ID, state(7))
    assert snapshot.load(storage, LOG_ID) == state(7)


def test_names_of_higher_numbers_do_not_push_out_the_one_just_written() -> None:
    storage = saved(7)
    for seq in (1 << 60, 1 << 61):
        storage.open(f"snap/{seq:020d}.snap", create=True).write(b"nonsense", 0)
    snapshot.save(storage, LOG_ID, state(9))
    assert snapshot.load(storage, LOG_ID) == state(9)


def test_the_newest_number_is_told_by_heads_alone_and_only_by_our_own() -> None:
    storage = saved(7, 9)
    assert snapshot.newest_seq(storage, LOG_ID) == 9
    assert snapshot.newest_seq(storage, bytes(16)) == 0
    hurt(storage, 9, b"nonsense")
    assert snapshot.newest_seq(storage, LOG_ID) == 7


def test_a_truncated_one_is_noticed_at_every_byte() -> None:
    data = saved(7).open(f"snap/{7:020d}.snap").read(10_000, 0)
    assert [size for size in range(len(data)) if snapshot.raw_of(data[:size], LOG_ID) is not None] == []
