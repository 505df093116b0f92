"""From all strikes of a failing round to the few that matter: delta debugging (Zeller and Hildebrandt, 2002, ddmin)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from hil.faults.catalogue import KINDS, Acts
from hil.faults.faults import Fault, Strike

T = TypeVar("T")


def minimal(items: Sequence[T], fails: Callable[[Sequence[T]], bool], most_runs: int = 200) -> list[T]:
    """Return a part of `items`, in order, with which it still fails, and without any one of which it does not.

    `fails(items)` is known to be true. After `most_runs` calls the smallest part found so far is returned.
    """
    kept, parts, runs = list(items), 2, 0
    if kept and fails(()):
        return []  # it has nothing to do with them
    while len(kept) > 1 and runs < most_runs:
        size = -(-len(kept) // parts)
        pieces = [kept[begin : begin + size] for begin in range(0, len(kept), size)]
        smaller = None
        for number, piece in enumerate(pieces):
            rest = [item for other, each in enumerate(pieces) if other != number for item in each]
            for candidate in (piece, rest) if parts == 2 else (rest, piece):
                runs += 1
                if len(candidate) < len(kept) and fails(candidate):
                    smaller = candidate
                    break
            if smaller is not None or runs >= most_runs:
                break
        if smaller is not None:
            kept, parts = smaller, max(2, parts - 1) if len(smaller) > 1 else 2
        elif parts >= len(kept):
            break
        else:
            parts = min(len(kept), parts * 2)
    return kept


def schedule_of(faults: Sequence[Fault], strikes: Sequence[Strike]) -> list[Mapping[str, Any]]:
    """Return strikes as faults that would be added to have just these: `faults.add(**entry)`, fit for JSON."""
    return [_entry(faults[strike.ordinal], strike) for strike in strikes]


def _entry(fault: Fault, strike: Strike) -> Mapping[str, Any]:
    entry: dict[str, Any] = {"kind": fault.kind, "bus": fault.bus, **fault.given}
    kind = KINDS[fault.kind]
    waits = kind.acts is Acts.PASS or fault.trigger.schedule.waits_for_traffic
    if not waits:
        return entry
    for name in ("probability", "pattern"):
        entry.pop(name, None)
    if kind.acts is not Acts.STATE and not kind.lasts:
        entry.pop("duration", None)
    return {**entry, "after": strike.passed, "count": 1}
