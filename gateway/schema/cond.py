"""Layer 2: `if` conditions: "flag", "!flag", {mux = 3}, {mux = [1, "4..7"], page = 0}, {mode = "label text"}.

Conditions compare raw numbers; a label text stands for its raw numbers. On an absent or null field they are false.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from gateway.schema.meaning import listed
from gateway.schema.spec import Condition

_RANGE: Final = re.compile(r"(-?(?:0[xX])?[0-9a-fA-F]+)\.\.(-?(?:0[xX])?[0-9a-fA-F]+)")
_INTEGER: Final = re.compile(r"-?(?:0[xX][0-9a-fA-F]+|[0-9]+)")


@dataclass(frozen=True, slots=True)
class Clause:
    """One field's part of a condition."""

    name: str
    truth: bool | None = None  # "flag": True, "!flag": False; None: one of `values` or `ranges`
    values: frozenset[Any] = frozenset()  # raw numbers or texts
    ranges: tuple[tuple[int, int], ...] = ()

    def holds(self, raw: Any) -> bool:
        """Return whether the clause holds for a raw number; None (absent or null) never does."""
        if raw is None:
            return False
        if self.truth is not None:
            return bool(raw) is self.truth
        return self.lists(raw)

    def lists(self, raw: Any) -> bool:
        """Return whether `raw` is among the values and ranges."""
        return raw in self.values or any(low <= raw <= high for low, high in self.ranges)


@dataclass(frozen=True, slots=True)
class Test:
    """A whole condition: every clause must hold."""

    clauses: tuple[Clause, ...]

    def holds(self, raw_of: Callable[[str], Any]) -> bool:
        """Return whether all clauses hold; `raw_of` gives the raw number of a name, None if absent or null."""
        return all(clause.holds(raw_of(clause.name)) for clause in self.clauses)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the fields it asks."""
        return tuple(clause.name for clause in self.clauses)


def parse_condition(condition: Condition, labels_of: Callable[[str], dict[Any, str] | None]) -> Test:
    """Return the condition with label texts turned into raw numbers. Raises: ValueError."""
    if isinstance(condition, str):
        negated = condition.startswith("!")
        return Test((Clause(condition[negated:].strip(), truth=not negated),))
    if not condition:
        raise ValueError("an empty condition; write for example { mux = 3 }")
    return Test(tuple(_clause(name, wanted, labels_of(name)) for name, wanted in condition.items()))


def _clause(name: str, wanted: Any, labels: dict[Any, str] | None) -> Clause:
    values: set[Any] = set()
    ranges: list[tuple[int, int]] = []
    items = list(listed(wanted))
    if not items:
        raise ValueError(f"{name}: an empty list is never true")
    for item in items:
        if isinstance(item, str):
            _text(item, labels, values, ranges)
        elif isinstance(item, bool | int | float):
            values.add(int(item) if item == int(item) else item)
        else:
            raise ValueError(f"{name}: {item!r} is no number, range or label")  # noqa: TRY004 - a problem of a document
    return Clause(name, values=frozenset(values), ranges=tuple(ranges))


def _text(item: str, labels: dict[Any, str] | None, values: set[Any], ranges: list[tuple[int, int]]) -> None:
    raws = [raw for raw, text in (labels or {}).items() if text == item]
    match = _RANGE.fullmatch(item.replace(" ", ""))
    if raws:
        values.update(raws)
    elif match:
        low, high = int(match[1], 0), int(match[2], 0)
        if low > high:
            raise ValueError(f"{item!r}: the range runs backwards")
        ranges.append((low, high))
    elif _INTEGER.fullmatch(item):
        values.add(int(item, 0))
        values.add(item)
    elif labels is not None:
        raise ValueError(f"{item!r} is none of the labels {', '.join(map(repr, labels.values()))}")
    else:
        values.add(item)


def exclusive(first: Test, second: Test) -> bool:
    """Return whether two conditions can be seen never to hold together."""
    return any(one.name == other.name and _disjoint(one, other) for one in first.clauses for other in second.clauses)


def _disjoint(one: Clause, other: Clause) -> bool:
    if one.truth is not None and other.truth is not None:
        return one.truth is not other.truth
    if one.truth is not None or other.truth is not None:
        flag, table = (one, other) if one.truth is not None else (other, one)
        return not any(flag.holds(value) for value in table.values) and not any(
            flag.truth or low <= 0 <= high for low, high in table.ranges
        )
    return not (
        any(other.lists(value) for value in one.values)
        or any(one.lists(value) for value in other.values)
        or any(a <= d and c <= b for a, b in one.ranges for c, d in other.ranges)
    )
