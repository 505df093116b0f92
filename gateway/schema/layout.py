"""Layer 2: a MessageSpec resolved: every field with its wire type, place, meaning and condition, ready to be compiled.

Generated code, the construct reference and the builder for writes are all made from this and from nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.notation import ByteOrder
from gateway.schema.cond import Clause, Test, parse_condition
from gateway.schema.meaning import Meaning, meaning_of, raw_constant, raw_key
from gateway.schema.spec import BitSpec, FieldSpec, MessageSpec
from gateway.schema.types import Kind, SignalPlace, WireType, parse_bits, parse_place, parse_type

Count = int | str | None
_Labels = dict[str, dict[Any, str]]


@dataclass(slots=True, eq=False)
class Leaf:
    """One field of the wire, or some bits of one, or a struct of fields."""

    spec: FieldSpec | BitSpec
    kind: Kind
    meaning: Meaning
    test: Test | None = None
    size: int | None = None  # bytes of one element; None: by `length` or by members
    signed: bool = False
    order: ByteOrder = "big"
    swapped: bool = False  # registers of a wide type stand in reverse order
    place: SignalPlace | None = None
    shift: int = 0  # of bits
    width: int = 0  # of bits
    at: int | None = None
    length: Count = None
    array: Count = None
    const: Any = None
    bits: list[Leaf] = field(default_factory=list)
    members: Scope | None = None

    @property
    def name(self) -> str | None:
        """Return the field's name; None: layout only."""
        return self.spec.name

    @property
    def is_internal(self) -> bool:
        """Return whether the field is no value: unnamed, or with a leading `_` that we gave it, not a DBC."""
        return is_internal(self.spec.name) and not (isinstance(self.spec, FieldSpec) and self.spec.public)

    @property
    def fixed_size(self) -> int | None:
        """Return how many bytes the field takes, where that never depends on the body."""
        one = self.element_size
        if one is None or isinstance(self.array, str):
            return None
        return one if self.array is None else one * self.array

    @property
    def element_size(self) -> int | None:
        """Return how many bytes one element takes, where that never depends on the body."""
        if self.members is not None:
            sizes = [leaf.fixed_size for leaf in self.members.leaves]
            known = [size for size in sizes if size is not None]
            moving = any(leaf.test is not None or leaf.at is not None for leaf in self.members.leaves)
            return None if moving or len(known) < len(sizes) else sum(known)
        return self.length if isinstance(self.length, int) else self.size


@dataclass(slots=True, eq=False)
class Scope:
    """Fields that see each other by name: a message, or one struct inside it."""

    leaves: list[Leaf]
    cases: dict[str, Clause]  # fields named in table-form conditions: all values that any condition lists

    def parts(self) -> Iterator[Leaf]:
        """Yield every field, bits in place of their integer, in wire order."""
        for leaf in self.leaves:
            yield from leaf.bits or (leaf,)

    def named(self) -> Iterator[Leaf]:
        """Yield every field with a name, bits in place of their integer, in wire order."""
        return (leaf for leaf in self.parts() if leaf.name)

    def public(self) -> dict[str, list[Leaf]]:
        """Return the value names in field order, each with the fields that bear it."""
        names: dict[str, list[Leaf]] = {}
        for leaf in self.named():
            if leaf.name and not leaf.is_internal:
                names.setdefault(leaf.name, []).append(leaf)
        return names


def is_internal(name: str | None) -> bool:
    """Return whether a field of this name is no value."""
    return name is None or name.startswith("_")


def layout_of(spec: MessageSpec) -> Scope:
    """Return the message's fields resolved. Raises: ValueError; a profile that was checked never does."""
    return _scope(spec.fields, spec, [])


def register_base(spec: MessageSpec) -> int:
    """Return the register that stands in the first two bytes of the body."""
    if spec.ask is not None:
        for start in (spec.ask.input, spec.ask.holding):
            if start is not None:
                return start
    return min((item.register for item in spec.fields if item.register is not None), default=0)


def fixed_places(scope: Scope) -> Iterator[tuple[Leaf, int]]:
    """Yield the fields whose first byte is known beforehand, signals aside."""
    at = 0
    for leaf in scope.leaves:
        if leaf.place is not None:
            continue
        at = at if leaf.at is None else leaf.at
        if leaf.test is not None or leaf.fixed_size is None:
            return
        yield leaf, at
        at += leaf.fixed_size


def _scope(fields: list[FieldSpec], spec: MessageSpec, outer: list[_Labels]) -> Scope:
    visible = [*outer, _labels_in(fields)]
    scope = Scope([], {})
    for item in fields:
        leaf = _leaf(item, spec, visible)
        scope.leaves.append(leaf)
        for tested in (leaf, *leaf.bits):
            for clause in tested.test.clauses if tested.test else ():
                _add_case(scope, clause)
    for leaf in scope.leaves:
        for clause in leaf.members.cases.values() if leaf.members else ():
            if clause.name not in {inner.name for inner in leaf.members.named()}:  # type: ignore[union-attr]
                _add_case(scope, clause)
    for name, clause in scope.cases.items():  # a value with a label is a declared one, even if it selects nothing
        labelled: dict[Any, str] = next((labels[name] for labels in reversed(visible) if name in labels), {})
        scope.cases[name] = Clause(name, values=clause.values | frozenset(labelled), ranges=clause.ranges)
    return scope


def _labels_in(fields: list[FieldSpec]) -> _Labels:
    """Return the label table of every name, so that conditions can be written with label texts."""
    table: _Labels = {}
    for item in fields:
        parts: Sequence[FieldSpec | BitSpec] = item.bits or (item,)
        for named in parts:
            kind: Kind = "text" if isinstance(named, FieldSpec) and named.type == "text" else "int"
            if named.name:
                labels = named.labels.items() if named.labels else ()
                table.setdefault(named.name, {}).update({raw_key(key, kind): text for key, text in labels})
    return table


def _add_case(scope: Scope, clause: Clause) -> None:
    if clause.truth is None:
        seen = scope.cases.get(clause.name, Clause(clause.name))
        scope.cases[clause.name] = Clause(
            clause.name, values=seen.values | clause.values, ranges=(*seen.ranges, *clause.ranges)
        )


def _test(spec: FieldSpec | BitSpec, visible: list[_Labels]) -> Test | None:
    if spec.condition is None:
        return None

    def labels_of(name: str) -> dict[Any, str] | None:
        return next((names[name] or None for names in reversed(visible) if name in names), None)

    return parse_condition(spec.condition, labels_of)


def _leaf(item: FieldSpec, spec: MessageSpec, visible: list[_Labels]) -> Leaf:
    if item.dbc is not None:
        return _signal(item, _test(item, visible))
    wire = parse_type(item.type or "", spec.order)
    size = item.length if isinstance(item.length, int) else wire.size
    meaning = meaning_of(item, wire.kind, wire.size)
    leaf = Leaf(
        spec=item,
        kind=wire.kind,
        meaning=meaning,
        test=_test(item, visible),
        size=size,
        signed=wire.signed,
        order=wire.order,
        swapped=item.words == "little" and (wire.size or 0) > 2,
        at=item.at if item.register is None else 2 * (item.register - register_base(spec)),
        length=item.length if wire.size is None else None,
        array=item.array,
        const=None if item.const is None else raw_constant(item.const, wire.kind, wire.size),
    )
    if item.bits is not None:
        _add_bits(leaf, item.bits, visible)
    if item.type == "struct":
        leaf.members = _scope(item.fields or [], spec, visible)
    return leaf


def _add_bits(leaf: Leaf, bits: list[BitSpec], visible: list[_Labels]) -> None:
    for item in bits:
        shift, width = parse_bits(item.at)
        leaf.bits.append(
            Leaf(
                spec=item,
                kind="bit",
                meaning=meaning_of(item, "bit", None, width),
                test=_test(item, visible),
                shift=shift,
                width=width,
                signed=item.signed,
                const=item.const,
            )
        )


def _signal(item: FieldSpec, test: Test | None) -> Leaf:
    place = parse_place(item.dbc or "")
    wire = parse_type(item.type, place.order) if item.type is not None else WireType("int")
    kind: Kind = "float" if wire.kind == "float" else "int"
    return Leaf(
        spec=item,
        kind=kind,
        meaning=meaning_of(item, kind, wire.size),
        test=test,
        size=place.last - place.first + 1,
        signed=place.signed,
        order=place.order,
        place=place,
        width=place.width,
        const=None if item.const is None else raw_constant(item.const, kind, wire.size),
    )
