"""What the bytes of a segment say: the end, what was torn there, and what is missing before it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.draft import Checker, Draft, Routes
from gateway.ledger.frame import Stamp, first_chain
from gateway.ledger.segment import Walk, in_order, is_zero, walk

LOG_ID, OTHER_ID = bytes(16), bytes([7] * 16)
UNIT, SEGMENT = 512, 8192
ROUTES = Routes()


def frames(
    sizes: list[int], *, base_seq: int = 1, epoch: int = 1, log_id: bytes = LOG_ID, chain: bytes | None = None
) -> list[bytes]:
    """Return linked frames, each of one record whose body has that many bytes."""
    chain = chain or first_chain(log_id)
    found = []
    for size in sizes:
        draft = Draft(Stamp(log_id, 1, 1, 0, 0), base_seq, 0)
        draft.put(Checker(ROUTES).check([("note", None, bytes(size))]).records, 0, 0, 65_536, ROUTES)
        after = draft.chain(chain)
        found.append(draft.build(flags=0, epoch=epoch, previous=chain, chain=after, unit_log2=9))
        chain = after
        base_seq += 1
    return found


def segment(*parts: bytes) -> bytes:
    return b"".join(parts).ljust(SEGMENT, b"\0")


def read(data: bytes) -> Walk:
    return walk(data, UNIT, LOG_ID)


def seqs(found: Walk) -> list[int]:
    return [each.header.base_seq for each in found.frames if each.is_whole]


def test_a_segment_of_zeros_holds_nothing() -> None:
    assert read(bytes(SEGMENT)) == Walk(0, [], [], 0, False, 0, None)


def test_frames_are_read_up_to_the_last_and_the_end_is_behind_it() -> None:
    found = read(segment(*frames([10, 900, 10])))
    assert (seqs(found), found.end, found.holes, found.torn) == ([1, 2, 3], 512 + 1536 + 512, [], False)


@given(st.integers(0, 512 + 1536 + 512), st.sampled_from([b"\0", b"\xff", b"\x5a"]))
def test_what_is_cut_off_at_the_end_is_a_torn_tail_and_never_a_hole(cut: int, fill: bytes) -> None:
    whole = b"".join(frames([10, 900, 10]))
    data = whole[:cut].ljust(SEGMENT, fill)
    found = read(data)
    assert (len(seqs(found)), found.holes) == (sum(data[:end] == whole[:end] for end in (512, 2048, 2560)), [])


def test_a_frame_that_is_gone_with_others_behind_it_is_a_hole() -> None:
    first, second, third = frames([10, 900, 10])
    found = read(segment(first, bytes(len(second)), third))
    assert (seqs(found), found.holes, found.end) == ([1, 3], [(512, 2048)], 2560)


def test_a_frame_whose_body_is_hurt_with_others_behind_it_keeps_its_place() -> None:
    first, second, third = frames([10, 900, 10])
    hurt = bytearray(second)
    hurt[300] ^= 1
    found = read(segment(first, bytes(hurt), third))
    assert [(each.header.base_seq, each.is_whole) for each in found.frames] == [(1, True), (2, False), (3, True)]


def test_what_an_earlier_lap_left_behind_the_end_is_not_read() -> None:
    old = segment(*frames([10] * 10))
    new = b"".join(frames([10, 10], base_seq=100, epoch=5))
    found = read(new + old[len(new) :])
    assert (found.epoch, seqs(found), found.end, found.torn) == (5, [100, 101], 1024, False)


def test_a_lost_commit_that_shows_an_earlier_lap_again_is_a_hole() -> None:
    old = segment(*frames([10] * 10))
    new = b"".join(frames([10, 10, 10], base_seq=100, epoch=5))
    found = read(new[:512] + old[512:1024] + new[1024:] + old[len(new) :])
    assert (seqs(found), found.holes) == ([100, 102], [(512, 1024)])


def test_a_segment_whose_first_commit_was_torn_belongs_to_its_earlier_lap_and_says_so() -> None:
    old = segment(*frames([10] * 3))
    torn = bytearray(frames([10], base_seq=100, epoch=5)[0])
    torn[200] ^= 1
    found = read(bytes(torn) + old[512:])
    assert (found.epoch, found.seen_epoch, found.torn) == (1, 5, True)


def test_frames_of_another_ledger_are_named_and_never_read() -> None:
    found = read(segment(*frames([10, 10], log_id=OTHER_ID)))
    assert (found.epoch, found.frames, found.foreign) == (0, [], OTHER_ID)


@given(st.binary(max_size=2000), st.integers(0, 4))
def test_any_bytes_are_read_without_an_error(noise: bytes, at: int) -> None:
    whole = segment(*frames([10, 900, 10]))
    found = read(whole[: at * 512] + noise + whole[at * 512 + len(noise) :])
    seqs = [each.header.base_seq for each in found.frames]
    assert seqs == sorted(set(seqs))


def test_numbers_that_were_given_again_in_the_next_segment_are_left_out() -> None:
    found = read(segment(*frames([10, 10, 10])))
    assert [each.header.base_seq for each in in_order(found.frames, 1, limit_seq=3)] == [1, 2]


def test_numbers_already_seen_are_left_out() -> None:
    found = read(segment(*frames([10, 10, 10])))
    assert [each.header.base_seq for each in in_order(found.frames, 3, limit_seq=None)] == [3]


@given(st.integers(0, 200_000), st.integers(0, 200_000))
def test_zeros_are_told_from_anything_else(size: int, at: int) -> None:
    data = bytearray(size)
    assert is_zero(bytes(data))
    if at < size:
        data[at] = 1
        assert not is_zero(bytes(data))
