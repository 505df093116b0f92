from __future__ import annotations

import pytest

from gateway.errors import EncodeError
from gateway.frame import Garbage
from gateway.framing.checks import check_of
from gateway.framing.seal import Seal
from gateway.framing.slip import SlipFramer, unescape


def test_end_and_escape_are_escaped_as_rfc_1055_says():
    framer = SlipFramer(20, None)
    assert framer.encode(b"\xc0a\xdb\xdc") == b"\xc0\xdb\xdca\xdb\xdd\xdc\xc0"
    assert framer.feed(b"\xdb\xdca\xdb\xdd\xdc\xc0") == [b"\xc0a\xdb\xdc"]


@pytest.mark.parametrize("piece", [b"\xdb", b"a\xdb", b"\xdbx", b"\xdb\xdb\xdc"])
def test_an_escape_followed_by_nothing_known_is_refused(piece: bytes):
    assert unescape(piece) is None
    assert SlipFramer(20, None).feed(piece + b"\xc0") == [Garbage(piece + b"\xc0", "escape")]


def test_the_end_in_front_separates_the_noise():
    framer = SlipFramer(20, Seal(check_of("crc-16-ibm-3740")))
    assert framer.feed(b"noise" + framer.encode(b"abc")) == [Garbage(b"noise\xc0", "check"), b"abc"]


def test_two_ends_in_a_row_are_empty_bytes():
    framer = SlipFramer(20, None)
    assert framer.feed(b"\xc0a\xc0\xc0b\xc0") == [b"a", b"b"]
    assert framer.statistics().empty_bytes == 2


def test_max_counts_unescaped_bytes():
    framer = SlipFramer(3, None)
    assert framer.feed(framer.encode(b"\xc0\xc0\xc0")) == [b"\xc0\xc0\xc0"]
    assert framer.feed(b"abcd\xc0") == [Garbage(b"abcd\xc0", "too long")]
    for body in (b"", b"abcd"):
        with pytest.raises(EncodeError, match=r"1\.\.3"):
            framer.encode(body)
