"""Rows of JSON values: what a test compares with what it expected, field by field.

Pure; what is a golden file, and what becomes of a difference, is elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import isfinite
from typing import Any, Final

Row = dict[str, Any]  # JSON values
Tolerance = Mapping[str, float | str]  # per field: an absolute number, or "2%" of the golden value

_CONTEXT: Final = 3  # rows before the first difference
_MAX_CELLS: Final = 160  # of a row or a value in a message


@dataclass(frozen=True, slots=True)
class Difference:
    """The first difference of rows from golden ones."""

    row: int  # from 1, as lines are counted
    field: str | None  # with the way into it, `values.x[2]`; None where a whole row is missing or too many
    expected: Any  # None where there is none
    got: Any
    why: str
    context: list[Row]  # golden rows before it

    def __str__(self) -> str:
        """Return the reason, the rows before, and the two values."""
        first = self.row - len(self.context)
        before = [f"    {first + place} {short(row)}" for place, row in enumerate(self.context)]
        at = f"{self.row} {self.field}: " if self.field else f"{self.row} "
        golden = [] if self.expected is None and self.got is not None else [f"  - {at}{short(self.expected)}"]
        got = [] if self.got is None and self.expected is not None else [f"  + {at}{short(self.got)}"]
        return "\n".join([self.why, *before, *golden, *got])


def rows_of(rows: Iterable[object]) -> list[Row]:
    """Return rows as JSON knows them; bytes are lower-case hex. Raises: ValueError where JSON has no such thing.

    A row is a mapping, a record of a trace, or a structure with named fields.
    """
    return [_plain(number, row) for number, row in enumerate(rows, start=1)]


def compare(
    golden: Sequence[Row], rows: Sequence[Row], tolerance: Tolerance | None = None, ignore: Collection[str] = ()
) -> Difference | None:
    """Return the first difference of `rows` from `golden`, or None. Raises: ValueError for a tolerance that is none.

    A tolerance holds for every number within its field, in lists and tables too; a number that misses the golden one by
    exactly as much is equal.
    """
    judge = Judge(tolerance or {}, ignore)
    for index in range(max(len(golden), len(rows))):
        context = list(golden[max(index - _CONTEXT, 0) : index])
        if index >= len(rows):
            why = f"row {index + 1} is missing: {len(rows)} came of {len(golden)}"
            return Difference(index + 1, None, golden[index], None, why, context)
        if index >= len(golden):
            why = f"row {index + 1} is one too many: {len(rows)} came, and the golden file has {len(golden)}"
            return Difference(index + 1, None, None, rows[index], why, context)
        unequal = judge.unequal(golden[index], rows[index])
        if unequal is not None:
            return Difference(index + 1, *unequal, context)
    return None


class Judge:
    """What is equal under tolerances and without ignored fields."""

    def __init__(self, tolerance: Tolerance, ignore: Collection[str]) -> None:
        if isinstance(ignore, str):
            raise ValueError(f"ignore is {ignore!r}; give a list of fields: [{ignore!r}]")  # noqa: TRY004 - one error
        if not isinstance(tolerance, Mapping):
            raise ValueError(f"tolerance is {tolerance!r}; give it by field: {{'voltage': {tolerance!r}}}")  # noqa: TRY004
        self._allowed = {field: _allowed(field, given) for field, given in tolerance.items()}
        self._ignore = frozenset(ignore)

    def unequal(self, golden: Row, row: Row) -> tuple[str, Any, Any, str] | None:
        """Return the first field that differs, its golden value, its value and why."""
        for field in {**golden, **row}:
            if field in self._ignore:
                continue
            if field not in row:
                return field, golden[field], None, f"{field} is missing, golden {short(golden[field])}"
            if field not in golden:
                return field, None, row[field], f"{field} is {short(row[field])}, and the golden row has none"
            found = _unequal(golden[field], row[field], self._allowed.get(field), field)
            if found is not None:
                way, expected, got = found
                within = f" (tolerance {self._allowed[field]})" if field in self._allowed else ""
                return way, expected, got, f"{way} is {short(got)}, golden {short(expected)}{within}"
        return None

    def key(self, row: Row) -> str:
        """Return a text that is equal for rows that may be the same."""
        fixed = {field: row[field] for field in row if field not in self._ignore and field not in self._allowed}
        return json.dumps(fixed, sort_keys=True)

    def merged(self, golden: Row, row: Row) -> Row:
        """Return `row` with the golden values of all fields that agree."""
        return {
            field: golden[field]
            if field in golden
            and (field in self._ignore or _unequal(golden[field], value, self._allowed.get(field), field) is None)
            else value
            for field, value in row.items()
        }


def _unfit(row: object) -> object:
    """Return the first field of a mapping that JSON cannot hold, None where there is none such."""
    for field, value in row.items() if isinstance(row, Mapping) else ():
        try:
            line_of({field: value})
        except (ValueError, TypeError, RecursionError):
            return field
    return None


def line_of(row: Any) -> str:
    """Return a row as a line of JSON, without its end. Raises: ValueError, TypeError."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_builtins)


def short(value: Any) -> str:
    """Return a value as JSON, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= _MAX_CELLS else f"{text[: _MAX_CELLS - 3]}..."


@dataclass(frozen=True, slots=True)
class _Allowed:
    amount: Fraction
    relative: bool
    text: str

    def __str__(self) -> str:
        return self.text

    def covers(self, golden: float, number: float) -> bool:
        """Return whether two numbers, as they are written, are near enough."""
        exact = Fraction(str(golden))
        return abs(Fraction(str(number)) - exact) <= self.amount * (abs(exact) if self.relative else 1)


def _allowed(field: str, given: float | str) -> _Allowed:
    text = str(given).strip()
    relative = text.endswith("%")
    try:
        amount = float(text.removesuffix("%"))
    except ValueError:
        amount = -1
    if isinstance(given, bool) or not isfinite(amount) or amount < 0:
        raise ValueError(f"tolerance of {field}: {given!r} is none; write a number, or '2%' of the golden value")
    return _Allowed(Fraction(str(amount)) / (100 if relative else 1), relative, text)


def _unequal(golden: Any, got: Any, allowed: _Allowed | None, way: str) -> tuple[str, Any, Any] | None:
    """Return the way to the first difference within a value, and both sides of it."""
    if isinstance(golden, dict) and isinstance(got, dict) and golden.keys() == got.keys():
        pairs = ((f"{way}.{key}", golden[key], got[key]) for key in golden)
    elif isinstance(golden, list) and isinstance(got, list) and len(golden) == len(got):
        pairs = ((f"{way}[{place}]", *both) for place, both in enumerate(zip(golden, got, strict=True)))
    else:
        if allowed is not None and _is_number(golden) and _is_number(got):
            equal = golden == got or allowed.covers(golden, got)
        else:
            equal = golden == got and isinstance(golden, bool) == isinstance(got, bool)
        return None if equal else (way, golden, got)
    return next((found for inner, a, b in pairs if (found := _unequal(a, b, allowed, inner))), None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(number: int, row: object) -> Row:
    try:
        if isinstance(row, Mapping):
            plain = json.loads(line_of(row).encode())
        elif callable(line := getattr(row, "line", None)):
            plain = json.loads(line())
        else:
            plain = json.loads(line_of(_builtins(row)).encode())
    except (ValueError, TypeError, RecursionError) as error:
        field = _unfit(row)
        where = f"row {number}" if field is None else f"row {number}, field {field!r},"
        raise ValueError(f"{where} is nothing that JSON can hold: {error}") from error
    if not isinstance(plain, dict):
        raise ValueError(f"row {number} has no named fields: {short(plain)}")  # noqa: TRY004 - one error
    return plain


def _builtins(value: Any) -> Any:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    import msgspec

    return msgspec.to_builtins(value, builtin_types=(bytes, bytearray, memoryview))
