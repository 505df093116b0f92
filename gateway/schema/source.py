"""Layer 2: pieces of generated Python that both decoders share: a writer, a namespace, expressions of one raw number.

Source is made of our own identifiers and of numbers; names, texts and tables of a profile come through the namespace.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from gateway.schema.cond import Clause
from gateway.schema.layout import Leaf
from gateway.schema.meaning import ascii_of, bcd_of, text_of
from gateway.schema.plan import ABSENT, Refused
from gateway.schema.types import integer_range

SIMPLE: Final = ("int", "float", "bool", "bit")  # kinds whose raw number comes straight from struct


def _count_of(raw: Any) -> int:
    """Return a length or count given on the wire; absent, null or negative: 0."""
    return max(0, int(raw)) if isinstance(raw, int) or (isinstance(raw, float) and abs(raw) < 2**63) else 0


def _unpack_float(code: str, size: int) -> Callable[[int], float]:
    unpack = struct.Struct(code).unpack
    return lambda bits: unpack(bits.to_bytes(size, "little"))[0]


COMMON: Final[dict[str, Any]] = {
    "__builtins__": {
        "len": len,
        "max": max,
        "min": min,
        "KeyError": KeyError,
        "UnicodeDecodeError": UnicodeDecodeError,
    },
    "ABSENT": ABSENT,
    "Refused": Refused,
    "StructError": struct.error,
    "from_bytes": int.from_bytes,
    "count_of": _count_of,
    "text_of": text_of,
    "bcd_of": bcd_of,
    "ascii_of": ascii_of,
    "float16": _unpack_float("<e", 2),
    "float32": _unpack_float("<f", 4),
    "float64": _unpack_float("<d", 8),
    "NUL": b"\0",
}


class Source:
    """Lines of one function being written, and the constants they name."""

    def __init__(self) -> None:
        """Start empty."""
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self._depth = 0
        self._count = 0

    def put(self, line: str) -> None:
        """Append one line at the current depth."""
        self.lines.append(" " * self._depth + line)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Write `head:` and indent what follows."""
        self.put(f"{head}:")
        self._depth += 1
        before = len(self.lines)
        yield
        if len(self.lines) == before:
            self.put("pass")
        self._depth -= 1

    def new(self, kind: str) -> str:
        """Return an unused variable name."""
        self._count += 1
        return f"{kind}{self._count}"

    def constant(self, value: Any) -> str:
        """Return an expression for `value`: a literal for a number, else a name in the namespace."""
        if isinstance(value, bool | int) or (isinstance(value, float) and value - value == 0):
            return repr(value) if value >= 0 else f"({value!r})"
        name = self.new("K")
        self.constants[name] = value
        return name

    def function(self, head: str, filename: str) -> Callable[..., Any]:
        """Compile the lines as the function `head` (`decode(body)`) and return it."""
        text = f"def {head}:\n" + "\n".join(f" {line}" for line in self.lines)
        namespace = {**COMMON, **self.constants}
        exec(compile(text, filename, "exec"), namespace)  # noqa: S102 - our identifiers and numbers only
        return namespace[head.partition("(")[0]]  # type: ignore[no-any-return]


def clause_expression(clause: Clause, raw: str, source: Source) -> str:
    """Return the expression of one clause on a raw number known not to be None."""
    if clause.truth is not None:
        return raw if clause.truth else f"not {raw}"
    parts = [f"{raw} == {source.constant(value)}" for value in clause.values] if len(clause.values) == 1 else []
    if len(clause.values) > 1:
        parts.append(f"{raw} in {source.constant(clause.values)}")
    parts += [f"{source.constant(low)} <= {raw} <= {source.constant(high)}" for low, high in clause.ranges]
    return f"({' or '.join(parts)})" if len(parts) > 1 else parts[0]


def null_tests(leaf: Leaf, raw: str, source: Source) -> list[str]:
    """Return expressions of which any one makes the value null, NaN not included."""
    tests = [f"{raw} is None"] if leaf.kind in {"bcd", "ascii"} else []
    marks = leaf.meaning.invalid
    if len(marks) == 1 and not marks.ranges:
        tests.append(f"{raw} == {source.constant(marks[0])}")
    elif marks:
        tests.append(f"{raw} in {source.constant(marks)}")
    return tests


def value_expression(leaf: Leaf, raw: str, source: Source) -> str:
    """Return the expression of the value, labels and null apart; `raw` is a variable or any expression."""
    meaning = leaf.meaning
    if leaf.kind == "bytes":
        return f"{raw}.hex()"
    if leaf.kind == "text":
        return raw
    atom = raw if raw.isidentifier() else f"({raw})"
    if meaning.boolean:
        return f"{atom} != 0"
    if meaning.flags is not None:
        return f"{source.constant(meaning.flags_of)}({raw})"
    if meaning.exact:
        return raw
    text = atom if meaning.scale == 1 else f"{atom} * {source.constant(meaning.scale)}"
    if meaning.scale == 1 and not meaning.offset:
        return text
    return f"{text} + {source.constant(float(meaning.offset))}" if meaning.offset else text


def raw_range(leaf: Leaf) -> tuple[int, int] | None:
    """Return the least and greatest raw number of an integer kind, else None."""
    if leaf.kind == "bit" or (leaf.kind == "int" and leaf.place is not None):
        return integer_range(leaf.width, signed=leaf.signed)
    if leaf.kind in {"int", "bool"}:
        return integer_range(8 * (leaf.size or 1), signed=leaf.signed)
    return None


def may_overflow(leaf: Leaf) -> bool:
    """Return whether scaling some raw number leaves the doubles."""
    if leaf.meaning.exact or leaf.kind in {"bytes", "text"}:
        return False
    ends = raw_range(leaf)
    if ends is None:
        return True
    return any(not abs(leaf.meaning.scaled(end)) < float("inf") for end in ends)
