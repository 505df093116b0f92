"""Layer 2: how many `denied` records a flood of refused calls may make. Pure.

Every refusal is in a record: the first ones of their kind each in its own, at once; those beyond that in one record for
all of them, which says how many they were. So the counts of all records add up to the refusals, and somebody who asks
for ever wears no flash. A kind is who asks, for what verb, and why not: all of them facts that the gateway found out,
so that nobody can make up kinds.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

AT_ONCE: Final = 256  # refusals of a kind, in a row, with a record of their own
REFILL_NS: Final = 10_000_000_000  # after so long one more of them
GATHER_NS: Final = 10_000_000_000  # for so long others are gathered
MOST_KINDS: Final = 256  # principals are few; what is beyond is one kind, of no principal

_KIND: Final = ("principal", "carrier", "is_local", "has_token", "verb", "reason")
_ANYBODY: Final = (None, None, False, False, "read", "many")


class Told(msgspec.Struct, frozen=True):
    """A record to make."""

    route: str | None
    body: dict[str, Any]


class _Kind:
    """Refusals of one kind: how many more get a record each, and those that did not."""

    __slots__ = ("body", "count", "left", "refilled_ns", "route")

    def __init__(self, now_ns: int) -> None:
        self.left = AT_ONCE
        self.refilled_ns = now_ns
        self.count = 0  # gathered
        self.body: dict[str, Any] = {}
        self.route: str | None = None

    def refill(self, now_ns: int) -> None:
        more = (now_ns - self.refilled_ns) // REFILL_NS
        self.left = min(AT_ONCE, self.left + more)
        self.refilled_ns += more * REFILL_NS

    def gather(self, route: str | None, body: dict[str, Any]) -> None:
        """Count one more; what they do not all share is left open."""
        if not self.count:
            self.body, self.route = dict(body), route
        self.body |= {key: None for key, value in body.items() if self.body[key] != value}
        self.route = route if route == self.route else None
        self.count += 1


class Refusals:
    """One per gateway."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[Any, ...], _Kind] = {}
        self.due_ns: int | None = None  # when what was gathered is to be told; None: nothing was

    def take(self, route: str | None, body: dict[str, Any], now_ns: int) -> Told | None:
        """Return the record of a refusal, None where it was counted: then `tell` has it, from `due_ns` on."""
        key = tuple(body[name] for name in _KIND)
        if key not in self._kinds and len(self._kinds) >= MOST_KINDS:
            self._forget_quiet(now_ns)
            key = key if len(self._kinds) < MOST_KINDS else _ANYBODY
        kind = self._kinds.setdefault(key, _Kind(now_ns))
        kind.refill(now_ns)
        if kind.left:
            kind.left -= 1
            return Told(route, body | {"count": 1})
        kind.gather(route, body)
        if self.due_ns is None:
            self.due_ns = now_ns + GATHER_NS
        return None

    def tell(self) -> list[Told]:
        """Return the records of all that was gathered."""
        self.due_ns = None
        told = []
        for kind in self._kinds.values():
            if kind.count:
                told.append(Told(kind.route, kind.body | {"count": kind.count}))
                kind.count = 0
        return told

    def _forget_quiet(self, now_ns: int) -> None:
        for key, kind in list(self._kinds.items()):
            kind.refill(now_ns)
            if kind.left == AT_ONCE and not kind.count:
                del self._kinds[key]
