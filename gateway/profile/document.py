"""Layer 3: one TOML file as raw data that knows where everything stands, and the list of what is wrong with it.

Bytes come in; no file is opened here.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any, Final

from gateway.errors import Problem
from gateway.profile.positions import Path, Scan, key_text

MAX_BYTES: Final = 4_000_000  # a profile generated from the largest known DBC stays under 2 MB
MAX_DEPTH: Final = 32  # tables and lists inside each other; a real profile needs 8
MAX_PROBLEMS: Final = 500  # nobody reads more at once
_PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
_TWICE: Final = ("overwrite", "twice", "uplicate", "redefine", "mutate")  # in tomllib's messages about repeated keys
_LONG_NUMBER: Final = re.compile(r"[0-9][0-9_]{300,}")
_STRING: Final = re.compile(r'"[^"\\\n]*(?:\\.[^"\\\n]*)*"' + r"|'[^'\n]*'")
_LONG_KEY: Final = re.compile(r"(?<![\w-])(?:[\w-]+[ \t]*\.[ \t]*){64}")


class Document:
    """A TOML file: `raw` is its data ({} where it has none), `problems` what was found wrong so far, in no order."""

    def __init__(self, file: str, data: bytes) -> None:
        self.file = file
        self.raw: dict[str, Any] = {}
        self.problems: list[Problem] = []
        self.paths: set[Path] = set()  # of what was reported
        self._scan: Scan | None = None
        self._text = ""
        if len(data) > MAX_BYTES:
            self._refuse(1, f"{len(data):,} bytes are too many for a profile; at most {MAX_BYTES:,}")
            return
        try:
            self._text = data.decode("utf-8-sig")  # some editors begin a file with a byte order mark
        except UnicodeDecodeError as error:
            self._refuse(data.count(b"\n", 0, error.start) + 1, f"not UTF-8 (byte 0x{data[error.start]:02x})")
            return
        self._parse()

    @property
    def is_readable(self) -> bool:
        """Return whether there is data to look at."""
        return bool(self.raw) or not self.problems

    @property
    def has_errors(self) -> bool:
        """Return whether any problem refuses the file."""
        return any(problem.severity == "error" for problem in self.problems)

    def line_of(self, path: Path) -> int:
        """Return the line of a key, else of the table it is missing from."""
        return self.scan.line_of(path)

    @property
    def scan(self) -> Scan:
        """Return the places of all keys; found when first asked for."""
        if self._scan is None:
            self._scan = Scan(self._text)
        return self._scan

    def report(self, path: Path, message: str, severity: str = "error") -> None:
        """Add a problem at `path`; the same one is added once, and nothing after `MAX_PROBLEMS`."""
        if len(self.problems) >= MAX_PROBLEMS:
            return
        problem = Problem(self.file, self.line_of(path), key_text(path), message, severity)
        if problem not in self.problems:
            self.problems.append(problem)
            self.paths.add(path)

    def sorted_problems(self) -> list[Problem]:
        """Return the problems in the order of the file."""
        return sorted(self.problems, key=lambda problem: (problem.line, problem.key, problem.message))

    def _refuse(self, line: int, message: str, key: str = "") -> None:
        self.raw = {}
        self.problems.append(Problem(self.file, line, key, message))

    def _parse(self) -> None:
        if line := _line_with_long_key(self._text):
            self._refuse(line, f"keys are nested too deep; at most {MAX_DEPTH} levels")
            return
        try:
            self.raw = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            self._refuse_syntax(str(error))
        except RecursionError:
            self._refuse(_deepest_line(self._text), f"lists or tables are nested too deep; at most {MAX_DEPTH} levels")
        except ValueError:  # int() of a number with thousands of digits
            match = _LONG_NUMBER.search(self._text)
            line = self._text.count("\n", 0, match.start()) + 1 if match else 1
            self._refuse(line, "a number has too many digits; integers have at most 64 bits")
        else:
            self._check_depth()

    def _refuse_syntax(self, message: str) -> None:
        match = _PLACE.search(message)
        line = int(match[1]) if match and match[1] else self._text.rstrip("\n").count("\n") + 1
        reason = _PLACE.sub("", message)
        twice = self.scan.twice
        if twice and any(word in reason for word in _TWICE):
            path, line = twice[0]
            self._refuse(line, f"given twice; first at line {self.scan.line_of(path)}", key_text(path))
        else:
            self._refuse(line, f"not TOML: {reason[:200]}")

    def _check_depth(self) -> None:
        waiting: list[tuple[Path, Any]] = [((), self.raw)]
        while waiting:
            path, value = waiting.pop()
            if len(path) > MAX_DEPTH:
                line = self.line_of(path)
                self._refuse(line, f"nested too deep; at most {MAX_DEPTH} levels", key_text(path[:4]) + "...")
                return
            if isinstance(value, dict):
                waiting.extend(((*path, key), item) for key, item in value.items())
            elif isinstance(value, list):
                waiting.extend(((*path, index), item) for index, item in enumerate(value))


def _line_with_long_key(text: str) -> int:
    """Return the first line with a key of more parts than any document has, else 0.

    `tomllib` needs time with the square of a key's parts, so such a line must not reach it.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") >= 64 and _LONG_KEY.search(_STRING.sub("_", line)):
            return number
    return 0


def _deepest_line(text: str) -> int:
    """Return the line where most brackets stand open."""
    depth = deepest = 0
    answer = 1
    for number, line in enumerate(text.split("\n"), 1):
        for mark in line:
            depth += (mark in "[{") - (mark in "]}")
            if depth > deepest:
                deepest, answer = depth, number
    return answer
