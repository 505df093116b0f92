"""Layer 9: what the commands about a ledger share: which folder, opening it, exit codes, progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import click

from gateway.config import data_dir
from gateway.errors import LedgerError, LedgerFormatError, LedgerMissingError, UsageError
from gateway.ledger.base import EXIT_CODES, LedgerLike, Verification

EXIT_NO_LEDGER: Final = 64
OUR_FILES: Final = frozenset({"LOCK", "META.a", "META.b", "hot", "arc", "snap"})
SQLITE_FILES: Final = frozenset({"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db-journal"})
_OF_THE_FILE_SYSTEM: Final = "lost+found"  # a ledger may have a partition of its own

dir_option = click.option(
    "--dir", "directory", metavar="DIR", help="Folder of the ledger [`ledger` in the data folder of the gateway]."
)


def ledger_folder(directory: str | None) -> Path:
    """Return the folder of `--dir`, else the gateway's."""
    return Path(directory).expanduser() if directory is not None else data_dir() / "ledger"


def names_in(folder: Path) -> set[str]:
    """Return what is in a folder, nothing where there is none. Raises: UsageError for a file, OSError."""
    try:
        return {entry.name for entry in folder.iterdir()} - {_OF_THE_FILE_SYSTEM}
    except FileNotFoundError:
        return set()
    except NotADirectoryError as error:
        raise UsageError(f"{folder} is no folder; name one that is empty, or is not there yet") from error


def holds_ledger(folder: Path) -> bool:
    """Return whether a ledger was ever made in a folder."""
    return bool(names_in(folder) & (OUR_FILES | SQLITE_FILES))


def existing_ledger(directory: str | None) -> Path:
    """Return the folder of `--dir`, else the gateway's. Raises: OSError, LedgerMissingError where it holds none."""
    folder = ledger_folder(directory)
    if folder.is_dir() and holds_ledger(folder):
        return folder
    where = "is not there" if not folder.exists() else "is no folder" if not folder.is_dir() else "holds no ledger"
    raise LedgerMissingError(f"{folder} {where}; name the folder of one with --dir, or make it with `ledger init`")


def refuse_other_files(folder: Path) -> None:
    """Refuse a folder that something else lives in. Raises: UsageError."""
    names = names_in(folder)
    if names and not names & (OUR_FILES | SQLITE_FILES):
        raise UsageError(f"{folder} holds other files ({_some(names)}); a ledger needs a folder of its own")


def _some(names: set[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


class _WrongCall(click.UsageError):
    exit_code = EXIT_NO_LEDGER


class Reading(click.Command):
    """A command that only reads a ledger. 2 says that the ledger is damaged, so a wrong call is 64 here."""

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Read the arguments; what is wrong with them is exit code 64."""
        try:
            return super().make_context(*args, **extra)
        except click.UsageError as error:
            raise _WrongCall(error.format_message(), error.ctx) from error

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; what it cannot read becomes a message and the exit code that `verify` would give."""
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            raise _WrongCall(error.format_message(), error.ctx) from error
        except BrokenPipeError:  # the reader has seen enough
            raise
        except (LedgerError, UsageError, OSError) as error:
            sys.stdout.flush()
            click.echo(f"tidegate: {error}", err=True)
            return ctx.exit(exit_code_of(error))


def exit_code_of(error: Exception) -> int:
    """Return what a reading command exits with where it cannot go on."""
    if isinstance(error, (LedgerMissingError, UsageError, PermissionError)):
        return EXIT_NO_LEDGER
    if not isinstance(error, LedgerFormatError):
        return EXIT_CODES["damaged"]
    from gateway.ledger.sqlite_file import MalformedError

    return EXIT_CODES["damaged" if isinstance(error, MalformedError) else "forged"]


@contextmanager
def reading(directory: str | None) -> Iterator[LedgerLike]:
    """Give the ledger of `--dir`, opened so that nothing in its folder changes. Raises: LedgerMissingError, OSError."""
    from gateway.ledger import Ledger

    folder = existing_ledger(directory)
    with Ledger.open(folder, read_only=True) as ledger:
        yield ledger


def finish(context: click.Context, verification: Verification) -> None:
    """End with the exit code of a verdict; what is wrong goes to stderr, once."""
    if verification.damage:
        first = verification.damage[0]
        more = f" and {len(verification.damage) - 1} more places" if len(verification.damage) > 1 else ""
        click.echo(
            f"tidegate: this ledger is {verification.verdict}: {first.reason} ({first.file} at {first.offset}{more}); "
            "`tidegate ledger verify --deep` has it all",
            err=True,
        )
    sys.stdout.flush()
    context.exit(EXIT_CODES[verification.verdict])


def reading_command(name: str, short_help: str) -> Callable[[Callable[..., Any]], Reading]:
    """Return the decorator of a command that only reads, with `--dir`."""

    def decorate(function: Callable[..., Any]) -> Reading:
        made: Reading = click.command(name=name, short_help=short_help, cls=Reading)(dir_option(function))
        return made

    return decorate


EXIT_CODES_HELP: Final = (
    "Exit as `verify`: 0 intact, 1 intact with declared gaps, 2 damaged, 3 foreign or forged; 64 no ledger, bad usage."
)
