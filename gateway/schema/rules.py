"""Layer 2: rules of a message's layout: types, places, bits, references, duplicates. All problems, none raised.

Keys are told as they stand in the file, below the message: `fields[2].bits[0].at`. Constants of single fields are
judged in `rules_values.py`; units, names and limits of the frame around belong to the profile's own rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from gateway.schema.cond import Test, exclusive, parse_condition
from gateway.schema.meaning import MAX_BCD_BYTES, raw_key
from gateway.schema.rules_keys import format_problems, message_key_problems
from gateway.schema.rules_values import Form, untyped_problems, value_problems
from gateway.schema.spec import BitSpec, FieldSpec, MessageSpec
from gateway.schema.types import MAX_FIXED_BYTES, parse_bits, parse_place, parse_type
from gateway.spelling import did_you_mean

Problem = tuple[str, str]  # key below the message, message

_MAX_DEPTH: Final = 8  # structs within structs
_COUNTABLE: Final = frozenset({"int", "bit", "bool", "bcd", "ascii"})
_SIZED: Final = frozenset({"bytes", "text", "bcd", "ascii"})
_TEXT_FORMATS: Final = frozenset({"csv", "kv", "obis"})


class _Known:
    """A name that may be referred to."""

    def __init__(self, spec: FieldSpec | BitSpec, form: Form | None, test: Test | None, key: str) -> None:
        self.spec = spec
        self.form = form
        self.test = test
        self.key = key

    @property
    def labels(self) -> dict[Any, str] | None:
        kind = self.form.kind if self.form else "int"
        try:
            return {raw_key(key, kind): text for key, text in (self.spec.labels or {}).items()} or None
        except ValueError:
            return None


def message_problems(name: str, spec: MessageSpec) -> list[Problem]:  # noqa: ARG001 - the caller's key begins with it
    """Return what is wrong with the layout of one message, in file order."""
    problems = list(message_key_problems(spec))
    checker = _Checker(spec)
    checker.scope(spec.fields, "fields", [], depth=0, repeated=False)
    problems += checker.problems
    if not problems and spec.format in {"binary", "tlv"} and spec.construct is None and spec.dbc is None:
        from gateway.schema.layout import layout_of

        try:
            layout = layout_of(spec)
        except ValueError as error:  # what no rule above has a better word for
            return [("fields", str(error))]
        for index, leaf in enumerate(layout.leaves):
            if (leaf.fixed_size or 0) > MAX_FIXED_BYTES:
                problems.append((f"fields[{index}]", f"takes more than {MAX_FIXED_BYTES} bytes"))
    return problems


class _View(NamedTuple):
    """What a field may refer to."""

    visible: list[dict[str, _Known]]  # scopes from the outermost to its own, as far as they came before it
    later: dict[str, FieldSpec | BitSpec]  # every name of its own scope

    @property
    def here(self) -> dict[str, _Known]:
        return self.visible[-1]


class _Checker:
    def __init__(self, spec: MessageSpec) -> None:
        self.problems: list[Problem] = []
        self._spec = spec
        self._is_text = spec.format in _TEXT_FORMATS
        self._tags: dict[int, str] = {}

    def _report(self, key: str, message: str) -> None:
        self.problems.append((key, message))

    def scope(
        self, fields: list[FieldSpec], key: str, outer: list[dict[str, _Known]], *, depth: int, repeated: bool
    ) -> bool:
        """Check the fields of a message or struct; return whether it takes all the rest of the body."""
        view = _View([*outer, {}], _names_of(fields))
        ended: tuple[str, Test | None] | None = None
        for index, field in enumerate(fields):
            place = f"{key}[{index}]"
            if field.tag is not None:
                view = _View([{}], {})  # an element stands alone: nothing before it can be relied on
            test = self._condition(field, place, view, free=field.dbc is not None)
            if ended is not None and _in_sequence(field) and not self._is_text and not _apart(ended[1], test):
                self._report(ended[0], "takes all that is left, so nothing may follow it")
                ended = None
            form = self._field(field, place, view, depth=depth, repeated=repeated)
            self._remember(field, form, test, place, view)
            self._bits(field, form, test, place, view)
            rest = self._members(field, place, view.visible, depth=depth, repeated=repeated)
            if _takes_rest(field) or rest:
                ended = (f"{place}.{'array' if field.array == 'rest' else 'length' if not rest else 'fields'}", test)
        return ended is not None

    # Names and references.

    def _remember(self, spec: FieldSpec | BitSpec, form: Form | None, test: Test | None, key: str, view: _View) -> None:
        if spec.name is None:
            return
        before = view.here.get(spec.name)
        if before is not None and self._spec.format != "tlv" and not _apart(before.test, test):
            self._report(f"{key}.name", f"{spec.name!r} is the name of {before.key} too, and both may be there at once")
        view.here[spec.name] = _Known(spec, form, test, key)

    def _condition(self, spec: FieldSpec | BitSpec, key: str, view: _View, *, free: bool) -> Test | None:
        if spec.condition is None:
            return None

        def labels_of(name: str) -> dict[Any, str] | None:
            known = _find(name, view.visible)
            return known.labels if known else None

        try:
            test = parse_condition(spec.condition, labels_of)
        except ValueError as error:
            self._report(f"{key}.if", str(error))
            return None
        for clause in test.clauses:
            where = f"{key}.if" if isinstance(spec.condition, str) else f"{key}.if.{clause.name}"
            known = self._reference(clause.name, where, spec, view, free=free)
            if known is not None:
                self._reachable(known, clause.values, where)
        return test

    def _reachable(self, known: _Known, values: frozenset[Any], where: str) -> None:
        if not self._is_text and (getattr(known.spec, "array", None) is not None or _kind(known) == "struct"):
            self._report(where, f"{known.spec.name!r} is no single value that could be compared")
        bounds = known.form.range if known.form else None
        for value in values:
            if bounds is not None and isinstance(value, int) and not bounds[0] <= value <= bounds[1]:
                self._report(where, f"{value} is outside the range of {known.spec.name!r}: {bounds[0]}..{bounds[1]}")

    def _reference(
        self, name: str, where: str, spec: FieldSpec | BitSpec, view: _View, *, free: bool = False
    ) -> _Known | None:
        known = _find(name, view.visible)
        if known is not None:
            return known
        if name == spec.name or (name in view.later and spec.name in set(_asks(view.later[name]))):
            self._report(where, f"{name!r} and this field refer to each other" if name != spec.name else "means itself")
        elif name in view.later and not (free or self._is_text):
            self._report(where, f"{name!r} stands further behind; only what came before can be asked")
        elif name not in view.later:
            names = [each for names in view.visible for each in names]
            self._report(where, f"no field {name!r} before this one{did_you_mean(name, names)}")
        return None

    # One field.

    def _field(self, field: FieldSpec, key: str, view: _View, *, depth: int, repeated: bool) -> Form | None:
        for below, message in format_problems(field, self._spec, top=depth == 0, repeated=repeated):
            self._report(f"{key}.{below}", message)
        if self._is_text:
            return None
        form = self._form(field, key)
        for below in ("length", "array"):
            self._count(field, form, below, key, view)
        if form is None:
            for below, message in untyped_problems(field):
                self._report(f"{key}.{below}", message)
            return None
        if form.kind != "struct" and field.bits is None:
            for below, message in value_problems(field, form):
                self._report(f"{key}.{below}", message)
        if self._spec.format == "tlv" and depth == 0:
            self._tag(field, key)
        return form

    def _form(self, field: FieldSpec, key: str) -> Form | None:
        if field.dbc is not None:
            return self._signal(field, key)
        if field.type is None:
            self._report(f"{key}.type", "missing; write for example 'u16be', 'bytes', 'struct'")
            return None
        try:
            wire = parse_type(field.type, self._spec.order)
        except ValueError as error:
            self._report(f"{key}.type", str(error))
            return None
        size = wire.size if wire.size is not None else field.length if isinstance(field.length, int) else None
        return Form(wire.kind, size, 8 * (wire.size or 0), wire.signed, field.type)

    def _signal(self, field: FieldSpec, key: str) -> Form | None:
        try:
            place = parse_place(field.dbc or "")
        except ValueError as error:
            self._report(f"{key}.dbc", str(error))
            return None
        floats = {"f16": 16, "f32": 32, "f64": 64}
        if field.type is not None and field.type not in floats:
            self._report(f"{key}.type", "with `dbc` only f16, f32 or f64 say anything; drop the type")
            return None
        if field.type is not None and floats[field.type] != place.width:
            self._report(f"{key}.dbc", f"an {field.type} has {floats[field.type]} bits, not {place.width}")
            return None
        if field.type is not None:
            return Form("float", place.width // 8, place.width, signed=True, name=field.type)
        return Form("int", None, place.width, place.signed, f"a signal of {place.width} bits")

    def _count(self, field: FieldSpec, form: Form | None, which: str, key: str, view: _View) -> None:
        value = getattr(field, which)
        where, most = f"{key}.{which}", _most(form, which)
        if form is not None and which == "length" and (form.kind in _SIZED) is (value is None):
            missing = f"missing; {form.name!r} needs a number of bytes, a field name, 'rest' or 'null'"
            self._report(where, missing if value is None else f"{form.name!r} has its own length")
        elif isinstance(value, int) and not 1 <= value <= most:
            self._report(where, f"{value if abs(value) < 1 << 64 else 'the number'} is outside 1..{most}")
        elif isinstance(value, str) and value != "rest" and not (which == "length" and value == "null"):
            known = self._reference(value, where, field, view)
            if known is not None and (_kind(known) not in _COUNTABLE or getattr(known.spec, "array", None) is not None):
                self._report(where, f"{value!r} is no whole number")
        if which == "array" and value is not None and field.bits:
            self._report(where, "a list of bit fields needs a struct around it")
        if which == "array" and value is not None and field.length == "rest":
            self._report(where, "an element that takes the rest leaves nothing for a list")

    def _tag(self, field: FieldSpec, key: str) -> None:
        if field.tag is None:
            if self._tags:
                self._report(f"{key}.tag", "missing; only the header before the first tag has none")
            return
        if field.tag in self._tags:
            self._report(f"{key}.tag", f"{field.tag:#x} is the tag of {self._tags[field.tag]} already")
        self._tags.setdefault(field.tag, key)

    # Bits and members.

    def _bits(self, field: FieldSpec, form: Form | None, test: Test | None, key: str, view: _View) -> None:
        if field.bits is None or self._is_text:
            return
        if form is not None and form.kind != "int":
            self._report(f"{key}.bits", f"a {form.name} has no bits; write an integer type")
            return
        taken: dict[int, list[tuple[str, Test | None]]] = {}
        for index, bit in enumerate(field.bits):
            place = f"{key}.bits[{index}]"
            own = self._condition(bit, place, view, free=False)
            both = own if test is None else test if own is None else Test((*test.clauses, *own.clauses))
            width = self._bit_place(bit, form, place, taken, own)
            inner = Form("bit", None, width, bit.signed, f"{width} bits") if width else None
            if inner is not None:
                for below, message in value_problems(bit, inner):
                    self._report(f"{place}.{below}", message)
            self._remember(bit, inner, both, place, view)

    def _bit_place(
        self,
        bit: BitSpec,
        form: Form | None,
        key: str,
        taken: dict[int, list[tuple[str, Test | None]]],
        own: Test | None,
    ) -> int:
        """Return the width of a bit field that stands where it may, else 0; exclusive ones may share bits."""
        try:
            shift, width = parse_bits(bit.at)
        except ValueError as error:
            self._report(f"{key}.at", str(error))
            return 0
        if form is not None and shift + width > form.width:
            self._report(
                f"{key}.at", f"bit {shift + width - 1} is outside {form.name}, whose highest is {form.width - 1}"
            )
            return 0
        if shift + width > 64:
            self._report(f"{key}.at", f"bit {shift + width - 1} is outside of any integer")
            return 0
        owners = ((number, *owner) for number in range(shift, shift + width) for owner in taken.get(number, ()))
        for number, owner, test in owners:
            if not _apart(test, own):
                self._report(f"{key}.at", f"bit {number} belongs to {owner} already")
                break
        for number in range(shift, shift + width):
            taken.setdefault(number, []).append((repr(bit.name) if bit.name else "another field", own))
        return width

    def _members(
        self, field: FieldSpec, key: str, visible: list[dict[str, _Known]], *, depth: int, repeated: bool
    ) -> bool:
        if field.type != "struct":
            if field.fields is not None:
                self._report(f"{key}.fields", "members need type 'struct'")
            return False
        if not field.fields:
            self._report(f"{key}.fields", "missing; a struct has members")
            return False
        if depth >= _MAX_DEPTH:
            self._report(f"{key}.fields", f"structs stand at most {_MAX_DEPTH} deep")
            return False
        again = repeated or field.array is not None
        rest = self.scope(field.fields, f"{key}.fields", visible, depth=depth + 1, repeated=again)
        if rest and field.array is not None:
            self._report(f"{key}.array", "a member takes all that is left, so there can be no second element")
        return rest and field.array is None


def _most(form: Form | None, which: str) -> int:
    return MAX_BCD_BYTES if form is not None and form.kind == "bcd" and which == "length" else MAX_FIXED_BYTES


def _find(name: str, visible: list[dict[str, _Known]]) -> _Known | None:
    return next((names[name] for names in reversed(visible) if name in names), None)


def _kind(known: _Known) -> str | None:
    return known.form.kind if known.form else "int"


def _names_of(fields: list[FieldSpec]) -> dict[str, FieldSpec | BitSpec]:
    parts: list[FieldSpec | BitSpec] = []
    for field in fields:
        parts += field.bits or [field]
    return {part.name: part for part in parts if part.name}


def _asks(spec: FieldSpec | BitSpec) -> Iterator[str]:
    if isinstance(spec.condition, str):
        yield spec.condition.lstrip("!").strip()
    else:
        yield from spec.condition or ()
    yield from (ref for ref in (getattr(spec, "length", None), getattr(spec, "array", None)) if isinstance(ref, str))


def _in_sequence(field: FieldSpec) -> bool:
    return field.at is None and field.register is None and field.dbc is None and field.tag is None


def _takes_rest(field: FieldSpec) -> bool:
    return field.dbc is None and field.tag is None and "rest" in {field.length, field.array}


def _apart(one: Test | None, other: Test | None) -> bool:
    return one is not None and other is not None and exclusive(one, other)
