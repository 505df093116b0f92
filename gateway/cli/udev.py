"""Layer 9: `tidegate udev`: rules for stable names, groups and CAN bring-up: made, checked, installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Final

import click

from gateway.cli import EXIT_NO, EXIT_USAGE
from gateway.cli.client import json_option, root_option
from gateway.cli.udev_files import installed_rules, names_in, shipped_rules
from gateway.errors import Problem

VERIFY_SINCE: Final = 254  # the systemd whose udevadm has `verify`
UDEVADM_TIMEOUT_S: Final = 20.0


@click.group(name="udev")
def group() -> None:
    """Make, check and install udev rules: stable names for adapters, groups, CAN interfaces brought up.

    `sudo tidegate udev install` once per machine gives /dev/tidegate/uart-SERIAL for every USB serial adapter.
    """


@group.command(name="generate", short_help="Print rules for a site, or those that are shipped.")
@click.argument("site", required=False, metavar="[SITE.toml]")
def generate_command(site: str | None) -> None:
    """Print udev rules: those of a site, or without one those that come with Tidegate.

    A site gives one link /dev/tidegate/NAME for each serial port written as usb:VID:PID[:SERIAL], and brings up its CAN
    interfaces with the bit rate of the port or profile.

    For example `tidegate udev generate site.toml`, or `tidegate udev install site.toml` to put it in place.
    """
    if site is None:
        click.echo(shipped_rules().read_text(), nl=False)
        return
    from gateway.cli.udev_site import rules_of_site

    text, notes = rules_of_site(site)
    click.echo(text, nl=False)
    for note in notes:
        click.echo(f"{site}: {note}", err=True)


@group.command(name="check", short_help="Print every mistake in rules files.")
@click.argument("files", nargs=-1, metavar="[FILE...]")
@json_option
@root_option("Whose groups and users count [/].")
@click.pass_context
def check_command(context: click.Context, files: tuple[str, ...], root: str, *, as_json: bool) -> None:
    """Print every mistake in udev rules files as FILE:LINE: KEY: message.

    Without FILE: our rules as they are installed, else as they are shipped. Where udevadm can verify (systemd 254 and
    later), it is asked too.

    For example `tidegate udev check /etc/udev/rules.d/*.rules`.

    Exit 0: nothing wrong. 1: a mistake. 2: a file that cannot be read.
    """
    from gateway.udev.check import check_rules

    folder = Path(root)
    paths = [Path(name) for name in files] or installed_rules(folder) or [shipped_rules()]
    groups, users = names_in(folder, "group"), names_in(folder, "passwd")
    problems: list[Problem] = []
    rules = 0
    for path in paths:
        try:
            data = _read(path)
        except OSError as error:
            problems.append(Problem(str(path), 0, "", f"cannot be read: {error.strerror or error}"))
            continue
        checked = check_rules(str(path), data, groups, users)
        told = {problem.line for problem in checked.problems}
        more = [problem for problem in verified(path) if problem.line not in told]
        rules += checked.rules
        problems += sorted([*checked.problems, *more], key=lambda problem: problem.line)
    errors = sum(problem.severity == "error" for problem in problems)
    if as_json:
        document = {
            "files": [str(path) for path in paths],
            "rules": rules,
            "errors": errors,
            "warnings": len(problems) - errors,
            "problems": [problem._asdict() for problem in problems],
        }
        click.echo(json.dumps(document, indent=2))
    else:
        _print(paths, problems, rules, errors)
    if any(problem.line == 0 for problem in problems):
        context.exit(EXIT_USAGE)
    context.exit(EXIT_NO if errors else 0)


def _read(path: Path) -> bytes:
    from gateway.udev.grammar import MAX_FILE_BYTES

    with path.open("rb") as stream:
        return stream.read(MAX_FILE_BYTES + 1)


def _print(paths: list[Path], problems: list[Problem], rules: int, errors: int) -> None:
    for problem in problems:
        click.echo(str(problem))
    of_file = {problem.file for problem in problems}
    for path in paths:
        if str(path) not in of_file:
            click.echo(f"{path}: fine")
    if problems:
        warnings = len(problems) - errors
        read = f"{_count(rules, 'rule')} in {_count(len(paths), 'file')}"
        click.echo(f"{read}: {_count(errors, 'error')}, {_count(warnings, 'warning')}", err=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def verified(path: Path) -> list[Problem]:
    """Return what udevadm itself objects to; nothing where it cannot verify."""
    udevadm = shutil.which("udevadm")
    if udevadm is None or _version_of(udevadm) < VERIFY_SINCE:
        return []
    told = _asked([udevadm, "verify", "--no-summary", str(path)])
    return list(problems_told(str(path), told))


def problems_told(path: str, told: str) -> list[Problem]:
    """Return the lines `FILE:LINE message` of udevadm's answer as problems."""
    found = []
    for line in told.splitlines():
        number, _, message = line.removeprefix(f"{path}:").partition(" ")
        if line.startswith(f"{path}:") and number.rstrip(":").isdecimal():
            severity = "warning" if message.startswith("style:") else "error"
            found.append(Problem(path, int(number.rstrip(":")), "", f"udevadm: {message.strip()}", severity))
    return found


def _version_of(udevadm: str) -> int:
    first = _asked([udevadm, "--version"]).split()[:1]
    return int(first[0]) if first and first[0].isdecimal() else 0


def _asked(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=UDEVADM_TIMEOUT_S, check=False)  # noqa: S603 - our own words
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return done.stdout + done.stderr


@group.command(name="install", short_help="Put rules in place; needs root.")
@click.argument("site", required=False, metavar="[SITE.toml]")
@root_option("The file system to install into, for images [/].")
@click.option("--force", is_flag=True, help="Overwrite rules that were edited; the edited ones are kept beside.")
@click.pass_context
def install_command(context: click.Context, site: str | None, root: str, *, force: bool) -> None:
    """Write our rules to /etc/udev/rules.d and let udevd take them over; with SITE also those of the site.

    Each file is replaced as a whole or not at all. One that was edited by hand stays, unless --force overwrites it:
    then it is kept beside as NAME.old.

    For example `sudo tidegate udev install site.toml`.

    Exit 1: a file there was edited by hand. 3: that needs root, or udevd did not answer.
    """
    from gateway.cli.udev_install import install

    context.exit(install(site, Path(root), force=force))
