"""Layer 9: `tidegate profile installed`."""

from __future__ import annotations

from typing import Any

import click

from gateway.cli.client import data_option, json_option, table, token_option
from gateway.cli.talk import ask_once, json_text


@click.command(name="installed")
@json_option
@token_option
@data_option
def command(*, as_json: bool, token: str | None, data: str | None) -> None:
    """List the profiles that a running gateway can use by name: id, where from, bus, and the devices that use it.

    For example `tidegate profile installed`. Exit 2 where that is denied, 3 where no gateway answers.
    """
    told = ask_once(data, token, "profiles", dict[str, Any])
    if as_json:
        click.echo(json_text(told))
        return
    rows = [("PROFILE", "FROM", "BUS", "USED BY")]
    rows += [(each["id"], each["source"], each["bus"], " ".join(each["used_by"])) for each in told["profiles"]]
    click.echo(table(rows))
