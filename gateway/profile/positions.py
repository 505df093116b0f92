"""Layer 3: at which line each key of a TOML document stands.

`tomllib` gives values without places; this scanner gives places without values. It is written for text that `tomllib`
accepts; on other text it tells what it saw before the mistake, and which keys stand twice.
"""

from __future__ import annotations

import re
import tomllib
from typing import Final

Path = tuple[str | int, ...]

_SKIP: Final = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BLANK: Final = re.compile(r"[ \t]*")
_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR: Final = re.compile(r"[^,\]}\n#]+")
_STRINGS: Final = (  # no possessive quantifiers: Python 3.11.2, which Debian 12 has, gets them wrong
    ('"""', re.compile(r'"""[^"\\]*(?:(?:\\[\s\S]|"{1,2}(?!"))[^"\\]*)*"{3,5}')),
    ("'''", re.compile(r"'''[^']*(?:'{1,2}(?!')[^']*)*'{3,5}")),
    ('"', re.compile(r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"')),
    ("'", re.compile(r"'[^'\n]*'")),
)


def key_text(path: Path) -> str:
    """Return a path as people read it: `message.df5.fields[2].scale`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


class _Stop(Exception):
    """The text is not TOML from here on."""


class Scan:
    """The places of all keys in `text`, found at once.

    `lines` maps every path (tables, keys, list elements) to its line, from 1; `twice` lists the paths given a second
    time, with that line.
    """

    def __init__(self, text: str) -> None:
        self.lines: dict[Path, int] = {(): 1}
        self.twice: list[tuple[Path, int]] = []
        self._text = text.replace("\r\n", "\n")
        self._position = 0
        self._line = 1
        self._counted_to = 0
        self._explicit: set[Path] = set()
        self._arrays: dict[Path, int] = {}
        self._table: Path = ()
        try:
            self._document()
        except (_Stop, RecursionError):
            return

    def line_of(self, path: Path) -> int:
        """Return the line of `path`, else of the nearest table around it."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]

    def _here(self) -> int:
        self._line += self._text.count("\n", self._counted_to, self._position)
        self._counted_to = self._position
        return self._line

    def _skip(self, pattern: re.Pattern[str]) -> None:
        match = pattern.match(self._text, self._position)
        self._position = match.end() if match else self._position

    def _starts(self, mark: str) -> bool:
        return self._text.startswith(mark, self._position)

    def _expect(self, mark: str) -> None:
        self._skip(_BLANK)
        if not self._starts(mark):
            raise _Stop
        self._position += len(mark)

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._position)
        if not match:
            raise _Stop
        self._position = match.end()
        return match[0]

    def _document(self) -> None:
        self._skip(_SKIP)
        while self._position < len(self._text):
            if self._starts("[["):
                self._array_header()
            elif self._starts("["):
                self._header()
            else:
                self._pair(self._table)
            self._skip(_SKIP)

    def _header(self) -> None:
        line = self._here()
        self._position += 1
        path = self._resolve(self._key(), line)
        self._expect("]")
        self._mark(path, line)
        self._table = path

    def _array_header(self) -> None:
        line = self._here()
        self._position += 2
        path = self._resolve(self._key(), line, last_is_array=True)
        self._expect("]]")
        count = self._arrays.get(path, 0)
        self._arrays[path] = count + 1
        self.lines.setdefault(path, line)
        self._table = (*path, count)
        self.lines[self._table] = line

    def _resolve(self, parts: list[str], line: int, *, last_is_array: bool = False) -> Path:
        """Return the path a header means: a part that names an array of tables means its newest element."""
        path: Path = ()
        for index, part in enumerate(parts):
            path = (*path, part)
            self.lines.setdefault(path, line)
            if path in self._arrays and not (last_is_array and index == len(parts) - 1):
                path = (*path, self._arrays[path] - 1)
        return path

    def _mark(self, path: Path, line: int) -> None:
        if path in self._explicit:
            self.twice.append((path, line))
        else:
            self._explicit.add(path)
            self.lines[path] = line

    def _pair(self, table: Path) -> None:
        line = self._here()
        path = table
        parts = self._key()
        for part in parts:
            path = (*path, part)
            self.lines.setdefault(path, line)
        self._expect("=")
        self._mark(path, line)
        self._skip(_BLANK)
        self._value(path)

    def _key(self) -> list[str]:
        parts: list[str] = []
        while True:
            self._skip(_BLANK)
            parts.append(self._key_part())
            self._skip(_BLANK)
            if not self._starts("."):
                return parts
            self._position += 1

    def _key_part(self) -> str:
        if self._starts('"'):
            quoted = self._take(_STRINGS[2][1])
            try:
                return str(tomllib.loads(f"k={quoted}")["k"])
            except tomllib.TOMLDecodeError:
                raise _Stop from None
        if self._starts("'"):
            return self._take(_STRINGS[3][1])[1:-1]
        return self._take(_BARE)

    def _value(self, path: Path) -> None:
        if self._starts("["):
            self._array(path)
        elif self._starts("{"):
            self._inline_table(path)
        else:
            self._take(next((pattern for mark, pattern in _STRINGS if self._starts(mark)), _SCALAR))

    def _array(self, path: Path) -> None:
        self._position += 1
        index = 0
        self._skip(_SKIP)
        while not self._starts("]"):
            self.lines[(*path, index)] = self._here()
            self._value((*path, index))
            index += 1
            self._separator("]", _SKIP)
        self._position += 1

    def _inline_table(self, path: Path) -> None:
        self._position += 1
        self._skip(_SKIP)
        while not self._starts("}"):
            self._pair(path)
            self._separator("}", _SKIP)
        self._position += 1

    def _separator(self, end: str, blank: re.Pattern[str]) -> None:
        self._skip(blank)
        if self._starts(","):
            self._position += 1
            self._skip(blank)
        elif not self._starts(end):
            raise _Stop
