"""Layer 2: frames that end with a delimiter: what COBS, SLIP, HDLC and text lines have in common.

[piece][delimiter][piece][delimiter]...   A piece is unwrapped whole; what it means is the kind's own file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from gateway.framing.account import Account, Found

Unwrap = Callable[[bytes], bytes | str]  # a piece of any length -> its body, or the reason for refusing it
EMPTY: Final = ""  # the reason of a piece that is nothing at all
_ALL_GOOD: Final = frozenset({bytes})


class Delimited(Account):
    """Splits at the delimiter. A piece longer than `max_piece_bytes` is refused as it comes, up to its delimiter.

    `unwrap` answers EMPTY for an empty piece and "too long" for one over `max_piece_bytes`.
    """

    def __init__(self, delimiter: bytes, max_piece_bytes: int, unwrap: Unwrap, *, vouched: bool) -> None:
        """Take `vouched`: whether a check in the frame makes good for a delimiter that never came."""
        super().__init__(max_piece_bytes + len(delimiter))
        self._delimiter = delimiter
        self._max_piece_bytes = max_piece_bytes
        self._unwrap = unwrap
        self._vouched = vouched
        self._run = re.compile(rb"(?:" + re.escape(delimiter) + rb")+")
        self._crowded = False  # the last bytes were mostly delimiters: runs of them are cut short before splitting
        self._overlong = False  # inside a piece of which some bytes were refused already

    def feed(self, data: bytes) -> Found:
        """Return bodies and garbage in wire order."""
        self._fed += len(data)
        found: Found = []
        data = self._pending + data
        if self._crowded:
            data = self._without_runs(data)
        *pieces, self._pending = data.split(self._delimiter)
        if pieces:
            self._crowded = len(pieces) * 4 > len(data)
            if self._overlong:
                self._refuse(found, pieces.pop(0) + self._delimiter, "too long")
                self._overlong = False
            self._take(pieces, found)
        if len(self._pending) >= self.max_frame_bytes:
            self._shed(found)
        return found

    def _without_runs(self, data: bytes) -> bytes:
        """Return `data` with one delimiter in place of each run: the others would end empty pieces."""
        shorter = self._run.sub(self._delimiter.replace(b"\\", b"\\\\"), data)
        self._empty_bytes += len(data) - len(shorter)
        return shorter

    def _take(self, pieces: list[bytes], found: Found) -> None:
        bodies = list(map(self._unwrap, pieces))
        if set(map(type, bodies)) <= _ALL_GOOD:  # nearly always; a list at a time costs half of a loop
            found += bodies  # type: ignore[arg-type]  # just tested
            self._frames += len(bodies)
            return
        for piece, body in zip(pieces, bodies, strict=True):
            if isinstance(body, bytes):
                found.append(body)
                self._frames += 1
            elif body == EMPTY:
                self._empty_bytes += len(piece) + len(self._delimiter)
            else:
                self._refuse(found, piece + self._delimiter, body)

    def _shed(self, found: Found) -> None:
        """Refuse what is pending, already more than a piece, but for the bytes that may begin the delimiter."""
        tail = self._pending[1 - len(self._delimiter) :] if len(self._delimiter) > 1 else b""
        self._refuse(found, self._pending[: len(self._pending) - len(tail)], "too long")
        self._pending = tail
        self._overlong = True

    def gap(self) -> Found:
        """Return the pending piece if its check vouches for it, else refuse it."""
        found: Found = []
        piece, self._pending = self._pending, b""
        overlong, self._overlong = self._overlong, False
        if overlong:
            self._refuse(found, piece, "too long")
        elif piece:
            body = self._unwrap(piece) if self._vouched else "cut"
            if isinstance(body, bytes):
                self._frames += 1
                found.append(body)
            else:
                self._refuse(found, piece, "cut")
        return found
