"""Layer 9: `tidegate routes`."""

from __future__ import annotations

import json
from typing import Any

import click

from gateway.cli.client import ask, data_option, json_option, table, token_option
from gateway.plain import age_text, unit_text, value_text


@click.command(name="routes")
@click.argument("pattern", default="*")
@json_option
@token_option
@data_option
def command(pattern: str, as_json: bool, token: str | None, data: str | None) -> None:
    """List the routes of a running gateway with unit, last value and age; with --json what they mean, for programs.

    PATTERN is up to three globs, device/family/stream, for example `tidegate routes pump` or `'*/climate/temp*'`.
    Exit 1 where no route matches, 3 where no gateway answers.
    """
    routes = ask(data, token, "routes", pattern=pattern)
    if as_json:
        click.echo(json.dumps({"routes": routes}, ensure_ascii=False))
    elif routes:
        values = {each["route"]: each for each in ask(data, token, "values", pattern=pattern)}
        rows: list[tuple[str, ...]] = [("ROUTE", "VALUE", "UNIT", "AGE", "")]
        rows += [_row(each, values.get(each["route"])) for each in routes]
        click.echo(table(rows))
    if not routes:
        click.echo(f"no route matches {pattern!r}; `tidegate routes` lists all", err=True)
        click.get_current_context().exit(1)


def _row(route: dict[str, Any], value: dict[str, Any] | None) -> tuple[str, ...]:
    """Return one line; a setpoint that nobody reports has no value of its own."""
    units = unit_text(route["units"])
    if value is None:
        return route["route"], "-", units, "-", "set only"
    notes = [*(["writable"] if route["writable"] else []), *value["taints"]]
    return route["route"], value_text(value["value"]), units, age_text(value["age_s"]), " ".join(notes)
