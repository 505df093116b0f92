"""Layer 2: text between a start and a closing mark, with hex digits of a check behind: what NMEA 0183 and P1 share.

[start] [body: neither start nor mark] [mark] [check digits] [CR LF]

A start always begins anew, so the search never looks back. A sentence ends with its check; the line end behind it
belongs to it when it comes. Other line ends without a line are empty bytes; all else in between is garbage.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from typing import Final

from gateway.framing.account import Account, Found

_LINE_ENDS: Final = re.compile(rb"[\r\n]*")


class SentenceFramer(Account, ABC):
    """Sentences of at most `max_bytes` from start to check. Kinds say which checks are good.

    `check` is the pattern of what follows the mark, `check_at_end` the same when nothing more will come, `check_begun`
    of its beginnings, `check_bytes` its longest.
    """

    def __init__(
        self,
        max_bytes: int,
        *,
        starts: bytes,
        mark: bytes,
        not_inside: bytes,
        check: bytes,
        check_begun: bytes,
        check_bytes: int,
        check_at_end: bytes | None = None,
        by_line: bool,
    ) -> None:
        super().__init__(max_bytes)
        self._starts = [bytes([code]) for code in starts]
        self._mark = mark
        self._by_line = by_line  # refuse line by line
        self._max_body_bytes = max(0, max_bytes - 1 - len(mark) - check_bytes)
        start = rb"[" + re.escape(starts) + rb"]"
        inside = rb"[^" + re.escape(starts + mark + not_inside) + rb"]{0,%d}" % self._max_body_bytes
        self._inside = re.compile(inside)
        unchecked = start + rb"(" + inside + rb")" + re.escape(mark)
        self._whole = re.compile(unchecked + check)
        self._whole_at_end = re.compile(unchecked + (check_at_end or check))
        self._begun = re.compile(start + inside + rb"(?:" + re.escape(mark) + check_begun + rb")?")
        self._pieces = re.compile(start + rb"?[^" + re.escape(starts) + rb"]*")
        self._line_end = b""  # what may still come of the line end behind the last sentence
        self._fresh = True  # nothing was refused since the last line end
        self._reason = "noise"  # of what is being refused

    @abstractmethod
    def _is_good(self, match: re.Match[bytes]) -> bool:
        """Return whether the check holds; group 1 is the body."""

    def feed(self, data: bytes) -> Found:
        """Return bodies and garbage in wire order."""
        self._fed += len(data)
        return self._scan(self._pending + data, final=False)

    def gap(self) -> Found:
        """Refuse the sentence that was begun."""
        found = self._scan(self._pending, final=True)
        self._line_end, self._fresh, self._reason = b"", True, "noise"
        return found

    def _scan(self, data: bytes, *, final: bool) -> Found:
        found: Found = []
        place = 0
        whole = self._whole_at_end if final else self._whole
        for match in whole.finditer(data):
            if self._is_good(match):
                if place < match.start():
                    self._between(found, data[place : match.start()])
                found.append(match[1])
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
        """Account for bytes that are no sentence: the last one's line end, empty lines, garbage."""
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
            end = run.find(b"\n", place) + 1 or len(run) if self._by_line else len(run)
            self._refuse_pieces(found, run[place:end])
            self._fresh = self._by_line and run[end - 1] == 0x0A
            if self._fresh:
                self._reason = "noise"
            place = end

    def _refuse_pieces(self, found: Found, line: bytes) -> None:
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
        end = self._inside.match(piece, 1).end()  # type: ignore[union-attr]  # matches nothing too
        if piece.startswith(self._mark, end):
            return "check"
        return "too long" if end > self._max_body_bytes and piece[end : end + 1] not in {b"", b"\r", b"\n"} else "cut"
