from __future__ import annotations

import itertools

import pytest

from gateway.errors import EncodeError
from gateway.framing.vedirect import VeDirectFramer

BODY = b"PID\t0x203\r\nV\t12800\r\nI\t-150"
HEX = b":7F0ED009600DB\n"


def framer(max_bytes: int = 1024) -> VeDirectFramer:
    return VeDirectFramer(max_bytes)


def body_with_checksum(byte: int) -> bytes:
    """Return a body whose block needs just this checksum byte."""
    bodies = (b"PID\t0x203\r\nV\t" + bytes(text) for text in itertools.product(range(0x30, 0x7F), repeat=3))
    return next(body for body in bodies if framer().encode(body)[-1] == byte)


def test_all_bytes_of_a_block_sum_to_zero():
    block = framer().encode(BODY)
    assert block[:2] == b"\r\n"
    assert sum(block) % 256 == 0
    assert framer().feed(block) == [BODY]


def test_the_block_comes_with_its_checksum_byte_not_with_the_next_block():
    one = framer()
    block = one.encode(BODY)
    assert one.feed(block[:-1]) == []
    assert one.feed(block[-1:]) == [BODY]


@pytest.mark.parametrize("byte", list(b":\r\n\tC\x00\xff"))
def test_the_checksum_may_be_any_byte(byte: int):
    body = body_with_checksum(byte)
    stream = framer().encode(body) + framer().encode(BODY)
    one = framer()
    assert [item for place in range(len(stream)) for item in one.feed(stream[place : place + 1])] == [body, BODY]


def test_hex_frames_are_cut_out_wherever_they_stand():
    block = framer().encode(BODY)
    for place in range(len(block) + 1):
        one = framer()
        assert one.feed(block[:place] + HEX + block[place:]) == [BODY], place
        counts = one.statistics()
        assert (counts.frame_bytes, counts.empty_bytes, counts.garbage) == (len(block), len(HEX), 0)


def test_a_hex_frame_cut_in_two_is_one():
    one = framer()
    block = one.encode(BODY)
    found = one.feed(block[:20] + HEX[:5]) + one.feed(HEX[5:] + block[20:])
    assert found == [BODY]


def test_a_colon_that_begins_no_hex_frame_is_text():
    body = b"PID\t0x203\r\nSER#\tHQ:12"
    assert framer().feed(framer().encode(body)) == [body]


def test_a_capture_may_begin_at_the_first_label():
    assert framer().feed(framer().encode(BODY)[2:]) == [BODY]


def test_a_capture_that_begins_within_a_block_loses_that_block_only():
    first, second = framer().encode(BODY), framer().encode(b"H1\t-149322\r\nH2\t-82854")
    frames = [item for item in framer().feed(first[10:] + second) if isinstance(item, bytes)]
    assert frames == [b"H1\t-149322\r\nH2\t-82854"]


def test_a_block_behind_one_that_was_cut_off_is_found():
    first, second = framer().encode(BODY), framer().encode(b"H1\t-149322\r\nH2\t-82854")
    for place in range(1, len(first)):
        found = framer().feed(first[:place] + second)
        assert found[-1] == b"H1\t-149322\r\nH2\t-82854", place


def test_a_flipped_bit_refuses_the_block_and_no_part_of_it():
    first, second = framer().encode(BODY), framer().encode(b"H1\t-149322\r\nH2\t-82854")
    for place in range(2, len(first)):
        damaged = first[:place] + bytes([first[place] ^ 0x10]) + first[place + 1 :]
        frames = [item for item in framer().feed(damaged + second) if isinstance(item, bytes)]
        assert frames == [b"H1\t-149322\r\nH2\t-82854"], place


def test_a_block_over_max_is_refused():
    one = framer(30)
    block = framer().encode(BODY)
    found = one.feed(block) + one.gap()
    assert b"".join(item.raw for item in found) == block
    with pytest.raises(EncodeError, match=r"framing\.max = 30"):
        one.encode(BODY)


@pytest.mark.parametrize("body", [b"", b"V", b"V\t1\r\nV\t2", b"V\t\xff", b"V\t1\r\n"])
def test_what_is_no_list_of_fields_is_not_built(body: bytes):
    with pytest.raises(EncodeError, match="label TAB value"):
        framer().encode(body)
