"""Layer 9: `tidegate grants`, and how grants are printed."""

from __future__ import annotations

from typing import Final

import click
import msgspec

from gateway.cli.client import data_option, json_option, table, token_option
from gateway.cli.talk import ask_once, json_text

VERBS: Final = ("read", "write", "admin")


class Grant(msgspec.Struct, frozen=True):
    """One right; keys in this order."""

    name: str
    principal: str
    routes: str
    verbs: list[str]
    expires: str | None = None  # ISO 8601; None: never


class _Grants(msgspec.Struct, frozen=True):
    grants: list[Grant]


@click.command(name="grants")
@json_option
@token_option
@data_option
def command(*, as_json: bool, token: str | None, data: str | None) -> None:
    """List the grants of a running gateway: who may do what on which routes, and until when.

    What nobody granted is denied, but for reading on the gateway's own socket. Grants stand in the site file as
    [grant.NAME]. For example `tidegate grants`, or `tidegate grants --json` for programs.

    Exit 2: denied. 3: no gateway.
    """
    told = ask_once(data, token, "grants", _Grants)
    if as_json:
        click.echo(json_text(told))
    elif told.grants:
        click.echo(grants_text(told.grants))
    else:
        click.echo(
            "nothing is granted: local users may read, nobody may write; add a [grant.NAME] to the site", err=True
        )


def grants_text(grants: list[Grant]) -> str:
    """Return grants as a table."""
    rows = [("GRANT", "PRINCIPAL", "VERBS", "EXPIRES", "ROUTES")]
    rows += [(each.name, each.principal, " ".join(each.verbs), each.expires or "never", each.routes) for each in grants]
    return table(rows)
