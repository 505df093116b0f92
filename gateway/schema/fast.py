"""Layer 2: generates the quick decoder of a layout whose every place is known: one unpack, one guard, one tuple.

It answers only for a whole body of ordinary values. Sentinels, values out of range, unlisted labels, wrong constants,
NaN and short bodies make the guard true, or raise KeyError or struct.error, and go to the careful decoder.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from gateway.schema.cond import Test
from gateway.schema.layout import Leaf, Scope
from gateway.schema.reads import Reads, bits_expression, sign_expression, signal_expressions
from gateway.schema.source import Source, clause_expression, may_overflow, raw_range, value_expression

_MAX_LEAVES = 400


def fast_decoder(
    scope: Scope, *, strict: bool, declared: int, filename: str, careful: Callable[[bytes], Any]
) -> Callable[[bytes], Any] | None:
    """Return `decode(body)` for a static layout, or None where the shape is not one."""
    if not is_static(scope, strict=strict):
        return None
    return _Fast(scope, strict=strict, declared=declared, careful=careful).function(filename)


def is_static(scope: Scope, *, strict: bool) -> bool:
    """Return whether the quick decoder covers this layout."""
    return _static(scope, top=True, strict=strict) and bool(scope.public()) and _count(scope) <= _MAX_LEAVES


def _static(scope: Scope, *, top: bool, strict: bool) -> bool:
    mentioned = set(scope.cases) | {name for leaf in scope.parts() for name in (leaf.test.names if leaf.test else ())}
    bearers = [leaf.name for leaf in scope.named()]
    if any(bearers.count(name) != 1 for name in mentioned):
        return False
    tests = any(leaf.test is not None for leaf in scope.parts())
    return not (tests and (not top or strict)) and all(
        _static_leaf(leaf, top=top, strict=strict) for leaf in scope.leaves
    )


def _static_leaf(leaf: Leaf, *, top: bool, strict: bool) -> bool:
    if leaf.place is not None:
        return top
    if leaf.fixed_size is None or leaf.test is not None or leaf.swapped or (leaf.array is not None and leaf.bits):
        return False
    if leaf.members is not None:
        unread = leaf.is_internal and _has_text(leaf.members)  # its encoding is judged all the same
        return not unread and _static(leaf.members, top=False, strict=strict)
    unread = leaf.name is not None and leaf.is_internal
    plain_text = leaf.const is None and not leaf.meaning.invalid and leaf.meaning.labels is None and not unread
    return leaf.kind in {"int", "float", "bool", "bytes"} or (leaf.kind == "text" and plain_text)


def _has_text(scope: Scope) -> bool:
    return any(leaf.kind == "text" or (leaf.members is not None and _has_text(leaf.members)) for leaf in scope.leaves)


def _count(scope: Scope) -> int:
    return sum(
        (leaf.array if isinstance(leaf.array, int) else 1) * (_count(leaf.members) if leaf.members else 1)
        for leaf in scope.leaves
    )


class _Fast:
    def __init__(self, scope: Scope, *, strict: bool, declared: int, careful: Callable[[bytes], Any]) -> None:
        self._out = Source()
        self._reads = Reads("")
        self._guards: list[str] = []
        self._assigned: list[tuple[str, str]] = []
        self._top = scope
        self._raws: dict[str, str] = {}
        self._signals = signal_expressions(scope.leaves, self._reads)
        self._values: list[tuple[Leaf, str]] = []
        end = self._scope(scope, 0, self._values)
        if strict:
            self._guards.insert(0, f"len(body) > {max(end, declared)}")
        self._out.constants["careful"] = careful

    def function(self, filename: str) -> Callable[[bytes], Any] | None:
        lanes = self._reads.lanes()
        if not lanes:
            return None
        row = ", ".join([self._slot(name) for name in self._top.public()])
        with self._out.block("try"):
            for lane in lanes:
                call = self._out.constant(struct.Struct(lane.format).unpack_from)
                self._out.put(f"{', '.join(lane.variables)}, = {call}(body)")
            for variable, expression in [*self._reads.joins, *self._assigned]:
                self._out.put(f"{variable} = {expression}")
            if self._guards:
                self._out.put(f"if {' or '.join(self._guards)}: return careful(body)")
            self._out.put(f"return ({row}, 0)")
        with self._out.block("except (StructError, KeyError, UnicodeDecodeError)"):
            self._out.put("pass")
        self._out.put("return careful(body)")
        return self._out.function("decode(body)", filename)

    def _slot(self, name: str) -> str:
        """Return the expression of one value; alternatives under conditions become a chain."""
        text = "ABSENT"
        for leaf, value in reversed(self._values):
            if leaf.name == name:
                text = value if leaf.test is None else f"({value}) if {self._holds(leaf.test)} else {text}"
        return text

    def _holds(self, test: Test) -> str:
        """Return the expression of a condition, with the conditions of the fields it asks."""
        parts: list[str] = []
        for clause in test.clauses:
            asked = next(leaf for leaf in self._top.named() if leaf.name == clause.name)
            if asked.test is not None:
                parts.append(self._holds(asked.test))
            parts.append(clause_expression(clause, self._raws[clause.name], self._out))
        return " and ".join(dict.fromkeys(parts))

    def _scope(self, scope: Scope, offset: int, values: list[tuple[Leaf, str]]) -> int:
        """Ask for every field from `offset` on, collect value expressions; return where the scope ends."""
        end = offset
        for leaf in scope.leaves:
            if leaf.place is not None:
                values.append((leaf, self._scalar(leaf, self._signals[leaf])))
                end = max(end, leaf.place.last + 1)
                continue
            if leaf.at is not None:
                offset = leaf.at
            values += self._field(leaf, offset)
            offset += leaf.fixed_size or 0
            end = max(end, offset)
        return end

    def _field(self, leaf: Leaf, offset: int) -> list[tuple[Leaf, str]]:
        if leaf.array is None:
            if leaf.bits:
                return self._bits(leaf, offset)
            return [(leaf, self._element(leaf, offset))]
        size = leaf.element_size or 0
        count = leaf.array if isinstance(leaf.array, int) else 0
        items = [self._element(leaf, offset + index * size) for index in range(count)]
        return [(leaf, f"[{', '.join(items)}]")]

    def _element(self, leaf: Leaf, offset: int) -> str:
        if leaf.members is not None:
            inner: list[tuple[Leaf, str]] = []
            self._scope(leaf.members, offset, inner)
            shown = [(member.name, value) for member, value in inner if member.name and not member.is_internal]
            return "{" + ", ".join(f"{self._key(name)}: {value}" for name, value in shown) + "}"
        size = leaf.element_size or 0
        if leaf.name is None and leaf.const is None:
            self._reads.size = max(self._reads.size, offset + size)
            return "None"
        if leaf.kind == "float":
            return self._scalar(leaf, self._reads.floating(offset, size, leaf.order))
        if leaf.kind in {"bytes", "text"}:
            return self._scalar(leaf, self._reads.data(offset, size))
        return self._scalar(leaf, self._reads.integer(offset, size, leaf.order, signed=leaf.signed))

    def _key(self, name: str) -> str:
        for known, value in self._out.constants.items():
            if value == name and type(value) is str:
                return known
        return self._out.constant(name)

    def _bits(self, leaf: Leaf, offset: int) -> list[tuple[Leaf, str]]:
        size = leaf.size or 0
        whole = self._reads.integer(offset, size, leaf.order, signed=False)
        values = []
        for bit in leaf.bits:
            if bit.meaning.boolean and bit.test is None and bit.const is None and not bit.meaning.invalid:
                raw = f"{whole} & {1 << bit.shift:#x}"
                if bit.name:
                    self._raws[bit.name] = f"({raw})"
                values.append((bit, f"({raw}) != 0"))
                continue
            raw = bits_expression(whole, bit.shift, bit.width, 8 * size)
            values.append((bit, self._scalar(bit, sign_expression(raw, bit.width) if bit.signed else raw)))
        return values

    def _scalar(self, leaf: Leaf, raw: str) -> str:
        """Return the value expression; put into the guard what would make it anything but ordinary."""
        meaning = leaf.meaning
        if leaf.const is None and leaf.is_internal and not self._asked(leaf.name):
            return raw
        guards = _raw_guards(leaf, self._out)
        if (guards or self._asked(leaf.name)) and not raw.isidentifier():
            raw = self._assign(raw)
        if leaf.name:
            self._raws[leaf.name] = raw
        self._guard(leaf, [guard.format(raw=raw) for guard in guards])
        case = self._top.cases.get(leaf.name or "")
        if case is not None:
            self._guard(leaf, [f"not ({clause_expression(case, raw, self._out)})"])
        if leaf.is_internal:
            return raw
        if meaning.labels is not None:
            table = {key: text for key, text in meaning.labels.items() if key not in meaning.invalid}
            return f"{self._out.constant(table)}[{raw}]"
        if leaf.kind == "text":
            return f"{raw}.rstrip(NUL).decode()"
        value = value_expression(leaf, raw, self._out)
        floating = [] if meaning.flags is not None or meaning.boolean else _value_guards(leaf, self._out)
        if floating:
            value = value if value.isidentifier() else self._assign(value)
            self._guard(leaf, [guard.format(value=value) for guard in floating])
        return value

    def _asked(self, name: str | None) -> bool:
        tests = [leaf.test for leaf in self._top.parts() if leaf.test is not None]
        return name is not None and any(name in test.names for test in tests)

    def _assign(self, expression: str) -> str:
        variable = self._out.new("b")
        self._assigned.append((variable, expression))
        return variable

    def _guard(self, leaf: Leaf, guards: list[str]) -> None:
        for guard in guards:
            self._guards.append(guard if leaf.test is None else f"({self._holds(leaf.test)} and {guard})")


def _raw_guards(leaf: Leaf, source: Source) -> list[str]:
    """Return tests on the raw number, written with {raw}, that are true for anything but an ordinary value."""
    meaning = leaf.meaning
    guards = [] if leaf.const is None else [f"{{raw}} != {source.constant(leaf.const)}"]
    low, high = (None, None)
    ends = raw_range(leaf)
    if leaf.is_internal and leaf.const is not None:
        return guards
    if meaning.labels is None:
        if ends is not None and meaning.flags is None and not meaning.boolean and not leaf.is_internal:
            low, high = _ordinary(leaf, *ends)
        marks = [mark for mark in meaning.invalid.single if not (_below(mark, low) or _above(mark, high))]
        guards += [f"{{raw}} < {source.constant(low)}"] if low is not None else []
        guards += [f"{{raw}} > {source.constant(high)}"] if high is not None else []
        guards += [_range_guard(each, ends, source) for each in meaning.invalid.ranges]
        if len(marks) == 1:
            guards.append(f"{{raw}} == {source.constant(marks[0])}")
        elif marks:
            guards.append(f"{{raw}} in {source.constant(tuple(marks))}")
    elif leaf.is_internal and meaning.invalid:
        guards.append(f"{{raw}} in {source.constant(meaning.invalid)}")
    return guards


def _range_guard(marks: range, ends: tuple[int, int] | None, source: Source) -> str:
    if ends is not None and marks.stop > ends[1]:
        return f"{{raw}} >= {source.constant(marks.start)}"
    return f"{source.constant(marks.start)} <= {{raw}} <= {source.constant(marks.stop - 1)}"


def _below(mark: Any, low: int | None) -> bool:
    return low is not None and mark < low


def _above(mark: Any, high: int | None) -> bool:
    return high is not None and mark > high


def _value_guards(leaf: Leaf, source: Source) -> list[str]:
    """Return tests on the value, written with {value}, for kinds whose raw number is no integer."""
    if raw_range(leaf) is not None:
        return ["{value} - {value} != 0"] if may_overflow(leaf) else []
    if leaf.kind != "float":
        return []
    low, high = leaf.meaning.low, leaf.meaning.high
    if low is not None and high is not None:
        return [f"not {source.constant(low)} <= {{value}} <= {source.constant(high)}"]
    guards = ["{value} - {value} != 0"]
    guards += [f"{{value}} < {source.constant(low)}"] if low is not None else []
    return guards + ([f"{{value}} > {source.constant(high)}"] if high is not None else [])


def _ordinary(leaf: Leaf, least: int, greatest: int) -> tuple[int | None, int | None]:
    """Return the raw numbers between which the value lies in minimum..maximum; None where the type bounds it already.

    raw * scale + offset in doubles never turns back, so both are found by bisection, exactly.
    """
    meaning = leaf.meaning
    rising = meaning.scale > 0
    low, high = (meaning.low, meaning.high) if rising else (meaning.high, meaning.low)

    def early(raw: int) -> bool:
        return low is not None and (meaning.scaled(raw) < low if rising else meaning.scaled(raw) > low)

    def late(raw: int) -> bool:
        return high is not None and (meaning.scaled(raw) > high if rising else meaning.scaled(raw) < high)

    first = _first(least, greatest + 1, lambda raw: not early(raw))
    last = _first(least, greatest + 1, late) - 1
    return (first if first > least else None), (last if last < greatest else None)


def _first(low: int, high: int, true: Callable[[int], bool]) -> int:
    """Return the first number of low..high-1 for which `true` holds (and then ever after), else `high`."""
    while low < high:
        middle = (low + high) // 2
        if true(middle):
            high = middle
        else:
            low = middle + 1
    return low
