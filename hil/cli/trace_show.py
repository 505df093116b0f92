"""`tidegate trace show`: a trace as people read it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.notation import duration_ns
from hil.cli.trace_files import EXIT_NO, file_type, say, told
from hil.trace.convert import Outcome, as_trace
from hil.trace.diff import chosen
from hil.trace.record import DIRECTIONS
from hil.trace.show import text_of


def _time(_context: click.Context, _parameter: click.Parameter, given: str | None) -> int | None:
    """Return the ns of an option. Raises: BadParameter, which names the option."""
    try:
        return None if given is None else duration_ns(given)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command(name="show", short_help="Show what passed on the buses.")
@click.argument("file", type=file_type)
@click.option("--bus", "buses", multiple=True, metavar="NAME", help="Of this bus alone; may be given again.")
@click.option("--dir", "directions", multiple=True, type=click.Choice(sorted(DIRECTIONS)), help="Of this direction.")
@click.option("--from", "from_ns", metavar="TIME", callback=_time, help="From this time of the trace on: 2.5s, 10m.")
@click.option("--to", "to_ns", metavar="TIME", callback=_time, help="Up to this time of the trace.")
@click.option("--json", "as_json", is_flag=True, help="The records as they stand in a trace, a JSON object a line.")
def command(
    *,
    file: Path,
    buses: tuple[str, ...],
    directions: tuple[str, ...],
    from_ns: int | None,
    to_ns: int | None,
    as_json: bool,
) -> None:
    """Show FILE, a trace or another program's log: seconds, bus, direction (< received, > sent, ! fault, # note), data.

    For example `tidegate trace show run.trace --bus uart0 --from 2s --to 2.5s`.

    Exit codes: 0 shown, 1 a line in the middle is damaged (what stands before it is shown), 2 it is no trace.
    """
    outcome = Outcome()
    with told(), as_trace(file, outcome) as stream:
        if not as_json:
            names = ", ".join(
                f"{name} {facts.get('protocol', '')}".rstrip() for name, facts in stream.header.buses.items()
            )
            click.echo(f"started {stream.header.started}, seed {stream.header.seed}, {names or 'no buses'}")
        for record in chosen(stream, buses, directions):
            if (from_ns is None or record.t_ns >= from_ns) and (to_ns is None or record.t_ns <= to_ns):
                click.echo(record.line() if as_json else text_of(record), nl=not as_json)
        if stream.torn_line is not None:
            say(f"{file}:{stream.torn_line}: torn off; the rest is used")
    for line in outcome.told:
        say(line)
    sys.exit(EXIT_NO if outcome.has_damage else 0)
