"""Layer 2: generated Python for one value that is there or cut off: const, null, labels, number, range."""

from __future__ import annotations

from gateway.schema.layout import Leaf, Scope
from gateway.schema.source import SIMPLE, Source, clause_expression, may_overflow, null_tests, value_expression
from gateway.taint import TRUST_CASE, TRUST_LABEL, TRUST_NAN, TRUST_RANGE, TRUST_TRUNCATED


class Names:
    """Variables of one scope: the value of each name, and the raw number where a condition or length asks for it."""

    def __init__(self, scope: Scope, outer: Names | None, source: Source, asked: frozenset[str]) -> None:
        self.scope = scope
        self.outer = outer
        self.values: dict[str, str] = {}
        self.raws: dict[str, str] = {}
        self.maybe_absent: set[str] = set()
        for leaf in scope.leaves:
            for named in leaf.bits or [leaf]:
                if named.name:
                    self.values.setdefault(named.name, source.new("v"))
                    if named.name in asked:
                        self.raws.setdefault(named.name, source.new("r"))
                    if leaf.test is not None or named.test is not None:
                        self.maybe_absent.add(named.name)

    def raw(self, name: str) -> str | None:
        """Return the variable that holds the raw number of `name`, here or further out."""
        if name in self.raws:
            return self.raws[name]
        return self.outer.raw(name) if self.outer else None


class ValueWriter:
    """Writes the value of single fields; the careful decoder adds places, branches and lists."""

    def __init__(self, *, raw: bool) -> None:
        """With `raw`, wire numbers are kept as they are."""
        self._out = Source()
        self._raw = raw

    def _cut(self, leaf: Leaf) -> None:
        if leaf.name is not None:
            self._out.put(f"t |= {TRUST_TRUNCATED}")

    def _scalar(self, leaf: Leaf, raw: str, cut: str, names: Names, *, element: bool) -> str:
        if leaf.name is None and leaf.const is None and not element:
            return ""
        value = self._out.new("e")
        with self._out.block(f"if {cut}"):
            self._out.put(f"{value} = None")
            self._cut(leaf)
        with self._out.block("else"):
            self._inner(leaf, raw, value, names, element=element)
        return value

    def _inner(self, leaf: Leaf, raw: str, value: str, names: Names, *, element: bool) -> None:
        """Write the value of a field that is there: const, null, labels, number, range."""
        if leaf.name is None and leaf.const is None:
            self._out.put(f"{value} = None")
            return
        if leaf.kind not in SIMPLE and leaf.kind != "bytes":
            raw = f"{leaf.kind}_of({raw})"
        if not raw.isidentifier():
            number = self._out.new("x")
            self._out.put(f"{number} = {raw}")
            raw = number
        if leaf.const is not None:
            self._out.put(f"if {raw} != {self._out.constant(leaf.const)}: raise Refused('const')")
        if leaf.name is None:
            self._out.put(f"{value} = None")
            return
        nulls = null_tests(leaf, raw, self._out)
        if leaf.is_internal and not self._raw:
            self._out.put(f"{value} = None")
        else:
            self._value(leaf, raw, value, nulls)
        if leaf.name in names.raws and not element:
            floating = [f"{raw} - {raw} != 0"] if leaf.kind in {"float", "ascii"} else []
            variable = names.raws[leaf.name]
            tests = " or ".join([*nulls, *floating])
            self._out.put(f"{variable} = None if {tests} else {raw}" if tests else f"{variable} = {raw}")
            self._case(leaf.name, variable, names, bool(tests))

    def _case(self, name: str, variable: str, names: Names, nullable: bool) -> None:
        clause = names.scope.cases.get(name)
        if clause is not None:
            known = clause_expression(clause, variable, self._out)
            there = f"{variable} is not None and " if nullable else ""
            self._out.put(f"if {there}not ({known}): t |= {TRUST_CASE}")

    def _value(self, leaf: Leaf, raw: str, value: str, nulls: list[str]) -> None:
        meaning = leaf.meaning
        floating = leaf.kind in {"float", "ascii"}
        if self._raw:
            text = f"{raw}.hex()" if leaf.kind == "bytes" else raw
            self._out.put(
                f"{value} = {text}" + (f" if {raw} is not None and {raw} - {raw} == 0 else None" if floating else "")
            )
            return
        head = "if"
        if nulls:
            self._out.put(f"if {' or '.join(nulls)}: {value} = None")
            head = "elif"
        if meaning.labels is not None:
            table = self._out.constant(meaning.labels)
            self._out.put(f"{head} {raw} in {table}: {value} = {table}[{raw}]")
            head = "elif"
        if head == "if":
            self._number(leaf, raw, value)
        else:
            with self._out.block("else"):
                self._number(leaf, raw, value)

    def _number(self, leaf: Leaf, raw: str, value: str) -> None:
        meaning = leaf.meaning
        if meaning.labels is not None:
            self._out.put(f"t |= {TRUST_LABEL}")
        self._out.put(f"{value} = {value_expression(leaf, raw, self._out)}")
        if meaning.boolean or meaning.flags is not None or leaf.kind in {"bytes", "text"}:
            return
        limits = []
        if meaning.low is not None:
            limits.append(f"{value} < {self._out.constant(meaning.low)}")
        if meaning.high is not None:
            limits.append(f"{value} > {self._out.constant(meaning.high)}")
        head = "if"
        if leaf.kind in {"float", "ascii"} or may_overflow(leaf):
            with self._out.block(f"if {value} - {value} != 0"):
                self._out.put(f"{value} = None")
                self._out.put(f"t |= {TRUST_NAN}")
            head = "elif"
        if limits:
            self._out.put(f"{head} {' or '.join(limits)}: t |= {TRUST_RANGE}")
