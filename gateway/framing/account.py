"""Layer 2: the account of bytes that all our framers keep (law 4)."""

from __future__ import annotations

from gateway.frame import MAX_GARBAGE_BYTES, Garbage
from gateway.framing.base import FramerStatistics

Found = list[bytes | Garbage]


class Account:
    """Counts of one framer. `_pending` holds the bytes that neither are a frame nor refused yet."""

    def __init__(self, max_frame_bytes: int) -> None:
        self.max_frame_bytes = max_frame_bytes
        self.garbage_count = 0
        self._pending = b""
        self._frames = 0
        self._fed = 0
        self._garbage_bytes = 0
        self._empty_bytes = 0

    def _refuse(self, found: Found, raw: bytes, reason: str) -> None:
        """Append `raw` as garbage records of at most MAX_GARBAGE_BYTES each; nothing for no bytes."""
        for start in range(0, len(raw), MAX_GARBAGE_BYTES):
            found.append(Garbage(raw[start : start + MAX_GARBAGE_BYTES], reason))
            self.garbage_count += 1
        self._garbage_bytes += len(raw)

    def _pending_bytes(self) -> int:
        return len(self._pending)

    def statistics(self) -> FramerStatistics:
        """Return where every byte fed has gone."""
        pending = self._pending_bytes()
        return FramerStatistics(
            frames=self._frames,
            frame_bytes=self._fed - self._garbage_bytes - self._empty_bytes - pending,
            garbage=self.garbage_count,
            garbage_bytes=self._garbage_bytes,
            empty_bytes=self._empty_bytes,
            pending_bytes=pending,
        )
