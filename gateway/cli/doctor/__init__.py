"""Layer 9: `tidegate doctor`: what is wrong with this machine for a gateway, each with the command that mends it.

A check is a small function of a `Host`; one module for each theme. Nothing is changed and no port is opened.
"""

from __future__ import annotations

import json
import shutil
import textwrap
from collections import Counter
from pathlib import Path

import click

from gateway.cli import EXIT_NO
from gateway.cli.client import data_option, json_option, root_option

_MARKS = {"ok": ("ok", "green"), "warn": ("warn", "yellow"), "fail": ("FAIL", "red"), "skip": ("-", None)}


@click.command(name="doctor")
@click.argument("site", required=False, metavar="[SITE.toml]")
@json_option
@data_option
@root_option("Look at the file system of another machine, for images [/].")
@click.pass_context
def command(context: click.Context, *, site: str | None, as_json: bool, data: str | None, root: str) -> None:
    """Look at this machine as a gateway's: groups, ports, rules, kernel, Bluetooth, clock, power, card, libraries.

    With SITE also at the ports and profiles of that site. Each finding comes with what mends it; nothing is changed.

    For example `tidegate doctor`, or `tidegate doctor site.toml --json` for programs.

    Exit 0: fine. 1: something to mend or to look at. 2: a site that is wrong.
    """
    from gateway.cli.doctor.examine import examine
    from gateway.cli.doctor.host import Host

    findings = examine(Host(Path(root)), site, data)
    counts = Counter(finding.status for finding in findings)
    if as_json:
        click.echo(json.dumps([finding._asdict() for finding in findings], indent=2))
    else:
        width = max(40, shutil.get_terminal_size((100, 24)).columns)
        for finding in findings:
            mark, colour = _MARKS[finding.status]
            first, *rest = _wrapped(f"{finding.check}: {finding.message}", width, "     ", "         ")
            click.echo(f"{click.style(f'{mark:5}', fg=colour)}{first[5:]}")
            fix = _wrapped(finding.fix, width, "       -> ", "          ") if finding.fix else []
            click.echo("".join(f"{line}\n" for line in [*rest, *fix]), nl=False)
        told = f"{counts['fail']} to mend, {counts['warn']} to look at, {counts['ok']} fine, {counts['skip']} not here"
        click.echo(told, err=True)
    context.exit(EXIT_NO if counts["fail"] or counts["warn"] else 0)


def _wrapped(text: str, width: int, first: str, later: str) -> list[str]:
    from gateway.plain import printable

    return textwrap.wrap(
        printable(text),
        width,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )
