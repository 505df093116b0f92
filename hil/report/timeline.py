"""A trace as a picture: a lane for each bus, a stroke for each record, faults thick. SVG, drawn in so many columns."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, Final

WIDTH: Final = 1000
LEFT: Final = 70  # for names
LANE: Final = 34
FOOT: Final = 20
COLUMNS: Final = WIDTH - LEFT - 10


def timeline(records: Sequence[Any]) -> str:
    """Return the picture; nothing for a trace without records. Records that fall into one column are one stroke."""
    if not records:
        return ""
    buses = list(dict.fromkeys(record.bus or "notes" for record in records))
    begin_ns = min(record.t_ns for record in records)
    span_ns = max(max(record.t_ns for record in records) - begin_ns, 1)
    strokes = {
        (buses.index(record.bus or "notes"), record.dir, (record.t_ns - begin_ns) * COLUMNS // span_ns)
        for record in records
    }
    height = len(buses) * LANE + FOOT
    parts = [f"<svg viewBox='0 0 {WIDTH} {height}' role='img' aria-label='records over time'>"]
    for lane, bus in enumerate(buses):
        middle = lane * LANE + LANE // 2
        parts.append(f"<text x='6' y='{middle + 4}'>{escape(bus)}</text>")
        parts.append(f"<line class='axis' x1='{LEFT}' y1='{middle}' x2='{WIDTH - 10}' y2='{middle}'/>")
    for lane, direction, column in sorted(strokes):
        top, bottom = _extent(direction, lane * LANE + LANE // 2)
        parts.append(
            f"<line class='{escape(direction)}' x1='{LEFT + column}' y1='{top}' x2='{LEFT + column}' y2='{bottom}'/>"
        )
    parts.append(f"<text x='{LEFT}' y='{height - 6}'>{begin_ns / 1e6:g} ms</text>")
    parts.append(f"<text x='{WIDTH - 10}' y='{height - 6}' text-anchor='end'>{(begin_ns + span_ns) / 1e6:g} ms</text>")
    return "".join([*parts, "</svg>"])


def _extent(direction: str, middle: int) -> tuple[int, int]:
    """Return top and bottom of a stroke: received above the axis, sent below, the rest on both sides."""
    reach = LANE // 2 - 4
    return {"rx": (middle - reach, middle), "tx": (middle, middle + reach)}.get(
        direction, (middle - reach, middle + reach)
    )
