"""Layer 9: `tidegate history`: what a route said over time, out of the ledger."""

from __future__ import annotations

import sys
from typing import Any

import click

from gateway.api.history import CsvRows, JsonDocument, Span, Writer, tell
from gateway.api.ledger_text import iso_time
from gateway.api.ledger_times import time_ns
from gateway.cli.client import json_option
from gateway.cli.ledger_common import finish, reading, reading_command
from gateway.errors import UsageError
from gateway.plain import unit_text, value_text
from gateway.route import parse_route


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
    document = JsonDocument(sys.stdout.write, asked) if as_json else None
    writer: Writer = document or (CsvRows(sys.stdout.write) if as_csv else PlainLines())
    with reading(directory) as ledger:
        told = tell(ledger, asked, span, writer)
        if document is not None:
            document.end()
            sys.stdout.write("\n")
        for note in told:
            click.echo(note, err=True)
        finish(context, ledger.verify())


class PlainLines:
    """Lines for people."""

    def means(self, units: str) -> None:
        """Print nothing: each line has its unit."""

    def point(self, point: Any) -> None:
        """Print one value."""
        value = f"{value_text(point.value)} {unit_text(point.units)}".rstrip()
        notes = "  ".join([value, *point.taints])
        sys.stdout.write(f"{point.seq:>9}  {iso_time(point.time_ns)}  {notes}\n")

    def gap(self, facts: dict[str, Any], words: str) -> None:
        """Print that something is missing here."""
        sys.stdout.write(f"{facts.get('seq', facts.get('from_seq')):>9}  {words}\n")
