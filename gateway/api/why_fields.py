"""Layer 7: each value of one message walked back to the bits it was read from, for `tidegate why`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from gateway.notation import number
from gateway.plain import unit_text, value_text
from gateway.schema.layout import Leaf, Scope, layout_of
from gateway.schema.plan import ABSENT, MessagePlan, Row
from gateway.schema.spec import BitSpec, FieldSpec, MessageSpec


class Explained(msgspec.Struct, frozen=True, kw_only=True):
    """One value and where it comes from. What the body itself decides, and cannot be told beforehand, is None."""

    name: str
    value: Any
    units: str
    type: str | None = None  # as in the profile: "s16be"
    first_byte: int | None = None  # of the payload, from 0
    size_bytes: int | None = None
    bits: str | None = None  # "15:5" of those bytes read as one number, 0 the least significant
    hex: str | None = None
    raw: Any  # the number on the wire
    scale: float = 1.0
    offset: float = 0.0
    adjust: tuple[float, float] | None = None  # scale and offset that the site file adds
    note: str = ""  # where it does not come from one place

    def words(self) -> str:
        """Return it in one line."""
        value = f"{self.name} = {value_text(self.value)} {unit_text(self.units)}".rstrip()
        if self.note:
            return f"{value}: {self.note}"
        place = "its place depends on what stands before it"
        if self.first_byte is not None and self.size_bytes:
            last = self.first_byte + self.size_bytes - 1
            place = f"byte {self.first_byte}" if self.size_bytes == 1 else f"bytes {self.first_byte} to {last}"
            place += f" = {self.hex}"
        bits = f", bits {self.bits}" if self.bits is not None else ""
        return f"{value}: {place}{bits}, {self.type or 'value'} {value_text(self.raw)}{self._formula()}"

    def _formula(self) -> str:
        own = _linear(self.scale, self.offset)
        return own if self.adjust is None else f"{own}, adjusted by the site{_linear(*self.adjust)}"


def _linear(scale: float, offset: float) -> str:
    factor = f" x {scale:.12g}" if scale != 1 else ""
    return factor + (f" {'-' if offset < 0 else '+'} {abs(offset):.12g}" if offset else "")


def explained(spec: MessageSpec, plan: MessagePlan, payload: bytes, row: Row) -> list[Explained]:
    """Return every value of a message, in field order; `row` is what it was decoded to. Raises: Refused."""
    raws = plan.decode_raw(payload)
    found = dict(_placed(layout_of(spec), raws, len(payload))) if spec.format == "binary" else {}
    return [
        _from_place(name, value, units, raws.get(name), found[name], payload)
        if name in found
        else _from_elsewhere(name, value, units, raws.get(name), spec)
        for name, value, units in zip(plan.names, row, plan.units, strict=False)
        if value is not ABSENT
    ]


class _Place(NamedTuple):
    leaf: Leaf
    first: int | None  # byte of the payload; of bits, those of their integer
    size: int | None  # bytes


def _placed(scope: Scope, raws: dict[str, Any], size: int) -> Iterator[tuple[str, _Place]]:
    """Yield name and place of every field that is there: its condition holds for the numbers that were read."""
    at: int | None = 0
    for leaf in scope.leaves:
        if leaf.test is not None and not leaf.test.holds(raws.get):
            continue
        if leaf.place is not None:
            first: int | None = leaf.place.first
            length: int | None = leaf.place.last - leaf.place.first + 1
        else:
            first = at if leaf.at is None else leaf.at
            length = None if first is None else _size_of(leaf, raws, size - first)
            at = None if first is None or length is None else first + length
        for part in leaf.bits or (leaf,):
            if part.name and (part.test is None or part.test.holds(raws.get)):
                yield part.name, _Place(part, first, length)


def _size_of(leaf: Leaf, raws: dict[str, Any], rest: int) -> int | None:
    """Return how many bytes a field takes, `rest` of the payload being left; None where only its content tells."""
    if "rest" in {leaf.length, leaf.array}:
        return max(rest, 0)
    one = raws.get(leaf.length) if isinstance(leaf.length, str) else leaf.element_size
    count = raws.get(leaf.array) if isinstance(leaf.array, str) else 1 if leaf.array is None else leaf.array
    return one * count if isinstance(one, int) and isinstance(count, int) else None


def _from_elsewhere(name: str, value: Any, units: str, raw: Any, spec: MessageSpec) -> Explained:
    computed = f"computed by {spec.transform.use} from the fields of this message" if spec.transform else ""
    note = computed or f"read from {spec.format} text: {value_text(raw)}"
    return Explained(name=name, value=value, units=units, raw=raw, note=note)


def _from_place(name: str, value: Any, units: str, raw: Any, place: _Place, payload: bytes) -> Explained:  # noqa: PLR0917
    leaf, first, size = place
    cut = payload[first : first + size] if first is not None and size is not None else None
    return Explained(
        name=name, value=value, units=units, type=_type_of(leaf.spec), first_byte=first, size_bytes=size,
        bits=_bits_of(leaf), hex=None if cut is None else cut.hex(" "), raw=raw,
        scale=number(leaf.spec.scale), offset=float(leaf.spec.offset),
    )  # fmt: skip


def _type_of(spec: FieldSpec | BitSpec) -> str | None:
    if isinstance(spec, BitSpec):
        return "signed bits" if spec.signed else "bits"
    return spec.dbc or spec.type


def _bits_of(leaf: Leaf) -> str | None:
    if leaf.place is not None:
        return None if leaf.place.aligned else f"{leaf.place.shift + leaf.place.width - 1}:{leaf.place.shift}"
    if leaf.kind != "bit":
        return None
    return str(leaf.shift) if leaf.width == 1 else f"{leaf.shift + leaf.width - 1}:{leaf.shift}"
