"""Layer 2: rules of one field's constants: scale, sentinels, labels, flags and limits must suit its type."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from gateway.notation import number
from gateway.schema.meaning import MAX_BCD_BYTES, listed, mark_of, raw_constant, raw_key
from gateway.schema.spec import BitSpec, FieldSpec
from gateway.schema.types import Kind, integer_range

Problem = tuple[str, str]  # key below the field, message
_NUMERIC: Final = frozenset({"int", "bit", "float", "bcd", "ascii"})
_FRACTION: Final = re.compile(r"\s*[+-]?[0-9]{1,30}(\.[0-9]{1,30})?\s*(/\s*[0-9]{1,30}(\.[0-9]{1,30})?\s*)?")
_LARGEST: Final = 1.7e308  # about where doubles end


class Form(NamedTuple):
    """What the rules need to know of a type."""

    kind: Kind
    size: int | None  # bytes
    width: int  # bits; 0 where there are none
    signed: bool
    name: str  # as written, for messages

    @property
    def range(self) -> tuple[int, int] | None:
        """Return the raw numbers the type can hold, None for kinds that are no integer."""
        if self.kind in {"int", "bit", "bool"}:
            return integer_range(self.width, signed=self.signed)
        if self.kind == "bcd":
            return 0, 10 ** (2 * min(self.size or MAX_BCD_BYTES, MAX_BCD_BYTES)) - 1
        return None


def value_problems(spec: FieldSpec | BitSpec, form: Form) -> Iterator[Problem]:
    """Yield what is wrong with the constants of a field whose type is known."""
    yield from _scaling(spec, form)
    yield from _limits(spec, form)
    for index, item in enumerate(listed(spec.invalid)):
        key = f"invalid[{index}]" if isinstance(spec.invalid, list) else "invalid"
        yield from _mark(item, form, key)
    if spec.const is not None:
        yield from _constant(spec.const, form, "const")
    yield from _labels(spec, form)
    yield from _flags(spec, form)


def untyped_problems(spec: FieldSpec | BitSpec) -> Iterator[Problem]:
    """Yield what is wrong with the constants of a field whatever its type may be: the type is wrong itself."""
    any_number = Form("float", 8, 64, signed=True, name="number")
    yield from _scaling(spec, any_number)
    yield from _limits(spec, any_number)
    if spec.labels is not None:
        yield from _table("labels", spec.labels, _as_written, None)
    if spec.flags is not None:
        yield from _table("flags", spec.flags, lambda key: int(key, 0), (0, 63))


def _as_written(key: str) -> int | str:
    try:
        return int(key, 0)
    except ValueError:
        return key


def _scaling(spec: FieldSpec | BitSpec, form: Form) -> Iterator[Problem]:
    for key, value, usual in (("scale", spec.scale, 1), ("offset", spec.offset, 0)):
        if value == usual:
            continue
        if form.kind not in _NUMERIC:
            yield key, f"a {form.name} is no number that could be scaled"
        elif isinstance(value, str) and not _FRACTION.fullmatch(value):
            yield key, f"{value[:40]!r} is no number; write for example 0.1 or '1/1024'"
        else:
            yield from _finite(key, value)
    if spec.labels is not None and spec.flags is not None:
        return
    if spec.flags is not None and (spec.scale != 1 or spec.offset != 0):
        yield "flags", "flags are bits, they cannot be scaled"


def _finite(key: str, text: float | str) -> Iterator[Problem]:
    try:
        value = number(text)
    except ZeroDivisionError:
        yield key, f"{text!r} divides by zero"
        return
    except (ValueError, OverflowError):
        yield key, "is no number that fits a double"
        return
    if not abs(value) < _LARGEST:
        yield key, f"{text!r} is not a finite number" if not math.isfinite(value) else f"{text!r} is too large"
    elif key == "scale" and value == 0:
        yield key, "a scale of 0 makes every value the same"


def _limits(spec: FieldSpec | BitSpec, form: Form) -> Iterator[Problem]:
    for key, value in (("minimum", spec.minimum), ("maximum", spec.maximum)):
        if value is None:
            continue
        if form.kind not in _NUMERIC:
            yield key, f"a {form.name} has no {key}"
        elif not -_LARGEST < value < _LARGEST:
            yield key, "is not a finite number"


def _mark(item: Any, form: Form, key: str) -> Iterator[Problem]:
    """Yield what is wrong with one item of `invalid`."""
    try:
        mark = mark_of(item, form.kind, form.size)
    except (ValueError, TypeError, OverflowError):
        mark = None
    if not isinstance(mark, range):
        yield from _constant(item, form, key)
        return
    for end in {mark.start, mark.stop - 1}:
        yield from _constant(end, form, key)


def _constant(item: Any, form: Form, key: str) -> Iterator[Problem]:
    try:
        raw = raw_constant(item, form.kind, form.size)
    except (ValueError, TypeError, OverflowError):
        yield key, f"{_short(item)} is no {_wanted(form)}"
        return
    bounds = form.range
    if bounds is not None and not bounds[0] <= raw <= bounds[1]:
        yield key, f"{_short(item)} is outside the range of {form.name}: {bounds[0]}..{bounds[1]}"
    elif isinstance(raw, float) and raw - raw != 0:
        yield key, f"{_short(item)} can never be equal to anything"
    elif form.kind == "bytes" and form.size is not None and len(raw) != form.size:
        yield key, f"{_short(item)} has {len(raw)} bytes, the field {form.size}"
    elif form.kind == "text" and form.size is not None and len(raw.encode(errors="replace")) > form.size:
        yield key, f"{_short(item)} is longer than the {form.size} bytes of the field"


def _wanted(form: Form) -> str:
    if form.kind == "bytes":
        return "hex text; write for example 'ff 01 86'"
    return "number of this type" if form.kind in {"float", "ascii"} else f"raw number of {form.name}"


def _short(item: Any) -> str:
    if isinstance(item, int) and abs(item) > 1 << 128:
        return f"a number of {item.bit_length()} bits"
    text = repr(item)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _labels(spec: FieldSpec | BitSpec, form: Form) -> Iterator[Problem]:
    if spec.labels is None:
        return
    is_signal = isinstance(spec, FieldSpec) and spec.dbc is not None  # databases label floats, and one thing twice
    if form.kind not in {"int", "bit", "bool", "text", "bcd", "ascii"} and not is_signal:
        yield "labels", f"a {form.name} has no labels; they need whole numbers or text"
        return
    yield from _table("labels", spec.labels, lambda key: raw_key(key, form.kind), form.range, may_repeat=is_signal)


def _flags(spec: FieldSpec | BitSpec, form: Form) -> Iterator[Problem]:
    if spec.flags is None:
        return
    if form.kind not in {"int", "bit"}:
        yield "flags", f"a {form.name} has no flags; they need an integer"
        return
    yield from _table("flags", spec.flags, lambda key: int(key, 0), (0, form.width - 1))


def _table(
    where: str,
    table: dict[str, str],
    parse: Callable[[str], int | str],
    bounds: tuple[int, int] | None,
    *,
    may_repeat: bool = False,
) -> Iterator[Problem]:
    keys: dict[int | str, str] = {}
    texts: dict[str, str] = {}
    for key, text in table.items():
        try:
            raw = parse(key)
        except ValueError:
            yield f"{where}.{key}", f"{_short(key)} is no number"
            continue
        if raw in keys:
            yield f"{where}.{key}", f"{key!r} and {keys[raw]!r} are the same number"
        elif bounds is not None and isinstance(raw, int) and not bounds[0] <= raw <= bounds[1]:
            yield f"{where}.{key}", f"{_short(raw)} is outside the range {bounds[0]}..{bounds[1]}"
        elif text in texts and not may_repeat:
            yield f"{where}.{key}", f"{text!r} stands for {texts[text]!r} already"
        keys.setdefault(raw, key)
        texts.setdefault(text, key)
