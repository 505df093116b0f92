from __future__ import annotations

import pytest

from gateway.errors import EncodeError
from gateway.frame import Garbage
from gateway.framing.length import FixedFramer, LengthFramer
from gateway.framing.spec import CheckSpec, Fixed, Length, LengthField

PMS = Length(
    start="42 4d",
    length=LengthField(at=2, type="u16be", adds=4),
    check=CheckSpec(kind="sum-16"),
    body="4:-2",
)
UBX = Length(
    start="b5 62",
    length=LengthField(at=4, type="u16le", adds=8),
    check=CheckSpec(kind="fletcher-8-pair", from_=2),
    body="2:-2",
)
MHZ19 = Fixed(size=9, start="ff", check=CheckSpec(kind="lrc", from_=1))
SDS011 = Fixed(size=10, start="aa c0", check=CheckSpec(kind="sum-8", from_=2, at=-2), body="2:10")

UBX_FRAME = bytes.fromhex("b5620613 0400 0100f021 2fd2")  # UBX-CFG-ANT, from a receiver


def test_a_ubx_frame_has_its_size_at_4_and_two_sums_behind():
    assert LengthFramer(UBX).feed(UBX_FRAME) == [UBX_FRAME[2:-2]]
    assert LengthFramer(UBX).encode(UBX_FRAME[2:-2]) == UBX_FRAME


def test_start_length_and_check_are_filled_in():
    assert LengthFramer(PMS).encode(b"\x01\x02") == bytes.fromhex("424d 0004 0102 0096")


def test_a_fixed_frame_may_have_a_tail_behind_its_check():
    frame = bytes.fromhex("aac0 d4043a0aa160 1d ab")  # from the SDS011 data sheet: PM2.5 123.6, PM10 261.8
    assert FixedFramer(SDS011).feed(frame) == [frame[2:]]


def test_the_reply_of_a_mhz19b_is_one_frame():
    frame = bytes.fromhex("ff 86 02 60 47 00 00 00 d1")  # from its data sheet: 608 ppm
    assert FixedFramer(MHZ19).feed(frame) == [frame[1:-1]]
    assert FixedFramer(MHZ19).encode(frame[1:-1]) == frame


def test_a_frame_hidden_in_a_false_start_is_found():
    good = LengthFramer(PMS).encode(b"abcd")
    false_start = bytes.fromhex("424d 0010") + b"xy"  # says 20 bytes, and the good frame begins within
    framer = LengthFramer(PMS)
    assert framer.feed(false_start + good) == []
    assert framer.feed(b"wxyz") == [Garbage(false_start, "check"), b"abcd", Garbage(b"wxyz", "noise")]


def test_at_the_end_of_the_stream_a_frame_behind_a_false_start_is_found():
    good = LengthFramer(PMS).encode(b"abcd")
    framer = LengthFramer(PMS)
    assert framer.feed(bytes.fromhex("424d 0100") + good) == []
    assert framer.gap() == [Garbage(bytes.fromhex("424d 0100"), "cut"), b"abcd"]


@pytest.mark.parametrize("size", ["ffff", "0001"])
def test_an_impossible_size_costs_one_byte(size: str):
    good = LengthFramer(PMS).encode(b"abcd")
    start = bytes.fromhex("424d" + size)
    assert LengthFramer(PMS).feed(start + good) == [Garbage(start, "length"), b"abcd"]


def test_noise_and_a_start_cut_in_two():
    good = LengthFramer(PMS).encode(b"abcd")
    framer = LengthFramer(PMS)
    assert framer.feed(b"xyzB") == [Garbage(b"xyz", "noise")]
    assert framer.feed(good[1:]) == [b"abcd"]


def test_a_body_that_does_not_fit_is_not_built():
    with pytest.raises(EncodeError, match="has room for 7"):
        FixedFramer(MHZ19).encode(b"123456")
    with pytest.raises(EncodeError, match=r"framing\.max"):
        LengthFramer(PMS).encode(bytes(1020))
    small = Length(start="aa", length=LengthField(at=1, type="u8", adds=-1), body="2:")
    with pytest.raises(EncodeError, match="does not fit into u8"):
        LengthFramer(small).encode(bytes(300))
