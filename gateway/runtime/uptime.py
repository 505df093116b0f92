"""Layer 6: whether a device has begun anew behind its open port, as its own running time tells. Decisions only.

A profile says of a value that it only rises (`state = "total_increasing"`) and that it is a time: that is for how long
something has been running. One that goes back has begun anew; one that has come to the end of its type begins at 0 too,
and tells nothing.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Self

from gateway.profile.setpoint_value import scale_of
from gateway.schema.plan import MessagePlan, Row
from gateway.schema.spec import BitSpec, FieldSpec

SECONDS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}  # UCUM
SLACK_S: Final = 60.0  # by which our clock and the device's may differ where its time comes to its end
_NS: Final = 1_000_000_000


class _Place(NamedTuple):
    """One running time in the rows of a message."""

    at: int
    name: str
    unit_s: float
    span_s: float | None  # of its type: what comes after the end of it; None: it has no end


class Uptime:
    """The running times in one message of one device."""

    __slots__ = ("_last", "_places")

    def __init__(self, places: list[_Place]) -> None:
        """Take what `of` found."""
        self._places = places
        self._last: dict[int, tuple[float, int]] = {}  # by place: seconds, and when they were told (monotonic)

    @classmethod
    def of(cls, plan: MessagePlan) -> Self | None:
        """Return those of a message; None: it tells none."""
        places = [
            _Place(at, name, SECONDS[unit], _span_s(spec, SECONDS[unit]))
            for at, (name, unit, spec) in enumerate(zip(plan.names, plan.units, plan.fields, strict=True))
            if unit in SECONDS and getattr(spec, "state", None) == "total_increasing"
        ]
        return cls(places) if places else None

    def went_back(self, row: Row, received_ns: int) -> str:
        """Take a row; return what in it tells that the device began anew since the row before, "" for nothing."""
        told = ""
        for at, name, unit_s, span_s in self._places:
            value = row[at]
            if not isinstance(value, int | float):
                continue
            now_s, (before_s, before_ns) = value * unit_s, self._last.get(at, (0.0, 0))
            if now_s < before_s and not _came_round(now_s, before_s, span_s, (received_ns - before_ns) / _NS):
                told = told or f"{name} went back from {before_s:g} s to {now_s:g} s"
            self._last[at] = now_s, received_ns
        return told

    def forget(self) -> None:
        """Take that the next row is the first one: it tells nothing of those before."""
        self._last.clear()


def _came_round(now_s: float, before_s: float, span_s: float | None, passed_s: float) -> bool:
    return span_s is not None and now_s - before_s + span_s <= passed_s + SLACK_S


def _span_s(spec: FieldSpec | BitSpec, unit_s: float) -> float | None:
    found = re.match(r"u(\d+)", getattr(spec, "type", None) or "")
    return None if found is None else (1 << int(found[1])) * scale_of(spec) * unit_s
