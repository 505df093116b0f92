"""Layer 2: a layout as a `construct` object: the reference of where bits stand, and the builder for writes.

Imported only by the reference, the encoder and messages laid out by a construct object: importing it loads construct.
Each field is member "k0", "k1", ... of a construct Struct (names may repeat under exclusive conditions). A field that
the body is too short for parses as CUT and leaves the stream where it would have ended, beyond the last byte.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any, Final

import construct

from gateway.schema.cond import Test
from gateway.schema.layout import Leaf, Scope
from gateway.schema.meaning import CONVERT
from gateway.schema.plan import ABSENT, Refused

_FAR: Final = 1 << 60  # no stream position goes beyond
Chain = tuple[tuple[Scope, Mapping[str, Any]], ...]  # scopes with their cells, innermost last


class _Cut:
    def __repr__(self) -> str:
        return "CUT"


CUT: Final = _Cut()


def key_of(index: int) -> str:
    """Return the construct member of the field at `index` of its scope, or of a bit of its integer."""
    return f"k{index}"


def raw_of(leaf: Leaf, cell: Any) -> Any:
    """Return the raw number of a parsed cell; absent, cut, null or no number: None."""
    if cell is ABSENT or cell is CUT or leaf.array is not None or leaf.members is not None:
        return None
    if leaf.kind in CONVERT:
        try:
            cell = CONVERT[leaf.kind](cell)
        except Refused:
            return None
    if cell is None or cell in leaf.meaning.invalid or (isinstance(cell, float) and cell - cell != 0):
        return None
    return cell


def raw_named(name: str, chain: Chain) -> Any:
    """Return the raw number of the field called `name`, here or further out; absent or null: None."""
    for depth in range(len(chain), 0, -1):
        scope, cells = chain[depth - 1]
        if any(leaf.name == name for leaf in scope.named()):
            return _raw_here(name, scope, cells, chain[:depth])
    return None


def _raw_here(name: str, scope: Scope, cells: Mapping[str, Any], chain: Chain) -> Any:
    found = None
    for index, leaf in enumerate(scope.leaves):
        cell = cells.get(key_of(index), ABSENT)
        if cell is ABSENT or cell is CUT:
            continue
        if leaf.name == name and not leaf.bits:
            found = raw_of(leaf, cell)
        for place, bit in enumerate(leaf.bits):
            if bit.name == name and holds(bit.test, chain):
                found = raw_of(bit, cell.get(key_of(place), ABSENT))
    return found


def holds(test: Test | None, chain: Chain) -> bool:
    """Return whether a field with this condition is active."""
    return test is None or test.holds(lambda name: raw_named(name, chain))


def construct_of(scope: Scope, outer: tuple[Scope, ...] = ()) -> Any:
    """Return the construct object of a message or struct."""
    scopes = (*outer, scope)
    members = []
    for index in evaluation_order(scope):
        leaf = scope.leaves[index]
        item = _field(leaf, scopes)
        if leaf.at is not None:
            item = _At(item, leaf.at)
        if leaf.test is not None:
            item = construct.IfThenElse(_predicate(leaf.test, scopes), item, construct.Computed(lambda _: ABSENT))
        members.append(construct.Renamed(item, newname=key_of(index)))
    return construct.Struct(*members)


def evaluation_order(scope: Scope) -> list[int]:
    """Return wire order, except that a signal stands after those its condition asks."""
    waiting = list(range(len(scope.leaves)))
    if not any(leaf.place is not None for leaf in scope.leaves):
        return waiting
    order: list[int] = []
    while waiting:
        names = {scope.leaves[index].name for index in waiting}
        ready = [i for i in waiting if not names.intersection(t.names if (t := scope.leaves[i].test) else ())]
        order += ready or waiting
        waiting = [index for index in waiting if index not in ready] if ready else []
    return order


def chain_of(scopes: tuple[Scope, ...], context: Any) -> Chain:
    """Return the scopes with the cells that construct has parsed, or was given to build, so far."""
    pairs = []
    for scope in reversed(scopes):
        pairs.append((scope, context))
        context = context.get("_")
    return tuple(reversed(pairs))


def _predicate(test: Test, scopes: tuple[Scope, ...]) -> Callable[[Any], bool]:
    return lambda context: holds(test, chain_of(scopes, context))


def _field(leaf: Leaf, scopes: tuple[Scope, ...]) -> Any:
    item = _element(leaf, scopes)
    if leaf.array is None:
        return item
    return _Elements(item, _counter(leaf.array, scopes), leaf.element_size, fixed=isinstance(leaf.array, int))


def _counter(count: int | str, scopes: tuple[Scope, ...]) -> Callable[[Any], int | None]:
    """Return what gives a length or count; None: the rest."""
    if isinstance(count, int):
        return lambda _: count
    if count == "rest":
        return lambda _: None

    def given(context: Any) -> int:
        raw = raw_named(count, chain_of(scopes, context))
        return max(0, int(raw)) if isinstance(raw, int) or (isinstance(raw, float) and abs(raw) < 2**63) else 0

    return given


def _element(leaf: Leaf, scopes: tuple[Scope, ...]) -> Any:
    if leaf.place is not None:
        return _Signal(leaf)
    if leaf.members is not None:
        return construct_of(leaf.members, scopes)
    if leaf.kind in {"int", "bool", "float"}:
        size = leaf.size or 0
        return _Tolerant(_bits(leaf) if leaf.bits else _swapped(leaf, _number(leaf, size)), size)
    if leaf.length == "null":
        return _NullTerminated()
    return _Data(_counter(leaf.length if leaf.length is not None else 0, scopes))


def _number(leaf: Leaf, size: int) -> Any:
    if leaf.kind == "float":
        return construct.FormatField(">" if leaf.order == "big" else "<", {2: "e", 4: "f", 8: "d"}[size])
    return construct.BytesInteger(size, signed=leaf.signed, swapped=leaf.order == "little")


def _swapped(leaf: Leaf, item: Any) -> Any:
    if not leaf.swapped:
        return item
    size = leaf.size or 0

    def turn(data: bytes) -> bytes:
        return b"".join(data[at : at + 2] for at in range(size - 2, -1, -2))

    return construct.Transformed(item, turn, size, turn, size)


def _bits(leaf: Leaf) -> Any:
    """Return what reads the bits of an integer; those that exclusive conditions share are read side by side."""
    layers: list[list[tuple[int, Leaf]]] = []
    for index, bit in enumerate(leaf.bits):
        free = (layer for layer in layers if not any(_overlap(bit, other) for _, other in layer))
        layer = next(free, None)
        if layer is None:
            layers.append([(index, bit)])
        else:
            layer.append((index, bit))
    structs = [_bit_struct(leaf, layer) for layer in layers]
    return structs[0] if len(structs) == 1 else _SideBySide(structs, leaf.size or 0)


def _overlap(one: Leaf, other: Leaf) -> bool:
    return one.shift < other.shift + other.width and other.shift < one.shift + one.width


def _bit_struct(leaf: Leaf, bits: list[tuple[int, Leaf]]) -> Any:
    """Return a BitStruct, most significant bit first, gaps as padding."""
    members = []
    top = 8 * (leaf.size or 0)
    for index, bit in sorted(bits, key=lambda pair: -pair[1].shift):
        gap = top - bit.shift - bit.width
        if gap:
            members.append(construct.Padding(gap))
        members.append(construct.Renamed(construct.BitsInteger(bit.width, signed=bit.signed), newname=key_of(index)))
        top = bit.shift
    if top:
        members.append(construct.Padding(top))
    whole = construct.BitStruct(*members)
    return construct.ByteSwapped(whole) if leaf.order == "little" and (leaf.size or 0) > 1 else whole


class _SideBySide(construct.Construct):  # type: ignore[misc]
    """Several structs over the same bytes, the members of all in one container; built, what does not hold is zero."""

    def __init__(self, structs: list[Any], size: int) -> None:
        super().__init__()
        self._structs = structs
        self._size = size

    def _parse(self, stream: BytesIO, context: Any, path: str) -> Any:
        start, found = stream.tell(), construct.Container()
        for each in self._structs:
            stream.seek(start)
            found.update(each._parsereport(stream, context, path))  # noqa: SLF001 - construct's way to nest
        return found

    def _build(self, obj: Any, stream: BytesIO, context: Any, path: str) -> Any:
        del context, path
        number = 0
        for each in self._structs:
            number |= int.from_bytes(each.build(obj), "big")
        stream.write(number.to_bytes(self._size, "big"))
        return obj

    def _sizeof(self, context: Any, path: str) -> int:
        del context, path
        return self._size


def _reached(context: Any, stream: BytesIO) -> None:
    state = context._params  # noqa: SLF001 - construct's own name for the keywords of parse()
    state["reach"] = max(state.get("reach", 0), stream.tell())


class _Tolerant(construct.Subconstruct):  # type: ignore[misc]
    """A field of `size` bytes; CUT where the stream ends before it."""

    def __init__(self, subcon: Any, size: int) -> None:
        super().__init__(subcon)
        self._size = size

    def _parse(self, stream: BytesIO, context: Any, path: str) -> Any:
        start = stream.tell()
        try:
            value = self.subcon._parsereport(stream, context, path)  # noqa: SLF001 - construct's way to nest
        except construct.StreamError:
            value = CUT
        stream.seek(start + self._size)
        _reached(context, stream)
        return value


class _At(construct.Subconstruct):  # type: ignore[misc]
    """A field at an absolute byte; what follows goes on after it."""

    def __init__(self, subcon: Any, at: int) -> None:
        super().__init__(subcon)
        self._at = at

    def _parse(self, stream: BytesIO, context: Any, path: str) -> Any:
        stream.seek(self._at)
        return self.subcon._parsereport(stream, context, path)  # noqa: SLF001

    def _build(self, obj: Any, stream: BytesIO, context: Any, path: str) -> Any:
        stream.seek(self._at)
        return self.subcon._build(obj, stream, context, path)  # noqa: SLF001


class _Data(construct.Construct):  # type: ignore[misc]
    """Bytes of a length given by `count`; None: all that is left."""

    def __init__(self, count: Callable[[Any], int | None]) -> None:
        super().__init__()
        self._count = count

    def _parse(self, stream: BytesIO, context: Any, path: str) -> Any:  # noqa: ARG002 - construct's signature
        start, total = stream.tell(), context._params["n"]  # noqa: SLF001
        count = self._count(context)
        end = max(start, total) if count is None else start + count
        value = CUT if end > total else stream.read(end - start)
        stream.seek(min(end, _FAR))
        _reached(context, stream)
        return value

    def _build(self, obj: Any, stream: BytesIO, context: Any, path: str) -> Any:  # noqa: ARG002
        stream.write(obj)
        return obj


class _NullTerminated(construct.Construct):  # type: ignore[misc]
    """Bytes up to a NUL, which is not part of them; CUT where none comes."""

    def _parse(self, stream: BytesIO, context: Any, path: str) -> Any:  # noqa: ARG002
        start, total = stream.tell(), context._params["n"]  # noqa: SLF001
        data, mark, _ = stream.read().partition(b"\0")
        stream.seek(start + len(data) + 1 if mark else total + 1)
        _reached(context, stream)
        return data if mark else CUT

    def _build(self, obj: Any, stream: BytesIO, context: Any, path: str) -> Any:  # noqa: ARG002
        stream.write(obj + b"\0")
        return obj


class _Elements(construct.Subconstruct):  # type: ignore[misc]
    """A list. Elements that begin within the body are parsed; none does: CUT; missing of a fixed count: CUT each.

    The rest of a body that ends before it is CUT, of one that ends there no elements. An element that takes no bytes
    ends the list.
    """

    def __init__(self, subcon: Any, count: Callable[[Any], int | None], size: int | None, *, fixed: bool) -> None:
        super().__init__(subcon)
        self._count = count
        self._size = size
        self._fixed = fixed

    def _parse(self, stream: BytesIO, context: Any, path: str) -> Any:
        start, total = stream.tell(), context._params["n"]  # noqa: SLF001
        count = self._count(context)
        items: list[Any] = []
        while stream.tell() < total and (count is None or len(items) < count):
            before = stream.tell()
            items.append(self.subcon._parsereport(stream, context, path))  # noqa: SLF001
            if stream.tell() == before:
                break
        value: Any = items if items or start <= total or count is not None else CUT
        if count is not None and len(items) < count:
            value = (*items, *[CUT] * (count - len(items) if self._fixed else 0)) if items else CUT
            behind = max(stream.tell(), total + 1) if self._size is None else start + self._size * count
            stream.seek(min(behind, _FAR))
        _reached(context, stream)
        return value

    def _build(self, obj: Any, stream: BytesIO, context: Any, path: str) -> Any:
        for item in obj:
            self.subcon._build(item, stream, context, path)  # noqa: SLF001
        return obj


class _Signal(construct.Construct):  # type: ignore[misc]
    """A DBC signal, bit by bit as the DBC numbers them: an oracle for the shifts and masks of generated code."""

    def __init__(self, leaf: Leaf) -> None:
        super().__init__()
        self._leaf = leaf
        self._places = _bit_places(str(getattr(leaf.spec, "dbc", "")), leaf)
        self._end = 1 + max(byte for byte, _ in self._places)

    def _parse(self, stream: BytesIO, context: Any, path: str) -> Any:  # noqa: ARG002
        body = stream.getvalue()
        state = context._params  # noqa: SLF001
        state["reach"] = max(state.get("reach", 0), self._end)
        if self._end > len(body):
            return CUT
        number = 0
        for byte, bit in self._places:
            number = number << 1 | (body[byte] >> bit & 1)
        data = number.to_bytes((self._leaf.width + 7) // 8, "big")
        if self._leaf.kind == "float":
            return _number(self._leaf, len(data)).parse(data if self._leaf.order == "big" else data[::-1])
        if self._leaf.signed and number >> self._leaf.width - 1:
            number -= 1 << self._leaf.width
        return number

    def _build(self, obj: Any, stream: BytesIO, context: Any, path: str) -> Any:  # noqa: ARG002
        if self._leaf.kind == "float":
            data = _number(self._leaf, self._leaf.width // 8).build(obj)
            number = int.from_bytes(data, self._leaf.order)
        else:
            number = obj & (1 << self._leaf.width) - 1
        body = bytearray(stream.getvalue().ljust(self._end, b"\0"))
        for index, (byte, bit) in enumerate(reversed(self._places)):
            body[byte] = body[byte] & ~(1 << bit) | (number >> index & 1) << bit
        stream.seek(0)
        stream.write(body)
        return obj


def _bit_places(text: str, leaf: Leaf) -> list[tuple[int, int]]:
    """Return (byte, bit) of each bit of a signal, most significant first."""
    start = int(text.replace(" ", "").partition("|")[0])
    if leaf.order == "little":
        return [divmod(start + index, 8) for index in range(leaf.width - 1, -1, -1)]
    places = []
    byte, bit = divmod(start, 8)
    for _ in range(leaf.width):
        places.append((byte, bit))
        byte, bit = (byte, bit - 1) if bit else (byte + 1, 7)
    return places
