"""Layer 2: text lines.

[text] [end]     `end` is one or several bytes, a line feed by default
"""

from __future__ import annotations

import codecs

from gateway.errors import EncodeError
from gateway.framing.delimited import EMPTY, Delimited, Unwrap

_ASCII_BASED = frozenset({"ascii", "utf-8", "iso8859-1", "iso8859-15", "cp1252", "cp437"})


def _unwrapper(end: bytes, encoding: str, max_bytes: int) -> Unwrap:
    strip = end == b"\n"
    trusts_ascii = codecs.lookup(encoding).name in _ASCII_BASED

    def unwrap(piece: bytes) -> bytes | str:
        if strip and piece[-1:] == b"\r":
            piece = piece[:-1]
        if len(piece) > max_bytes:
            return "too long"
        if not piece:
            return EMPTY
        if not (trusts_ascii and piece.isascii()):
            try:
                piece.decode(encoding)
            except UnicodeError:
                return "encoding"
        return piece

    return unwrap


class LineFramer(Delimited):
    """Lines of at most `max_bytes` without their end, verified to be `encoding`.

    With the default end, a line feed, one carriage return before it belongs to the end, so both habits are read; a body
    then never ends in one. An empty line is no frame. A last line without its end is refused: nothing says it is whole.
    """

    def __init__(self, end: bytes, encoding: str, max_bytes: int) -> None:
        room = max_bytes + (end == b"\n")
        super().__init__(end, room, _unwrapper(end, encoding, max_bytes), vouched=False)
        self._encoding = encoding
        self._max_bytes = max_bytes

    def encode(self, body: bytes) -> bytes:
        """Return the line with its end. Raises: EncodeError for a body that is no such line."""
        if self._unwrap(body) != body or (body + self._delimiter).find(self._delimiter) != len(body):
            limit = f"1..{self._max_bytes} bytes of {self._encoding}"
            raise EncodeError(
                f"a line is {limit}, without its end {self._delimiter.hex(' ')}; this is not: {body[:40]!r}"
            )
        return body + self._delimiter
