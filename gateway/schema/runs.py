"""Layer 2: positions in a body and runs of fields that one `unpack_from` can read."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gateway.schema.layout import Leaf, Scope
from gateway.schema.reads import Reads, sign_expression
from gateway.schema.source import may_overflow

_UNROLLED_LEAVES = 64  # a fixed array of more fields than this is a loop


class Place(NamedTuple):
    """A position in the body: `offset` after the variable `base`, or after the body's start."""

    base: str | None
    offset: int

    def plus(self, size: int) -> Place:
        """Return the position `size` bytes further on."""
        return Place(self.base, self.offset + size)

    def __str__(self) -> str:
        if self.base is None:
            return str(self.offset)
        return f"{self.base} + {self.offset}" if self.offset else self.base


def asked_names(scope: Scope) -> set[str]:
    """Return every name that a condition, length or count in here refers to."""
    names: set[str] = set()
    for leaf in scope.leaves:
        for tested in (leaf, *leaf.bits):
            names.update(tested.test.names if tested.test else ())
        names.update(ref for ref in (leaf.length, leaf.array) if isinstance(ref, str))
        if leaf.members is not None:
            names |= asked_names(leaf.members)
    return names


def _leaf_count(leaf: Leaf) -> int:
    inner = sum(_leaf_count(member) for member in leaf.members.leaves) if leaf.members else max(1, len(leaf.bits))
    return inner * (leaf.array if isinstance(leaf.array, int) else 1)


def looped(leaf: Leaf) -> bool:
    """Return whether an array is written as a loop."""
    return isinstance(leaf.array, str) or _leaf_count(leaf) > _UNROLLED_LEAVES


def is_plain_number(leaf: Leaf, *, raw: bool) -> bool:
    """Return whether a list of this field needs no test per element."""
    if leaf.kind != "int" or leaf.size not in {1, 2, 4, 8} or leaf.swapped or leaf.const is not None or not leaf.name:
        return False
    meaning = leaf.meaning
    marks = (meaning.labels, meaning.flags, meaning.low, meaning.high)
    return raw or (not meaning.invalid and marks == (None,) * 4 and not may_overflow(leaf) and not leaf.is_internal)


def _nested_loop(leaf: Leaf) -> bool:
    if leaf.array is not None and looped(leaf):
        return True
    return leaf.members is not None and any(_nested_loop(member) for member in leaf.members.leaves)


def fixed_run(leaves: list[Leaf], index: int, place: Place) -> list[Leaf]:
    """Return the fields from `index` on that one stretch can read."""
    run: list[Leaf] = []
    signals = leaves[index].place is not None
    for leaf in leaves[index:]:
        if (leaf.place is not None) is not signals:
            break
        if not signals and (
            leaf.fixed_size is None
            or leaf.test is not None
            or _nested_loop(leaf)
            or (leaf.at is not None and place.base is not None)
        ):
            break
        run.append(leaf)
    return run


def settled(emits: list[tuple[Leaf, Callable[[str], str]]]) -> list[tuple[Leaf, Callable[[str], str]]]:
    """Return the fields so that each stands after those its condition asks; else in wire order."""
    waiting = list(emits)
    done: list[tuple[Leaf, Callable[[str], str]]] = []
    while waiting:
        open_names = {leaf.name for leaf, _ in waiting if leaf.name}
        ready = [item for item in waiting if item[0].test is None or not open_names.intersection(item[0].test.names)]
        done += ready or waiting
        waiting = [item for item in waiting if item not in ready] if ready else []
    return done


def swapped_expression(leaf: Leaf, reads: Reads, offset: int) -> str:
    """Return the raw expression of a wide type whose registers stand in reverse order."""
    size = leaf.size or 0
    words = [reads.integer(offset + at, 2, leaf.order, signed=False) for at in range(0, size, 2)]
    whole = " | ".join(f"{word} << {16 * index}" if index else word for index, word in enumerate(words))
    if leaf.kind == "float":
        return f"float{8 * size}({whole})"
    return sign_expression(whole, 8 * size) if leaf.signed else f"({whole})"
