from __future__ import annotations

import pytest

from gateway.errors import EncodeError
from gateway.frame import Garbage
from gateway.framing.line import LineFramer


def test_a_carriage_return_before_a_line_feed_belongs_to_the_end():
    framer = LineFramer(b"\n", "utf-8", 20)
    assert framer.feed(b"one\r\ntwo\nth\rree\n") == [b"one", b"two", b"th\rree"]
    assert framer.statistics().frame_bytes == 16


def test_with_another_end_the_body_is_exact():
    assert LineFramer(b"\r", "ascii", 20).feed(b"a\n\r") == [b"a\n"]
    assert LineFramer(b"\r\n", "ascii", 20).feed(b"a\r\r\n") == [b"a\r"]


def test_an_end_cut_in_two_is_still_one():
    framer = LineFramer(b"\r\n", "ascii", 20)
    assert framer.feed(b"abc\r") == []
    assert framer.feed(b"\ndef\r\n") == [b"abc", b"def"]


def test_empty_lines_are_empty_bytes():
    framer = LineFramer(b"\n", "utf-8", 20)
    assert framer.feed(b"\n\r\na\n") == [b"a"]
    assert framer.statistics().empty_bytes == 3


@pytest.mark.parametrize(
    ("encoding", "line", "good"),
    [
        ("utf-8", "21 °C".encode(), True),
        ("utf-8", "21 °C".encode("latin-1"), False),
        ("latin-1", "21 °C".encode("latin-1"), True),
        ("ascii", "21 °C".encode(), False),
    ],
)
def test_bytes_that_are_not_the_encoding_are_refused(encoding: str, line: bytes, good: bool):
    expected = line if good else Garbage(line + b"\n", "encoding")
    assert LineFramer(b"\n", encoding, 20).feed(line + b"\n") == [expected]


def test_a_line_over_max_is_refused_in_pieces_and_the_next_is_found():
    framer = LineFramer(b"\n", "utf-8", 100)
    found = framer.feed(b"x" * 10_000 + b"\nok\n")
    assert [len(item.raw) for item in found[:-1]] == [4096, 4096, 1809]
    assert {item.reason for item in found[:-1]} == {"too long"}
    assert found[-1] == b"ok"


def test_max_counts_the_text_without_its_end():
    framer = LineFramer(b"\n", "utf-8", 3)
    assert framer.feed(b"abc\r\nabcd\n") == [b"abc", Garbage(b"abcd\n", "too long")]


def test_the_last_line_without_its_end_is_refused():
    framer = LineFramer(b"\n", "utf-8", 20)
    assert framer.feed(b"a\nb") == [b"a"]
    assert framer.gap() == [Garbage(b"b", "cut")]


@pytest.mark.parametrize("body", [b"", b"a\nb", b"a\r", b"\xff", b"x" * 21])
def test_what_is_no_line_is_not_built(body: bytes):
    with pytest.raises(EncodeError, match="a line is"):
        LineFramer(b"\n", "utf-8", 20).encode(body)
