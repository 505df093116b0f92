"""Layer 9: `tidegate devices`."""

from __future__ import annotations

import json

import click

from gateway.cli.client import ask, data_option, json_option, table, token_option


@click.command(name="devices")
@json_option
@token_option
@data_option
def command(as_json: bool, token: str | None, data: str | None) -> None:
    """List the devices of a running gateway: profile, port, where the connection stands and why, messages.

    For example `tidegate devices`, or `tidegate devices --json` for programs. Exit 3 where no gateway answers.
    """
    devices = ask(data, token, "devices")
    if as_json:
        click.echo(json.dumps({"devices": devices}, ensure_ascii=False))
        return
    rows = [("DEVICE", "STATE", "PROFILE", "PORT", "MESSAGES")]
    rows += [
        (each["name"], each["state"], each["profile"], each["port"], " ".join(each["messages"])) for each in devices
    ]
    click.echo(table(rows))
    for each in devices:
        if each["first_error"]:
            retry = "" if each["next_retry_s"] is None else f"; next attempt in {each['next_retry_s']:.1f} s"
            click.echo(f"{each['name']}: {each['first_error']}{retry}")
