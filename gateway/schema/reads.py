"""Layer 2: which bytes a stretch of fixed layout reads, packed into as few `struct.unpack_from` calls as it needs."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from itertools import zip_longest
from typing import Final, NamedTuple

from gateway.notation import ByteOrder
from gateway.schema.layout import Leaf

_INTEGER_CODE: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}
_FLOAT_CODE: Final = {2: "e", 4: "f", 8: "d"}
_PIECES: Final = {3: (2, 1), 5: (4, 1), 6: (4, 2), 7: (4, 2, 1)}
_MARK: Final[dict[ByteOrder, str]] = {"big": ">", "little": "<"}


class _Want(NamedTuple):
    offset: int
    size: int
    code: str
    mark: str  # "<", ">" or "" where order does not matter
    variable: str


class Lane(NamedTuple):
    """One unpack_from call: struct format from the stretch's first byte, and the variables it fills."""

    format: str
    variables: tuple[str, ...]


class Reads:
    """Collects what is read of a stretch; each request returns a variable that holds it after `lanes` and `joins`."""

    def __init__(self, prefix: str) -> None:
        """Take the prefix of all variables made here."""
        self._prefix = prefix
        self._wants: list[_Want] = []
        self._seen: dict[tuple[object, ...], str] = {}
        self.joins: list[tuple[str, str]] = []  # variable, expression: integers of several pieces
        self.size = 0  # bytes the stretch needs

    def integer(self, offset: int, size: int, order: ByteOrder, *, signed: bool) -> str:
        """Return the variable of an integer of 1 to 8 bytes, or unsigned of any size."""
        key = ("int", offset, size, order if size > 1 else "", signed)
        if key not in self._seen:
            self._seen[key] = self._integer(offset, size, order, signed=signed)
        return self._seen[key]

    def floating(self, offset: int, size: int, order: ByteOrder) -> str:
        """Return the variable of an IEEE float of 2, 4 or 8 bytes."""
        return self._want(offset, size, _FLOAT_CODE[size], order)

    def data(self, offset: int, size: int) -> str:
        """Return the variable of bytes."""
        return self._want(offset, size, f"{size}s", None)

    def _integer(self, offset: int, size: int, order: ByteOrder, *, signed: bool) -> str:
        if size in _INTEGER_CODE:
            return self._want(offset, size, _signed(_INTEGER_CODE[size], signed=signed), order)
        whole = self._name("j")
        if size > 8:
            self.joins.append((whole, f"from_bytes({self.data(offset, size)}, {order!r})"))
            return whole
        parts: list[tuple[str, int]] = []  # variable, bytes below it
        place = 0
        for piece in _PIECES[size]:
            top = place + piece == size if order == "little" else place == 0
            below = place if order == "little" else size - place - piece
            code = _signed(_INTEGER_CODE[piece], signed=signed and top)
            parts.append((self._want(offset + place, piece, code, order), below))
            place += piece
        self.joins.append((whole, " | ".join(f"{name} << {8 * below}" if below else name for name, below in parts)))
        return whole

    def _want(self, offset: int, size: int, code: str, order: ByteOrder | None) -> str:
        mark = _MARK[order] if order is not None and size > 1 else ""
        key = (offset, size, code, mark)
        if key not in self._seen:
            self._seen[key] = self._name("a")
            self._wants.append(_Want(offset, size, code, mark, self._seen[key]))
            self.size = max(self.size, offset + size)
        return self._seen[key]

    def _name(self, kind: str) -> str:
        return f"{kind}{self._prefix}_{len(self._seen) + len(self.joins)}"

    def lanes(self) -> list[Lane]:
        """Return the unpack calls: one per byte order, more only where declared fields overlap."""
        packed: list[tuple[str, list[_Want]]] = []
        for want in sorted(self._wants, key=lambda want: (want.mark == "", want.offset)):
            for place, (mark, taken) in enumerate(packed):
                if (not mark or not want.mark or mark == want.mark) and _put(taken, want):
                    packed[place] = (mark or want.mark, taken)
                    break
            else:
                packed.append((want.mark, [want]))
        return [_lane(mark, taken) for mark, taken in packed]


def number_format(leaf: Leaf) -> str:
    """Return the struct format of an integer of 1, 2, 4 or 8 bytes."""
    return _MARK[leaf.order] + _signed(_INTEGER_CODE[leaf.size or 1], signed=leaf.signed)


def _signed(code: str, *, signed: bool) -> str:
    return code.lower() if signed else code


def _put(taken: list[_Want], want: _Want) -> bool:
    """Insert `want` into wants that are sorted by place, if nothing there overlaps it."""
    at = bisect_left(taken, want.offset, key=lambda other: other.offset)
    if at > 0 and taken[at - 1].offset + taken[at - 1].size > want.offset:
        return False
    if at < len(taken) and want.offset + want.size > taken[at].offset:
        return False
    taken.insert(at, want)
    return True


def _lane(mark: str, taken: list[_Want]) -> Lane:
    parts: list[str] = []
    place = 0
    for want in taken:
        if want.offset > place:
            parts.append(f"{want.offset - place}x")
        parts.append(want.code)
        place = want.offset + want.size
    return Lane((mark or "<") + "".join(parts), tuple(want.variable for want in taken))


def signal_expressions(leaves: Iterable[Leaf], reads: Reads) -> dict[Leaf, str]:
    """Return the raw expression of each DBC signal; signals that share bytes share one integer."""
    expressions: dict[Leaf, str] = {}
    group: list[Leaf] = []
    end = -1
    placed = sorted((leaf for leaf in leaves if leaf.place), key=lambda leaf: (leaf.order, leaf.place or ()))
    for leaf, following in zip_longest(placed, placed[1:]):
        group.append(leaf)
        end = max(end, leaf.place.last)  # type: ignore[union-attr]
        if following is None or following.order != leaf.order or following.place.first > end:  # type: ignore[union-attr]
            _read_group(group, reads, expressions)
            group, end = [], -1
    return expressions


def _read_group(group: list[Leaf], reads: Reads, expressions: dict[Leaf, str]) -> None:
    first = min(leaf.place.first for leaf in group)  # type: ignore[union-attr]
    last = max(leaf.place.last for leaf in group)  # type: ignore[union-attr]
    for leaf in group:
        place = leaf.place
        assert place is not None
        own = place.aligned and place.first == first and place.last == last
        if own and leaf.kind == "float":
            expressions[leaf] = reads.floating(place.first, leaf.width // 8, leaf.order)
        elif own and leaf.width <= 64:
            expressions[leaf] = reads.integer(place.first, leaf.width // 8, leaf.order, signed=leaf.signed)
        else:
            whole = reads.integer(first, last - first + 1, leaf.order, signed=False)
            above = place.first - first if leaf.order == "little" else last - place.last
            bits = bits_expression(whole, place.shift + 8 * above, leaf.width, 8 * (last - first + 1))
            if leaf.kind == "float":
                expressions[leaf] = f"float{leaf.width}({bits})"
            else:
                expressions[leaf] = sign_expression(bits, leaf.width) if leaf.signed else bits


def bits_expression(whole: str, shift: int, width: int, of_bits: int) -> str:
    """Return the expression of `width` bits at `shift` of an unsigned integer variable of `of_bits` bits."""
    text = f"{whole} >> {shift}" if shift else whole
    return text if shift + width == of_bits else f"{text} & {(1 << width) - 1:#x}"


def sign_expression(bits: str, width: int) -> str:
    """Return the two's complement reading of an unsigned expression."""
    top = 1 << (width - 1)
    return f"(({bits}) ^ {top:#x}) - {top:#x}"
