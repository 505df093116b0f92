"""Layer 9: `tidegate profile import`: other people's descriptions of devices, written as profiles."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.errors import UsageError
from gateway.spelling import did_you_mean


@click.group(name="import", help="Make a profile from another kind of device description.")
def group() -> None:
    """Hold the kinds that can be imported."""


@group.command(name="dbc")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write here, not to stdout.")
@click.option("--message", "messages", multiple=True, metavar="NAME", help="Take only this message; may be repeated.")
def dbc(file: Path, output: Path | None, messages: tuple[str, ...]) -> None:
    """Write a profile that decodes as the CAN database FILE does, names in lower case.

    What the database leaves unclear is told on stderr. Exit codes: 0 written, 2 the database is refused
    (FILE:LINE: message) or has no message NAME.
    """
    from gateway.profile.dbc import database_of
    from gateway.profile.dbc_toml import toml_of
    from gateway.profile.load import file_text

    database = database_of(str(file), file_text(file))
    for name in messages:
        if name not in database.messages:
            raise UsageError(f"{file} has no message {name!r}{did_you_mean(name, database.messages)}")
    text = toml_of(database, str(file), messages)
    for warning in database.warnings:
        click.echo(str(warning), err=True)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror or error}") from error
