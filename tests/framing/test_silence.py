from __future__ import annotations

import pytest

from gateway.errors import EncodeError
from gateway.frame import Garbage
from gateway.framing.checks import check_of
from gateway.framing.seal import Seal
from gateway.framing.silence import SilenceFramer


def test_only_a_gap_ends_a_frame():
    framer = SilenceFramer(20, None)
    assert framer.feed(b"ab") == []
    assert framer.feed(b"cd") == []
    assert framer.gap() == [b"abcd"]
    assert framer.gap() == []


def test_a_bad_check_refuses_the_whole():
    framer = SilenceFramer(20, Seal(check_of("sum-8")))
    framer.feed(b"\x01\x02\x04")
    assert framer.gap() == [Garbage(b"\x01\x02\x04", "check")]


def test_what_is_over_max_is_refused_until_the_next_gap():
    framer = SilenceFramer(4, None)
    found = framer.feed(b"abcde") + framer.feed(b"fg") + framer.gap()
    assert found == [Garbage(b"abcde", "too long"), Garbage(b"fg", "too long")]
    framer.feed(b"ok")
    assert framer.gap() == [b"ok"]


@pytest.mark.parametrize("body", [b"", b"abcde"])
def test_what_is_no_frame_is_not_built(body: bytes):
    with pytest.raises(EncodeError, match=r"1\.\.4"):
        SilenceFramer(4, None).encode(body)
