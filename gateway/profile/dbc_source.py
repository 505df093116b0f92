"""Layer 3: a DBC file as text: its encoding, its bounds, and at which line a mistake stands. No cantools here."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator
from functools import cached_property
from typing import Final

from gateway.errors import Problem, ProfileError

MAX_FILE_BYTES: Final = 8_000_000  # the largest J1939 databases in the field have 6 MB
MAX_MESSAGE_BYTES: Final = 8192  # CAN FD has 64, a J1939 transfer 1785, ISO-TP in classic use 4095
MAX_MULTIPLEX_VALUES: Final = 65_536  # of one message: the parser builds a layout for each

_MESSAGE: Final = re.compile(r"\bBO_\s+(\d+)\s+(\w+)\s*:\s*(\S+)")
_SIGNAL: Final = re.compile(r"\bSG_\s+(\w+)[^:;\"]{0,80}:\s*(\S+?)\s*\|\s*(\S+?)\s*@")
_DECLARATION: Final = re.compile(r"\bBO_\s+(\d+)\s+(\w+)\s*:|\bSG_\s+(\w+)[^\n\"]{0,40}:")
_LONG_NAME: Final = re.compile(r'\bBA_\s+"SystemMessageLongSymbol"\s+BO_\s+(\d+)\s+"([^"]+)"')
_RANGES: Final = re.compile(r"\bSG_MUL_VAL_\s+(\d+)\s+(\w+)\s+(\w+)\s+([^;]*);")
_RANGE: Final = re.compile(r"(\d+)\s*-\s*(\d+)")
_LONG_NUMBER: Final = re.compile(
    r"[0-9]{330,}"
    r'|\bBA_[A-Z_]*\s[^;]*?["\s][-+]?[0-9.]+[eE][+-]?[0-9]{4,}"?\s*;'  # the parser makes attributes integers
)
_LINE_OF_ERROR: Final = re.compile(r"\bat line (\d+), column (\d+)")
_MESSAGE_OF_ERROR: Final = re.compile(r"in message (.+?)\.$")
_SIGNAL_OF_ERROR: Final = re.compile(r"^The signals? (\S+)")
_UNUSED: Final = re.compile(r"(VAL_|SIG_VALTYPE_) (\d+) (\S+)")


def text_of(data: bytes) -> str:
    """Return the text of a DBC file: UTF-8 where it is whole, else Windows-1252, the format's own encoding.

    A file whose UTF-8 holds replacement characters was damaged by an earlier conversion and counts as Windows-1252.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
    return data.decode("cp1252", errors="replace") if "\ufffd" in text else text


class DbcSource:
    """The text of one file, able to say where a message or signal is declared."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file

    @cached_property
    def _line_ends(self) -> list[int]:
        return [found.start() for found in re.finditer("\n", self.text)]

    @cached_property
    def _declared(self) -> dict[tuple[str, str | None], int]:
        """Return the offset of every message, by short and long name, and of every signal."""
        places: dict[tuple[str, str | None], int] = {}
        by_id: dict[str, int] = {}
        message = ""
        for found in _DECLARATION.finditer(self.text):
            if found[2]:
                message = found[2]
                by_id.setdefault(found[1], found.start())
            places.setdefault((message, found[3]), found.start())
        for found in _LONG_NAME.finditer(self.text):
            if found[1] in by_id:
                places.setdefault((found[2], None), by_id[found[1]])
        return places

    def line_at(self, offset: int) -> int:
        """Return the line, from 1, of an offset into the text."""
        return bisect_left(self._line_ends, offset) + 1

    def line_of(self, message: str, signal: str | None = None) -> int:
        """Return the line of a signal in a message, else of the message, else 1."""
        offset = self._declared.get((message, signal), self._declared.get((message, None)))
        return 1 if offset is None else self.line_at(offset)

    def problem(self, message: str, line: int, key: str = "", severity: str = "error") -> Problem:
        """Return a problem of this file."""
        return Problem(self.file, line, key, message, severity)

    def check_bounds(self) -> None:
        """Refuse what would make the parser need unbounded time or memory. Raises: ProfileError."""
        problems = list(self._excesses())
        if problems:
            raise ProfileError(problems)

    def _excesses(self) -> Iterator[Problem]:
        if len(self.text) > MAX_FILE_BYTES:
            yield self.problem(f"{len(self.text):,} bytes are too many for a DBC; at most {MAX_FILE_BYTES:,}", 1)
            return
        if found := _LONG_NUMBER.search(self.text):
            yield self.problem("a number has too many digits", self.line_at(found.start()))
        for found in _MESSAGE.finditer(self.text):
            if _number(found[3]) > MAX_MESSAGE_BYTES:
                said = f"{found[3][:20]} bytes are too long for a message; at most {MAX_MESSAGE_BYTES}"
                yield self.problem(said, self.line_at(found.start()), found[2])
        for found in _SIGNAL.finditer(self.text):
            if not all(0 <= _number(text) <= 8 * MAX_MESSAGE_BYTES for text in (found[2], found[3])):
                said = f"a signal cannot stand at {found[2][:20]}|{found[3][:20]}"
                yield self.problem(said, self.line_at(found.start()), found[1])
        yield from self._excessive_multiplexing()

    def _excessive_multiplexing(self) -> Iterator[Problem]:
        children: dict[tuple[str, str], dict[str, int]] = {}
        for found in _RANGES.finditer(self.text):
            values = sum(max(0, _number(high) - _number(low) + 1) for low, high in _RANGE.findall(found[4]))
            children.setdefault((found[1], found[3]), {})[found[2]] = values
        known: dict[tuple[str, str], int] = {}
        for frame_id, multiplexer in sorted(children, key=lambda place: -max(children[place].values())):
            if _layouts(children, known, frame_id, multiplexer) > MAX_MULTIPLEX_VALUES:
                place = re.search(rf"\bSG_MUL_VAL_\s+{frame_id}\s+\w+\s+{multiplexer}\s", self.text)
                said = f"{multiplexer} multiplexes by too many values; at most {MAX_MULTIPLEX_VALUES} for one message"
                yield self.problem(said, self.line_at(place.start()) if place else 1, multiplexer)
                return


def _layouts(
    children: dict[tuple[str, str], dict[str, int]], known: dict[tuple[str, str], int], frame_id: str, multiplexer: str
) -> int:
    """Return about how many layouts the parser makes below a multiplexer: nested ones multiply."""
    place = (frame_id, multiplexer)
    if place not in children or len(known) > 10_000:
        return 0
    if place not in known:
        known[place] = 0  # one inside itself has no end, and the parser no layout for it
        below = children[place].items()
        nested = sum(values * _layouts(children, known, frame_id, signal) for signal, values in below)
        known[place] = max(children[place].values()) + nested
    return known[place]


def _number(text: str) -> int:
    """Return the integer in `text`, or 0 where the parser will say what is wrong with it."""
    try:
        return int(text[:40], 0)
    except ValueError:
        return 0


def problems_of(error: Exception, source: DbcSource) -> list[Problem]:
    """Return what the parser refused, each at the line where the file says it."""
    text = str(error) or type(error).__name__
    unused = [found for found in _UNUSED.finditer(text) if text.startswith("unused")]
    if unused:
        return [_unused(source, found[1], found[2], found[3]) for found in unused]
    if found := _LINE_OF_ERROR.search(text):
        said = f"invalid syntax at column {found[2]}: {_excerpt(source.text, int(found[1]))}"
        return [source.problem(said, int(found[1]))]
    in_message, of_signal = _MESSAGE_OF_ERROR.search(text), _SIGNAL_OF_ERROR.match(text)
    if in_message:
        signal = of_signal[1] if of_signal else None
        key = f"{in_message[1]}.{signal}" if signal else in_message[1]
        return [source.problem(text, source.line_of(in_message[1], signal), key)]
    if isinstance(error, RecursionError | MemoryError):
        return [source.problem("nested too deep, or too large, to be read", 1)]
    return [source.problem(f"not a CAN database: {type(error).__name__}: {text[:200]}", _line_naming(source, text))]


def _unused(source: DbcSource, keyword: str, frame_id: str, signal: str) -> Problem:
    found = re.search(rf"\b{keyword}\s+{frame_id}\s+{re.escape(signal)}\b", source.text)
    line = source.line_at(found.start()) if found else 1
    return source.problem(f"{keyword} {frame_id} {signal} names a signal that no message has", line, signal)


def _excerpt(text: str, line: int) -> str:
    lines = text.split("\n")
    return lines[line - 1].strip()[:80] if 0 < line <= len(lines) else "the file ends too early"


def _line_naming(source: DbcSource, text: str) -> int:
    """Return the first line with a word that the error quotes, else 1."""
    for quoted in re.findall(r"'([^']{2,})'", text):
        at = source.text.find(quoted)
        if at >= 0:
            return source.line_at(at)
    return 1
