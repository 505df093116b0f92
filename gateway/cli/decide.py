"""Layer 9: `tidegate approve` and `tidegate reject`: an operator's word on a command that waits for it."""

from __future__ import annotations

from typing import Literal

import click

from gateway.cli.client import data_option, json_option, token_option
from gateway.cli.set_result import Result
from gateway.cli.talk import ask_once, json_text


@click.command(name="approve")
@click.argument("command_id", metavar="ID")
@json_option
@token_option
@data_option
def approve(command_id: str, *, as_json: bool, token: str | None, data: str | None) -> None:
    """Approve the command ID, which waits for an operator: it is sent now and goes on as any other.

    `tidegate commands` lists ids and outcomes. Takes the verb admin on the route.

    For example `tidegate approve 01JDQ3`. Exit 2: no such command waits, or denied. 3: no gateway.
    """
    told = _decide(data, token, command_id, "approve")
    click.echo(told if as_json else f"{command_id} is approved; `tidegate commands` tells how it ends")


@click.command(name="reject")
@click.argument("command_id", metavar="ID")
@json_option
@token_option
@data_option
def reject(command_id: str, *, as_json: bool, token: str | None, data: str | None) -> None:
    """Reject the command ID, which waits for an operator: it ends as rejected, and nothing is sent.

    `tidegate commands` lists ids and outcomes. Takes the verb admin on the route.

    For example `tidegate reject 01JDQ3`. Exit 2: no such command waits, or denied. 3: no gateway.
    """
    told = _decide(data, token, command_id, "reject")
    click.echo(told if as_json else f"{command_id} is rejected; nothing is sent")


def _decide(data: str | None, token: str | None, command_id: str, verdict: Literal["approve", "reject"]) -> str:
    """Return where the command stands then, as `set --json` tells it."""
    return json_text(ask_once(data, token, "decide", Result, id=command_id, verdict=verdict).as_json())
