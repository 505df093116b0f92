"""Layer 9: which bytes of the input a refused sentence was.

A frame of most kinds is written in one way only, so that building it again gives the bytes that stood on the wire. A
sentence may begin with "$" or "!" and end with or without CR LF, a line may have a CR before its LF: these have to be
looked up. The flag in front of an HDLC or SLIP frame counts as empty, it may be the last frame's.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Final

from gateway.framing.spec import FramingSpec, Hdlc, Line, Nmea0183, Slip

_CHECK_AND_END: Final = re.compile(rb"[0-9A-Fa-f]{2}\r?\n?")


def window_of(spec: FramingSpec) -> Window | None:
    """Return what looks up the frames of this kind, None where building them again is enough."""
    match spec:
        case Nmea0183():
            return SentenceWindow(spec)
        case Line(end=end) if bytes.fromhex(end) == b"\n":
            return LineWindow(spec)
        case _:
            return None


def flag_in_front(spec: FramingSpec | None) -> int:
    """Return how many bytes of a built frame only end what stood before it."""
    return 1 if isinstance(spec, Hdlc | Slip) else 0


class Window(ABC):
    """The last bytes fed to a framer: those that the frames it has just given can have come from."""

    def __init__(self, kept_bytes: int) -> None:
        """Take how many bytes of a frame can have been fed before, its end included."""
        self._kept_bytes = kept_bytes
        self._bytes = b""
        self._place = 0  # in wire order: the one looked for stands behind the last found

    def feed(self, data: bytes) -> None:
        """Note what is fed to the framer next."""
        old = max(0, len(self._bytes) - self._kept_bytes)
        self._bytes = self._bytes[old:] + data
        self._place = max(0, self._place - old)

    @abstractmethod
    def wire(self, body: bytes) -> bytes:
        """Return the whole frame around `body`; the body alone if it did not come from here."""


class LineWindow(Window):
    """Lines that end with LF or CR LF."""

    def __init__(self, spec: Line) -> None:
        super().__init__(spec.max + 3)
        self._bytes = b"\n"  # every line stands behind the end of another

    def wire(self, body: bytes) -> bytes:
        """Return the line with its end; the body alone if it did not come from here."""
        places = [(self._bytes.find(b"\n" + body + end, self._place), end) for end in (b"\n", b"\r\n")]
        found = [(place, end) for place, end in places if place >= 0]
        if not found:
            return body
        place, end = min(found)
        self._place = place + 1 + len(body) + len(end) - 1
        return body + end


class SentenceWindow(Window):
    """Sentences from their start to their check and line end."""

    def __init__(self, spec: Nmea0183) -> None:
        super().__init__(spec.max + 2)
        self._starts = [bytes([code]) for code in spec.start.encode()]

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
