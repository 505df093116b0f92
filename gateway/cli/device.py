"""Layer 9: `tidegate device`."""

from __future__ import annotations

from typing import Any, Final

import click

from gateway.cli.client import data_option, json_option, token_option
from gateway.cli.talk import ask_once, json_text

_MEANS: Final = {
    "connect": "is to be connected",
    "quiesce": "is to be left alone; `tidegate device {device} connect` takes it up again",
    "detach": "is to be let go, its port closed; `tidegate device {device} connect` takes it up again",
}


@click.command(name="device")
@click.argument("device")
@click.argument("verb", type=click.Choice(list(_MEANS)))
@json_option
@token_option
@data_option
def command(device: str, verb: str, *, as_json: bool, token: str | None, data: str | None) -> None:
    """Say how DEVICE should stand: connected, quiesced (left alone) or detached (its port let go).

    The gateway brings it there and tells with `tidegate devices` how far it is. Takes the verb admin on DEVICE/**.

    For example `tidegate device meter-1 quiesce` before work on its cable, `tidegate device meter-1 connect` after it.

    Exit 2: no such device, or denied. 3: no gateway.
    """
    told = ask_once(data, token, "device", dict[str, Any], device=device, verb=verb)
    click.echo(json_text(told) if as_json else f"{device} {_MEANS[verb].format(device=device)}")
