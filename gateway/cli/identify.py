"""Layer 9: `tidegate identify`."""

from __future__ import annotations

from typing import Final

import click
import msgspec

from gateway.cli.client import data_option, json_option, token_option
from gateway.cli.grants import Grant, grants_text
from gateway.cli.talk import ask_once, json_text
from gateway.plain import printable

_BY: Final = {"peer": "as the system says who connects", "token": "by its token"}


class _Identity(msgspec.Struct, frozen=True):
    """Who asks; keys in this order."""

    principal: str
    by: str
    grants: list[Grant] = []

    def as_text(self) -> str:
        """Return who it is, and the grants as a table."""
        name = printable(self.principal)
        head = f"{name}, {_BY.get(self.by, printable(self.by))}"
        if self.grants:
            return f"{head}\n{grants_text(self.grants)}"
        return (
            f'{head}; it has no grants: for more than reading, add a [grant.NAME] with principal = "{name}" to the site'
        )


@click.command(name="identify")
@json_option
@token_option
@data_option
def command(*, as_json: bool, token: str | None, data: str | None) -> None:
    """Say who you are to a running gateway, how it knows, and what you are granted.

    For example `tidegate identify`, or `tidegate identify --token "$(cat night.token)"`: what is that token good for?

    Exit 2: the token counts for nothing. 3: no gateway.
    """
    told = ask_once(data, token, "identify", _Identity)
    click.echo(json_text(told) if as_json else told.as_text())
