"""Layer 7: what a route said over time, out of the ledger, with what is missing where it is missing."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, Protocol

from gateway.api.ledger_text import gap_words, json_text, shortened
from gateway.ledger.base import LedgerLike
from gateway.ledger.record import Gap, Record
from gateway.route import Route

MOST_GAPS: Final = 1_000  # told of one history
COLUMNS: Final = ("t", "seq", "v", "units", "taints")
_NS: Final = 1_000_000_000


class Span(NamedTuple):
    """The times that are asked for, both ends included."""

    since_ns: int | None
    until_ns: int | None

    def holds(self, wall_ns: int) -> bool:
        """Return whether an instant lies in it."""
        return not (
            (self.since_ns is not None and wall_ns < self.since_ns)
            or (self.until_ns is not None and wall_ns > self.until_ns)
        )


class Writer(Protocol):
    """How history is printed."""

    def means(self, units: str) -> None:
        """Take the unit of the route, also where none of its values lie in the span."""
        ...

    def point(self, point: Any) -> None:
        """Print one value (`gateway.api.ledger_values.Point`)."""
        ...

    def gap(self, facts: dict[str, Any], words: str) -> None:
        """Print that something is missing here."""
        ...


def tell(ledger: LedgerLike, route: Route, span: Span, writer: Writer) -> list[str]:
    """Print the history of a route; return what else must be said about it."""
    from gateway.api.ledger_values import Series

    series, stretches, gaps = Series(route), Stretches(span), Gaps(span, writer)
    count = 0
    for item in ledger.read():
        gaps.take(item)
        if isinstance(item, Gap):
            continue
        point = series.take(item)
        if point is not None and stretches.take(item.seq, point.time_ns):
            count += 1
            writer.point(point)
        elif item.kind in {"gap", "damage"} and span.holds(item.wall_ns):
            for facts in _drops(item, route):
                writer.gap(facts, _drop_words(facts))
    gaps.end()
    writer.means(series.units)
    return [*_notes(series.undecoded, series.first_reason, count, route), *stretches.notes()]


class Gaps:
    """Prints what is missing beside records of the span; when a missing record was written nobody knows."""

    def __init__(self, span: Span, writer: Writer) -> None:
        self._span = span
        self._writer = writer
        self._waiting: list[Gap] = []
        self._was_inside = span.since_ns is None

    def take(self, item: Record | Gap) -> None:
        """Take what comes next in the ledger."""
        if isinstance(item, Gap):
            self._waiting.append(item)
            return
        is_inside = self._span.holds(item.wall_ns)
        if is_inside or self._was_inside:
            self._print()
        self._waiting.clear()
        self._was_inside = is_inside

    def end(self) -> None:
        """Print what is missing at the end."""
        if self._was_inside or self._span.until_ns is None:
            self._print()

    def _print(self) -> None:
        for gap in self._waiting:
            facts = {"from_seq": gap.from_seq, "to_seq": gap.to_seq, "reason": gap.reason}
            self._writer.gap(facts, gap_words(gap))


class Stretches:
    """Counts in how many stretches of the ledger a span of wall time lies: more than one where the clock went back."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._newest_ns: int | None = None
        self._is_inside = False
        self._is_again = False  # the clock went back since the last value inside
        self.found: list[list[int]] = []

    def take(self, seq: int, wall_ns: int) -> bool:
        """Return whether a value lies in the span."""
        if self._newest_ns is not None and wall_ns < self._newest_ns:
            self._is_again = True
        self._newest_ns = wall_ns
        if not self._span.holds(wall_ns):
            self._is_inside = False
            return False
        if self._is_inside and not self._is_again:
            self.found[-1][1] = seq
        else:
            self.found.append([seq, seq])
        self._is_inside, self._is_again = True, False
        return True

    def notes(self) -> Iterator[str]:
        """Say where times are ambiguous."""
        if len(self.found) > 1:
            some = ", ".join(f"{first} to {last}" for first, last in self.found[:10])
            more = f" and {len(self.found) - 10} more" if len(self.found) > 10 else ""
            yield f"the clock went back: these times lie in {len(self.found)} stretches, records {some}{more}"


def _notes(undecoded: int, reason: str, count: int, route: Route) -> Iterator[str]:
    if undecoded:
        yield f"{undecoded:,} readings of {route.owner}/{route.family} could not be decoded; the first: {reason}"
    if not count:
        yield f"no record of {route} in these times; `tidegate ledger stats` lists the routes that are stored"


def _drops(record: Record, route: Route) -> Iterator[dict[str, Any]]:
    """Yield what a record of kind gap or damage says is missing, where it may be of this route."""
    body = record.body if record.is_json else None
    if not isinstance(body, dict) or "from_seq" in body:
        return  # numbers that are missing are told where they are
    of = record.route or body.get("route")
    if of is None or of == str(route) or of == route.owner or str(of).startswith(f"{route.owner}/{route.family}/"):
        yield {"seq": record.seq, **body} | {"seq": record.seq}


def _drop_words(facts: dict[str, Any]) -> str:
    count = facts.get("dropped")
    what = f"{count:,} records were never stored" if isinstance(count, int) else "records were never stored"
    return shortened(f"-- {what}: {facts.get('reason', 'no reason given')} --")


class JsonDocument:
    """One JSON object: `points` as they come, and behind them `units`, `gaps` and what else is told at the end."""

    def __init__(self, write: Callable[[str], object], route: Route) -> None:
        """Begin."""
        self._write = write
        self._units = "1"
        self._gaps: list[dict[str, Any]] = []
        self._joint = ""
        write(f'{{"route":{json_text(str(route))},"points":[')

    def means(self, units: str) -> None:
        """Take the unit of the route."""
        self._units = units

    def point(self, point: Any) -> None:
        """Print one value."""
        self._units = point.units
        told = {"t": point.time_ns / _NS, "v": point.value, "seq": point.seq, "taints": point.taints}
        self._write(self._joint + json_text(told))
        self._joint = ","

    def gap(self, facts: dict[str, Any], words: str) -> None:  # noqa: ARG002 - the protocol's
        """Take that something is missing."""
        if len(self._gaps) < MOST_GAPS:
            self._gaps.append(facts)

    def end(self, **more: Any) -> None:
        """End."""
        told = {"units": self._units, "gaps": self._gaps, **more}
        self._write("]," + json_text(told)[1:])


class CsvRows:
    """RFC 4180 with a header; what is missing is a row with its number and, in place of taints, why."""

    def __init__(self, write: Callable[[str], object]) -> None:
        """Print the header."""
        self._write = write
        self._row(COLUMNS)

    def means(self, units: str) -> None:
        """Print nothing: each row has its unit."""

    def point(self, point: Any) -> None:
        """Print one value."""
        value = point.value if isinstance(point.value, (str, int, float)) else json_text(point.value)
        value = "" if point.value is None else str(value).lower() if isinstance(value, bool) else value
        self._row((point.time_ns / _NS, point.seq, value, point.units, " ".join(point.taints)))

    def gap(self, facts: dict[str, Any], words: str) -> None:
        """Print that something is missing here."""
        self._row(("", facts.get("seq", facts.get("from_seq")), "", "", words))

    def _row(self, row: tuple[Any, ...]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        self._write(line.getvalue())


class Enough(Exception):
    """The page is full."""


class Page:
    """Hands on what lies behind a number, and no more than so much."""

    def __init__(self, writer: Writer, after: int, limit: int) -> None:
        """Take to whom."""
        self._writer = writer
        self._after = after
        self._left = limit
        self.next: str | None = None
        self._last = after

    def means(self, units: str) -> None:
        """Take the unit of the route."""
        self._writer.means(units)

    def point(self, point: Any) -> None:
        """Take one value. Raises: Enough."""
        if point.seq <= self._after:
            return
        if not self._left:
            self.next = str(self._last)
            raise Enough
        self._left -= 1
        self._last = point.seq
        self._writer.point(point)

    def gap(self, facts: dict[str, Any], words: str) -> None:
        """Take that something is missing."""
        if (facts.get("seq") or facts.get("to_seq") or 0) > self._after:
            self._writer.gap(facts, words)
