"""Layer 9: which bytes of the input a refused sentence was.

A frame of most kinds is written in one way only, so that building it again gives the bytes that stood on the wire. A
sentence may begin with "$" or "!" and end with or without CR LF: it has to be looked up.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.framing.spec import Nmea0183

_CHECK_AND_END: Final = re.compile(rb"[0-9A-Fa-f]{2}\r?\n?")


class SentenceWindow:
    """The last bytes fed to a framer: those that the sentences it has just given can have come from."""

    def __init__(self, spec: Nmea0183) -> None:
        self._starts = [bytes([code]) for code in spec.start.encode()]
        self._kept_bytes = spec.max + 2  # a sentence that was begun before, with its line end
        self._bytes = b""
        self._place = 0  # in wire order: the one looked for stands behind the last found

    def feed(self, data: bytes) -> None:
        """Note what is fed to the framer next."""
        old = max(0, len(self._bytes) - self._kept_bytes)
        self._bytes = self._bytes[old:] + data
        self._place = max(0, self._place - old)

    def wire(self, body: bytes) -> bytes:
        """Return the whole sentence around `body`; the body alone if it did not come from here."""
        places = [(self._bytes.find(start + body + b"*", self._place), start) for start in self._starts]
        found = [(place, start) for place, start in places if place >= 0]
        if not found:
            return body
        place, start = min(found)
        check = _CHECK_AND_END.match(self._bytes, place + len(start) + len(body) + 1)
        self._place = check.end() if check else place
        return self._bytes[place : self._place]
