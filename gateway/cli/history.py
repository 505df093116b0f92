"""Layer 9: `tidegate history`: what a route said over time, out of the ledger."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Protocol

import click

from gateway.cli.client import json_option
from gateway.cli.ledger_common import finish, reading, reading_command
from gateway.cli.ledger_text import gap_words, iso_time, json_text, shortened
from gateway.cli.ledger_times import time_ns
from gateway.errors import UsageError
from gateway.ledger.base import LedgerLike
from gateway.ledger.record import Gap, Record
from gateway.plain import unit_text, value_text
from gateway.route import Route, parse_route

COLUMNS: Final = ("seq", "time", "kind", "value", "units", "taints", "note")


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

    def point(self, point: Any) -> None:
        """Print one value (`gateway.cli.ledger_values.Point`)."""
        ...

    def gap(self, facts: dict[str, Any], words: str) -> None:
        """Print that something is missing here."""
        ...


@reading_command("history", "Print what a route said over time, out of the ledger.")
@click.argument("route")
@click.option("--since", metavar="TIME", help="From this time on: ISO 8601, UTC unless it names a zone.")
@click.option("--until", metavar="TIME", help="Up to and with this time.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with a header.")
@json_option
@click.pass_context
def command(
    context: click.Context,
    *,
    directory: str | None,
    route: str,
    since: str | None,
    until: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Print what ROUTE said over time: of a value, every reading decoded as it was laid out in its time.

    Any other stored route, pump/motor/speed@desired for example, is printed as it is stored. Where records are missing
    a line says which and why. Order is that of the ledger, never of the clock: where the clock went back, TIME may lie
    in several stretches, and all of them are printed.

    For example `tidegate history therm-1/climate/temperature --since 2026-11-28`, `tidegate history
    therm-1/climate/temperature --csv > temperature.csv`.

    Exit as `verify`: 0 intact, 1 intact with declared gaps, 2 damaged, 3 foreign or forged; 64 no ledger there, or bad
    usage.
    """
    if as_csv and as_json:
        raise UsageError("either --csv or --json")
    asked, seq = parse_route(route)
    if seq is not None:
        raise UsageError(f"{route!r} names one record; `tidegate why '{route}'` tells about it")
    span = Span(None if since is None else time_ns(since), None if until is None else time_ns(until))
    if span.since_ns is not None and span.until_ns is not None and span.since_ns > span.until_ns:
        raise UsageError(f"--since {since} is later than --until {until}")
    writer: Writer = CsvLines() if as_csv else JsonLines() if as_json else PlainLines()
    with reading(directory) as ledger:
        told = tell(ledger, asked, span, writer)
        for note in told:
            click.echo(note, err=True)
        finish(context, ledger.verify())


def tell(ledger: LedgerLike, route: Route, span: Span, writer: Writer) -> list[str]:
    """Print the history of a route; return what else must be said about it."""
    from gateway.cli.ledger_values import Series

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


class PlainLines:
    """Lines for people."""

    def point(self, point: Any) -> None:
        """Print one value."""
        value = f"{value_text(point.value)} {unit_text(point.units)}".rstrip()
        notes = "  ".join([value, *point.taints])
        sys.stdout.write(f"{point.seq:>9}  {iso_time(point.time_ns)}  {notes}\n")

    def gap(self, facts: dict[str, Any], words: str) -> None:
        """Print that something is missing here."""
        sys.stdout.write(f"{facts.get('seq', facts.get('from_seq')):>9}  {words}\n")


class JsonLines:
    """A JSON line a value, {"gap"} for what is missing."""

    def point(self, point: Any) -> None:
        """Print one value."""
        told = {
            "seq": point.seq, "time": iso_time(point.time_ns), "kind": point.kind, "value": point.value,
            "units": point.units, "taints": point.taints,
        }  # fmt: skip
        sys.stdout.write(json_text(told) + "\n")

    def gap(self, facts: dict[str, Any], words: str) -> None:  # noqa: ARG002 - the protocol's
        """Print that something is missing here."""
        sys.stdout.write(json_text({"gap": facts}) + "\n")


class CsvLines:
    """RFC 4180 with a header; what is missing is a row with nothing but a number and a note."""

    def __init__(self) -> None:
        """Print the header."""
        self._row(COLUMNS)

    def point(self, point: Any) -> None:
        """Print one value."""
        value = point.value if isinstance(point.value, (str, int, float)) else json_text(point.value)
        value = "" if point.value is None else str(value).lower() if isinstance(value, bool) else value
        row = (point.seq, iso_time(point.time_ns), point.kind, value, point.units, " ".join(point.taints), "")
        self._row(row)

    def gap(self, facts: dict[str, Any], words: str) -> None:
        """Print that something is missing here."""
        self._row((facts.get("seq", facts.get("from_seq")), "", "gap", "", "", "", words))

    @staticmethod
    def _row(row: tuple[Any, ...]) -> None:
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(row)
        sys.stdout.write(line.getvalue())
