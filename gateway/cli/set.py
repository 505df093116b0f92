"""Layer 9: `tidegate set`."""

from __future__ import annotations

import sys

import click

from gateway.cli.client import data_option, json_option, token_option
from gateway.cli.duration import duration
from gateway.cli.set_lines import set_lines, word_or_json
from gateway.cli.set_result import Result, Terms, put
from gateway.cli.talk import json_text, talking
from gateway.errors import UsageError


@click.command(name="set", context_settings={"ignore_unknown_options": True})  # -5 is a value
@click.argument("route", required=False)
@click.argument("value", required=False)
@click.option(
    "--expires",
    metavar="DURATION",
    callback=duration,
    help="Nothing is sent after this long [2s; 10m where an operator approves].",
)
@click.option("--key", help="Names this command: once more with the same key and value tells its result again.")
@click.option(
    "--wait",
    metavar="DURATION",
    callback=duration,
    default="3s",
    help="How long to wait for an outcome [3s; 60s at most].",
)
@click.option("--stdin", "from_stdin", is_flag=True, help="Set what comes as JSON lines, one after the other.")
@json_option
@token_option
@data_option
@click.pass_context
def command(
    context: click.Context,
    *,
    route: str | None,
    value: str | None,
    expires: float | None,
    key: str | None,
    wait: float,
    from_stdin: bool,
    as_json: bool,
    token: str | None,
    data: str | None,
) -> None:
    """Set the setpoint ROUTE to VALUE and say what became of it: the device confirmed it, or not and why.

    ROUTE is device/family/name, with or without @desired. VALUE is JSON where it is some (1500, -0.5, true, "5"), else
    a text or the label of a value.

    For example `tidegate set pump/motor/speed 1500`, `tidegate set lamp-1/light/mode heating --wait 0s --key night-7`.

    With --stdin each line is {"route", "value"} and, if wanted, "wait", "expires" ("2s", or seconds) and "key"; each
    has one answer, before the next is sent. --wait and --expires then hold for lines that name none.

    For example `tidegate set --stdin --json < values.jsonl`.

    Exit 0: reported or acked. 1: another outcome, or none before the wait was over. 2: refused, nothing was sent. 3: no
    gateway. Of several lines the highest.
    """
    terms = Terms(wait_s=wait, expires_s=expires, key=key)
    if from_stdin:
        if route is not None or key is not None:
            raise UsageError("with --stdin routes, values and keys come in the lines; leave ROUTE, VALUE and --key out")
        with talking(data, token) as gateway:
            context.exit(set_lines(gateway, sys.stdin.buffer, terms, lambda result: _show(result, as_json=as_json)))
    if route is None or value is None:
        raise UsageError("give ROUTE and VALUE, for example `tidegate set pump/motor/speed 1500`, or --stdin")
    wanted = word_or_json(value)
    with talking(data, token) as gateway:
        result = put(gateway, route, wanted, terms)
    _show(result, as_json=as_json)
    if as_json and result.exit_code:  # not beside many lines: who reads those may not empty the other pipe
        click.echo(f"tidegate: {result.as_text()}", err=True)
    context.exit(result.exit_code)


def _show(result: Result, *, as_json: bool) -> None:
    """Print a result; for people a refusal is an error."""
    if as_json:
        click.echo(json_text(result.as_json()))
    elif result.id is None:
        click.echo(f"tidegate: {result.as_text()}", err=True)
    else:
        click.echo(result.as_text())
