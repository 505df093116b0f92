from __future__ import annotations

import pytest

from gateway.errors import EncodeError
from gateway.frame import Garbage
from gateway.framing.hdlc import HdlcFramer
from gateway.framing.spec import CheckSpec, Hdlc


def test_the_fcs_is_the_ppp_one_low_byte_first():
    frame = bytes.fromhex("7e ff12 68656c6c6f f9b3 7e")  # made by yahdlc: data, sequence 1, "hello"
    framer = HdlcFramer(Hdlc())
    assert framer.encode(bytes.fromhex("ff12") + b"hello") == frame
    assert framer.feed(frame) == [bytes.fromhex("ff12") + b"hello"]


def test_the_long_fcs_is_crc_32():
    framer = HdlcFramer(Hdlc(fcs=32))
    assert framer.encode(b"123456789") == b"\x7e123456789" + bytes.fromhex("2639f4cb") + b"\x7e"


def test_shdlc_has_one_inverted_sum():
    # Sensirion SHDLC, "start measurement" of the SPS30: 7e 00 00 02 01 03 f9 7e
    framer = HdlcFramer(Hdlc(check=CheckSpec(kind="sum-8-inverted")))
    assert framer.encode(bytes.fromhex("0000020103")) == bytes.fromhex("7e0000020103f97e")
    assert framer.feed(bytes.fromhex("7e0000020103f97e")) == [bytes.fromhex("0000020103")]


def test_flag_and_escape_are_escaped_also_in_the_check():
    framer = HdlcFramer(Hdlc(check=CheckSpec(kind="sum-8")))
    assert framer.encode(b"\x7e") == b"\x7e\x7d\x5e\x7d\x5e\x7e"
    assert framer.encode(b"\x7d") == b"\x7e\x7d\x5d\x7d\x5d\x7e"
    assert framer.feed(b"\x7e\x7d\x5e\x7d\x5e\x7e") == [b"\x7e"]


def test_a_byte_that_need_not_be_escaped_may_be():
    framer = HdlcFramer(Hdlc(check=CheckSpec(kind="sum-8")))
    assert framer.feed(b"\x7e\x7d\x31\x7d\x31\x7e") == [b"\x11"]  # XON, as RFC 1662 maps control characters


def test_two_frames_may_share_a_flag():
    framer = HdlcFramer(Hdlc())
    first, second = framer.encode(b"one"), framer.encode(b"two")
    assert framer.feed(first + second[1:]) == [b"one", b"two"]


def test_an_aborted_frame_is_refused():
    assert HdlcFramer(Hdlc()).feed(b"\x7eab\x7d\x7e") == [Garbage(b"ab\x7d\x7e", "escape")]


def test_a_bad_fcs_is_refused_and_the_next_frame_found():
    framer = HdlcFramer(Hdlc())
    bad = framer.encode(b"one").replace(b"n", b"m")
    assert framer.feed(bad + framer.encode(b"two")) == [Garbage(bad[1:], "check"), b"two"]


def test_too_long_is_refused_both_ways():
    framer = HdlcFramer(Hdlc(max=5))
    with pytest.raises(EncodeError, match=r"framing\.max = 5"):
        framer.encode(b"abcd")
    assert framer.feed(b"\x7eabcdefgh\x7e") == [Garbage(b"abcdefgh\x7e", "too long")]
