"""Layer 9: `tidegate why`: from a record to what led to it, and from a value to its bits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click

from gateway.api.ledger_text import json_text, shortened
from gateway.api.why import explain, target_of
from gateway.cli.client import json_option
from gateway.cli.ledger_common import finish, reading, reading_command
from gateway.cli.ledger_look import record_at
from gateway.plain import printable


@reading_command("why", "Tell what led to a record, down to the bytes that came.")
@click.argument("target", metavar="SEQ | ROUTE#SEQ")
@json_option
@click.pass_context
def command(context: click.Context, *, directory: str | None, target: str, as_json: bool) -> None:
    """Tell what led to a record: its causes, each with its own cause, down to the bytes that came.

    SEQ is a sequence number of the ledger; ROUTE#SEQ asks for that route's value in the record. A reading is taken
    apart with the layout of its time: payload, the place of each value, the number that stands there, its scale.

    For example `tidegate why 17`, `tidegate why 'therm-1/climate/temperature#17'`.

    Exit as `verify`: 0 intact, 1 intact with declared gaps, 2 damaged, 3 foreign or forged; 64 no ledger there, or no
    such record.
    """
    asked = target_of(target)
    with reading(directory) as ledger:
        answer = explain(ledger, record_at(context, ledger, asked.seq), asked.route)
        click.echo(json_text(answer) if as_json else "\n".join(map(printable, _lines(answer))))
        finish(context, ledger.verify())


def _lines(answer: dict[str, Any]) -> Iterator[str]:
    for place, told in enumerate(answer["chain"]):
        led = "because of " if place else ""
        yield f"{led}{told['seq']}  {told['time']}  {told['kind']}  {told['route'] or '-'}  ({told['class']})"
        if "fields" not in told:
            yield f"    {shortened(json_text(told['body']))}"
        if "undecoded" in told:
            yield f"    it cannot be decoded: {told['undecoded']}"
        if "fields" in told:
            schema = told["schema"]
            yield f"    message {told['message']}, laid out as schema {schema['digest']} says (record {schema['seq']})"
            yield f"    payload {told['payload']}"
            yield from (f"    {each['words']}" for each in told["fields"])
    if answer["end"]:
        yield f"the chain stops: {answer['end']}"
