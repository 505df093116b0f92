"""What the demo shows: a pure picture of devices and their latest values, for any size of terminal.

`render` returns lines; where they go is `gateway/screen.py`. Text of a device is never trusted: what would move the
cursor is shown as a mark.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.cells import PLAIN, Style, cells_of, fit, right, short_unit
from gateway.plain import age_text, printable

VALUE_CELLS: Final = 9
UNIT_CELLS: Final = 5
AGE_CELLS: Final = 6
LEAST_NAME_CELLS: Final = 8
PANEL_CELLS: Final = 38  # the narrowest panel that reads well
EVENT_LINES: Final = 3

_GOOD: Final = frozenset({"CONNECTED"})
_BAD: Final = frozenset({"ABSENT", "FAILED", "DISCONNECTED"})


class Value(NamedTuple):
    """One route's latest value, ready to print."""

    name: str
    text: str
    unit: str  # UCUM
    age_s: float | None
    is_stale: bool = False


class Panel(NamedTuple):
    """One device."""

    name: str
    label: str
    profile: str
    state: str
    reason: str
    frames_per_s: float
    dropped: int
    refused: int
    values: list[Value]


class Snapshot(NamedTuple):
    """Everything at one instant."""

    title: str
    uptime_s: float
    panels: list[Panel]
    events: list[str]
    hint: str


_Line = tuple[str, str]  # style, text: padded and cut before it is styled


def render(snapshot: Snapshot, width: int, height: int, style: Style = PLAIN) -> str:
    """Return at most `height` lines of at most `width` cells each, joined by newlines; styles are not counted."""
    if width < 1 or height < 1:
        return ""
    snapshot = _cleaned(snapshot)
    head = [_styled(_head(snapshot), width, style), fit("─" * width, width)]
    foot = [_styled((style.dim, f"  {event}"), width, style) for event in snapshot.events]
    foot += [_styled((style.dim, f" {snapshot.hint}"), width, style)]
    room = height - len(head) - len(foot)
    if room < 3:
        return "\n".join((head + _body(snapshot.panels, width, max(height - len(head), 0), style))[:height])
    body = _body(snapshot.panels, width, room, style)
    return "\n".join(head + body + [""] * (room - len(body)) + foot)


def _cleaned(snapshot: Snapshot) -> Snapshot:
    """Return the snapshot without anything a terminal would obey: every text in it may come from a wire."""
    panels = [
        panel._replace(
            name=printable(panel.name),
            label=printable(panel.label),
            profile=printable(panel.profile),
            state=printable(panel.state),
            reason=printable(panel.reason),
            values=[
                value._replace(name=printable(value.name), text=printable(value.text), unit=printable(value.unit))
                for value in panel.values
            ],
        )
        for panel in snapshot.panels
    ]
    events = [printable(event) for event in snapshot.events[-EVENT_LINES:]]
    return snapshot._replace(
        title=printable(snapshot.title), panels=panels, events=events, hint=printable(snapshot.hint)
    )


def _head(snapshot: Snapshot) -> _Line:
    rate = sum(panel.frames_per_s for panel in snapshot.panels)
    lost = sum(panel.dropped for panel in snapshot.panels)
    minutes, seconds = divmod(int(snapshot.uptime_s), 60)
    up = len([panel for panel in snapshot.panels if panel.state in _GOOD])
    parts = (
        f"{up} of {len(snapshot.panels)} devices",
        f"up {minutes}:{seconds:02}",
        f"{rate:.0f} frames/s",
        f"{lost} dropped",
    )
    return "", f" {snapshot.title}   " + "   ".join(parts)


def _body(panels: list[Panel], width: int, height: int, style: Style) -> list[str]:
    """Lay panels out in as many columns as read well, each row of them as high as its fullest panel may be."""
    if not panels or height < 1:
        return []
    columns = max(1, min(len(panels), (width + 3) // (PANEL_CELLS + 3)))
    columns = -(-len(panels) // -(-len(panels) // columns))  # even rows: four panels are 2 + 2, not 3 + 1
    cells = (width - 3 * (columns - 1)) // columns
    rows = [panels[start : start + columns] for start in range(0, len(panels), columns)]
    lines: list[str] = []
    needs = [2 + max(len(panel.values) for panel in row) for row in rows]
    shares = shared(height - (len(rows) - 1), needs)
    for place, row in enumerate(rows):
        last = place == len(rows) - 1
        drawn = [_panel(panel, cells, shares[place], style) for panel in row]
        tallest = max(map(len, drawn))
        for number in range(tallest):
            pieces = [each[number] if number < len(each) else ("", "") for each in drawn]
            lines.append(" │ ".join(_styled(piece, cells, style) for piece in pieces).rstrip())
        if not last:
            lines.append("")
    return lines[:height]


def shared(room: int, needs: list[int]) -> list[int]:
    """Return how much of `room` each gets: what it needs, or an equal share of what the modest ones leave."""
    shares = [0] * len(needs)
    left, waiting = max(room, 0), len(needs)
    for place in sorted(range(len(needs)), key=needs.__getitem__):
        shares[place] = min(needs[place], left // waiting)
        left, waiting = left - shares[place], waiting - 1
    return shares


def _panel(panel: Panel, cells: int, height: int, style: Style) -> list[_Line]:
    tone = style.good if panel.state in _GOOD else style.bad if panel.state in _BAD else style.warn
    mark = "●" if panel.state in _GOOD else "○"
    rate = f"{panel.frames_per_s:.1f}/s"
    name = fit(f" {mark} {panel.name}  {panel.label}", cells - len(rate)) + rate
    told = panel.reason if panel.reason and panel.state not in _GOOD else panel.profile
    lost = f"  {panel.dropped} dropped" if panel.dropped else ""
    lost += f"  {panel.refused} refused" if panel.refused else ""
    lines: list[_Line] = [(style.bold + tone, name), (style.dim, f"   {panel.state}{lost}  {told}")]
    room = height - len(lines)
    shown = panel.values if len(panel.values) <= room else panel.values[: max(room - 1, 0)]
    lines += [_value(value, cells, style) for value in shown]
    if len(shown) < len(panel.values) and room > 0:
        lines.append((style.dim, f"  and {len(panel.values) - len(shown)} more"))
    return lines[:height]


def _value(value: Value, cells: int, style: Style) -> _Line:
    unit = short_unit(value.unit)
    text = value.text
    if unit or cells_of(text) <= VALUE_CELLS:
        cell = right(text, VALUE_CELLS) + " " + fit(unit, max(UNIT_CELLS, cells_of(unit)))
    else:
        cell = right(text, VALUE_CELLS + 1 + UNIT_CELLS)
    room = cells - 2 - AGE_CELLS - 1
    name_room = max(room - cells_of(cell), min(cells_of(value.name), LEAST_NAME_CELLS))
    age = right("stale" if value.is_stale else age_text(value.age_s), AGE_CELLS)
    line = f"  {fit(value.name, name_room)} {fit(cell, room - name_room)}{age}"
    return style.dim if value.is_stale else "", line


def _styled(line: _Line, cells: int, style: Style) -> str:
    tone, text = line
    fitted = fit(text, cells)
    return f"{tone}{fitted}{style.end}" if tone else fitted
