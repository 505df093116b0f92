from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import EncodeError
from gateway.frame import Garbage
from gateway.framing.checks import check_of
from gateway.framing.cobs import CobsFramer, library_unstuff, stuff, unstuff
from gateway.framing.seal import Seal

# Cheshire and Baker's examples, as Wikipedia's table lists them
EXAMPLES = [
    ("", "01"),
    ("00", "01 01"),
    ("00 00", "01 01 01"),
    ("00 11 00", "01 02 11 01"),
    ("11 22 00 33", "03 11 22 02 33"),
    ("11 22 33 44", "05 11 22 33 44"),
    ("11 00 00 00", "02 11 01 01 01"),
]
LONG = bytes(range(1, 256))  # 255 bytes without a zero


@pytest.mark.parametrize(("data", "piece"), EXAMPLES)
def test_published_examples_hold_both_ways(data: str, piece: str):
    assert stuff(bytes.fromhex(data)) == bytes.fromhex(piece)
    assert unstuff(bytes.fromhex(piece)) == bytes.fromhex(data)


@pytest.mark.parametrize(
    ("data", "piece"),
    [
        (LONG[:254], b"\xff" + LONG[:254]),
        (LONG, b"\xff" + LONG[:254] + b"\x02\xff"),
        (b"\x00" + LONG[:254], b"\x01\xff" + LONG[:254]),
        (LONG[:254] + b"\x00", b"\xff" + LONG[:254] + b"\x01\x01"),
    ],
)
def test_blocks_of_254_bytes_have_no_zero_behind_them(data: bytes, piece: bytes):
    assert stuff(data) == piece
    assert unstuff(piece) == data


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.just(b"\x00"), st.binary(max_size=300)), max_size=6).map(b"".join))
def test_unstuffing_undoes_stuffing(data: bytes):
    assert b"\x00" not in stuff(data)
    assert unstuff(stuff(data)) == data


@pytest.mark.parametrize("piece", ["05 11 22", "ff 01", "02", "ff" * 300])
def test_a_code_that_points_beyond_the_piece_is_no_encoding(piece: str):
    assert unstuff(bytes.fromhex(piece)) is None


def test_reasons_tell_encoding_from_check_from_length():
    framer = CobsFramer(8, Seal(check_of("crc-16-ibm-3740")))
    good = framer.encode(b"abc")
    found = framer.feed(b"\x09abc\x00" + b"\x04abc\x00" + bytes([2]) * 20 + b"\x00" + good)
    assert found == [
        Garbage(b"\x09abc\x00", "encoding"),
        Garbage(b"\x04abc\x00", "check"),
        Garbage(bytes([2]) * 20 + b"\x00", "too long"),
        b"abc",
    ]


def test_a_frame_of_exactly_max_bytes_passes_and_one_more_does_not():
    framer = CobsFramer(6, Seal(check_of("crc-16-ibm-3740")))
    assert framer.feed(framer.encode(b"abcd")) == [b"abcd"]
    with pytest.raises(EncodeError, match=r"framing\.max = 6"):
        framer.encode(b"abcde")
    longer = CobsFramer(7, Seal(check_of("crc-16-ibm-3740"))).encode(b"abcde")
    assert framer.feed(longer) == [Garbage(longer, "too long")]


def test_zeros_in_a_row_are_empty_bytes_not_garbage():
    framer = CobsFramer(20, None)
    assert framer.feed(b"\x00\x00\x02a\x00\x00") == [b"a"]
    counts = framer.statistics()
    assert (counts.frame_bytes, counts.empty_bytes, counts.garbage) == (3, 3, 0)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([b"\x00" * 40, b"\x02a\x00", b"\x00", b"\x02a", b"\x05a\x00", b"\x01" * 60]), max_size=12)
)
def test_runs_of_zeros_change_nothing_but_the_count_of_empty_bytes(parts: list[bytes]):
    stream = b"".join(parts)
    framer = CobsFramer(20, None)
    at_once = [*framer.feed(b"\x00" * 9), *framer.feed(stream), *framer.gap()]
    pieces = CobsFramer(20, None)
    one_by_one = [found for byte in stream for found in pieces.feed(bytes([byte]))] + pieces.gap()
    assert [found for found in at_once if isinstance(found, bytes)] == [
        found for found in one_by_one if isinstance(found, bytes)
    ]
    assert framer.statistics().garbage_bytes == pieces.statistics().garbage_bytes
    assert framer.statistics().empty_bytes == pieces.statistics().empty_bytes + 9


def test_at_a_gap_only_a_check_makes_good_for_the_missing_zero():
    sealed = CobsFramer(20, Seal(check_of("crc-16-ibm-3740")))
    assert sealed.feed(sealed.encode(b"abc")[:-1]) == []
    assert sealed.gap() == [b"abc"]
    bare = CobsFramer(20, None)
    bare.feed(b"\x04abc")
    assert bare.gap() == [Garbage(b"\x04abc", "cut")]


def test_a_frame_shorter_than_its_check_is_refused():
    framer = CobsFramer(20, Seal(check_of("lrc")))
    assert framer.feed(stuff(b"") + b"\x00") == [Garbage(b"\x01\x00", "check")]


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=300).map(lambda data: data.replace(b"\x00", b"\x01")))
def test_the_c_decoder_where_it_is_installed_decides_as_ours(piece: bytes):
    in_c = library_unstuff()
    if in_c is None:
        pytest.skip("the cobs package is not installed, or not as its C build")
    assert in_c(piece) == unstuff(piece)
