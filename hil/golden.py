"""Golden files: rows that a test saw once, and wants to see again.

`golden/NAME.jsonl` beside the test file holds a JSON object a line. Rows are compared in order, fields by name: numbers
of a field within its tolerance are equal, ignored fields are not looked at. An update shows its difference, writes the
file whole or not at all, and only what changed: a row within tolerance keeps its line byte for byte, a field within
tolerance its value.

The recorder decides what the rows are and when to update; here is what that means.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby, takewhile
from pathlib import Path
from typing import Any, Final, Protocol

from gateway.spelling import did_you_mean
from hil.rows import Difference, Judge, Row, Tolerance, compare, line_of, rows_of, short

__tracebackhide__ = True  # pytest shows the line of the test instead

UPDATE_OPTION: Final = "--hil-update-golden"

_NAME: Final = re.compile(r"\w[\w.+=@,()\[\] -]*")
_MAX_CHARACTERS: Final = 120
_STREAM_BYTES: Final = 16  # of a row of a stream


class GoldenError(AssertionError):
    """What came is not what the golden file has; `difference` says where, or is None where there is no file."""

    def __init__(self, message: str, difference: Difference | None = None) -> None:
        super().__init__(message)
        self.difference = difference


class DamagedGoldenError(ValueError):
    """A line of a golden file is none."""


class Traffic(Protocol):
    """What is needed of a trace's record."""

    @property
    def bus(self) -> str:
        """The name of the bus."""

    @property
    def dir(self) -> str:
        """One of rx, tx, fault and note."""

    @property
    def kind(self) -> str:
        """What it is on its bus: `bytes`, `data`, `read`."""

    @property
    def data(self) -> str:
        """The bytes in hex."""

    @property
    def extra(self) -> Mapping[str, Any]:
        """All other keys."""


def refusal(environ: Mapping[str, str]) -> str | None:
    """Return why golden files may not be updated here, or None where they may."""
    if not environ.get("CI"):
        return None
    return f"{UPDATE_OPTION} is refused where CI is set: update where somebody reads the difference, and commit it"


def path_of(test_file: Path, name: str) -> Path:
    """Return where the golden file of a name is. Raises: ValueError for what is no plain name of a file."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or ".." in name or len(name) > _MAX_CHARACTERS:
        raise ValueError(f"{name!r:.140} is no name of a golden file; write a word, for example 'boot'")
    return test_file.parent / "golden" / f"{name}.jsonl"


def assert_golden(
    path: Path,
    rows: Iterable[object],
    tolerance: Tolerance | None = None,
    ignore: Collection[str] = (),
    *,
    update: bool = False,
    show: Callable[[str], None] = print,
) -> None:
    """Compare rows with a golden file, or update it and show what changes.

    Raises: GoldenError where they differ or the file is missing; DamagedGoldenError; ValueError for wrong arguments.
    """
    got = rows_of(rows)
    old = _lines(path)
    if old is not None:
        difference = compare(parsed(old, path), got, tolerance, ignore)
        if difference is None:
            return
        if not update:
            hint = f"if this is right now, run pytest with {UPDATE_OPTION} and read the difference"
            raise GoldenError(f"{path}:{difference.row}: {difference}\n{hint}", difference)
    elif not update:
        raise GoldenError(f"{path} is missing; run pytest with {UPDATE_OPTION} to write it, then read and commit it")
    new = updated_lines(old or [], got, tolerance, ignore)
    show(diff_text(path, old, new))
    _write(path, new)


def traffic(records: Iterable[Traffic], bus: str, buses: Collection[str] = ()) -> list[Row]:
    """Return what a bus carried, without times: directions, bytes, and what else tells two records apart.

    How a stream's bytes were split into reads is a matter of time, so its rows are sixteen bytes of one direction.
    Raises: ValueError where `buses` says that there is no such bus.
    """
    if buses and bus not in buses:
        raise ValueError(f"no bus {bus!r} in this trace{did_you_mean(bus, buses)}")
    carried = (record for record in records if record.bus == bus and record.dir in {"rx", "tx"})
    rows: list[Row] = []
    for (direction, kind, extra), run in groupby(carried, key=lambda record: (record.dir, record.kind, record.extra)):
        if kind == "bytes":
            data = "".join(record.data for record in run)
            cells = 2 * _STREAM_BYTES
            pieces = [data[start : start + cells] for start in range(0, len(data), cells)]
            rows += [{"dir": direction, "data": piece, **extra} for piece in pieces]
        else:
            rows += [{"dir": direction, "kind": kind, "data": record.data, **extra} for record in run]
    return rows_of(rows)


def parsed(lines: Iterable[str], path: Path) -> list[Row]:
    """Return the rows of a golden file's lines. Raises: DamagedGoldenError with FILE:LINE."""
    rows = []
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise DamagedGoldenError(f"{path}:{number}: no JSON object: {error}; {_repair()}") from error
        if not isinstance(row, dict):
            raise DamagedGoldenError(f"{path}:{number}: no JSON object but {short(row)}; {_repair()}")
        rows.append(row)
    return rows


def updated_lines(
    old: Sequence[str], rows: Sequence[Row], tolerance: Tolerance | None = None, ignore: Collection[str] = ()
) -> list[str]:
    """Return the lines of a golden file for `rows`: old ones wherever they say the same within tolerance."""
    judge = Judge(tolerance or {}, ignore)
    golden = [json.loads(line) for line in old]
    head = _agreeing(judge, golden, rows)
    tail = _agreeing(judge, golden[head:][::-1], rows[head:][::-1])
    lines = list(old[:head])
    before, after = golden[head : len(golden) - tail], rows[head : len(rows) - tail]
    matcher = difflib.SequenceMatcher(None, [judge.key(row) for row in before], [judge.key(row) for row in after])
    for _, i, i_end, j, j_end in matcher.get_opcodes():
        paired = i_end - i == j_end - j
        for offset, row in enumerate(after[j:j_end]):
            if not paired:
                lines.append(line_of(row))
            elif judge.unequal(before[i + offset], row) is None:
                lines.append(old[head + i + offset])
            else:
                lines.append(line_of(judge.merged(before[i + offset], row)))
    return lines + list(old[len(old) - tail :])


def diff_text(path: Path, old: Sequence[str] | None, new: Sequence[str]) -> str:
    """Return the difference of two versions of a golden file, unified."""
    before = "/dev/null" if old is None else str(path)
    lines = list(difflib.unified_diff(old or [], new, before, str(path), lineterm=""))
    return "\n".join(lines or [f"{path}: new, and empty"])


def _agreeing(judge: Judge, golden: Sequence[Row], rows: Sequence[Row]) -> int:
    pairs = zip(golden, rows, strict=False)
    return sum(1 for _ in takewhile(lambda pair: judge.unequal(*pair) is None, pairs))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _repair() -> str:
    return f"repair it, or remove the file and run pytest with {UPDATE_OPTION}"


def _lines(path: Path) -> list[str] | None:
    """Return the lines of a golden file, or None where there is none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    texts = []
    for number, line in enumerate(lines, start=1):
        try:
            texts.append(line.decode())
        except UnicodeDecodeError as error:
            raise DamagedGoldenError(f"{path}:{number}: no UTF-8 text: {error.reason}; {_repair()}") from error
    return texts


def _write(path: Path, lines: Sequence[str]) -> None:
    """Put a golden file in place, whole or not at all. Raises: OSError."""
    path.parent.mkdir(exist_ok=True)
    target = path.resolve()
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_bytes("".join(f"{line}\n" for line in lines).encode())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
