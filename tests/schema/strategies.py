"""Hypothesis strategies: MessageSpecs of binary format that the rules accept, and bodies for them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from gateway.schema.spec import BitSpec, FieldSpec, MessageSpec

SCALES = st.sampled_from([1, 1, 0.1, 0.005, 2, -0.5, "1/1024", 1e-9, 1e300])
OFFSETS = st.sampled_from([0, 0, -40, 1.6, 50000])
ORDERS = st.sampled_from(["be", "le"])


class _Scope:
    """Names in use and what conditions, lengths and counts may refer to."""

    def __init__(self) -> None:
        self.count = 0
        self.flags: list[str] = []
        self.numbers: list[str] = []
        self.counts: list[str] = []

    def name(self) -> str:
        self.count += 1
        return f"f{self.count}"


@st.composite
def meanings(draw: Any, low: int, high: int) -> dict[str, Any]:
    """Keys of meaning for an integer of this raw range."""
    keys: dict[str, Any] = {}
    raws = st.integers(low, high)
    kind = draw(st.sampled_from(["plain", "scaled", "scaled", "labels", "flags"]))
    if draw(st.booleans()):
        ends = st.tuples(raws, raws).map(sorted)
        spans = ends.map(lambda pair: f"{pair[0]}..{pair[1]}") | raws.map(lambda raw: f"{raw}..{high}")
        keys["invalid"] = draw(raws | st.lists(raws | spans, min_size=1, max_size=3) | st.just(high) | spans)
    if kind == "scaled":
        keys |= {"scale": draw(SCALES), "offset": draw(OFFSETS)}
    if kind == "labels":
        keys["labels"] = {str(raw): f"l{raw}" for raw in draw(st.sets(raws, min_size=1, max_size=4))}
    elif kind == "flags" and low == 0:
        keys["flags"] = {"0": "a", "2": "b"} if high >= 4 else {"0": "a"}
    elif draw(st.booleans()):
        ends = sorted(draw(st.tuples(*[st.floats(-1e5, 1e5) | st.integers(-300, 300)] * 2)))
        keys |= draw(st.sampled_from([{"minimum": ends[0], "maximum": ends[1]}, {"maximum": ends[1]}]))
    return keys


@st.composite
def bit_lists(draw: Any, size: int, scope: _Scope, *, conditions: bool) -> list[BitSpec]:
    top, bits = 8 * size, []
    while top > 0 and len(bits) < 5:
        width = draw(st.integers(1, min(top, 12)))
        at = f"{top - 1}:{top - width}" if width > 1 else str(top - 1)
        top -= width + draw(st.sampled_from([0, 0, 3]))
        signed = width > 1 and draw(st.booleans())
        low, high = (-(1 << width - 1), (1 << width - 1) - 1) if signed else (0, (1 << width) - 1)
        name = draw(st.sampled_from([scope.name(), "_" + scope.name(), None]))
        keys = draw(meanings(low, high)) if name else draw(st.just({}) | st.builds(dict, const=st.just(0)))
        condition = draw(conditions_on(scope)) if conditions and draw(st.booleans()) else None
        bits.append(BitSpec(at=at, name=name, signed=signed, condition=condition, **keys))
        if name and condition is None:
            (scope.flags if width == 1 else scope.numbers).append(name)
            if low == 0 and width <= 4:
                scope.counts.append(name)
    return bits


@st.composite
def conditions_on(draw: Any, scope: _Scope) -> Any:
    """A condition on earlier fields, or None while there are none."""
    if scope.flags and draw(st.booleans()):
        return draw(st.sampled_from(["", "!"])) + draw(st.sampled_from(scope.flags))
    if scope.numbers:
        wanted = st.integers(0, 5) | st.lists(st.integers(0, 5) | st.just("2..90"), min_size=1, max_size=3)
        return {draw(st.sampled_from(scope.numbers)): draw(wanted)}
    return None


@st.composite
def number_fields(draw: Any, scope: _Scope, *, depth: int) -> FieldSpec:
    size = draw(st.sampled_from([1, 1, 2, 2, 3, 4, 5, 8]))
    order = draw(ORDERS) if size > 1 else ""
    name = draw(st.sampled_from([scope.name(), scope.name(), "_" + scope.name(), None]))
    if draw(st.integers(0, 3)) == 0:
        return FieldSpec(type=f"u{8 * size}{order}", bits=draw(bit_lists(size, scope, conditions=depth == 0)))
    signed = draw(st.booleans())
    high = (1 << 8 * size - signed) - 1
    low = -high - 1 if signed else 0
    keys = draw(meanings(low, high)) if name else draw(st.just({}) | st.just({"const": 1}))
    if name and not signed and size == 1:
        scope.counts.append(name)
    if name:
        scope.numbers.append(name)
    return FieldSpec(type=f"{'s' if signed else 'u'}{8 * size}{order}", name=name, **keys)


@st.composite
def other_fields(draw: Any, scope: _Scope) -> FieldSpec:
    name = draw(st.sampled_from([scope.name(), scope.name(), None]))
    kind = draw(st.sampled_from(["f16", "f32", "f64", "bool", "bytes", "bytes", "text", "bcd", "ascii"]))
    if kind[0] == "f":
        keys = draw(st.sampled_from([{}, {"scale": 0.5}, {"minimum": -1, "maximum": 1e3}, {"invalid": 0.0}]))
        return FieldSpec(type=kind + draw(ORDERS), name=name, **keys)
    if kind == "bool":
        if name:
            scope.flags.append(name)
        return FieldSpec(type="bool", name=name, **draw(st.sampled_from([{}, {"invalid": 255}])))
    lengths = [st.integers(1, 4)] + ([st.sampled_from(scope.counts)] if scope.counts else [])
    if kind in {"text", "bytes"}:
        lengths.append(st.just("null"))
    return FieldSpec(type=kind, name=name, length=draw(st.one_of(lengths)))


@st.composite
def fields(draw: Any, scope: _Scope, depth: int = 0) -> FieldSpec:
    kind = draw(st.integers(0, 9))
    if kind == 0 and depth < 2:
        inner = _Scope()
        inner.flags, inner.numbers, inner.counts = [[*names] for names in (scope.flags, scope.numbers, scope.counts)]
        inner.count = 100 * (depth + 1)
        members = [draw(fields(inner, depth + 1)) for _ in range(draw(st.integers(1, 3)))]
        field = FieldSpec(type="struct", name=scope.name(), fields=members)
    elif kind <= 6:
        field = draw(number_fields(scope, depth=depth))
    else:
        field = draw(other_fields(scope))
    return _with_place(draw, field, scope, depth)


def _with_place(draw: Any, field: FieldSpec, scope: _Scope, depth: int) -> FieldSpec:
    keys: dict[str, Any] = {}
    referable = {field.name, *(bit.name for bit in field.bits or [])}
    if draw(st.integers(0, 4)) == 0 and not field.bits:
        counts = [st.integers(1, 4)] + ([st.sampled_from(scope.counts)] if scope.counts else [])
        keys["array"] = draw(st.one_of(counts))
    if draw(st.integers(0, 4)) == 0:
        keys["condition"] = draw(conditions_on(scope))
    if depth == 0 and draw(st.integers(0, 9)) == 0:
        keys["at"] = draw(st.integers(0, 12))
    for reference in (keys.get("array"), *_mentioned(keys.get("condition"))):
        if reference in referable:
            return field
    values = {name: getattr(field, name) for name in field.__struct_fields__} | keys
    if keys.get("array") is not None:
        for names in (scope.flags, scope.numbers, scope.counts):
            names[:] = [name for name in names if name not in referable]
    return FieldSpec(**values)


def _mentioned(condition: Any) -> list[str]:
    return [condition.lstrip("!")] if isinstance(condition, str) else list(condition or ())


@st.composite
def binary_specs(draw: Any) -> MessageSpec:
    """A message of fields in sequence."""
    scope = _Scope()
    items = [draw(fields(scope)) for _ in range(draw(st.integers(1, 7)))]
    tail = draw(st.sampled_from([None, None, "bytes", "text", "u16le", "struct"]))
    if tail in {"bytes", "text"}:
        items.append(FieldSpec(type=tail, name="rest", length="rest"))
    elif tail == "u16le":
        items.append(FieldSpec(type=tail, name="rest", array="rest", scale=0.5))
    elif tail == "struct":
        inner = [FieldSpec(type="u8", name="a"), FieldSpec(type="u16be", name="b", condition="a")]
        items.append(FieldSpec(type=tail, name="rest", array="rest", fields=inner))
    return MessageSpec(fields=items, strict=draw(st.booleans()))


@st.composite
def signal_specs(draw: Any) -> MessageSpec:
    """A message of DBC signals, some multiplexed by an early one."""
    items = [FieldSpec(name="mux", dbc=draw(st.sampled_from(["0|8@1+", "3|4@0+", "4|2@1+"])))]
    for index in range(draw(st.integers(1, 6))):
        order, sign = draw(st.sampled_from("01")), draw(st.sampled_from("+-"))
        start = draw(st.integers(0, 63))
        room = 8 * (start // 8) + 8 if order == "1" else 0
        width = draw(st.integers(1, max(1, min(24, room - start + 16)))) if order == "1" else draw(st.integers(1, 20))
        high = (1 << width - (sign == "-")) - 1
        condition = draw(st.sampled_from([None, None, {"mux": 1}, {"mux": [2, "4..7"]}]))
        keys = draw(meanings(-high - 1 if sign == "-" else 0, high))
        items.append(FieldSpec(name=f"s{index}", dbc=f"{start}|{width}@{order}{sign}", condition=condition, **keys))
    if draw(st.booleans()):
        items.append(FieldSpec(name="real", dbc=draw(st.sampled_from(["32|32@1-", "7|32@0-", "5|32@1-"])), type="f32"))
    return MessageSpec(fields=items, length=8)


def writable(spec: MessageSpec) -> bool:
    """Whether every value it decodes can be written back: no field lies over another, doubles hold each raw number."""
    return all(_writable(field) for field in spec.fields)


def _writable(field: FieldSpec) -> bool:
    coarse = field.scale in {1e300, 1e-9} or (field.scale != 1 and field.type in {"u40be", "u40le", "s40be", "s40le"})
    wide = (field.type or "")[1:3] in {"40", "64"} and (field.scale != 1 or field.offset != 0)
    inner = all(_writable(part) for part in field.fields or [])
    bits = all(bit.scale not in {1e300, 1e-9} for bit in field.bits or [])
    return field.at is None and field.type != "ascii" and inner and bits and not coarse and not wide


def bodies(longest: int = 40) -> st.SearchStrategy[bytes]:
    """Bodies with many zeros, ones and small numbers, so that flags, counts and sentinels hit."""
    usual = st.sampled_from([0, 0, 1, 1, 2, 3, 5, 0x31, 0x7F, 0x80, 0xFF, 0xFF])
    return st.lists(usual | st.integers(0, 255), max_size=longest).map(bytes) | st.binary(max_size=longest)
