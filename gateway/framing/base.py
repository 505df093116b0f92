"""Layer 2: what a framer is: bytes in, frames and garbage out. No I/O, no clock, no await.

The laws every framer obeys (`gateway.testing.check_framer` runs them):
1. Bad bytes are data: `feed` and `gap` never raise.
2. The same stream with the same gap events gives the same frames, and the same garbage bytes between them, wherever it
   is cut; how garbage is split into records is free.
3. `feed(encode(body)) == [body]` for every legal body; a framer that only silence tells where a frame ends gives it at
   the gap that follows.
4. No byte vanishes: frame_bytes + garbage_bytes + empty_bytes + pending_bytes == bytes fed.
5. Pending never exceeds `max_frame_bytes`.
6. After noise a good frame is delivered within `max_frame_bytes` further bytes or at the next gap; a good frame hidden
   behind a false start is found (a bad check drops one byte and searches again, not the whole candidate).
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from gateway.frame import Garbage


class FramerStatistics(msgspec.Struct, frozen=True):
    """Where every byte fed has gone; all counts since the framer was made."""

    frames: int
    frame_bytes: int  # on the wire, start, check, escapes and delimiter included
    garbage: int  # records
    garbage_bytes: int
    empty_bytes: int  # delimiters between which nothing stood
    pending_bytes: int


class Framer(Protocol):
    """One direction of one stream. Made anew for every open port."""

    max_frame_bytes: int  # on the wire
    garbage_count: int  # records given so far; a reader that sees it unchanged knows that all it got are frames

    def feed(self, data: bytes) -> list[bytes | Garbage]:
        """Take bytes as they came; return bodies and garbage in wire order."""
        ...

    def gap(self) -> list[bytes | Garbage]:
        """The line fell silent or the stream ended: nothing pending will be completed. Pending is empty afterwards.

        Frames hidden in pending bytes are still found; a frame that lacks only its delimiter counts if a check vouches.
        """
        ...

    def encode(self, body: bytes) -> bytes:
        """Return the whole frame on the wire. Raises: EncodeError if the body cannot be framed."""
        ...

    def statistics(self) -> FramerStatistics:
        """Return the account of bytes."""
        ...
