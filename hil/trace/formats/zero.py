"""From where a log's own stamps count: at its start, which need not be its first frame."""

from __future__ import annotations

from typing import Final

from hil.trace.record import Header
from hil.trace.times import HIGHEST_S, LOWEST_S, NS, ns_of

MS: Final = 1_000_000
_ROOM_S: Final = 2 * 86_400  # a local date is up to a day off, and Python looks a day further
_FIRST_NS, _LAST_NS = (LOWEST_S + _ROOM_S) * NS, (HIGHEST_S - _ROOM_S) * NS


def zero_of(header: Header, low_ns: int, step_ns: int = MS) -> int:
    """Return on the trace's time where a log starts, whose date is in whole `step_ns`.

    Where the one that was imported did, if no frame is before it; else at or just before the lowest stamp, or as near
    to it as a date can be.
    """
    told = [facts["zero_ns"] for facts in header.buses.values() if type(facts.get("zero_ns")) is int]
    start_ns = min(low_ns, *told) if told and min(told) <= low_ns else low_ns
    started_ns = ns_of(header.started)
    wall_ns = min(max(started_ns + start_ns, _FIRST_NS), _LAST_NS)
    return wall_ns // step_ns * step_ns - started_ns
