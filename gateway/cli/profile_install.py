"""Layer 9: `tidegate profile install`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from gateway.cli import EXIT_NO, EXIT_USAGE
from gateway.cli.client import data_option, json_option, token_option
from gateway.cli.talk import Objection, json_text, talking
from gateway.errors import ProfileError, UsageError
from gateway.plain import printable
from gateway.profile.document import Document
from gateway.profile.load import file_text

_EXITS: Final = {"immutable": EXIT_NO, "refused": EXIT_USAGE}
_CHECKING_S: Final = 130.0  # a gateway looks at one that long before it gives up


@click.command(name="install")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--dry-run", is_flag=True, help="Say what is wrong, what is new and whom it may concern; install nothing."
)
@json_option
@token_option
@data_option
def command(*, file: Path, dry_run: bool, as_json: bool, token: str | None, data: str | None) -> None:
    """Install a profile into a running gateway, under the id that it gives itself.

    It is checked and compiled first, and no device uses it by that: `tidegate profile use` does it. A version never
    changes: another text is another version. Takes the verb admin on `**`.

    For example `tidegate profile install pump.toml --dry-run`, then `tidegate profile install pump.toml`.

    Exit 1: this version is there with another text. 2: the profile is wrong, or denied. 3: no gateway.
    """
    text = file_text(file)
    name = _id_in(file, text)
    with talking(data, token) as gateway:
        told = gateway.exchange(
            "install_profile", dict[str, Any], _CHECKING_S, text=text, profile=name, dry_run=dry_run
        )  # fmt: skip
    if isinstance(told, Objection):
        raise UsageError(told.message)
    if as_json:
        click.echo(json_text(told))
    else:
        _tell(told, file)
    is_wrong = any(each["severity"] == "error" for each in told["problems"])
    raise SystemExit(EXIT_USAGE if dry_run and is_wrong else _EXITS.get(told["outcome"], 0))


def _id_in(file: Path, text: bytes) -> str:
    """Return the id that a profile gives itself. Raises: ProfileError, UsageError where it gives none."""
    document = Document(str(file), text)
    if not document.is_readable:
        raise ProfileError(document.sorted_problems())
    head = document.raw.get("profile")
    found = head.get("id") if isinstance(head, dict) else None
    if not isinstance(found, str):
        raise UsageError(f"{file} has no `id` in [profile]; write id = 'publisher/name@1.0.0'")
    return found


def _tell(told: dict[str, Any], file: Path) -> None:
    for each in told["problems"]:
        key = f"{each['key']}: " if each["key"] else ""
        warning = "warning: " if each["severity"] == "warning" else ""
        click.echo(printable(f"{file}:{each['line']}: {key}{warning}{each['message']}"), err=True)
    devices = ", ".join(told["devices"]) or "no device"
    match told["outcome"]:
        case "dry_run":
            _tell_diff(told["diff"])
            click.echo(f"{devices} uses a version of it now; nothing was installed: this was a dry run")
        case "installed":
            click.echo(f"installed {told['profile']}; {devices} uses a version of it now")
        case "same":
            click.echo(f"{told['profile']} is there already, with this text")
        case _:
            click.echo("nothing was installed", err=True)


def _tell_diff(diff: list[dict[str, Any]]) -> None:
    if diff:
        since = diff[0]["since"]
        click.echo("the first version:" if since is None else f"since {since}:")
    for each in diff:
        click.echo(printable(f"  {each['text']}"))
