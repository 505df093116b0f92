"""Layer 2: the body of a write: one field is given, the others of its frame are filled (PROFILES 6, `fill`).

A field is filled with a constant, with the next number of a counter, with a check over all other bytes of the body, or
with what it was last; nothing is guessed. Constants of the layout, lengths, `when` facts and fields that are no values
are the encoder's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from gateway.errors import EncodeError
from gateway.framing.checks import Check, check_of
from gateway.schema.cells import RawNumber, cell_of
from gateway.schema.layout import Leaf, layout_of
from gateway.schema.match import apply_when
from gateway.schema.plan import ABSENT, MessagePlan
from gateway.schema.spec import MessageSpec

LAST: Final = "last"
COUNTER: Final = "counter"
CHECK: Final = "check:"


class _Unknown(Enum):
    UNKNOWN = "unknown"


UNKNOWN: Final = _Unknown.UNKNOWN  # what a field was last, where nobody knows
Last = Callable[[str], Any]  # field name -> decoded value; ABSENT: its branch was not active; UNKNOWN


class UnknownFieldsError(EncodeError):
    """Fields that `fill` takes from the last message, of which none is known."""

    def __init__(self, fields: list[str]) -> None:
        """Take their names."""
        super().__init__(f"{', '.join(fields)}: not known yet, and nothing is guessed; wait for the device, or `fill`")
        self.fields = tuple(fields)


class Body(NamedTuple):
    """A body with what it says."""

    data: bytes
    values: dict[str, Any]  # by field: the one written, constants, and what they were last
    counters: dict[str, int]  # raw numbers, by field


class Filling:
    """How bodies of one message are made for one written field."""

    def __init__(self, spec: MessageSpec, plan: MessagePlan, field: str, fill: Mapping[str, Any]) -> None:
        """Take the message, its plan, the field that is written, and `fill`.

        Raises: ValueError as `fill_problems` finds it, UsageError for an unknown checksum.
        """
        for name, problem in fill_problems(spec, field, fill):
            raise ValueError(f"{name}: {problem}")
        self._spec = spec
        self._plan = plan
        self._field = field
        self._leaves = leaves_of(spec)
        special = {name: rule for name, rule in fill.items() if _is_special(rule)}
        self._constants = {name: value for name, value in fill.items() if name not in special}
        self.counters = tuple(name for name, rule in special.items() if rule == COUNTER)
        self._check = next(
            ((name, check_of(rule[len(CHECK) :])) for name, rule in special.items() if rule.startswith(CHECK)), None
        )

    def build(self, value: Any, last: Last, counts: Mapping[str, int]) -> Body:
        """Return the body that says `value`; `counts` has for each of `counters` the number before this one.

        Raises: UnknownFieldsError, else EncodeError.
        """
        counters = {name: self._next(name, counts[name]) for name in self.counters}
        values = {self._field: value, **self._constants}
        unknown = self._add_last(values, last)
        given = {**values, **{name: RawNumber(raw) for name, raw in counters.items()}}
        try:
            data = self._encode(given) if self._check is None else self._checked(given, *self._check)
        except EncodeError:
            if unknown:
                raise UnknownFieldsError(unknown) from None
            raise
        return Body(data, values, counters)

    def _encode(self, values: dict[str, Any]) -> bytes:
        return apply_when(self._spec, self._plan.encode(values))

    def _checked(self, values: dict[str, Any], name: str, check: Check) -> bytes:
        """Return the body with its check; where the check stands is seen by writing it twice."""
        least, greatest = (self._encode({**values, name: RawNumber(raw)}) for raw in (0, (1 << 8 * check.size) - 1))
        others = bytes(one for one, other in zip(least, greatest, strict=True) if one == other)
        return self._encode({**values, name: RawNumber(check.compute(others))})

    def _next(self, name: str, previous: int) -> int:
        """Return the number that follows in a counter, sentinels left out."""
        leaf = self._leaves[name][0]
        count = 1 << bits_of(leaf)
        raw = (previous + 1) % count
        while raw in leaf.meaning.invalid:
            raw = (raw + 1) % count
        return raw

    def _add_last(self, values: dict[str, Any], last: Last) -> list[str]:
        """Add what the remaining fields were last; return the names of those that nobody knows."""
        special = {*self.counters, *([self._check[0]] if self._check else [])}
        left = [name for name in self._plan.names if name not in values and name not in special]
        unknown: list[str] = []
        computed = set(self._computed())
        for name in sorted(left, key=self._is_conditional):  # branches open and close by what is filled before them
            found = last(name)
            if found is ABSENT or name in computed or not self._may_stand(name, values):
                continue
            if found is UNKNOWN or (found is None and not self._has_null(name)):
                unknown.append(name)
            else:
                values[name] = found
        if unknown and self._spec.format == "csv":  # an empty place would say something
            raise UnknownFieldsError(unknown)
        return unknown

    def _computed(self) -> Iterator[str]:
        """Yield the names of what the encoder computes: constants, counts and lengths of other fields, transforms."""
        for name, leaves in self._leaves.items():
            if all(leaf.const is not None for leaf in leaves):
                yield name
            for leaf in leaves:
                yield from (count for count in (leaf.length, leaf.array) if isinstance(count, str))
        yield from (field.name or "" for field in (self._spec.transform.gives if self._spec.transform else ()))

    def _is_conditional(self, name: str) -> bool:
        return any(leaf.test is not None for leaf in self._leaves.get(name, ()))

    def _has_null(self, name: str) -> bool:
        leaves = self._leaves.get(name)
        return leaves is None or any(leaf.meaning.invalid for leaf in leaves)

    def _may_stand(self, name: str, values: Mapping[str, Any]) -> bool:
        """Return whether the branch of a field is active with these values, or that cannot be told from them."""
        leaves = self._leaves.get(name, ())
        return not leaves or any(
            leaf.test is None
            or any(asked not in values for asked in leaf.test.names)
            or leaf.test.holds(lambda asked: self._raw(asked, values))
            for leaf in leaves
        )

    def _raw(self, name: str, values: Mapping[str, Any]) -> Any:
        value = values[name]
        return value if name not in self._leaves else cell_of(self._leaves[name][0], value)


def leaves_of(spec: MessageSpec) -> dict[str, list[Leaf]]:
    """Return the fields of a binary layout by name, internal ones too; {} where another format says what stands where.

    Raises: ValueError for a spec that was not checked.
    """
    found: dict[str, list[Leaf]] = {}
    if spec.format == "binary" and spec.construct is None:
        for leaf in layout_of(spec).named():
            found.setdefault(leaf.name or "", []).append(leaf)
    return found


def bits_of(leaf: Leaf) -> int:
    """Return how many bits an integer has."""
    return leaf.width or 8 * (leaf.size or 0)


def _is_special(rule: Any) -> bool:
    return isinstance(rule, str) and (rule in {LAST, COUNTER} or rule.startswith(CHECK))


def fill_problems(spec: MessageSpec, field: str, fill: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what of `fill` can never be written: the field, and what is wrong with its rule."""
    leaves = leaves_of(spec)
    checks = 0
    for name, rule in fill.items():
        if name == field:
            yield name, "is the field that is written; it cannot be filled too"
        elif rule == COUNTER:
            if not _is_plain_integer(leaves.get(name)):
                yield name, "a counter needs a field that is one unsigned integer"
        elif isinstance(rule, str) and rule.startswith(CHECK):
            checks += 1
            size = check_of(rule[len(CHECK) :]).size
            if not _is_plain_integer(leaves.get(name)) or bits_of(leaves[name][0]) != 8 * size:
                yield name, f"{rule.removeprefix(CHECK)} needs a field that is one unsigned integer of {8 * size} bits"
            if checks > 1:
                yield name, "a second check; each would cover the other"


def _is_plain_integer(leaves: list[Leaf] | None) -> bool:
    return (
        leaves is not None
        and len(leaves) == 1
        and leaves[0].kind in {"int", "bit"}
        and leaves[0].array is None
        and not leaves[0].signed
    )
