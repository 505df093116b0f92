"""From where a log's own stamps count: at its start, which need not be its first frame."""

from __future__ import annotations

from typing import Final

from hil.trace.record import Header
from hil.trace.times import ns_of

MS: Final = 1_000_000


def zero_of(header: Header, low_ns: int, step_ns: int = MS) -> int:
    """Return on the trace's time where a log starts, whose date is in whole `step_ns`.

    Where the one that was imported did, if no frame is before it; else at or just before the lowest stamp.
    """
    told = [facts["zero_ns"] for facts in header.buses.values() if type(facts.get("zero_ns")) is int]
    start_ns = min(low_ns, *told) if told and min(told) <= low_ns else low_ns
    started_ns = ns_of(header.started)
    return (started_ns + start_ns) // step_ns * step_ns - started_ns
