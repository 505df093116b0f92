from __future__ import annotations

from gateway.framing.base import FramerStatistics
from gateway.framing.identity import IdentityFramer


def test_every_feed_is_one_body_even_an_empty_one():
    framer = IdentityFramer()
    assert [framer.feed(data) for data in (b"abc", b"", b"d")] == [[b"abc"], [b""], [b"d"]]
    assert framer.gap() == []
    assert framer.encode(b"abc") == b"abc"
    assert framer.statistics() == FramerStatistics(
        frames=3, frame_bytes=4, garbage=0, garbage_bytes=0, empty_bytes=0, pending_bytes=0
    )
