"""Layer 9: `tidegate approve` and `tidegate reject`: an operator's word on a command that waits for it."""

from __future__ import annotations

from typing import Any, Literal

import click

from gateway.cli.client import data_option, json_option
from gateway.cli.talk import ask_once, json_text, token_option


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
    click.echo(json_text(told) if as_json else f"{command_id} is approved; `tidegate commands` tells how it ends")


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
    click.echo(json_text(told) if as_json else f"{command_id} is rejected; nothing is sent")


def _decide(
    data: str | None, token: str | None, command_id: str, verdict: Literal["approve", "reject"]
) -> dict[str, Any]:
    return ask_once(data, token, "decide", dict[str, Any], id=command_id, verdict=verdict)
