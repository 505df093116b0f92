"""Layer 2: the reference meaning of a message: construct parses, the common meaning layer turns cells into values.

Generated code is held equal to this by property tests; it is fifty times slower and never on a hot path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from io import BytesIO
from typing import Any

from gateway.schema.layout import Leaf, Scope, layout_of
from gateway.schema.meaning import CONVERT
from gateway.schema.plan import ABSENT, Refused, Row
from gateway.schema.spec import MessageSpec
from gateway.schema.tlv import Element, TlvPlan, TlvWalker
from gateway.schema.wire import CUT, Chain, construct_of, evaluation_order, holds, key_of, raw_of
from gateway.taint import TRUST_CASE, TRUST_TRUNCATED


def reference_decode(spec: MessageSpec) -> Callable[[bytes], Row]:
    """Return the reference decoder of a binary message. Raises: ValueError; the decoder raises Refused only."""
    if spec.format == "tlv":
        return _tlv(spec)
    parse, scope = _parser(spec)
    names = tuple(scope.public())

    def decode(body: bytes) -> Row:
        values, taint = Reader(raw=False).scope(scope, parse(body), ())
        return (*(values.get(name, ABSENT) for name in names), taint)

    return decode


def reference_decode_raw(spec: MessageSpec) -> Callable[[bytes], dict[str, Any]]:
    """Return the reference of `decode_raw`."""
    if spec.format == "tlv":
        walker = TlvWalker(spec, _tlv_element, raw=True)
        return lambda body: walker.walk(body)[0]
    parse, scope = _parser(spec)
    return lambda body: Reader(raw=True).scope(scope, parse(body), ())[0]


def _tlv(spec: MessageSpec) -> Callable[[bytes], Row]:
    walker = TlvWalker(spec, _tlv_element, raw=False)
    names = TlvPlan("reference", spec).names

    def decode(body: bytes) -> Row:
        values, taint = walker.walk(body)
        return (*(values.get(name, ABSENT) for name in names), taint)

    return decode


def _tlv_element(scope: Scope, raw: bool) -> Element:
    layout = construct_of(scope)

    def element(body: bytes) -> tuple[dict[str, Any], int, int]:
        stream = BytesIO(body)
        cells = layout.parse_stream(stream, n=len(body), reach=0)
        return (*Reader(raw=raw).scope(scope, cells, ()), stream.tell())

    return element


def _parser(spec: MessageSpec) -> tuple[Callable[[bytes], Mapping[str, Any]], Scope]:
    scope = layout_of(spec)
    layout = construct_of(scope)

    def parse(body: bytes) -> Mapping[str, Any]:
        state = {"n": len(body), "reach": 0}
        cells: Mapping[str, Any] = layout.parse_stream(BytesIO(body), **state)
        return cells

    if not spec.strict:
        return parse, scope
    return _strict(layout, spec, scope), scope


def _strict(layout: Any, spec: MessageSpec, scope: Scope) -> Callable[[bytes], Mapping[str, Any]]:
    import construct

    def parse(body: bytes) -> Mapping[str, Any]:
        reach: list[int] = []
        probe = construct.Computed(lambda context: reach.append(context._params["reach"]))  # noqa: SLF001
        whole = construct.Struct("body" / layout, probe)
        cells: Mapping[str, Any] = whole.parse_stream(BytesIO(body), n=len(body), reach=0).body
        if len(body) > max(reach[0], spec.length or 0):
            Reader(raw=False).scope(scope, cells, ())  # what is wrong further in front is told first
            raise Refused("strict")
        return cells

    return parse


class Reader:
    """Turns the cells that construct parsed into values and taints, in wire order."""

    def __init__(self, *, raw: bool) -> None:
        """With `raw`, give wire numbers and internal fields too."""
        self._raw = raw

    def scope(self, scope: Scope, cells: Mapping[str, Any], outer: Chain) -> tuple[dict[str, Any], int]:
        """Return the values of one message or struct, absent ones left out, and taint bits. Raises: Refused."""
        chain = (*outer, (scope, cells))
        found: dict[str, Any] = {}
        taint = 0
        for index in evaluation_order(scope):
            leaf = scope.leaves[index]
            cell = cells[key_of(index)]
            if cell is ABSENT:
                continue
            for place, part in enumerate(leaf.bits or [leaf]):
                if leaf.bits and not holds(part.test, chain):
                    continue
                piece = cell if not leaf.bits or cell is CUT else cell[key_of(place)]
                value, marks = self._value(part, piece, chain)
                taint |= marks | self._case(scope, part, piece)
                if part.name and (self._raw or not part.is_internal):
                    found[part.name] = value
        order = dict.fromkeys(leaf.name for leaf in scope.named())
        return {name: found[name] for name in order if name in found}, taint

    @staticmethod
    def _case(scope: Scope, leaf: Leaf, cell: Any) -> int:
        clause = scope.cases.get(leaf.name or "")
        raw = raw_of(leaf, cell) if clause is not None else None
        return TRUST_CASE if clause is not None and raw is not None and not clause.lists(raw) else 0

    def _value(self, leaf: Leaf, cell: Any, chain: Chain) -> tuple[Any, int]:
        if leaf.array is None:
            return self._element(leaf, cell, chain)
        if cell is CUT:
            return None, _cut(leaf)
        pairs = [self._element(leaf, item, chain) for item in cell]
        taint = 0
        for _, marks in pairs:
            taint |= marks
        short = isinstance(cell, tuple)  # construct saw the body end before the count was reached
        return [value for value, _ in pairs], taint | (_cut(leaf) if short else 0)

    def _element(self, leaf: Leaf, cell: Any, chain: Chain) -> tuple[Any, int]:
        if cell is CUT:
            return None, _cut(leaf)
        if leaf.members is not None:
            return self.scope(leaf.members, cell, chain)
        if leaf.name is None and leaf.const is None:
            return None, 0
        if leaf.kind in CONVERT:
            cell = CONVERT[leaf.kind](cell)
        if leaf.const is not None and cell != leaf.const:
            raise Refused("const")
        if leaf.name is None or (leaf.is_internal and not self._raw):
            return None, 0  # what is no value has nothing to be marked
        if not self._raw:
            return leaf.meaning.value(cell)
        if isinstance(cell, float) and cell - cell != 0:
            return None, 0
        return cell.hex() if isinstance(cell, bytes) else cell, 0


def _cut(leaf: Leaf) -> int:
    return TRUST_TRUNCATED if leaf.name is not None else 0
