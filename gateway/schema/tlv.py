"""Layer 2: messages of tagged elements: [header] then [tag] [length, if declared] [value], again and again.

A tag that comes again gives NAME, NAME_2, ... as far as `repeats` allows; more of one are skipped and taint
`trust.case`. An unknown tag without a declared length ends the decode: what it would mean to go on is not known. A
tagged struct without a name is several fields behind one tag: its members are the message's values. On writing, the
first tag that has the name and takes the value is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from gateway.errors import EncodeError
from gateway.schema.careful import element_decoder
from gateway.schema.layout import Scope, layout_of
from gateway.schema.plan import ABSENT, Refused, Row
from gateway.schema.spec import FieldSpec, MessageSpec
from gateway.schema.types import WireType, parse_type
from gateway.taint import TRUST_CASE

Element = Callable[[bytes], tuple[dict[str, Any], int, int]]  # values, taints, bytes used
Make = Callable[[Scope, bool], Element]


class TlvPlan:
    """One layout of tagged elements."""

    path: Literal["generated", "construct", "text"] = "generated"

    def __init__(self, name: str, spec: MessageSpec) -> None:
        """Resolve the layout. Raises: ValueError for a spec that was not checked."""
        self.name = name
        self.spec = spec
        self.why = "tag by tag, each element by generated code"
        header, elements = _split(spec)
        named = {leaf.name: leaf.spec for leaf in layout_of(header).named() if not leaf.is_internal}
        for field in elements:
            for leaf in layout_of(_alone(field, spec)).named():
                if not leaf.is_internal and leaf.name not in named:
                    named |= {_numbered(str(leaf.name), index): leaf.spec for index in range(spec.repeats)}
        self.names: tuple[str, ...] = tuple(str(each) for each in named)
        self.units: tuple[str, ...] = tuple(each.units for each in named.values())
        self.fields: tuple[FieldSpec | Any, ...] = tuple(named.values())
        self._places = {name: place for place, name in enumerate(self.names)}
        self._walkers: dict[bool, TlvWalker] = {}
        self._encode: Callable[[dict[str, Any]], bytes] | None = None

    def _walker(self, *, raw: bool) -> TlvWalker:
        if raw not in self._walkers:
            file = f"<message {self.name}>"
            self._walkers[raw] = TlvWalker(
                self.spec, lambda scope, raw: element_decoder(scope, raw=raw, filename=file), raw=raw
            )
        return self._walkers[raw]

    def decode(self, body: bytes) -> Row:
        """Return values in order of `names`, then taint bits. Raises: Refused."""
        values, taint = self._walker(raw=False).walk(body)
        row: list[Any] = [ABSENT] * len(self.names)
        for name, value in values.items():
            place = self._places.get(name)
            if place is not None:
                row[place] = value
        return (*row, taint)

    def decode_raw(self, body: bytes) -> dict[str, Any]:
        """Return wire numbers before scale, labels and sentinels, internal fields too. Raises: Refused."""
        return self._walker(raw=True).walk(body)[0]

    def encode(self, values: dict[str, Any]) -> bytes:
        """Return header and the elements given, in field order. Raises: EncodeError."""
        if self._encode is None:
            self._encode = _encoder(self.spec)
        return self._encode(values)


class TlvWalker:
    """Goes from tag to tag; how one element is read is handed in."""

    def __init__(self, spec: MessageSpec, make: Make, *, raw: bool) -> None:
        """`make` gives the decoder of a header or of one element."""
        header, elements = _split(spec)
        self._strict = spec.strict
        self._repeats = spec.repeats
        self._tag = parse_type(spec.tag_type, spec.order)
        self._length = None if spec.length_type is None else parse_type(spec.length_type, spec.order)
        self._header = make(layout_of(header), raw)
        self._make: Callable[[FieldSpec], Element] = lambda field: make(layout_of(_alone(field, spec)), raw)
        self._fields = {field.tag: field for field in elements}
        self._elements: dict[int, Element] = {}  # made when first met: a table of hundreds costs what is used of it

    def walk(self, body: bytes) -> tuple[dict[str, Any], int]:
        """Return all values by name and the taint bits. Raises: Refused."""
        values, taint, place = self._header(body)
        counts: dict[str, int] = {}
        while (start := place + (self._tag.size or 1)) <= len(body):
            element = self._element(_integer(body, place, self._tag))
            size = len(body) - start
            if self._length is not None:
                start += self._length.size or 1
                if start > len(body):
                    break
                size = _integer(body, start - (self._length.size or 1), self._length)
            elif element is None:
                break
            if element is not None:
                found, marks, used = element(body[start : start + size])
                taint |= marks | _number(found, counts, values, self._repeats)
                size = size if self._length is not None else used
            place = start + size
        if self._strict and place < len(body):
            raise Refused("strict")
        return values, taint

    def _element(self, tag: int) -> Element | None:
        element = self._elements.get(tag)
        if element is None and tag in self._fields:
            element = self._elements[tag] = self._make(self._fields[tag])
        return element


def _number(found: dict[str, Any], counts: dict[str, int], values: dict[str, Any], repeats: int) -> int:
    """Put an element's values under NAME, NAME_2, ...; return a taint where there are too many."""
    taint = 0
    for name, value in found.items():
        counts[name] = counts.get(name, 0) + 1
        if counts[name] > repeats:
            taint = TRUST_CASE
        else:
            values[_numbered(name, counts[name] - 1)] = value
    return taint


def _numbered(name: str, index: int) -> str:
    return f"{name}_{index + 1}" if index else name


def _integer(body: bytes, place: int, wire: WireType) -> int:
    return int.from_bytes(body[place : place + (wire.size or 1)], wire.order)


def _split(spec: MessageSpec) -> tuple[MessageSpec, list[FieldSpec]]:
    """Return the header as a message of its own, and the tagged fields."""
    header = [field for field in spec.fields if field.tag is None]
    return MessageSpec(fields=header, order=spec.order), [field for field in spec.fields if field.tag is not None]


def _alone(field: FieldSpec, spec: MessageSpec) -> MessageSpec:
    if field.type == "struct" and field.name is None and field.array is None:
        return MessageSpec(fields=field.fields or [], order=spec.order)
    return MessageSpec(fields=[msgspec.structs.replace(field, tag=None)], order=spec.order)


def _encoder(spec: MessageSpec) -> Callable[[dict[str, Any]], bytes]:
    from gateway.schema.encode import encoder

    header, elements = _split(spec)
    head_scope = layout_of(header)
    head_names = {leaf.name for leaf in head_scope.named()}
    build_head = encoder(header, head_scope)
    tag, length = parse_type(spec.tag_type, spec.order), None
    if spec.length_type is not None:
        length = parse_type(spec.length_type, spec.order)
    builders: list[_Builder] = []
    for field in elements:
        one = _alone(field, spec)
        scope = layout_of(one)
        mark = (field.tag or 0).to_bytes(tag.size or 1, tag.order)
        names = frozenset(str(leaf.name) for leaf in scope.named())
        builders.append(_Builder(mark, names, encoder(one, scope)))

    def encode(values: dict[str, Any]) -> bytes:
        given = {name: value for name, value in values.items() if name in head_names}
        body = build_head(given)
        return body + b"".join(_elements(builders, values, set(given), length, spec.repeats))

    return encode


class _Builder(NamedTuple):
    """What writes the elements of one tag."""

    mark: bytes
    names: frozenset[str]
    build: Callable[[dict[str, Any]], bytes]


def _elements(
    builders: Sequence[_Builder], values: Mapping[str, Any], done: set[str], length: WireType | None, repeats: int
) -> list[bytes]:
    parts: list[bytes] = []
    refusals: dict[str, EncodeError] = {}
    for mark, names, build in builders:
        for index in range(repeats):
            spelled = {_numbered(name, index): name for name in names}
            given = {name: values[each] for each, name in spelled.items() if each in values and each not in done}
            if not given:
                continue
            try:
                data = build(given)
            except EncodeError as error:  # another tag of the same name may have room for it
                refusals.update({each: error for each in spelled if each not in refusals})
                continue
            done.update(each for each in spelled if each in values)
            parts.append(mark + _sized(data, length, " ".join(sorted(spelled))) + data)
    left = [name for name in values if name not in done]
    if left and left[0] in refusals:
        raise refusals[left[0]]
    if left:
        known = {name: None for builder in builders for name in sorted(builder.names)}
        raise EncodeError(f"unknown field {left[0]!r}; one of {', '.join(known)}")
    return parts


def _sized(data: bytes, length: WireType | None, name: str) -> bytes:
    if length is None:
        return b""
    try:
        return len(data).to_bytes(length.size or 1, length.order)
    except OverflowError:
        raise EncodeError(f"{name}: {len(data)} bytes do not fit its length of {length.size} bytes") from None
