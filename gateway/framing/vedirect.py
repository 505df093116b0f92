"""Layer 2: Victron VE.Direct text blocks.

[CR LF label TAB value]... [CR LF "Checksum" TAB byte]     all bytes of a block sum to 0 mod 256

HEX frames (":", hex digits, LF) may come at any place, inside a block too; they are cut out, counted as empty bytes,
and leave the block and its sum as they were.

Source: Victron Energy, "VE.Direct Protocol" (text mode) and "BMV-7xx HEX Protocol".
"""

from __future__ import annotations

import re
from typing import Final

from gateway.errors import EncodeError
from gateway.framing.account import Account, Found

_CLOSE: Final = b"\r\nChecksum\t"
_FIELD: Final = re.compile(rb"([\x20-\x7e]+)\t[\x20-\x7e]*")
_FIELD_BEGUN: Final = re.compile(rb"[\x20-\x7e]+(?:\t[\x20-\x7e]*\r?)?")
_MAX_HEX_DIGITS: Final = 512  # the longest HEX answers, history records, are far below
_HEX: Final = re.compile(rb":[0-9A-Fa-f]{1,%d}\n" % _MAX_HEX_DIGITS)
_HEX_BEGUN: Final = re.compile(rb":[0-9A-Fa-f]{0,%d}" % _MAX_HEX_DIGITS)
_LINE_END_SUM: Final = 0x0D + 0x0A
_MAX_FIRST_LABELS: Final = 16
_FIRST_LABELS: Final = frozenset({b"PID", b"H1", b"V"})  # of the blocks that Victron's products send


class VeDirectFramer(Account):
    """Body = the fields of a block, `label TAB value` joined by CR LF, without the checksum field.

    A sum of one byte vouches little, so a block is looked for only where one may begin: behind the block before or
    behind bytes that are no fields, at a label that began a block before, and where a label comes a second time. At the
    beginning of a stream the first CR LF may be missing.
    """

    def __init__(self, max_bytes: int) -> None:
        super().__init__(max_bytes + _MAX_HEX_DIGITS + 2)
        self._max_bytes = max_bytes
        self._text = bytearray()  # pending, HEX frames cut out
        self._hex_begun = b""  # pending, may become a HEX frame
        self._at_start = True  # nothing since the stream or the last gap was decided
        self._first_labels = set(_FIRST_LABELS)

    def feed(self, data: bytes) -> Found:
        """Return bodies and garbage in wire order."""
        self._fed += len(data)
        found: Found = []
        self._cut_out_hex(found, self._hex_begun + data, final=False)
        self._find_blocks(found)
        self._shed(found)
        return found

    def gap(self) -> Found:
        """Refuse the block that was begun."""
        found: Found = []
        self._cut_out_hex(found, self._hex_begun, final=True)
        self._find_blocks(found)
        self._refuse(found, bytes(self._text), "cut")
        self._text.clear()
        self._at_start = True
        return found

    def _pending_bytes(self) -> int:
        return len(self._text) + len(self._hex_begun)

    def _cut_out_hex(self, found: Found, data: bytes, *, final: bool) -> None:
        """Move `data` to the pending text without its HEX frames."""
        self._hex_begun = b""
        place = 0
        while (colon := data.find(b":", place)) >= 0:
            self._text += data[place:colon]
            place = colon
            if self._text.endswith(_CLOSE) and self._is_checksum(found, 0x3A):
                self._text += b":"
                place += 1
            elif match := _HEX.match(data, colon):
                self._empty_bytes += len(match[0])
                place = match.end()
            elif not final and _HEX_BEGUN.fullmatch(data, colon):
                self._hex_begun = data[colon:]
                return
            else:
                self._text += b":"
                place += 1
        self._text += data[place:]

    def _is_checksum(self, found: Found, byte: int) -> bool:
        """Return whether `byte` closes all that waits for its checksum (a part would do so by chance too often)."""
        self._find_blocks(found)
        text = bytes(self._text) + bytes((byte,))
        close = len(text) - len(_CLOSE) - 1
        possible = self._possible_begins(text, 0, close)
        return self._first_that_sums(text, possible[:1], close) >= 0

    def _find_blocks(self, found: Found) -> None:
        """Move whole blocks, and what closes none, from the pending text to `found`."""
        place = 0
        text = bytes(self._text)
        close = text.find(_CLOSE)
        while close >= 0 and close + len(_CLOSE) < len(text):
            end = close + len(_CLOSE) + 1
            begin = self._first_that_sums(text, self._possible_begins(text, place, close), close)
            if begin >= 0:
                self._refuse(found, text[place:begin], "noise")
                body = text[begin:close].removeprefix(b"\r\n")
                if len(self._first_labels) < _MAX_FIRST_LABELS:
                    self._first_labels.add(body[: body.index(b"\t")])
                found.append(body)
                self._frames += 1
                place = end
            else:
                self._refuse(found, text[place : end - 1], "check")
                place = end - 1  # what was no checksum may begin the next block
            self._at_start = False
            close = text.find(_CLOSE, place)
        if place:
            del self._text[:place]

    def _possible_begins(self, text: bytes, place: int, close: int) -> list[tuple[int, bytes]]:
        """Return where the fields begin, and their labels, that may belong to the checksum field at `close`."""
        place = max(place, close + len(_CLOSE) + 1 - self._max_bytes)
        begins = [match.start() for match in re.finditer(rb"\r\n", text[place:close])]
        begins = [place + begin for begin in begins]
        if self._at_start and place == 0 and begins[:1] != [0]:
            begins.insert(0, 0)
        if not begins:
            return []
        labels: list[bytes] = []  # of the fields from the candidate on, last field first
        possible: list[tuple[int, bytes]] = []
        for begin, end in reversed(list(zip(begins, [*begins[1:], close], strict=True))):
            match = _FIELD.fullmatch(text[begin:end].removeprefix(b"\r\n"))
            if not match or match[1] in labels:
                break
            labels.append(match[1])
            possible.append((begin, match[1]))
        return possible[::-1]

    def _first_that_sums(self, text: bytes, possible: list[tuple[int, bytes]], close: int) -> int:
        """Return the first of `possible` where a block may begin and whose sum is right, -1 if there is none."""
        end = close + len(_CLOSE) + 1
        for index, (begin, label) in enumerate(possible):
            if index == 0 or label in self._first_labels:
                unsent = 0 if text.startswith(b"\r\n", begin) else _LINE_END_SUM
                if (sum(text[begin:end]) + unsent) & 0xFF == 0:
                    return begin
        return -1

    def _shed(self, found: Found) -> None:
        """Refuse pending bytes that cannot be part of a block any more."""
        text = bytes(self._text)
        line_end = text.find(b"\r\n")
        head = text[:line_end] if line_end >= 0 else text
        if self._at_start and (_FIELD if line_end > 0 else _FIELD_BEGUN).fullmatch(head):
            noise = 0
        elif line_end >= 0:
            noise = line_end
        else:
            noise = len(text) - text.endswith(b"\r")
        over = max(noise, len(text) - self._max_bytes + 1)
        if over > 0:
            self._refuse(found, text[:noise], "noise")
            self._refuse(found, text[noise:over], "too long")
            del self._text[:over]
            self._at_start = False

    def encode(self, body: bytes) -> bytes:
        """Return the block around the fields in `body`. Raises: EncodeError for text that is no list of fields."""
        fields = [_FIELD.fullmatch(line) for line in body.split(b"\r\n")]
        labels = [field[1] for field in fields if field]
        if len(labels) != len(fields) or len(set(labels)) != len(labels):
            raise EncodeError(f"a block is 'label TAB value' joined by CR LF, no label twice; not {body[:40]!r}")
        block = b"\r\n" + body + _CLOSE
        if len(block) >= self._max_bytes:
            raise EncodeError(f"block of {len(block) + 1} bytes is longer than framing.max = {self._max_bytes}")
        return block + bytes((-sum(block) & 0xFF,))
