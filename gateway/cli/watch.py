"""Layer 9: `tidegate watch`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import click

from gateway.cli.client import data_option, follow, json_option, token_option
from gateway.plain import clock_text, unit_text, value_text

Fields = dict[str, dict[str, dict[str, list[str]]]]  # device, message, field -> route and unit


@click.command(name="watch")
@click.argument("pattern", default="*")
@json_option
@token_option
@data_option
def command(pattern: str, as_json: bool, token: str | None, data: str | None) -> None:
    """Print values of a running gateway as they come, until interrupted.

    PATTERN is up to three globs, device/family/stream, for example `tidegate watch pump` or `'*/climate/temp*'`.
    A line is `time device/family/stream value unit`; with --json one line per message. A reader that is too slow is
    told how many messages it missed. Exit 3 where no gateway answers.
    """
    pieces = follow(data, token, pattern)
    try:
        fields: Fields = json.loads(next(pieces))["fields"]
        if not fields:
            click.echo(f"no route matches {pattern!r} so far; `tidegate routes` lists all", err=True)
        for piece in pieces:
            if as_json:
                sys.stdout.buffer.write(piece)
            else:
                sys.stdout.write("".join(line + "\n" for line in _plain(piece, fields)))
            sys.stdout.flush()
    except KeyboardInterrupt:
        return


def _plain(piece: bytes, fields: Fields) -> Iterator[str]:
    for text in piece.splitlines():
        record: dict[str, Any] = json.loads(text)
        if "dropped" in record:
            click.echo(f"{record['dropped']} messages missed: this reader is too slow", err=True)
            continue
        when = clock_text(record["t"])
        places = fields.get(record["device"], {}).get(record["message"], {})
        for name, value in record["values"].items():
            route, unit = places.get(name, (f"{record['device']}/{record['message']}/{name}", "1"))
            yield f"{when} {route} {value_text(value)} {unit_text(unit)}".rstrip()
