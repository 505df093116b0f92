"""Layer 2: from a wire number to a value and back: scale, sentinels, labels, flags, ranges.

The one definition of what a raw number means: the construct reference calls it, generated code is held equal to it.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, Self

from gateway.errors import EncodeError
from gateway.notation import hex_bytes, number
from gateway.schema.plan import Refused
from gateway.schema.spec import BitSpec, FieldSpec
from gateway.schema.types import Kind
from gateway.taint import TRUST_LABEL, TRUST_NAN, TRUST_RANGE

Raw = int | float | bytes | str | None
_ASCII_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_MAX_DIGITS: Final = 40  # of an exact integer written as text; longer ones are read as doubles
MAX_BCD_BYTES: Final = 64
_RANGE: Final = re.compile(r" *(-?(?:0[xX][0-9a-fA-F]+|[0-9]+)) *\.\. *(-?(?:0[xX][0-9a-fA-F]+|[0-9]+)) *")
_MAX_INTEGER_BITS: Final = 1000  # of a value to write; the doubles end there


class Marks(tuple[Any, ...]):  # noqa: SLOT001 - a tuple has no room for slots, and `ranges` needs a place
    """The raw values that mean null: single ones and the first of each range, then `in` asks the ranges too."""

    ranges: tuple[range, ...]

    def __new__(cls, items: Iterable[Any]) -> Self:
        """Take values and ranges."""
        given = tuple(items)
        marks = super().__new__(cls, (item.start if isinstance(item, range) else item for item in given))
        marks.ranges = tuple(item for item in given if isinstance(item, range))
        return marks

    @property
    def single(self) -> list[Any]:
        """Return the values that stand in no range."""
        return [mark for mark in self if not any(mark in each for each in self.ranges)]

    def __contains__(self, raw: object) -> bool:
        """Return whether a raw value means null."""
        return super().__contains__(raw) or (isinstance(raw, int) and any(raw in each for each in self.ranges))


NO_MARKS: Final = Marks(())


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one field's raw numbers mean."""

    kind: Kind
    scale: float = 1.0
    offset: float = 0.0
    invalid: Marks = NO_MARKS  # raw
    low: float | None = None  # engineering
    high: float | None = None
    labels: dict[Any, str] | None = None  # raw -> text
    flags: tuple[tuple[int, str], ...] | None = None  # bit, name
    boolean: bool = False

    @property
    def exact(self) -> bool:
        """Return whether the value is the raw number itself."""
        return self.scale == 1 and self.offset == 0

    def value(self, raw: Any) -> tuple[Any, int]:
        """Return the value and its taint bits; None stays None without a taint."""
        if raw is None or raw in self.invalid:
            return None, 0
        if self.labels is not None and raw in self.labels:
            return self.labels[raw], 0
        taint = TRUST_LABEL if self.labels is not None else 0
        if self.boolean:
            return bool(raw), taint
        if isinstance(raw, bytes):
            return raw.hex(), taint
        if isinstance(raw, str):
            return raw, taint
        if self.flags is not None:
            return self.flags_of(raw), taint
        return self._number(raw, taint)

    def _number(self, raw: float, taint: int) -> tuple[float | None, int]:
        value = self.scaled(raw)
        if not _finite(value):
            return None, taint | TRUST_NAN
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            taint |= TRUST_RANGE
        return value, taint

    def scaled(self, raw: float) -> float:
        """Return raw * scale + offset in doubles; the raw number itself where that changes nothing."""
        if self.exact:
            return raw
        try:
            value = raw * self.scale
        except OverflowError:
            return math.inf
        return value + self.offset if self.offset else value

    def flags_of(self, raw: int) -> list[str]:
        """Return the names of the bits set."""
        return [name for bit, name in self.flags or () if raw >> bit & 1]

    def raw_of(self, value: Any, name: str) -> Raw:
        """Return the raw number that means `value`, not yet tested against the type. Raises: EncodeError."""
        if value is None:
            if not self.invalid:
                raise EncodeError(f"{name}: null cannot be written, the field has no `invalid`")
            return self.invalid[0]  # type: ignore[no-any-return]
        raw = self._raw_of(value, name)
        if raw in self.invalid:
            raise EncodeError(f"{name}: {value!r} would be written as the `invalid` mark")
        return raw

    def _raw_of(self, value: Any, name: str) -> Raw:
        if self.labels is not None and isinstance(value, str):
            for raw, label in self.labels.items():
                if label == value:
                    return raw  # type: ignore[no-any-return]
            raise EncodeError(f"{name}: no label {value!r}; one of {', '.join(map(repr, self.labels.values()))}")
        if self.kind == "bytes":
            return _bytes_of(value, name)
        if self.kind == "text":
            if not isinstance(value, str):
                raise EncodeError(f"{name}: {value!r} is no text")
            return value
        if self.flags is not None and isinstance(value, list):
            return self._bits_of(value, name)
        return self._number_of(value, name)

    def _bits_of(self, value: list[Any], name: str) -> int:
        known = {flag: bit for bit, flag in self.flags or ()}
        unknown = [flag for flag in value if flag not in known]
        if unknown:
            raise EncodeError(f"{name}: no flag {unknown[0]!r}; one of {', '.join(known)}")
        return sum({1 << known[flag] for flag in value})

    def _number_of(self, value: Any, name: str) -> float:
        if isinstance(value, bool) and (self.boolean or self.kind == "bool"):
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int | float) or not _finite(value):
            raise EncodeError(f"{name}: {value!r} is no number")
        if isinstance(value, int) and value.bit_length() > _MAX_INTEGER_BITS:
            raise EncodeError(f"{name}: the number has {value.bit_length()} bits")
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise EncodeError(f"{name}: {value!r} lies {_limits_text(self.low, self.high)}")
        try:
            raw = value if self.exact else (value - self.offset) / self.scale
        except OverflowError:
            raise EncodeError(f"{name}: {value!r} is too large") from None
        except ZeroDivisionError:
            raise EncodeError(f"{name}: a scale of 0 cannot be turned back") from None
        if self.kind == "float" or (self.kind == "ascii" and self.exact):
            return raw
        if not _finite(raw):
            raise EncodeError(f"{name}: {value!r} is too large")
        return round(raw)


def _limits_text(low: float | None, high: float | None) -> str:
    """Return which limits a value breaks, in the words of a profile."""
    if low is None:
        return f"above the maximum, {high}"
    return f"below the minimum, {low}" if high is None else f"outside {low} to {high}"


def _finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def _bytes_of(value: Any, name: str) -> bytes:
    if isinstance(value, bytes):
        return value
    try:
        return hex_bytes(value)
    except (ValueError, TypeError):
        raise EncodeError(f"{name}: {value!r} is no hex text; write for example 'ff 01 86'") from None


def text_of(data: bytes) -> str:
    """Return UTF-8 text, NUL padding removed. Raises: Refused("encoding")."""
    try:
        return data.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        raise Refused("encoding") from None


def bcd_of(data: bytes) -> int | None:
    """Return the number of two digits a byte, most significant first; no bytes: None. Raises: Refused("encoding")."""
    digits = data.hex()
    if not digits:
        return None
    if not digits.isdigit() or len(data) > MAX_BCD_BYTES:
        raise Refused("encoding")
    return int(digits)


def ascii_of(data: bytes) -> float | None:
    """Return the number spelled in `data`; only blanks or NULs: None. Raises: Refused("encoding")."""
    try:
        text = data.decode("ascii").strip(" \0\t\r\n")
    except UnicodeDecodeError:
        raise Refused("encoding") from None
    if not text:
        return None
    if not _ASCII_NUMBER.fullmatch(text):
        raise Refused("encoding")
    whole = text.lstrip("+-")
    return int(text) if whole.isdigit() and len(whole) <= _MAX_DIGITS else float(text)


CONVERT: Final = {"text": text_of, "bcd": bcd_of, "ascii": ascii_of}


def meaning_of(spec: FieldSpec | BitSpec, kind: Kind, size: int | None, width: int | None = None) -> Meaning:
    """Return the meaning of a field of `kind`; `width` bits for bits. Raises: ValueError for text that is no number."""
    scale, offset = number(spec.scale), number(spec.offset)
    plain = spec.labels is None and spec.flags is None and scale == 1 and offset == 0
    return Meaning(
        kind=kind,
        scale=scale,
        offset=offset,
        invalid=Marks(mark_of(item, kind, size) for item in listed(spec.invalid)),
        low=_limit(spec.minimum, scale, offset, min),
        high=_limit(spec.maximum, scale, offset, max),
        labels=None if spec.labels is None else {raw_key(key, kind): text for key, text in spec.labels.items()},
        flags=None if spec.flags is None else tuple((int(bit, 0), name) for bit, name in spec.flags.items()),
        boolean=kind == "bool" or (width == 1 and plain and not getattr(spec, "signed", False)),
    )


def _limit(limit: float | None, scale: float, offset: float, outer: Callable[[float, float], float]) -> float | None:
    """Return a limit that does not shut out the raw number which stands for it: 2047 * 0.1 is a little over 204.7."""
    if limit is None or scale in {0, 1} or not math.isfinite(limit):
        return limit
    steps = (limit - offset) / scale
    if not abs(steps) < 2**53:
        return limit
    nearest = round(steps) * scale + offset
    return outer(limit, nearest) if abs(nearest - limit) <= abs(scale) * 1e-6 else limit


def listed(value: Any) -> Iterable[Any]:
    """Return a list as it is, None as no items, anything else as one item."""
    return value if isinstance(value, list) else () if value is None else (value,)


def mark_of(item: Any, kind: Kind, size: int | None) -> Any:
    """Return one item of `invalid`: a raw constant, or the range that "0xfb00..0xffff" says. Raises: ValueError."""
    match = _RANGE.fullmatch(item) if isinstance(item, str) and kind in {"int", "bit"} else None
    if match is None:
        return raw_constant(item, kind, size)
    low, high = int(match[1], 0), int(match[2], 0)
    if low > high:
        raise ValueError(f"{item!r}: the range runs backwards")
    return range(low, high + 1)


def raw_constant(value: Any, kind: Kind, size: int | None) -> Any:
    """Return a constant of a profile (`const`, `invalid`) as raw compares to it. Raises: ValueError."""
    if kind == "bytes":
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is no hex text")
        return hex_bytes(value)
    if kind == "text":
        return str(value)
    if isinstance(value, str):
        value = int(value, 0)
    if kind == "float":
        code = {2: "<e", 4: "<f", 8: "<d"}[size or 8]
        try:
            return struct.unpack(code, struct.pack(code, value))[0]
        except (OverflowError, struct.error):
            raise ValueError(f"{value!r} is no number of this type") from None
    if kind == "ascii":
        return value
    if value != int(value):
        raise ValueError(f"{value!r} is no integer")
    return int(value)


def raw_key(key: str, kind: Kind) -> int | str:
    """Return the raw number or text a label stands for: "1", "0x10", "-1"; "true" and "false" for bool."""
    if kind == "text":
        return key
    if kind == "bool" and key in {"true", "false"}:
        return int(key == "true")
    return int(key, 0)
