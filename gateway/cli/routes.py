"""Layer 9: `tidegate routes`."""

from __future__ import annotations

import json

import click

from gateway.cli.client import ask, data_option, json_option, table, token_option
from gateway.plain import age_text, unit_text, value_text


@click.command(name="routes")
@click.argument("pattern", default="*")
@json_option
@token_option
@data_option
def command(pattern: str, as_json: bool, token: str | None, data: str | None) -> None:
    """List the routes of a running gateway with unit, last value and age.

    PATTERN is up to three globs, device/family/stream, for example `tidegate routes pump` or `'*/climate/temp*'`.
    Exit 1 where no route matches, 3 where no gateway answers.
    """
    routes = ask(data, token, "routes", pattern=pattern)
    if as_json:
        click.echo(json.dumps(routes, ensure_ascii=False))
    elif routes:
        rows = [("ROUTE", "VALUE", "UNIT", "AGE", "")]
        for each in routes:
            notes = " ".join(each["taints"])
            value = value_text(each["value"])
            rows.append((each["route"], value, unit_text(each["unit"]), age_text(each["age"]), notes))
        click.echo(table(rows))
    if not routes:
        click.echo(f"no route matches {pattern!r}; `tidegate routes` lists all", err=True)
        click.get_current_context().exit(1)
