"""Layer 9: udev rules put in place: whole files, edited ones respected, udevd told."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

import click

from gateway.cli import EXIT_NO, EXIT_UNREACHABLE
from gateway.cli.udev_files import RULES_FOLDER, shipped_rules
from gateway.udev.make import SHIPPED_FILE, SITE_FILE, seal_of, sealed

COMMAND_TIMEOUT_S: Final = 30.0
_TELL_UDEVD: Final = (
    ("control", "--reload"),
    ("trigger", "--action=change", "--subsystem-match=tty", "--subsystem-match=spidev"),
    ("trigger", "--action=add", "--subsystem-match=net", "--attr-match=type=280"),
)


def install(site: str | None, root: Path, *, force: bool) -> int:
    """Write the files and tell udevd; return the exit code. What was done is printed, what hinders too."""
    wanted = {SHIPPED_FILE: sealed(shipped_rules().read_text())}
    if site is not None:
        from gateway.cli.udev_site import rules_of_site

        text, notes = rules_of_site(site)
        wanted[SITE_FILE] = sealed(text)
        for note in notes:
            click.echo(f"{site}: {note}", err=True)
    folder = root / RULES_FOLDER
    try:
        edited = [name for name in wanted if not force and _is_edited(folder / name)]
        if edited:
            for name in edited:
                click.echo(f"{folder / name} was edited by hand; compare it, then overwrite it with --force", err=True)
            return EXIT_NO
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        for name, content in wanted.items():
            click.echo(put(folder / name, content))
    except PermissionError as error:
        click.echo(f"{error.filename or folder} needs root: {sudo_command()}", err=True)
        return EXIT_UNREACHABLE
    if root.resolve() != Path("/"):
        click.echo(f"{root} is not this machine's own file system: udevd is not told")
        return 0
    return _tell_udevd()


def put(path: Path, content: bytes) -> str:
    """Replace a file whole or not at all, keep what it was as NAME.old; return what was done. Raises: OSError."""
    try:
        before = path.read_bytes()
    except FileNotFoundError:
        before = None
    if before == content:
        return f"{path} is as it should be"
    kept = None
    if before is not None:
        kept = path if seal_of(before) else _backup_of(path, before)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
    if before is None:
        return f"{path} written"
    return f"{path} replaced" + (f"; what it was is in {kept}" if kept != path else "")


def _backup_of(path: Path, content: bytes) -> Path:
    """Write a copy beside `path` under a name that udev does not read and nothing has yet."""
    for number in itertools.count(1):
        backup = path.with_name(f"{path.name}.old" if number == 1 else f"{path.name}.old{number}")
        try:
            with backup.open("xb") as stream:
                stream.write(content)
        except FileExistsError:
            continue
        return backup
    raise AssertionError("counting does not end")


def _is_edited(path: Path) -> bool:
    try:
        return seal_of(path.read_bytes()) is not True
    except FileNotFoundError:
        return False


def sudo_command() -> str:
    """Return the command that does the same as root: sudo knows no venv, so the program's whole path."""
    program = shutil.which(sys.argv[0]) or sys.argv[0]
    words = ["sudo", str(Path(program).absolute()), *sys.argv[1:]]
    return " ".join(words)


def _tell_udevd() -> int:
    """Let udevd read the rules and look at what is plugged in again; return the exit code."""
    udevadm = shutil.which("udevadm")
    for words in _TELL_UDEVD:
        problem = _run([udevadm, *words]) if udevadm else "there is no udevadm here"
        if problem:
            click.echo(f"udevd was not told ({problem}); the rules act after the next start of the machine", err=True)
            return EXIT_UNREACHABLE
    click.echo("udevd has taken them over")
    return 0


def _run(command: list[str]) -> str:
    """Return "" or what went wrong, in one line."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False)  # noqa: S603 - our own words
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return ""
    return (done.stderr or done.stdout).strip().splitlines()[-1:][0] if done.stderr or done.stdout else "it failed"
