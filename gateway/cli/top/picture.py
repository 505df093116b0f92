"""Layer 9: the picture of a gateway, for any size of terminal. Pure.

Nothing in it is trusted: names, reasons and values may come from a wire, and are marked where a terminal would obey.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.cells import PLAIN, Style, fit
from gateway.cli.top.keys import View
from gateway.cli.top.rows import Line, detail, everything
from gateway.cli.top.sample import Row, Shown
from gateway.plain import age_text, printable

HELP: Final = "q quit  arrows, page scroll  / filter  d device  p pause"
LEAST_COLUMNS: Final = 20


class Picture(NamedTuple):
    """What is drawn, and what keys then are about."""

    text: str
    owners: list[str | None]  # by row: the device it is about
    page: int  # rows that are seen


def picture(shown: Shown, view: View, columns: int, lines: int, style: Style = PLAIN) -> Picture:
    """Return at most `lines` lines of at most `columns` cells, escapes not counted."""
    head = _head(shown, view)
    rows = rows_of(shown, view, columns)
    room = max(lines - len(head) - 1, 1)
    first = _first(view.cursor, len(rows), room)
    seen = [line._replace(tone="mark") if place == view.cursor else line for place, line in enumerate(rows)]
    body = seen[first : first + room]
    foot = _foot(view, first, len(body), len(rows))
    every = [*head, *body, *[Line("")] * (room - len(body)), foot]
    text = "\n".join(_drawn(line, columns, style) for line in every[: max(lines, 1)])
    return Picture(text, [line.device for line in rows], room)


def plain(shown: Shown, columns: int) -> str:
    """Return everything once, as long as it is, for what is no terminal."""
    lines = [*_head(shown, View()), *rows_of(shown, View(), columns)]
    return "\n".join(_drawn(line, columns, PLAIN).rstrip() for line in lines)


def rows_of(shown: Shown, view: View, columns: int) -> list[Line]:
    """Return what can be scrolled."""
    if shown.sample is None:
        return []
    if view.device is not None:
        return detail(shown, view.device, columns)
    return everything(shown, view.filter if view.typing is None else view.typing, columns)


def _head(shown: Shown, view: View) -> list[Line]:
    if shown.sample is None:
        return [Line(f"tidegate top: {shown.lost or 'asking the gateway ...'}", "warn" if shown.lost else "")]
    status = shown.sample.status
    up = sum(device["lifecycle"] == "CONNECTED" for device in shown.sample.devices)
    rest = f"up {age_text(status['uptime'])}, {up} of {len(shown.sample.devices)} devices connected"
    first = Line(f"{status['name']}: {rest}, tidegate {status['version']}, boot {status['boot']}", "bold")
    ledger = Line(_ledger(status["ledger"]), "" if status["ledger"]["mode"] in {"recording", "off"} else "warn")
    doors = Line(", ".join(_doors(status)))
    if shown.lost:
        return [first, ledger, Line(f"LOST {age_text(shown.age_s)} ago, trying again: {shown.lost}", "bad")]
    if view.is_paused:
        return [first, ledger, Line(f"PAUSED {age_text(shown.age_s)} ago, p goes on", "warn")]
    return [first, ledger, doors]


def _ledger(told: Row) -> str:
    parts = [f"ledger {told['mode']}"]
    if "durable_seq" in told:
        parts.append(f"{told['durable_seq']:,} records on the medium")
    if told.get("queue"):
        parts.append(f"{told['queue']['records']:,} waiting")
    if isinstance(told.get("shed"), dict) and (lost := sum(told["shed"].values())):
        parts.append(f"{lost:,} readings not kept")
    if told.get("damage"):
        parts.append(f"{len(told['damage'])} places damaged")
    if told.get("reason"):
        parts.append(str(told["reason"]))
    return ", ".join(parts)


def _doors(status: Row) -> list[str]:
    found = [f"{sink['name']} {sink['state']}, {sink['lag'] or 0:,} behind" for sink in status["sinks"]]
    http = status["http"]
    if http is not None:
        state = f"{http['connections']} connections" if http["is_open"] else f"shut ({http['error']})"
        found.append(f"http {http['listen']} {state}, {http['watching']} watching")
    return found or ["no door but the socket"]


def _first(cursor: int, count: int, room: int) -> int:
    """Return the first row that is seen, so that the cursor is."""
    return min(max(0, cursor - room // 2), max(0, count - room))


def _foot(view: View, first: int, seen: int, count: int) -> Line:
    if view.typing is not None:
        return Line(f"filter: {printable(view.typing)}_   (enter takes it, escape leaves it)", "warn")
    place = f"{first + 1}-{first + seen} of {count}" if count else "nothing"
    what = f"  filter {printable(view.filter)!r}" if view.filter else ""
    return Line(f"{place}{what}  {HELP}", "dim")


def _drawn(line: Line, columns: int, style: Style) -> str:
    text = fit(printable(line.text), max(columns, 0))
    tones = {"bold": style.bold, "dim": style.dim, "good": style.good, "warn": style.warn, "bad": style.bad}
    tone = ("\x1b[7m" if style.end else "") if line.tone == "mark" else tones.get(line.tone, "")
    return f"{tone}{text}{style.end}" if tone else text
