"""Layer 9: `tidegate replay`: the state that the ledger's records leave behind, now or at an earlier moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from gateway.api.ledger_text import iso_time, json_text, shortened
from gateway.api.ledger_times import instants, time_ns
from gateway.cli.client import json_option, table
from gateway.cli.ledger_common import finish, reading, reading_command
from gateway.cli.ledger_look import MAX_SEQ
from gateway.ledger.base import LedgerLike


@reading_command("replay", "Print the state that the records leave behind, now or earlier.")
@click.option("--until", metavar="SEQ|TIME", help="Up to and with this record, or this time (ISO 8601, UTC).")
@json_option
@click.pass_context
def command(context: click.Context, *, directory: str | None, until: str | None, as_json: bool) -> None:
    """Print the state that the records leave behind: latest values, open and ended commands, cursors, boots, losses.

    Where the clock went back, a TIME came several times: then the state at each of them is printed, and said to be so;
    with --json as {"ambiguous", "states"}.

    For example `tidegate replay --until 1000 --json`, `tidegate replay --until 2026-11-28T14:30:00Z`.

    Exit as `verify`: 0 intact, 1 intact with declared gaps, 2 damaged, 3 foreign or forged; 64 no ledger there, or bad
    usage.
    """
    with reading(directory) as ledger:
        ends = ends_of(ledger, until)
        states = [ledger.replay(end).as_json() for end in ends]
        if len(states) > 1:
            click.echo(
                f"the clock went back: {until} came {len(states)} times, after records {_listed(ends)}", err=True
            )
        if as_json:
            told = states[0] if len(states) == 1 else {"ambiguous": until, "states": states}
            click.echo(json_text(told))
        else:
            click.echo("\n\n".join("\n".join(_lines(state)) for state in states))
        finish(context, ledger.verify())


def ends_of(ledger: LedgerLike, until: str | None) -> list[int | None]:
    """Return the numbers of the records up to which to fold, more than one where a time is ambiguous."""
    if until is None:
        return [None]
    if until.isascii() and until.isdigit():
        return [min(int(until), MAX_SEQ)]
    return list(instants(ledger.read(), time_ns(until)))


def _listed(ends: list[int | None]) -> str:
    return ", ".join(str(end) for end in ends)


def _lines(state: dict[str, Any]) -> Iterator[str]:
    """Yield a state for people."""
    yield f"after record {state['seq']}, incarnation {state['incarnation']}, {state['boots']} boots"
    rows = [("KIND", "ROUTE", "SEQ", "TIME", "VALUE")]
    for kind, register in sorted(state["registers"].items()):
        rows += [
            (kind, route or "-", str(latest["seq"]), iso_time(latest["wall_ns"]), _value(latest))
            for route, latest in sorted(register.items())
        ]
    yield table(rows) if len(rows) > 1 else "nothing recorded"
    for name in ("open_commands", "done_commands", "cursors", "gaps", "damage"):
        if state[name]:
            yield f"{name.replace('_', ' ')}: {shortened(json_text(state[name]))}"
    if state["overflowed"]:
        yield f"{state['overflowed']:,} routes, commands or declarations were too many to keep"


def _value(latest: dict[str, Any]) -> str:
    return shortened(latest["json"] if "json" in latest else latest["base64"])
