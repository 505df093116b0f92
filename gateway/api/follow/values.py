"""Layer 7: what a sink sends: values with their identity, and what is missing between them. Pure.

The identity of a value is (log, incarnation, seq, route): whoever receives it twice can tell. `seq` is the number of
the ledger's record; the values of one message share it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import msgspec

from gateway.taint import names_of

Quality = Literal["good", "stale", "bad"]

GOOD: Final = "good"
BAD: Final = "bad"
STALE: Final = "stale"
ASIDE: Final = "set aside"  # how the cause of a gap begins that stands for a record that cannot be told
EVENT: Final = "@event"  # of a route under which things happen: what is told there is no value that stays


class Item(msgspec.Struct, frozen=True, gc=False):
    """One value of one route, as documents of several tell it."""

    route: str
    v: Any
    u: str  # UCUM code
    t: float  # seconds since 1970, when the device spoke: never later
    seq: int
    q: Quality
    taints: Sequence[str]

    @property
    def is_value(self) -> bool:
        """Return whether it tells what is, until the next one."""
        return not self.route.endswith(EVENT)


class Span(msgspec.Struct, frozen=True, gc=False, rename={"from_": "from"}):
    """Sequence numbers that are not told, both ends included, and why."""

    from_: int
    to: int
    cause: str


class Missing(msgspec.Struct, frozen=True, gc=False):
    """Stands where values would, had they not been lost: never silence."""

    gap: Span


def seq_of(item: Item | Missing) -> int:
    """Return the number of an item; of numbers that are missing the last."""
    return item.seq if type(item) is Item else item.gap.to  # type: ignore[union-attr]  # isinstance takes twice as long


class Stretch(NamedTuple):
    """Everything from one number to another, both included: numbers without an item hold nothing for a sink."""

    first: int
    last: int
    items: list[Item | Missing]
    incarnation: int


class Document(msgspec.Struct, frozen=True, gc=False, rename={"from_": "from"}):
    """Several values in one message."""

    log: str
    incarnation: int
    from_: int
    to: int
    items: Sequence[Item | Missing]


class Single(msgspec.Struct, frozen=True, gc=False):
    """One value in a message of its own, whose topic names the route."""

    v: Any
    u: str
    t: float
    seq: int
    inc: int
    q: Quality
    taints: Sequence[str]


def halves(stretch: Stretch) -> tuple[Stretch, Stretch]:
    """Return a stretch of several records in two, cut between records."""
    middle = seq_of(stretch.items[len(stretch.items) // 2]) if stretch.items else stretch.last
    middle = min(max(middle - 1, stretch.first), stretch.last - 1)
    early = [item for item in stretch.items if seq_of(item) <= middle]
    late = [item for item in stretch.items if seq_of(item) > middle]
    return stretch._replace(last=middle, items=early), stretch._replace(first=middle + 1, items=late)


def document(log: str, stretch: Stretch) -> bytes:
    """Return a stretch as one JSON document."""
    return json_bytes(Document(log, stretch.incarnation, stretch.first, stretch.last, stretch.items))


def single(item: Item, incarnation: int, q: Quality | None = None) -> bytes:
    """Return one value as JSON; `q` in place of its own quality."""
    return json_bytes(Single(item.v, item.u, item.t, item.seq, incarnation, q or item.q, item.taints))


_encode: Final = msgspec.json.Encoder().encode


def json_bytes(told: Any) -> bytes:
    """Return JSON. Numbers beyond 64 bits (long BCD) are written out, where the fast encoder gives up."""
    try:
        return _encode(told)
    except OverflowError:
        plain = msgspec.to_builtins(told)
        return json.dumps(plain, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


_NAMES: Final[dict[int, tuple[str, ...]]] = {0: ()}
_NAMES_MOST: Final = 4096  # combinations of marks; they are few


def taint_names(bits: int) -> tuple[str, ...]:
    """Return the names of marks; remembered, for nearly all values have the same few."""
    try:
        return _NAMES[bits]
    except KeyError:
        if len(_NAMES) >= _NAMES_MOST:
            _NAMES.clear()
        names = _NAMES[bits] = tuple(names_of(bits))
        return names
