"""Layer 9: `tidegate walls`."""

from __future__ import annotations

import click
import msgspec

from gateway.authority.grants import instant_text
from gateway.cli.client import data_option, json_option, table, token_option
from gateway.cli.talk import ask_once, json_text


class _Wall(msgspec.Struct, frozen=True):
    """What is shut off; keys in this order, as `wall --json` tells them."""

    subject: str
    kind: str
    verb: str
    by: str
    since_ns: int  # since 1970, as the machine believed


class _Walls(msgspec.Struct, frozen=True):
    walls: list[_Wall]


@click.command(name="walls")
@json_option
@token_option
@data_option
def command(*, as_json: bool, token: str | None, data: str | None) -> None:
    """List the walls that stand: which verb is shut off where, for everybody, since when and by whom.

    `tidegate wall TARGET VERB on` lifts one. For example `tidegate walls`, or `tidegate walls --json` for programs.

    Exit 2: denied. 3: no gateway.
    """
    told = ask_once(data, token, "walls", _Walls)
    if as_json:
        click.echo(json_text(told))
    elif told.walls:
        rows = [("TARGET", "VERB", "SINCE", "BY")]
        rows += [(each.subject, each.verb, instant_text(each.since_ns), each.by) for each in told.walls]
        click.echo(table(rows))
    else:
        click.echo("no wall stands; for example: tidegate wall pump write off", err=True)
