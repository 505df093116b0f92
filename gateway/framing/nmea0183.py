r"""Layer 2: NMEA 0183 sentences.

[start: "$" or "!"] [body] "*" [xor of the body: two hex digits] [CR LF]

Source: NMEA 0183 (IEC 61162-1) sentence structure; AIVDM sentences begin with "!". A sentence ends with its check; the
line end behind it belongs to it when it comes. Other line ends without a line are empty bytes; all else between
sentences, comments and tag blocks (`\...\`) too, is garbage.
"""

from __future__ import annotations

import re
from typing import Final

from gateway.errors import EncodeError
from gateway.framing.account import Account, Found
from gateway.framing.checks import check_of

_LINE_ENDS: Final = re.compile(rb"[\r\n]*")


class Nmea0183Framer(Account):
    """Sentences of at most `max_bytes` from their start to their check; the check is required, in either case."""

    def __init__(self, start: str, max_bytes: int) -> None:
        super().__init__(max_bytes)
        starts = re.escape(start.encode("ascii"))
        self._starts = [bytes([code]) for code in start.encode("ascii")]
        self._max_body_bytes = max(0, max_bytes - 4)
        inside = rb"[^" + starts + rb"*\r\n]{0," + str(self._max_body_bytes).encode() + rb"}"
        self._sentence = re.compile(rb"[" + starts + rb"](" + inside + rb")\*([0-9A-Fa-f]{2})")
        self._begun = re.compile(rb"[" + starts + rb"]" + inside + rb"(?:\*[0-9A-Fa-f]?)?")
        self._pieces = re.compile(rb"[" + starts + rb"]?[^" + starts + rb"]*")
        self._inside = re.compile(inside)
        self._checksum = check_of("xor-8").compute
        self._line_end = b""  # what may still come of the line end behind the last sentence
        self._fresh = True  # nothing was refused since the last line end
        self._reason = "noise"  # of the line being refused

    def feed(self, data: bytes) -> Found:
        """Return bodies and garbage in wire order."""
        self._fed += len(data)
        return self._scan(self._pending + data, final=False)

    def gap(self) -> Found:
        """Refuse the sentence that was begun."""
        found = self._scan(self._pending, final=True)
        self._line_end, self._fresh, self._reason = b"", True, "noise"
        return found

    def encode(self, body: bytes) -> bytes:
        """Return the sentence with its line end. Raises: EncodeError for bytes that cannot stand in one."""
        if not self._inside.fullmatch(body):
            raise EncodeError(
                f"a sentence holds at most {self._max_body_bytes} bytes, none of them its start, '*' or a line end; "
                f"this does not: {body[:40]!r}"
            )
        return self._starts[0] + body + b"*%02X\r\n" % self._checksum(body)

    def _scan(self, data: bytes, *, final: bool) -> Found:
        found: Found = []
        place = 0
        for match in self._sentence.finditer(data):
            body = match[1]
            if self._checksum(body) == int(match[2], 16):
                if place < match.start():
                    self._between(found, data[place : match.start()])
                found.append(body)
                self._frames += 1
                self._line_end, self._fresh, self._reason = b"\r\n", True, "noise"
                place = match.end()
        rest = len(data) if final else self._begun_at(data, place)
        if place < rest:
            self._between(found, data[place:rest])
        self._pending = data[rest:]
        return found

    def _begun_at(self, data: bytes, place: int) -> int:
        """Return where the last sentence begins that more bytes may complete."""
        begin = max(data.rfind(start, place) for start in self._starts)
        return begin if begin >= 0 and self._begun.fullmatch(data, begin) else len(data)

    def _between(self, found: Found, run: bytes) -> None:
        """Account for bytes that are no sentence: the last one's line end, empty lines, garbage line by line."""
        place = 0
        while self._line_end and place < len(run):
            if run[place] == self._line_end[0]:
                place += 1
            self._line_end = self._line_end[1:]
        while place < len(run):
            if self._fresh:
                begin = _LINE_ENDS.match(run, place).end()  # type: ignore[union-attr]  # matches nothing too
                self._empty_bytes += begin - place
                place = begin
                if place == len(run):
                    return
            end = run.find(b"\n", place) + 1 or len(run)
            self._refuse_line(found, run[place:end])
            self._fresh = run[end - 1] == 0x0A
            if self._fresh:
                self._reason = "noise"
            place = end

    def _refuse_line(self, found: Found, line: bytes) -> None:
        refused = 0
        for match in self._pieces.finditer(line):
            piece = match[0]
            reason = self._reason if piece[:1] not in self._starts else self._reason_for(piece)
            if reason != self._reason:
                self._refuse(found, line[refused : match.start()], self._reason)
                self._reason, refused = reason, match.start()
        self._refuse(found, line[refused:], self._reason)

    def _reason_for(self, piece: bytes) -> str:
        """Return why a piece that begins like a sentence is none."""
        if self._sentence.match(piece):
            return "check"
        end = self._inside.match(piece, 1).end()  # type: ignore[union-attr]  # matches nothing too
        return "too long" if end > self._max_body_bytes and piece[end : end + 1] not in {b"*", b"\r", b"\n"} else "cut"
