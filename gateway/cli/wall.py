"""Layer 9: `tidegate wall`."""

from __future__ import annotations

import shlex
from typing import Any

import click

from gateway.cli.client import data_option, json_option, token_option
from gateway.cli.grants import VERBS
from gateway.cli.talk import ask_once, json_text


@click.command(name="wall")
@click.argument("target", metavar="PORT|DEVICE|PATTERN")
@click.argument("verb", type=click.Choice(VERBS))
@click.argument("state", type=click.Choice(("off", "on")))
@json_option
@token_option
@data_option
def command(target: str, verb: str, state: str, *, as_json: bool, token: str | None, data: str | None) -> None:
    """Shut VERB off, or let it on again, for a port, a device, or the routes of a pattern: at once, for everybody.

    `*` in a pattern is one segment, `**` any number of them. It is recorded, and stands until it is lifted, also over a
    restart; `tidegate walls` lists those that do. On again, the grants say who may. Takes the verb admin on what is
    walled.

    For example `tidegate wall can0 write off`, `tidegate wall pump write off`, `tidegate wall '**' write on`.

    Exit 2: no such port or device, or denied. 3: no gateway.
    """
    told = ask_once(data, token, "wall", dict[str, Any], target=target, verb=verb, state=state)
    if as_json:
        click.echo(json_text(told))
    elif state == "off":
        click.echo(f"{target}: {verb} is off for everybody; `tidegate wall {shlex.quote(target)} {verb} on` lifts it")
    else:
        click.echo(f"{target}: {verb} is on again for those whose grants say so")
