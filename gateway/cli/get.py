"""Layer 9: `tidegate get`."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from gateway.cli import EXIT_NO
from gateway.cli.client import data_option, json_option, token_option
from gateway.cli.talk import ask_once, json_text
from gateway.plain import age_text, printable, unit_text, value_text


class _Value(msgspec.Struct, frozen=True):
    """What a route says now; keys in this order."""

    value: Any = None
    units: str = "1"
    age_s: float | None = None  # None: it has not said anything yet
    stale: bool = True
    taints: list[str] = []
    seq: int | None = None

    def as_text(self) -> str:
        """Return `VALUE UNIT (AGE ago, marks)`."""
        marks = [f"{age_text(self.age_s)} ago", *(["stale"] if self.stale else []), *map(printable, self.taints)]
        return f"{value_text(self.value)} {unit_text(self.units)}".rstrip() + f" ({', '.join(marks)})"


@click.command(name="get")
@click.argument("route")
@json_option
@token_option
@data_option
@click.pass_context
def command(context: click.Context, *, route: str, as_json: bool, token: str | None, data: str | None) -> None:
    """Print what ROUTE says now, how old that is and how far it can be trusted.

    ROUTE is device/family/name; @desired, @reported or @effective behind it ask for that part of a setpoint, which
    without one tells what is reported.

    For example `tidegate get therm-1/climate/temperature`, `tidegate get pump/motor/speed@desired --json`.

    Exit 0: a value, stale or not. 1: none yet. 2: no such route. 3: no gateway.
    """
    told = ask_once(data, token, "get", _Value, route=route)
    is_silent = told.value is None and told.age_s is None
    if as_json:
        click.echo(json_text(told))
    elif not is_silent:
        click.echo(told.as_text())
    if is_silent:
        click.echo(f"{route} has said nothing yet; `tidegate status` tells how its device is", err=True)
        context.exit(EXIT_NO)
