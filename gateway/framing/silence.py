"""Layer 2: kind `gap`: a frame is what stands between two silences. The reader reports them by `gap()`."""

from __future__ import annotations

from gateway.errors import EncodeError
from gateway.framing.account import Account, Found
from gateway.framing.seal import Seal


class SilenceFramer(Account):
    """Frames of at most `max_bytes`, body and check. `feed` gives none: only the silence tells that one has ended."""

    def __init__(self, max_bytes: int, seal: Seal | None) -> None:
        super().__init__(max_bytes)
        self._seal = seal
        self._overlong = False  # some bytes since the last silence were refused already

    def feed(self, data: bytes) -> Found:
        """Keep bytes until the silence; refuse what is more than a frame."""
        self._fed += len(data)
        self._pending += data
        found: Found = []
        if len(self._pending) > self.max_frame_bytes:
            self._overlong = True
            self._refuse(found, self._pending, "too long")
            self._pending = b""
        return found

    def gap(self) -> Found:
        """Return the frame that has ended, if it is one."""
        found: Found = []
        frame, self._pending = self._pending, b""
        overlong, self._overlong = self._overlong, False
        if overlong:
            self._refuse(found, frame, "too long")
        elif frame:
            body = self._seal.open(frame) if self._seal else frame
            if body is None:
                self._refuse(found, frame, "check")
            else:
                self._frames += 1
                found.append(body)
        return found

    def encode(self, body: bytes) -> bytes:
        """Return body and check. Raises: EncodeError outside 1..max bytes."""
        frame = self._seal.close(body) if self._seal else body
        if not 0 < len(frame) <= self.max_frame_bytes:
            raise EncodeError(f"frame of {len(frame)} bytes is outside 1..{self.max_frame_bytes} (framing.max)")
        return frame
