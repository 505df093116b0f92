"""Layer 2: conditions on decoded values: the `interlock` of a setpoint, `where` and `accept` of its `ack` (PROFILES 6).

They are written as `if` is: "flag", "!flag", {mode = "holding"}, {mode = ["holding", "moving"], page = "4..7"}. But
`if` asks the wire, and these ask what people see: a number is in the units of the field. Where the field has labels or
flags, or is a bool, a number is that of the wire, as in `if`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from gateway.notation import number
from gateway.schema.meaning import listed
from gateway.schema.spec import BitSpec, Condition, FieldSpec

_ROUNDING: Final = 1e-6  # of one count: raw * scale is not exactly what a person writes
_NO_CODES: Final[Mapping[str, int]] = MappingProxyType({})

_Part = str | float | tuple[float, float]
FieldOf = Callable[[str], FieldSpec | BitSpec | None]


@dataclass(frozen=True, slots=True)
class Fact:
    """What one field must be."""

    name: str  # as the condition writes it
    truth: bool | None = None  # "flag": True, "!flag": False; None: one of the others
    texts: frozenset[str] = frozenset()
    numbers: tuple[float, ...] = ()
    ranges: tuple[tuple[float, float], ...] = ()
    codes: Mapping[str, int] = field(default_factory=lambda: _NO_CODES)  # label: raw number, or flag: its bit's weight
    margin: float = 0.0

    def holds(self, value: Any) -> bool:
        """Return whether it is so; of what is unknown, absent or null nothing is."""
        if isinstance(value, list):
            return self._lists_number(sum(self.codes.get(name, 0) for name in value)) or any(
                text in value for text in self.texts
            )
        if isinstance(value, str):
            return value in self.texts or (value in self.codes and self._lists_number(self.codes[value]))
        return isinstance(value, int | float) and math.isfinite(value) and self._lists_number(value)

    def _lists_number(self, value: float) -> bool:
        if self.truth is not None:
            return bool(value) is self.truth
        return any(abs(value - wanted) <= self.margin for wanted in self.numbers) or any(
            low - self.margin <= value <= high + self.margin for low, high in self.ranges
        )


def parse_facts(condition: Condition, field_of: FieldOf) -> tuple[Fact, ...]:
    """Return what all must hold; `field_of` gives the field of a name, None where that is not known.

    Raises: ValueError for what can never hold.
    """
    if isinstance(condition, str):
        name = condition.removeprefix("!").strip()
        return (Fact(name, truth=not condition.startswith("!"), codes=_codes(field_of(name))),)
    if not condition:
        raise ValueError("says nothing; write for example { mode = 'holding' }")
    return tuple(_fact(name, wanted, field_of(name)) for name, wanted in condition.items())


def _fact(name: str, wanted: Any, spec: FieldSpec | BitSpec | None) -> Fact:
    codes = _codes(spec)
    found = [part for item in listed(wanted) for part in _parts(name, item, spec, codes)]
    if not found:
        raise ValueError(f"{name}: an empty list is never true")
    return Fact(
        name,
        texts=frozenset(part for part in found if isinstance(part, str)),
        numbers=tuple(part for part in found if isinstance(part, int | float)),
        ranges=tuple(part for part in found if isinstance(part, tuple)),
        codes=codes,
        margin=0.0 if codes or spec is None else abs(number(spec.scale)) * _ROUNDING,
    )


def _parts(name: str, item: Any, spec: FieldSpec | BitSpec | None, codes: Mapping[str, int]) -> list[_Part]:
    """Return what one item of a condition allows: texts, numbers, ranges."""
    if isinstance(item, bool | int | float) and math.isfinite(item):
        return [item]
    if not isinstance(item, str):
        raise ValueError(f"{name}: {item!r} is no number, range or label")  # noqa: TRY004 - a problem of a document
    labels = {} if spec is None or spec.labels is None else spec.labels
    if item in labels:
        return [labels[item]]  # the wire's own text, or number, that the label stands for
    if item in codes:
        return [item]
    low, dots, high = item.partition("..")
    bottom, top = _number(low), _number(high) if dots else None
    if bottom is not None and top is not None:
        if bottom > top:
            raise ValueError(f"{name}: {item!r}: the range runs backwards")
        return [(bottom, top)]
    single = _number(item)
    if single is not None:
        return [single, item]
    if codes:
        raise ValueError(f"{name}: {item!r} is none of {', '.join(map(repr, codes))}")
    return [item]


def _number(text: str) -> float | None:
    for read in (lambda: int(text.strip(), 0), lambda: float(text)):
        try:
            found: float = read()
        except ValueError:
            continue
        return found if math.isfinite(found) else None
    return None


def _codes(spec: FieldSpec | BitSpec | None) -> Mapping[str, int]:
    """Return what the texts of a field stand for; those whose key is text themselves (text formats) for nothing."""
    if spec is None:
        return _NO_CODES
    if spec.flags is not None:
        return {name: 1 << int(bit, 0) for bit, name in spec.flags.items()}
    found: dict[str, int] = {}
    for key, text in (spec.labels or {}).items():
        raw = _raw(key)
        if raw is not None:
            found.setdefault(text, raw)
    return found


def _raw(key: str) -> int | None:
    if key in {"true", "false"}:
        return int(key == "true")
    try:
        return int(key, 0)
    except ValueError:
        return None
