"""Layer 2: between raw text values and engineering values: sentinels, labels, flags, scale, ranges.

The same rules as for binary fields, over numbers and texts that were read from text (`text_types`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from gateway.errors import EncodeError, UsageError
from gateway.notation import number
from gateway.schema.spec import FieldSpec
from gateway.schema.text_types import NUMBERS, BadText, parse_hex, parser_of
from gateway.taint import TRUST_LABEL, TRUST_NAN, TRUST_RANGE

Marks = list[int]  # taint bits met so far
Finish = Callable[[Any, Marks], Any]  # a raw value, never None, to its value
_LIMIT: Final = 1e300
_SAME: Final = 1e-12  # relative; a written number comes back within this, or as near as doubles allow


class Meaning:
    """What the raw value of one scalar field stands for."""

    def __init__(self, spec: FieldSpec) -> None:
        self._spec = spec
        self._scale = number(spec.scale)
        self._offset = spec.offset
        self._plain = spec.type not in NUMBERS or (self._scale == 1 and spec.offset == 0)
        given = spec.invalid if isinstance(spec.invalid, list) else [] if spec.invalid is None else [spec.invalid]
        self.invalid = frozenset(as_raw(spec, entry) for entry in given)
        self._first_invalid = given[0] if given else None
        self.labels = {constant_of(spec, key, "labels"): label for key, label in (spec.labels or {}).items()}
        self._label_texts = {label: key for key, label in (spec.labels or {}).items()}
        self._flags = {int(bit, 0): name for bit, name in (spec.flags or {}).items()}
        self.finish: Finish | None = None if self._is_trivial() else self._finish

    def _is_trivial(self) -> bool:
        spec = self._spec
        bounded = spec.minimum is not None or spec.maximum is not None
        return self._plain and not (self.invalid or self.labels or self._flags or bounded)

    def _finish(self, raw: Any, marks: Marks) -> Any:
        if raw in self.invalid:
            return None
        if self.labels:
            label = self.labels.get(raw)
            if label is not None:
                return label
            marks.append(TRUST_LABEL)
        elif self._flags:
            return [name for bit, name in self._flags.items() if isinstance(raw, int) and raw >> bit & 1]
        if isinstance(raw, str | bool):
            return raw
        value = raw if self._plain else raw * self._scale + self._offset
        if not -math.inf < value < math.inf:
            marks.append(TRUST_NAN)
            return None
        low, high = self._spec.minimum, self._spec.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            marks.append(TRUST_RANGE)
        return value

    def raw_of(self, value: Any) -> Any:
        """Return the raw value behind a value; None: nothing is sent. Raises: EncodeError."""
        if value is None:
            return None if self._first_invalid is None else as_raw(self._spec, self._first_invalid)
        if isinstance(value, str) and value in self._label_texts:
            return as_raw(self._spec, self._label_texts[value])
        if self._flags:
            return self._bits_of(value)
        raw = value if isinstance(value, str | bool) else self._number_of(value)
        if isinstance(raw, str) and self._spec.type in NUMBERS:
            known = f"; its labels are {', '.join(self._label_texts)}" if self._label_texts else ""
            raise EncodeError(f"{value!r} is no number{known}")
        if raw in self.invalid:
            raise EncodeError(f"{value!r} is what the device sends for no value")
        return raw

    def _bits_of(self, value: Any) -> int:
        bits = {name: bit for bit, name in self._flags.items()}
        if not isinstance(value, list) or not all(isinstance(name, str) and name in bits for name in value):
            raise EncodeError(f"{value!r} is no list of the flags {', '.join(bits)}")
        return sum(1 << bits[name] for name in set(value))

    def _number_of(self, value: Any) -> int | float:
        if not isinstance(value, int | float) or not -_LIMIT < value < _LIMIT:
            raise EncodeError(f"{value!r} is no number that can be written")
        low, high = self._spec.minimum, self._spec.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            raise EncodeError(f"{value!r} is outside {low} to {high}")
        return value if self._plain else _inverse(value, self._scale, self._offset)


def _inverse(value: float, scale: float, offset: float) -> int | float:
    """Return the number with the fewest decimals that reads as `value` again."""
    exact = (value - offset) / scale
    if not -_LIMIT < exact < _LIMIT:
        raise EncodeError(f"{value!r} is too large to be written")
    for places in range(13):
        raw = round(exact, places) if places else round(exact)
        if math.isclose(raw * scale + offset, value, rel_tol=_SAME, abs_tol=abs(scale) * _SAME):
            return raw
    return exact


def as_raw(spec: FieldSpec, given: Any) -> Any:
    """Return a raw value as a profile writes it: numbers may stand as text; text that does not parse stays text.

    Raises: UsageError for what is neither number nor text.
    """
    if not isinstance(given, str | int | float):
        raise UsageError(f"field {spec.name or '(unnamed)'}: {given!r} is neither number nor text")
    if spec.type == "bool" or (spec.type in NUMBERS and isinstance(given, str)):
        try:
            return _parse(spec, str(given))
        except BadText:
            return given
    return given if spec.type in NUMBERS else str(given)


def constant_of(spec: FieldSpec, given: Any, key: str = "const") -> Any:
    """Return the raw value that text on the wire must equal. Raises: UsageError, naming `key`, if it never can."""
    raw = as_raw(spec, given)
    if isinstance(raw, str) and (spec.type == "bool" or spec.type in NUMBERS):
        raise UsageError(f"field {spec.name or '(unnamed)'}: `{key}` {given!r} is never a {spec.type}")
    return raw


def _parse(spec: FieldSpec, text: str) -> Any:
    return parse_hex(text) if text[:2] in {"0x", "0X"} else parser_of(spec)(text)
