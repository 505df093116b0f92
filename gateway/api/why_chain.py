"""Layer 7: from a record to what led to it, and on to what led to that. Bounded, whatever stands in the records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.ledger.record import Gap, Record

MAX_LINKS: Final = 256


class Chain(NamedTuple):
    """Records, each the cause of the one before it, and why they end."""

    records: list[Record]
    end: str  # "" where the last one names no cause


def chain_of(first: Record, find: Callable[[int], Record | Gap | None]) -> Chain:
    """Return a record and its causes; `find` gives what lies at a sequence number."""
    records = [first]
    seen = {first.seq}
    while (cause := records[-1].cause) is not None:
        of = f"record {cause}, the cause of {records[-1].seq},"
        if cause in seen:
            return Chain(records, f"{of} is in this chain already: the causes go round in a circle")
        if len(records) == MAX_LINKS:
            return Chain(records, f"{of} is not followed any more: {MAX_LINKS} links are enough for anybody")
        found = find(cause)
        if found is None:
            return Chain(records, f"{of} was never written")
        if isinstance(found, Gap):
            return Chain(records, f"{of} is not there: {found.reason}")
        seen.add(cause)
        records.append(found)
    return Chain(records, "")
