"""Layer 2: values to a body: inverse meaning here, bytes by the construct object of the layout.

Loaded at the first write. Lengths and counts are computed from the data, constants and layout-only fields filled in,
internal fields that only say which branch follows are chosen so that the given values fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from itertools import islice, product
from typing import Any, Final

import construct

from gateway.errors import EncodeError
from gateway.schema.cells import RawNumber, cell_of, zero_cell
from gateway.schema.layout import Leaf, Scope, fixed_places
from gateway.schema.plan import ABSENT
from gateway.schema.spec import MessageSpec
from gateway.schema.wire import Chain, construct_of, evaluation_order, holds, key_of, raw_named

_MAX_GUESSES: Final = 4096  # combinations of internal branch fields tried
_GUESSABLE: Final = frozenset({"int", "bit", "bool"})


def encoder(spec: MessageSpec, scope: Scope) -> Callable[[dict[str, Any]], bytes]:
    """Return what builds bodies of this layout. It raises EncodeError only."""
    layout = construct_of(scope)
    facts = {int(at, 0): value for at, value in (spec.when.bytes or {}).items()}
    places = dict(fixed_places(scope))
    presets = {leaf: raw for leaf, at in places.items() if (raw := _preset(leaf, at, facts)) is not None}

    def encode(values: dict[str, Any]) -> bytes:
        cells = _fill(scope, values, (), presets)
        stream = BytesIO(bytes(spec.length or 0))
        try:
            layout.build_stream(cells, stream)
        except construct.ConstructError as error:
            raise EncodeError(f"cannot be built: {error}") from error
        return _with_facts(bytearray(stream.getvalue()), spec, facts, places)

    return encode


def _preset(leaf: Leaf, at: int, facts: Mapping[int, int]) -> int | None:
    """Return the raw number that the message's `when` prescribes for an integer field."""
    if leaf.kind != "int" or leaf.array is not None or leaf.bits or leaf.swapped:
        return None
    data = [facts.get(at + index) for index in range(leaf.size or 0)]
    known = [byte for byte in data if byte is not None]
    return int.from_bytes(known, leaf.order, signed=leaf.signed) if len(known) == len(data) else None


def _with_facts(body: bytearray, spec: MessageSpec, facts: Mapping[int, int], places: Mapping[Leaf, int]) -> bytes:
    wanted = spec.when.length
    if isinstance(wanted, int):
        if len(body) > wanted:
            raise EncodeError(f"the message has {wanted} bytes, these values need {len(body)}")
        body.extend(bytes(wanted - len(body)))
    for position, value in facts.items():
        at = position if position >= 0 else len(body) + position
        if not 0 <= at < len(body):
            raise EncodeError(f"byte {position} must be {value:#04x}, but the body has {len(body)} bytes")
        if body[at] == value:
            continue
        for leaf, start in places.items():
            if start <= at < start + (leaf.fixed_size or 0) and (leaf.name or leaf.bits or leaf.members):
                raise EncodeError(f"byte {at} must be {value:#04x} in this message; {leaf.name or 'a field'} differs")
        body[at] = value
    return bytes(body)


Presets = Mapping[Leaf, int]


def _fill(scope: Scope, values: Any, outer: Chain, presets: Presets, *, defaults: bool = False) -> dict[str, Any]:
    """Return the cells of one message or struct. Raises: EncodeError."""
    if not isinstance(values, Mapping):
        raise EncodeError(f"{values!r} is no object with the members {', '.join(scope.public())}")
    known = {leaf.name for leaf in scope.named()}
    for name in values:
        if name not in known:
            raise EncodeError(f"unknown field {name!r}; one of {', '.join(scope.public())}")
    first_error: EncodeError | None = None
    for guess in islice(_guesses(scope, values), _MAX_GUESSES):
        try:
            return _Filler(scope, {**values, **guess}, outer, presets, defaults=defaults).cells()
        except EncodeError as error:
            first_error = first_error or error
    raise first_error or EncodeError("no value given")


def _guesses(scope: Scope, values: Mapping[str, Any]) -> Iterator[dict[str, RawNumber]]:
    """Yield raw numbers for internal fields that conditions ask and that nobody gave; zero first."""
    options: dict[str, list[int]] = {}
    for leaf in _tested(scope):
        for clause in leaf.test.clauses if leaf.test else ():
            if clause.name.startswith("_") and clause.name not in values:
                numbers = [value for value in clause.values if isinstance(value, int)]
                numbers += [low for low, _ in clause.ranges] + ([1] if clause.truth is not None else [])
                seen = options.setdefault(clause.name, [0])
                seen += sorted(number for number in numbers if number not in seen)
    own = {leaf.name for leaf in scope.named() if leaf.kind in _GUESSABLE and leaf.array is None and leaf.const is None}
    names = [name for name in options if name in own]
    for combination in product(*(options[name] for name in names)):
        yield {name: RawNumber(number) for name, number in zip(names, combination, strict=True)}


def _tested(scope: Scope) -> Iterator[Leaf]:
    for leaf in scope.leaves:
        yield from (leaf, *leaf.bits)
        if leaf.members is not None:
            yield from _tested(leaf.members)


class _Filler:
    def __init__(self, scope: Scope, values: dict[str, Any], outer: Chain, presets: Presets, *, defaults: bool) -> None:
        self._scope = scope
        self._values = values
        self._presets = presets
        self._defaults = defaults
        self._used: set[str] = set()
        self._cells: dict[str, Any] = {}
        self._chain: Chain = (*outer, (scope, self._cells))

    def cells(self) -> dict[str, Any]:
        for index in evaluation_order(self._scope):
            leaf = self._scope.leaves[index]
            key = key_of(index)
            if not holds(leaf.test, self._chain):
                self._cells[key] = ABSENT
            elif leaf.bits:
                self._bits(leaf, self._cells.setdefault(key, {}))
            else:
                self._cells[key] = self._field(leaf)
        for name, value in self._values.items():
            if name not in self._used and value is not None and not isinstance(value, RawNumber):
                raise EncodeError(f"{name} is not part of the message with these values")
        return self._cells

    def _bits(self, leaf: Leaf, cell: dict[str, Any]) -> None:
        for place, bit in enumerate(leaf.bits):
            cell[key_of(place)] = self._field(bit) if holds(bit.test, self._chain) else 0

    def _field(self, leaf: Leaf) -> Any:
        counted = self._counted(leaf)
        if leaf.name is None or leaf.name not in self._values:
            return self._missing(leaf, counted)
        self._used.add(leaf.name)
        value = self._values[leaf.name]
        if isinstance(value, RawNumber):
            return cell_of(leaf, int(value), raw=True)
        cell = self._given(leaf, value)
        if leaf.const is not None and leaf.array is None and cell != cell_of(leaf, leaf.const, raw=True):
            raise EncodeError(f"{leaf.name}: {value!r} differs from the constant {leaf.spec.const!r}")
        if counted is not None and cell != counted[0] and not (counted[1] and cell > counted[0]):
            raise EncodeError(f"{leaf.name}: {value!r}, but the data needs {counted[0]!r}; leave it out")
        return cell

    def _missing(self, leaf: Leaf, counted: tuple[Any, bool] | None) -> Any:
        if counted is not None:
            return counted[0]
        if leaf in self._presets:
            return self._presets[leaf]
        if leaf.const is None and not leaf.is_internal and not self._defaults:
            raise EncodeError(f"{leaf.name} is missing")
        if leaf.members is not None:
            count = leaf.array if isinstance(leaf.array, int) else 0
            filled = _fill(leaf.members, {}, self._chain, {}, defaults=True) if leaf.array is None or count else {}
            return filled if leaf.array is None else [filled] * count
        return zero_cell(leaf)

    def _given(self, leaf: Leaf, value: Any) -> Any:
        if leaf.array is None:
            return self._element(leaf, value)
        if not isinstance(value, list | tuple):
            raise EncodeError(f"{leaf.name}: {value!r} is no list")
        wanted = self._wanted(leaf.array)
        if wanted is not None and len(value) != wanted:
            raise EncodeError(f"{leaf.name}: {len(value)} elements given, {wanted} needed")
        return [self._element(leaf, item) for item in value]

    def _element(self, leaf: Leaf, value: Any) -> Any:
        if leaf.members is not None:
            return _fill(leaf.members, value, self._chain, {}, defaults=self._defaults)
        cell = cell_of(leaf, value)
        wanted = self._wanted(leaf.length) if isinstance(leaf.length, str) else None
        if wanted is None or len(cell) == wanted:
            return cell
        if leaf.kind == "text" and len(cell) < wanted:
            return cell.ljust(wanted, b"\0")
        raise EncodeError(f"{leaf.name}: {len(cell)} bytes given, {wanted} needed")

    def _wanted(self, count: int | str | None) -> int | None:
        """Return how many the layout or a field written before says; None: as many as are given."""
        if not isinstance(count, str) or count in {"rest", "null"}:
            return count if isinstance(count, int) else None
        raw = raw_named(count, self._chain)
        return max(0, int(raw)) if isinstance(raw, int | float) else 0

    def _counted(self, leaf: Leaf) -> tuple[Any, bool] | None:
        """Return the cell of a length or count field as the data has it, and whether more would do; else None."""
        if leaf.name is None or leaf.name in {"rest", "null"}:
            return None
        for other, value in _sized_by(leaf.name, self._scope, self._values):
            if other.array == leaf.name:
                return cell_of(leaf, len(value), raw=True), False
            cells = [cell_of(other, item) for item in (value if other.array is not None else [value])]
            return cell_of(leaf, max(map(len, cells), default=0), raw=True), other.kind == "text"
        return None


def _sized_by(name: str, scope: Scope, values: Mapping[str, Any]) -> Iterator[tuple[Leaf, Any]]:
    """Yield the given fields, here or in structs, whose length or count stands in the field called `name`."""
    for leaf in scope.leaves:
        value = values.get(leaf.name or "")
        if value is None or (leaf.array is not None and not isinstance(value, list | tuple)):
            continue
        if name in {leaf.array, leaf.length}:
            yield leaf, value
        if leaf.members is not None and name not in {inner.name for inner in leaf.members.named()}:
            for item in value if isinstance(value, list | tuple) else [value]:
                if isinstance(item, Mapping):
                    yield from _sized_by(name, leaf.members, item)
