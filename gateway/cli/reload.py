"""Layer 9: `tidegate reload`."""

from __future__ import annotations

from typing import Any, Final

import click

from gateway.cli import EXIT_NO, EXIT_USAGE
from gateway.cli.client import data_option, json_option, token_option
from gateway.cli.duration import duration
from gateway.cli.talk import Conversation, Objection, json_text, talking
from gateway.errors import UsageError

_EXITS: Final = {"returned": EXIT_NO, "failed": EXIT_NO, "refused": EXIT_USAGE}
_READING_S: Final = 60.0  # compiling a large site's profiles takes seconds on a small machine


@click.command(name="reload")
@click.option("--dry-run", is_flag=True, help="Say what differs and what would be begun anew; change nothing.")
@click.option(
    "--within",
    metavar="DURATION",
    default="30s",
    callback=duration,
    help="A device that was healthy and is begun anew must be back by then, or the previous configuration returns "
    "[30s]; 0s: do not look.",
)
@json_option
@token_option
@data_option
def command(*, dry_run: bool, within: float, as_json: bool, token: str | None, data: str | None) -> None:
    """Take up what changed in the site file and its profiles, while the gateway runs.

    Everything is read and checked first; where something is wrong nothing is changed. Then only what differs is begun
    anew: other devices, their values and commands notice nothing. `[ledger]` and `[gateway]` wait for a restart. Where
    a device that was healthy does not come back, the previous configuration takes its place again. SIGHUP does the
    same. Takes the verb admin on `**`.

    For example `tidegate reload --dry-run`, then `tidegate reload --within 1m`.

    Exit 1: the previous configuration returned. 2: the files are wrong, or denied. 3: no gateway.
    """
    with talking(data, token) as gateway:
        if not as_json and not dry_run:
            _preview(gateway, within)
        told = _asked(gateway, dry_run=dry_run, within_s=within)
    if as_json:
        click.echo(json_text(told))
    else:
        _tell(told)
    raise SystemExit(_EXITS.get(told["outcome"], 0))


def _asked(gateway: Conversation, *, dry_run: bool, within_s: float) -> dict[str, Any]:
    told = gateway.exchange("reload", dict[str, Any], _READING_S + within_s, dry_run=dry_run, back_within_s=within_s)
    if isinstance(told, Objection):
        raise UsageError(told.message)
    return told


def _preview(gateway: Conversation, within_s: float) -> None:
    """Say what is about to be done, for it may take a while."""
    told = _asked(gateway, dry_run=True, within_s=0.0)
    if not told["changes"]:
        return
    _tell_changes(told)
    if told["restarts"] and within_s:
        click.echo(f"waiting up to {within_s:g} s for {', '.join(told['restarts'])} ...", err=True)


def _tell(told: dict[str, Any]) -> None:
    outcome = told["outcome"]
    if outcome == "refused":
        for problem in told["problems"]:
            place = f"{problem['file']}:{problem['line']}: " if problem["file"] else ""
            key = f"{problem['key']}: " if problem["key"] else ""
            click.echo(f"{place}{key}{problem['message']}", err=True)
        click.echo("nothing was changed", err=True)
    elif outcome == "dry_run":
        _tell_changes(told)
        click.echo("nothing was changed: this was a dry run")
    elif outcome == "unchanged":
        click.echo("nothing has changed")
    elif outcome == "applied":
        click.echo(f"applied in {told['waited_s']:.1f} s")
    else:
        click.echo(f"{outcome}: {told['detail']}", err=True)


def _tell_changes(told: dict[str, Any]) -> None:
    for change in told["changes"]:
        keys = f" ({', '.join(change['keys'])})" if change["keys"] else ""
        later = ": waits for a restart of the gateway" if change["needs_restart"] else ""
        click.echo(f"{change['table']} {change['what']}{keys}{later}")
    if not told["changes"]:
        click.echo("nothing has changed")
    elif told["restarts"]:
        click.echo(f"begun anew: {', '.join(told['restarts'])}")
