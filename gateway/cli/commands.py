"""Layer 9: `tidegate commands`."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from gateway.cli.client import data_option, json_option, table, token_option
from gateway.cli.talk import ask_once, json_text
from gateway.plain import value_text


class _Command(msgspec.Struct, frozen=True):
    """One command; keys in this order."""

    id: str
    route: str
    value: Any = None
    key: str | None = None
    outcome: str | None = None  # None: it is open
    receipt: int | None = None


class _Commands(msgspec.Struct, frozen=True):
    commands: list[_Command]


@click.command(name="commands")
@json_option
@token_option
@data_option
def command(*, as_json: bool, token: str | None, data: str | None) -> None:
    """List the commands of a running gateway, those that have ended too: value, outcome, record in the ledger.

    For example `tidegate commands`, or `tidegate commands --json` for programs. A receipt is a number of the ledger:
    `tidegate ledger get RECEIPT` tells all about it. Exit 3 where no gateway answers.
    """
    told = ask_once(data, token, "commands", _Commands)
    if as_json:
        click.echo(json_text(told))
        return
    if not told.commands:
        click.echo("no commands so far; for example: tidegate set pump/motor/speed 1500", err=True)
        return
    rows = [("ID", "ROUTE", "VALUE", "OUTCOME", "RECEIPT", "KEY")]
    for each in told.commands:
        receipt = value_text(each.receipt)
        rows.append((each.id, each.route, value_text(each.value), each.outcome or "open", receipt, each.key or ""))
    click.echo(table(rows))
