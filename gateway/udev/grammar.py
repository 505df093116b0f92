"""Layer 2: rules files to rules and tokens (udev(7), "Rules files"). What tokens mean is not known here.

Every mistake becomes a `Problem` and reading goes on behind it: at the next token, else in the next line.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from typing import Final, NamedTuple

from gateway.errors import Problem

MAX_FILE_BYTES: Final = 1 << 20
MAX_LINE_BYTES: Final = 16_384  # udev's own limit of a rule, continuations joined
_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPERATOR: Final = re.compile(r"==|!=|\+=|-=|:=|=")
_SEPARATOR: Final = re.compile(r"[\s,]*")
_QUOTE: Final = re.compile(r'([A-Za-z]*)"')
_BARE: Final = re.compile(r"[^\s,]*")
_NEXT_TOKEN: Final = re.compile(r'[A-Za-z_]+(?:\{[^}"]*\})?\s*(?:[=!]=|[-+:]?=)\s*[a-z]*"')
_ESCAPES: Final = frozenset("abfnrtv\\\"'sxuU01234567")  # C-style, as cunescape() takes them
_PREFIXES: Final = frozenset({"", "e", "i", "ei", "ie"})


class Token(NamedTuple):
    """One `KEY{attribute}operator"value"`."""

    line: int  # in the file, from 1
    key: str
    attribute: str | None
    operator: str
    value: str
    is_escaped: bool  # written e"..."

    @property
    def name(self) -> str:
        """Return `KEY` or `KEY{attribute}`, as written."""
        return self.key if self.attribute is None else f"{self.key}{{{self.attribute}}}"


class Rule(NamedTuple):
    """The tokens of one line, continuations joined; never empty."""

    line: int  # the first one
    tokens: tuple[Token, ...]


class Reading(NamedTuple):
    """What a file says, as far as it can be read."""

    rules: list[Rule]
    problems: list[Problem]


def read_rules(file: str, data: bytes) -> Reading:
    """Return the rules in `data` and everything that is not written as rules are. Never raises."""
    if len(data) > MAX_FILE_BYTES:
        return Reading([], [Problem(file, 1, "", f"larger than {MAX_FILE_BYTES:,} bytes; that is no rules file")])
    rules: list[Rule] = []
    problems: list[Problem] = []
    for logical in _logical_lines(file, data, problems):
        reader = _Reader(file, logical, problems)
        tokens = tuple(reader.tokens())
        if tokens:
            rules.append(Rule(logical.line_at(0), tokens))
    return Reading(rules, problems)


class _Logical(NamedTuple):
    """Physical lines joined, and where in the text each begins."""

    text: str
    starts: list[int]
    lines: list[int]

    def line_at(self, offset: int) -> int:
        """Return the line of the file in which a place of the text stands."""
        return self.lines[bisect_right(self.starts, offset) - 1]


def _logical_lines(file: str, data: bytes, problems: list[Problem]) -> Iterator[_Logical]:
    text = ""
    starts: list[int] = []
    lines: list[int] = []
    at = data.find(b"\r\n")
    if at >= 0:
        problems.append(
            Problem(file, data.count(b"\n", 0, at) + 1, "", "a line end of Windows; save it with Unix ones")
        )
    for number, raw in enumerate(data.split(b"\n"), 1):
        line = _decoded(file, number, raw, problems).strip()
        if line.startswith("#") or (not line and not starts):
            continue  # udev leaves comments out in the middle of a continued rule too
        starts.append(len(text))
        lines.append(number)
        if line.endswith("\\"):
            text += line[:-1]
            continue
        text += line
        yield from _within_limit(file, _Logical(text, starts, lines), problems)
        text, starts, lines = "", [], []
    if starts:
        problems.append(Problem(file, lines[-1], "", "the file ends in a continued line, which udev then ignores"))


def _within_limit(file: str, logical: _Logical, problems: list[Problem]) -> Iterator[_Logical]:
    size = len(logical.text.encode())
    if size >= MAX_LINE_BYTES:
        message = f"a rule of {size:,} bytes; udev ignores those of {MAX_LINE_BYTES:,} and more: split it"
        problems.append(Problem(file, logical.line_at(0), "", message))
    elif logical.text:
        yield logical


def _decoded(file: str, number: int, raw: bytes, problems: list[Problem]) -> str:
    if b"\0" in raw:
        problems.append(Problem(file, number, "", "a NUL byte; this is no text, or it was damaged"))
    try:
        return raw.replace(b"\0", b" ").decode()
    except UnicodeDecodeError as error:
        message = f"byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8"
        problems.append(Problem(file, number, "", message))
        return raw.replace(b"\0", b" ").decode("utf-8", "replace")


class _Reader:
    """Reads the tokens of one rule from left to right."""

    def __init__(self, file: str, logical: _Logical, problems: list[Problem]) -> None:
        self._file = file
        self._logical = logical
        self._text = logical.text
        self._problems = problems
        self._at = 0

    def tokens(self) -> Iterator[Token]:
        """Give what is written as a token."""
        is_first, came_whole = True, True
        while True:
            between = _SEPARATOR.match(self._text, self._at)
            assert between is not None
            self._at = between.end()
            if self._at >= len(self._text):
                if "," in between[0]:
                    self._tell(between.start(), "", "a comma behind the last key")
                return
            self._check_commas(between[0], self._at, is_first=is_first, came_whole=came_whole)
            is_first = False
            token = self._token()
            came_whole = token is not None
            if token is not None:
                yield token
            else:
                following = _NEXT_TOKEN.search(self._text, self._at)
                self._at = following.start() if following else len(self._text)

    def _check_commas(self, between: str, at: int, *, is_first: bool, came_whole: bool) -> None:
        commas = between.count(",")
        if is_first and commas:
            self._tell(at, "", "a comma before the first key")
        elif commas > 1:
            self._tell(at, "", "two commas with nothing between them")
        elif not is_first and came_whole and not commas:
            self._tell(at, "", "a comma is missing before this key")

    def _token(self) -> Token | None:
        """Return the token here, None (told) where there is none; then everything up to `_at` was understood."""
        begin = self._at
        key = _KEY.match(self._text, begin)
        if key is None:
            found = _BARE.match(self._text, begin)
            self._at = max(found.end() if found else begin, begin + 1)
            self._tell(begin, "", f"expected a key here, found {_short(self._text[begin : self._at])}")
            return None
        self._at = key.end()
        attribute = None
        if self._text.startswith("{", self._at):
            end = self._text.find("}", self._at)
            if end < 0:
                self._tell(begin, key[0], "the brace is never closed")
                self._at = len(self._text)
                return None
            attribute, self._at = self._text[self._at + 1 : end], end + 1
        name = key[0] if attribute is None else f"{key[0]}{{{attribute}}}"
        operator = _OPERATOR.match(self._text, self._blank_end())
        if operator is None:
            self._tell(begin, name, "no operator behind the key; one of == != = += -= :=")
            return None
        self._at = operator.end()
        value = self._value(begin, name, operator[0])
        if value is None:
            return None
        text, is_escaped = value
        return Token(self._logical.line_at(begin), key[0], attribute, operator[0], text, is_escaped)

    def _value(self, begin: int, name: str, operator: str) -> tuple[str, bool] | None:
        start = self._blank_end()
        quote = _QUOTE.match(self._text, start)
        if quote is None:
            bare = _BARE.match(self._text, start)
            self._at = bare.end() if bare else start
            found = _short(self._text[start : self._at]) if self._at > start else "nothing"
            self._tell(begin, name, f'a value stands in double quotes: {name}{operator}"value"; found {found}')
            return None
        if quote[1] not in _PREFIXES:
            self._tell(begin, name, f'{quote[1]}"..." is no kind of value; write "..." or e"..." with C escapes')
        end = self._closing(quote.end())
        if end < 0:
            self._tell(begin, name, "the quote is never closed; the rest of the rule is lost")
            self._at = len(self._text)
            return None
        raw, self._at = self._text[quote.end() : end], end + 1
        is_escaped = "e" in quote[1]
        if is_escaped:
            self._check_escapes(begin, name, raw)
            return raw, True
        return raw.replace('\\"', '"'), False

    def _closing(self, at: int) -> int:
        """Return where the quote ends, -1 if never. A backslash hides the quote behind it, and nothing else."""
        while (end := self._text.find('"', at)) > 0 and self._text[end - 1] == "\\" and end > at:
            at = end + 1
        return end

    def _check_escapes(self, begin: int, name: str, raw: str) -> None:
        at = 0
        while (at := raw.find("\\", at)) >= 0:
            if raw[at + 1 : at + 2] not in _ESCAPES:
                self._tell(begin, name, f"\\{raw[at + 1 : at + 2]} is no escape; write \\\\ for a backslash")
            at += 2

    def _blank_end(self) -> int:
        at = self._at
        while at < len(self._text) and self._text[at].isspace():
            at += 1
        return at

    def _tell(self, offset: int, key: str, message: str) -> None:
        self._problems.append(Problem(self._file, self._logical.line_at(offset), key, message))


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
