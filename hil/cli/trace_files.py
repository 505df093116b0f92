"""What the commands over traces say of their files, and the exit codes that belong to it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from gateway.errors import UsageError
from gateway.plain import printable
from hil.trace.errors import TraceDamagedError

EXIT_NO = 1
file_type = click.Path(path_type=Path)


@contextmanager
def told() -> Iterator[None]:
    """Damage in the middle of a trace is exit 1; a file that cannot be read is exit 2, as is one of no trace."""
    try:
        yield
    except TraceDamagedError as error:
        say(error)
        sys.exit(EXIT_NO)
    except BrokenPipeError:
        raise
    except OSError as error:
        name = f"{error.filename}: " if error.filename else ""
        raise UsageError(f"{name}{error.strerror or error}") from error


def say(what: object) -> None:
    """Write a line to stderr."""
    click.echo(printable(str(what)), err=True)
