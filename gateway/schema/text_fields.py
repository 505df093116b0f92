"""Layer 2: the fields of a text message compiled: one value, a list over columns, a group of columns; and their order.

A field reads from a split body (`text_places.Sheet`) and writes into a `Draft`. A group sees its own columns only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from gateway.errors import EncodeError, UsageError
from gateway.schema.cond import Test
from gateway.schema.plan import ABSENT, Refused
from gateway.schema.spec import FieldSpec, MessageSpec
from gateway.schema.text_conditions import cases_of, test_of
from gateway.schema.text_meaning import Marks, Meaning, constant_of
from gateway.schema.text_places import MAX_COLUMNS, Draft, Sheet, columns_of, first_key, pick_of
from gateway.schema.text_types import NUMBERS, TEXT_TYPES, BadText, parser_of, writer_of
from gateway.taint import TRUST_CASE, TRUST_TRUNCATED


class TextField(Protocol):
    """One field of a text message."""

    spec: FieldSpec
    width: int  # csv: one past the last column it always takes; 0 for kv and obis
    extent: int  # csv: one past the last column it may take
    constant: Any  # raw; what is written without being given

    def raw(self, sheet: Sheet, marks: Marks) -> Any:
        """Return what its type says, before scale, labels and sentinels; null is None. Raises: Refused."""
        ...

    def value(self, raw: Any, marks: Marks) -> Any:
        """Return the value of a raw one."""
        ...

    def raw_of(self, value: Any) -> Any:
        """Return the raw value of a value. Raises: EncodeError."""
        ...

    def write(self, raw: Any, draft: Draft, base: int) -> None:
        """Write a raw value; columns count from `base`. Raises: EncodeError."""
        ...


class Scalar:
    """One value in one place."""

    def __init__(self, spec: FieldSpec, message: MessageSpec) -> None:
        self.spec = spec
        self._pick = pick_of(spec, message)
        self._parse = parser_of(spec)
        self._write = writer_of(spec)
        self.meaning = Meaning(spec)
        self._finish = self.meaning.finish
        self.constant = None if spec.const is None else constant_of(spec, spec.const)
        self._is_talker = message.format == "csv" and spec.column == "talker"
        self._columns = columns_of(spec) if message.format == "csv" and not self._is_talker else []
        self._key = "" if message.format == "csv" else first_key(spec, message)
        self._unit = spec.units.replace(".", "") if spec.units != "1" and spec.type in NUMBERS else ""
        self.width = self.extent = 1 if self._is_talker else max(self._columns, default=-1) + 1

    def raw(self, sheet: Sheet, marks: Marks) -> Any:
        """Return the parsed text: None where nothing stands or it is not of this type (which marks)."""
        text = self._pick(sheet)
        if not text:
            if text is None and len(sheet) > min(self._columns, default=0):
                marks.append(TRUST_TRUNCATED)  # part of it is there: the line was cut within
            return None
        try:
            raw = self._parse(text)
        except BadText as bad:
            if text not in self.meaning.invalid:
                marks.append(bad.mark)
            return None
        if self.constant is not None and raw != self.constant:
            raise Refused("const")
        return raw

    def value(self, raw: Any, marks: Marks) -> Any:
        """Return the value."""
        return raw if raw is None or self._finish is None else self._finish(raw, marks)

    def raw_of(self, value: Any) -> Any:
        """Return what is written for a value; None if nothing is."""
        return self.meaning.raw_of(value)

    def write(self, raw: Any, draft: Draft, base: int) -> None:
        """Write a raw value where this field stands."""
        if self.constant is not None and raw != self.constant:
            raise EncodeError(f"{raw!r} differs from the constant {self.constant!r}")
        if isinstance(raw, str) and raw in self.meaning.invalid and self.spec.type in NUMBERS:
            parts = [raw]
        else:
            parts = self._write(raw, len(self._columns) or 1)
        if self._is_talker:
            draft.put_talker(parts[0])
        elif self._key:
            draft.put_entry(self._key, parts[0], self._unit)
        else:
            for column, part in zip(self._columns, parts, strict=False):
                draft.put_column(base + column, part)


class Listing:
    """`column` with `array`: consecutive columns, empty places left out."""

    def __init__(self, spec: FieldSpec, count: Callable[[Sheet], int]) -> None:
        self.spec = spec
        self.constant: Any = None
        self._first = columns_of(spec)[0]
        self._count = count
        self._parse = parser_of(spec)
        self._write = writer_of(spec)
        self._meaning = Meaning(spec)
        self._limit = spec.array if isinstance(spec.array, int) else MAX_COLUMNS
        self.width = self._first + (spec.array if isinstance(spec.array, int) else 0)
        self.extent = self._first + self._limit

    def raw(self, sheet: Sheet, marks: Marks) -> list[Any]:
        """Return the parsed texts; one that is not of this type is None."""
        found: list[Any] = []
        for text in sheet[self._first : self._first + self._count(sheet)]:  # type: ignore[index]
            if not text:
                continue
            try:
                found.append(self._parse(text))
            except BadText as bad:
                marks.append(bad.mark)
                found.append(None)
        return found

    def value(self, raw: list[Any], marks: Marks) -> list[Any]:
        """Return the values."""
        finish = self._meaning.finish
        return raw if finish is None else [item if item is None else finish(item, marks) for item in raw]

    def raw_of(self, value: Any) -> list[Any]:
        """Return the raw values of a list."""
        if value is None:
            return []
        if not isinstance(value, list) or len(value) > self._limit or None in value:
            raise EncodeError(f"{value!r} is no list of at most {self._limit} values")
        return [self._meaning.raw_of(item) for item in value]

    def write(self, raw: list[Any], draft: Draft, base: int) -> None:
        """Write the values into consecutive columns."""
        for column, item in enumerate(raw, base + self._first):
            draft.put_column(column, self._write(item, 1)[0])


class Group:
    """`struct`: an object of members; with `array`, a list of groups of columns.

    Groups of empty columns are left out, and so is a single last column where a group has more: NMEA 0183 4.10 and
    later put a signal id behind the last satellite.
    """

    def __init__(self, spec: FieldSpec, message: MessageSpec, count: Callable[[Sheet], int] | None) -> None:
        self.spec = spec
        self.constant: Any = None
        self._members = Sequence(spec.fields or [], message)
        self._at = spec.at or 0
        if not 0 <= self._at < MAX_COLUMNS:
            raise UsageError(f"field {spec.name or '(unnamed)'}: `at` is no column from 0 to {MAX_COLUMNS - 1}")
        self._count = count
        self._is_csv = message.format == "csv"
        self._size = self._members.width
        self._limit = spec.array if isinstance(spec.array, int) else MAX_COLUMNS
        self.width = self._at + self._size if count is None else 0
        self.extent = self._at + self._size * (1 if count is None else self._limit)
        if count is not None and not (self._is_csv and self._size):
            raise UsageError(f"field {spec.name or '(unnamed)'}: `array` counts groups of columns, and here are none")

    def _parts(self, sheet: Sheet, marks: Marks) -> list[Sheet]:
        if not isinstance(sheet, list):
            return [sheet]
        parts: list[Sheet]
        if self._count is None:
            parts = [sheet[self._at : self._at + self._size]]
        else:
            least = min(2, self._size)
            last = min(self._at + self._count(sheet) * self._size, len(sheet) - least + 1)
            parts = [part for at in range(self._at, last, self._size) if any(part := sheet[at : at + self._size])]
        if any(0 < len(part) < self._size for part in parts):
            marks.append(TRUST_TRUNCATED)
        return parts

    def raw(self, sheet: Sheet, marks: Marks) -> Any:
        """Return the members before scale, labels and sentinels."""
        found = [self._members.raw(part, marks) for part in self._parts(sheet, marks)]
        return found if self._count else found[0]

    def read(self, sheet: Sheet, marks: Marks) -> Any:
        """Return the members' values: an object, or a list of objects."""
        names = self._members.names
        found = [
            {
                name: value
                for name, value in zip(names, self._members.row(part, marks), strict=True)
                if value is not ABSENT
            }
            for part in self._parts(sheet, marks)
        ]
        return found if self._count else found[0]

    def value(self, raw: Any, marks: Marks) -> Any:
        """Return a group as it is; `read` gives its values."""
        del marks
        return raw

    def raw_of(self, value: Any) -> Any:
        """Return the list of objects to write."""
        given = [] if value is None else value if self._count else [value]
        is_list = isinstance(given, list) and len(given) <= self._limit
        if not is_list or not all(isinstance(item, dict) and (any_value(item) or not self._count) for item in given):
            raise EncodeError(
                f"{value!r} is no list of at most {self._limit} objects of {', '.join(self._members.names)}"
            )
        return given

    def write(self, raw: Any, draft: Draft, base: int) -> None:
        """Write the groups into consecutive columns, all of each: a single one would be no group when read."""
        for number, item in enumerate(raw):
            at = base + self._at + number * self._size
            self._members.write(item, draft, at)
            draft.reserve(at + self._size)


def any_value(group: dict[str, Any]) -> bool:
    """Return whether a group says something; one that does not is left out when read."""
    return any(value is not None for value in group.values())


class Sequence:
    """Fields in order with their conditions: the whole of a message, or of one group."""

    def __init__(self, specs: list[FieldSpec], message: MessageSpec) -> None:
        self.fields = _compile(specs, message)
        self.width = max((field.width for field in self.fields), default=0)
        self.extent = max((field.extent for field in self.fields), default=0)
        named = [spec for spec in specs if spec.name and not spec.name.startswith("_")]
        self.specs = {spec.name: spec for spec in reversed(named) if spec.name}
        self.names = tuple(dict.fromkeys(spec.name for spec in named if spec.name))
        self._tests = [test_of(spec, specs) for spec in specs]
        self._cases = cases_of(self._tests)
        self.guesses = any(asked.startswith("_") for test in self._tests if test for asked in test.names)
        self._readers = self._straight()

    def _straight(self) -> list[Callable[[Sheet, Marks], Any]] | None:
        """Return one reader per name where no condition, constant or internal field asks for more."""
        if any(self._tests) or len(self.names) != len(self.fields):
            return None
        return [_reader(field) for field in self.fields]

    def row(self, sheet: Sheet, marks: Marks) -> list[Any]:
        """Return values in order of `names`. Raises: Refused."""
        if self._readers is not None:
            return [read(sheet, marks) for read in self._readers]
        found = dict(self._walk(sheet, marks, raw_wanted=False))
        return [found.get(name, ABSENT) for name in self.names]

    def raw(self, sheet: Sheet, marks: Marks) -> dict[str, Any]:
        """Return raw values of all active fields that have a name, internal ones too. Raises: Refused."""
        return dict(self._walk(sheet, marks, raw_wanted=True))

    def _walk(self, sheet: Sheet, marks: Marks, *, raw_wanted: bool) -> list[tuple[str, Any]]:
        seen: dict[str, Any] = {}
        found: list[tuple[str, Any]] = []
        for field, test in zip(self.fields, self._tests, strict=True):
            if test is not None and not test.holds(seen.get):
                continue
            name = field.spec.name
            if isinstance(field, Group):
                found.append((name or "", field.raw(sheet, marks) if raw_wanted else field.read(sheet, marks)))
                continue
            raw = field.raw(sheet, marks)
            value = field.value(raw, marks)
            if name is None:
                continue
            if value is not None:
                seen[name] = raw
            found.append((name, raw if raw_wanted else value))
        for name, clauses in self._cases.items():
            if name in seen and not any(clause.lists(seen[name]) for clause in clauses):
                marks.append(TRUST_CASE)
        return found

    def write(self, values: dict[str, Any], draft: Draft, base: int) -> None:
        """Write the fields whose branch is active. Raises: EncodeError naming the field.

        A condition on an internal field that is not given holds for those fields that are.
        """
        known = {spec.name for spec in (field.spec for field in self.fields)}
        unknown = [name for name in values if name not in known]
        if unknown:
            raise EncodeError(f"{unknown[0]}: no such field; there are {', '.join(self.names)}")
        left = dict(values)
        seen: dict[str, Any] = {}
        for field, test in zip(self.fields, self._tests, strict=True):
            name = field.spec.name or "(unnamed)"
            if test is not None and not _is_written(test, name, seen, left, values):
                continue
            try:
                raw = field.raw_of(left.pop(name)) if name in left else field.constant
                if raw is not None:
                    field.write(raw, draft, base)
                    seen[name] = raw
            except EncodeError as error:
                raise error if str(error).startswith(f"{name}: ") else EncodeError(f"{name}: {error}") from None
        lost = [name for name, value in left.items() if value is not None]
        if lost:
            raise EncodeError(f"{lost[0]}: not sent in this case; its `if` does not hold")


def _is_written(test: Test, name: str, seen: dict[str, Any], left: dict[str, Any], values: dict[str, Any]) -> bool:
    if any(asked.startswith("_") and asked not in values for asked in test.names):
        return left.get(name) is not None
    return test.holds(seen.get)


def _reader(field: TextField) -> Callable[[Sheet, Marks], Any]:
    if isinstance(field, Group):
        return field.read
    if isinstance(field, Scalar) and field.meaning.finish is None:
        return field.raw

    def read(sheet: Sheet, marks: Marks) -> Any:
        return field.value(field.raw(sheet, marks), marks)

    return read


def _compile(specs: list[FieldSpec], message: MessageSpec) -> list[TextField]:
    fields: list[TextField] = []
    for spec in specs:
        if spec.type not in TEXT_TYPES:
            raise UsageError(f"field {spec.name or '(unnamed)'}: type {spec.type!r} is no text type")
        count = _count_of(spec, fields)
        if spec.type == "struct":
            fields.append(Group(spec, message, count))
        elif count is None:
            fields.append(Scalar(spec, message))
        elif message.format == "csv":
            fields.append(Listing(spec, count))
        else:
            raise UsageError(f"field {spec.name or '(unnamed)'}: `array` counts columns, {message.format} has none")
    return fields


def _count_of(spec: FieldSpec, before: list[TextField]) -> Callable[[Sheet], int] | None:
    """Return how many elements a sheet has; None for a field that is no list."""
    if spec.array is None:
        return None
    if isinstance(spec.array, int):
        fixed = spec.array
        if not 0 < fixed <= MAX_COLUMNS:
            raise UsageError(f"field {spec.name or '(unnamed)'}: `array` is no number from 1 to {MAX_COLUMNS}")
        return lambda _sheet: fixed
    if spec.array == "rest":
        return lambda _sheet: MAX_COLUMNS
    counter = next((field for field in before if field.spec.name == spec.array), None)
    if counter is None:
        raise UsageError(f"field {spec.name or '(unnamed)'}: `array` names no field before it: {spec.array!r}")

    def count(sheet: Sheet) -> int:
        raw = counter.raw(sheet, [])
        return min(max(int(raw), 0), MAX_COLUMNS) if isinstance(raw, int | float) else 0

    return count
