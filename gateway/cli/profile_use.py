"""Layer 9: `tidegate profile use`."""

from __future__ import annotations

from typing import Any, Final

import click

from gateway.cli import EXIT_NO, EXIT_USAGE
from gateway.cli.client import data_option, json_option, token_option
from gateway.cli.duration import duration
from gateway.cli.talk import Objection, json_text, talking
from gateway.errors import UsageError
from gateway.plain import printable

_EXITS: Final = {"returned": EXIT_NO, "failed": EXIT_NO, "refused": EXIT_USAGE}
_READING_S: Final = 60.0  # compiling a large profile takes seconds on a small machine


@click.command(name="use")
@click.argument("device")
@click.argument("profile")
@click.option(
    "--return-after",
    metavar="DURATION",
    default="30s",
    callback=duration,
    help="The device must be back by then, or the previous profile returns [30s]; 0s: do not look.",
)
@json_option
@token_option
@data_option
def command(
    *, device: str, profile: str, return_after: float, as_json: bool, token: str | None, data: str | None
) -> None:
    """Let a device use another profile while the gateway runs.

    PROFILE is the id of one that is installed or comes with Tidegate, or what the site file says for the device, which
    ends the choice. The choice outlives a restart and counts until the site file says something else for the device.
    Takes the verb admin on the device.

    For example `tidegate profile use pump example/motor@1.1.0 --return-after 1m`.

    Exit 1: the previous profile returned. 2: the profile does not fit, or denied. 3: no gateway.
    """
    with talking(data, token) as gateway:
        told = gateway.exchange(
            "use_profile", dict[str, Any], _READING_S + return_after, device=device, profile=profile,
            return_after_s=return_after, wait_s=_READING_S + return_after,
        )  # fmt: skip
    if isinstance(told, Objection):
        raise UsageError(told.message)
    if as_json:
        click.echo(json_text(told))
    else:
        _tell(told)
    raise SystemExit(_EXITS.get(told["outcome"], 0))


def _tell(told: dict[str, Any]) -> None:
    outcome = told["outcome"]
    what = printable(f"{told['device']}: {told['profile']}")
    if outcome == "applied":
        click.echo(f"{what} in place of {printable(told['previous'])}, back in {told['waited_s']:.1f} s")
    elif outcome == "unchanged":
        click.echo(f"{what} already")
    elif outcome == "refused":
        for each in told["problems"]:
            place = f"{each['file']}:{each['line']}: " if each["file"] else ""
            key = f"{each['key']}: " if each["key"] else ""
            click.echo(printable(f"{place}{key}{each['message']}"), err=True)
        click.echo("nothing was changed", err=True)
    else:
        click.echo(printable(f"{outcome}: {told['detail']}"), err=True)
