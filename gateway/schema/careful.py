"""Layer 2: generates the decoder for every shape and every body: short ones, sentinels, branches, counted arrays.

Positions are known while everything before has a fixed size, then kept in a variable. A stretch of fixed layout is read
by as few `unpack_from` calls as possible; a short body is padded for it and each field asks whether it was there.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from gateway.schema.cond import Test
from gateway.schema.layout import Leaf, Scope, is_internal
from gateway.schema.reads import Reads, bits_expression, number_format, sign_expression, signal_expressions
from gateway.schema.runs import Place, asked_names, fixed_run, is_plain_number, looped, settled, swapped_expression
from gateway.schema.source import clause_expression, value_expression
from gateway.schema.value_writer import Names, ValueWriter


def careful_decoder(scope: Scope, *, strict: bool, declared: int, raw: bool, filename: str) -> Callable[[bytes], Any]:
    """Return `decode(body)` giving a row, or with `raw` a dict of wire numbers. It raises Refused and nothing else."""
    writer = _Careful(raw=raw, strict=strict, declared=declared)
    return writer.message(scope, filename)


def element_decoder(scope: Scope, *, raw: bool, filename: str) -> Callable[[bytes], Any]:
    """Return `decode(body)` giving (dict of values, taint, bytes used): one TLV element or its header."""
    writer = _Careful(raw=raw, strict=False, declared=0)
    return writer.element(scope, filename)


class _Careful(ValueWriter):
    def __init__(self, *, raw: bool, strict: bool, declared: int) -> None:
        super().__init__(raw=raw)
        self._strict = strict
        self._declared = declared
        self._asked: frozenset[str] = frozenset()

    def message(self, scope: Scope, filename: str) -> Callable[[bytes], Any]:
        names, _ = self._begin(scope)
        if self._strict:
            with self._out.block(f"if n > max(end, {self._declared})"):
                self._out.put("raise Refused('strict')")
        if self._raw:
            self._out.put(f"return {self._dict(names)}")
        else:
            row = [names.values[name] for name in scope.public()]
            self._out.put(f"return ({', '.join([*row, 't'])},)")
        return self._out.function("decode(body)", filename)

    def element(self, scope: Scope, filename: str) -> Callable[[bytes], Any]:
        names, end = self._begin(scope)
        self._out.put(f"return {self._dict(names)}, t, {end}")
        return self._out.function("decode(body)", filename)

    def _begin(self, scope: Scope) -> tuple[Names, Place]:
        self._asked = frozenset(asked_names(scope))
        self._out.put("n = len(body)")
        self._out.put("t = 0")
        if self._strict:
            self._out.put("end = 0")
        return self._scope(scope, None, Place(None, 0))

    # One scope: a message or a struct.

    def _scope(self, scope: Scope, outer: Names | None, place: Place) -> tuple[Names, Place]:
        names = self._open(scope, outer)
        leaves = scope.leaves
        index = 0
        while index < len(leaves):
            run = fixed_run(leaves, index, place)
            if run:
                place = self._stretch(run, names, place)
                index += len(run)
            else:
                place = self._moving(leaves[index], names, place)
                index += 1
        return names, place

    def _open(self, scope: Scope, outer: Names | None) -> Names:
        names = Names(scope, outer, self._out, self._asked)
        for name in names.maybe_absent:
            self._out.put(f"{names.values[name]} = ABSENT")
        for variable in names.raws.values():
            self._out.put(f"{variable} = None")
        return names

    def _shown(self, names: Names) -> list[str]:
        return [name for name in names.values if self._raw or not is_internal(name)]

    def _dict(self, names: Names) -> str:
        """Return an expression or variable of the struct's dict, absent members left out."""
        shown = self._shown(names)
        keys = {name: self._out.constant(name) for name in shown}
        if not names.maybe_absent.intersection(shown):
            return "{" + ", ".join(f"{keys[name]}: {names.values[name]}" for name in shown) + "}"
        result = self._out.new("d")
        self._out.put(f"{result} = {{}}")
        for name in shown:
            store = f"{result}[{keys[name]}] = {names.values[name]}"
            self._out.put(f"if {names.values[name]} is not ABSENT: {store}" if name in names.maybe_absent else store)
        return result

    # Fields whose place or size moves.

    def _moving(self, leaf: Leaf, names: Names, place: Place) -> Place:
        there = place if leaf.at is None else Place(None, leaf.at)
        if leaf.test is None:
            return self._unit(leaf, names, there)
        after = self._out.new("p")
        self._out.put(f"{after} = {place}")
        with self._out.block(f"if {self._condition(leaf.test, names)}"):
            end = self._unit(leaf, names, there)
            self._out.put(f"{after} = {end}")
        return Place(after, 0)

    def _condition(self, test: Test, names: Names) -> str:
        parts = []
        for clause in test.clauses:
            raw = names.raw(clause.name)
            if raw is None:
                return "0"
            wanted = clause_expression(clause, raw, self._out)
            parts.append(wanted if clause.truth else f"{raw} is not None and {wanted}")
        return " and ".join(parts)

    def _unit(self, leaf: Leaf, names: Names, place: Place) -> Place:
        """Write one field known to be active; return where it ends."""
        if leaf.array is not None and (looped(leaf) or leaf.fixed_size is None):
            result, after = self._loop(leaf, names, place)
        elif leaf.fixed_size is not None:
            return self._stretch([leaf], names, place)
        else:
            result, after = self._one(leaf, names, place)
        self._keep(leaf, names, result)
        self._reach(str(after))
        return after

    def _one(self, leaf: Leaf, names: Names, place: Place) -> tuple[str, Place]:
        """Write one element whose size is not fixed, or an element of a loop."""
        if leaf.members is not None:
            inner, after = self._scope(leaf.members, names, place)
            return self._dict(inner), after
        if leaf.element_size is None:
            return self._variable(leaf, names, place)
        reads = Reads(self._out.new("_"))
        value = self._planned(leaf, names, place, reads, element=True)
        available = self._fetch(reads, place)
        return value(available), place.plus(leaf.element_size)

    def _loop(self, leaf: Leaf, names: Names, place: Place) -> tuple[str, Place]:
        items, here, before = self._out.new("l"), self._out.new("p"), self._out.new("q")
        count = self._count(leaf.array, names)
        self._out.put(f"{items} = []")
        self._out.put(f"{here} = {place}")
        if is_plain_number(leaf, raw=self._raw):
            self._many(leaf, items, here, count)
        more = f"while {here} < n" + (f" and len({items}) < {count}" if count else "")
        with self._out.block(more):
            self._out.put(f"{before} = {here}")
            value, after = self._one(leaf, names, Place(here, 0))
            self._out.put(f"{items}.append({value})")
            self._out.put(f"{here} = {after}")
            self._out.put(f"if {here} == {before}: break")
        if count:
            with self._out.block(f"if len({items}) < {count}"):
                self._cut(leaf)
                pad = f"{items} + [None] * ({count} - len({items}))" if isinstance(leaf.array, int) else items
                self._out.put(f"{items} = {pad} if {items} else None")
                size = leaf.element_size
                if size is not None:
                    self._out.put(f"{here} = {place.plus(0)} + {size} * {count}")
                else:
                    self._out.put(f"{here} = max({here}, n + 1)")
        else:
            with self._out.block(f"if {here} > n and not {items}"):
                self._cut(leaf)
                self._out.put(f"{items} = None")
        return items, Place(here, 0)

    def _many(self, leaf: Leaf, items: str, here: str, count: str | None) -> None:
        """Write the elements that are there whole by one pass; a last one cut off is left to the loop."""
        size = leaf.size or 1
        whole, end, item = self._out.new("k"), self._out.new("q"), self._out.new("x")
        self._out.put(
            f"{whole} = max(0, n - {here}) // {size}"
            if leaf.array == "rest"
            else f"{whole} = min({count}, max(0, n - {here}) // {size})"
        )
        self._out.put(f"{end} = {here} + {whole} * {size}")
        each = self._out.constant(struct.Struct(number_format(leaf)).iter_unpack)
        value = item if self._raw else value_expression(leaf, item, self._out)
        self._out.put(f"{items} = [{value} for {item}, in {each}(body[{here}:{end}])]")
        self._out.put(f"{here} = {end}")

    def _count(self, count: int | str | None, names: Names) -> str | None:
        if isinstance(count, int):
            return str(count)
        if count == "rest":
            return None
        variable = self._out.new("c")
        self._out.put(f"{variable} = count_of({names.raw(str(count)) or 'None'})")
        return variable

    def _variable(self, leaf: Leaf, names: Names, place: Place) -> tuple[str, Place]:
        start, end, data = self._out.new("p"), self._out.new("q"), self._out.new("a")
        self._out.put(f"{start} = {place}")
        if leaf.length == "rest":
            self._out.put(f"{end} = n if {start} <= n else {start}")
        elif leaf.length == "null":
            self._out.put(f"{end} = body.find(NUL, {start}) if {start} < n else -1")
            self._out.put(f"if {end} < 0: {end} = n + 1")
        else:
            self._out.put(f"{end} = {start} + {self._count(leaf.length, names)}")
        value = self._out.new("e")
        with self._out.block(f"if {end} > n"):
            self._out.put(f"{value} = None")
            self._cut(leaf)
        with self._out.block("else"):
            self._out.put(f"{data} = body[{start}:{end}]")
            self._inner(leaf, data, value, names, element=leaf.array is not None)
        if leaf.length == "null":
            self._out.put(f"if {end} <= n: {end} += 1")
        return value, Place(end, 0)

    # A stretch of fixed layout.

    def _stretch(self, run: list[Leaf], names: Names, place: Place) -> Place:
        reads = Reads(self._out.new("_"))
        signals = signal_expressions(run, reads)
        emits: list[tuple[Leaf, Callable[[str], str]]] = []
        reach = 0
        for leaf in run:
            if leaf.place is not None:
                emits.append((leaf, self._signal(leaf, signals[leaf], names)))
                reach = max(reach, leaf.place.last + 1)
                continue
            if leaf.at is not None:
                place = Place(None, leaf.at)
            emits.append((leaf, self._planned(leaf, names, place, reads)))
            place = place.plus(leaf.fixed_size or 0)
            reach = max(reach, place.offset)
        available = self._fetch(reads, Place(None, 0) if signals else place)
        for leaf, emit in settled(emits):
            if leaf.test is not None and leaf.place is not None:
                with self._out.block(f"if {self._condition(leaf.test, names)}"):
                    self._keep(leaf, names, emit(available))
            else:
                self._keep(leaf, names, emit(available))
        self._reach(str(Place(None if signals else place.base, reach)))
        return place

    def _signal(self, leaf: Leaf, expression: str, names: Names) -> Callable[[str], str]:
        last = leaf.place.last + 1 if leaf.place else 0
        return lambda available: self._scalar(leaf, expression, f"{available} < {last}", names, element=False)

    def _fetch(self, reads: Reads, place: Place) -> str:
        """Write the unpack calls; return the variable of how many bytes there are from the base on."""
        available = "n"
        if place.base is not None:
            available = self._out.new("m")
            self._out.put(f"{available} = n - {place.base}")
        lanes = reads.lanes()
        if not lanes:
            return available
        whole, padded = ("body", "0") if place.base is None else ("body", place.base), self._out.new("w")
        unpack = [
            (", ".join(lane.variables) + ",", self._out.constant(struct.Struct(lane.format).unpack_from))
            for lane in lanes
        ]
        source, start = whole
        with self._out.block(f"if {available} >= {reads.size}"):
            for targets, call in unpack:
                self._out.put(f"{targets} = {call}({source}, {start})")
        with self._out.block("else"):
            self._out.put(f"{padded} = body[{start}:].ljust({reads.size}, NUL)")
            for targets, call in unpack:
                self._out.put(f"{targets} = {call}({padded})")
        for variable, expression in reads.joins:
            self._out.put(f"{variable} = {expression}")
        return available

    def _planned(
        self, leaf: Leaf, names: Names, place: Place, reads: Reads, *, element: bool = False
    ) -> Callable[[str], str]:
        """Ask `reads` for a field of fixed size at `place`; return what writes its value once that is fetched."""
        if leaf.array is not None and not element:
            return self._planned_array(leaf, names, place, reads)
        if leaf.members is not None:
            return self._planned_struct(leaf.members, names, place, reads)
        size = leaf.element_size or 0
        cut = place.offset + size
        if leaf.kind in {"int", "bool"} and not leaf.swapped:
            raw = reads.integer(place.offset, size, leaf.order, signed=leaf.signed and not leaf.bits)
        elif leaf.kind == "float" and not leaf.swapped:
            raw = reads.floating(place.offset, size, leaf.order)
        elif not leaf.swapped:
            raw = reads.data(place.offset, size)
        else:
            raw = swapped_expression(leaf, reads, place.offset)
        if leaf.bits:
            return lambda available: self._bits(leaf, raw, f"{available} < {cut}", names)
        return lambda available: self._scalar(leaf, raw, f"{available} < {cut}", names, element=element)

    def _planned_array(self, leaf: Leaf, names: Names, place: Place, reads: Reads) -> Callable[[str], str]:
        size = leaf.element_size or 0
        count = leaf.array if isinstance(leaf.array, int) else 0
        parts = [self._planned(leaf, names, place.plus(i * size), reads, element=True) for i in range(count)]

        def write(available: str) -> str:
            items = [
                part(available) if leaf.members is None else self._begun(part, leaf, available, place.offset + i * size)
                for i, part in enumerate(parts)
            ]
            result = self._out.new("l")
            there = f" if {available} > {place.offset} else None" if parts and size else ""
            self._out.put(f"{result} = [{', '.join(items)}]{there}")
            return result

        return write

    def _begun(self, part: Callable[[str], str], leaf: Leaf, available: str, start: int) -> str:
        """Write one struct of an array; null where the body ends before it begins."""
        result = self._out.new("e")
        with self._out.block(f"if {available} > {start}"):
            self._out.put(f"{result} = {part(available)}")
        with self._out.block("else"):
            self._out.put(f"{result} = None")
            self._cut(leaf)
        return result

    def _planned_struct(self, scope: Scope, outer: Names, place: Place, reads: Reads) -> Callable[[str], str]:
        names = Names(scope, outer, self._out, self._asked)
        emits: list[tuple[Leaf, Callable[[str], str]]] = []
        for leaf in scope.leaves:
            emits.append((leaf, self._planned(leaf, names, place, reads)))
            place = place.plus(leaf.fixed_size or 0)

        def write(available: str) -> str:
            for name in names.maybe_absent:
                self._out.put(f"{names.values[name]} = ABSENT")
            for variable in names.raws.values():
                self._out.put(f"{variable} = None")
            for leaf, emit in emits:
                self._keep(leaf, names, emit(available))
            return self._dict(names)

        return write

    # One value.

    def _keep(self, leaf: Leaf, names: Names, value: str) -> None:
        if leaf.name and not leaf.bits and value:
            self._out.put(f"{names.values[leaf.name]} = {value}")

    def _reach(self, place: str) -> None:
        if self._strict:
            self._out.put(f"end = max(end, {place})")

    def _bits(self, leaf: Leaf, whole: str, cut: str, names: Names) -> str:
        of_bits = 8 * (leaf.size or 0)
        for bit in leaf.bits:
            raw = bits_expression(whole, bit.shift, bit.width, of_bits)
            raw = sign_expression(raw, bit.width) if bit.signed else raw
            if bit.test is None:
                self._keep(bit, names, self._scalar(bit, raw, cut, names, element=False))
            else:
                with self._out.block(f"if {self._condition(bit.test, names)}"):
                    self._keep(bit, names, self._scalar(bit, raw, cut, names, element=False))
        return ""
