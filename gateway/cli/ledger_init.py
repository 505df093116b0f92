"""Layer 9: `tidegate ledger init` and `compact`: the two commands that change a ledger as a whole."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol, cast

import click
from msgspec import structs

from gateway.cli import EXIT_NO
from gateway.cli.ledger_common import EXIT_NO_LEDGER, dir_option, existing_ledger, names_in
from gateway.errors import LedgerError, LedgerMissingError, UsageError
from gateway.ledger.base import MIB, Options
from gateway.ledger.medium import medium_of
from gateway.notation import size_bytes
from gateway.plain import size_text

SMALL: Final = Options(is_small=True, ring_bytes=2 * MIB, segment_bytes=MIB // 4, archive_bytes=4 * MIB)
SMALL_RING_MOST: Final = 4 * MIB  # of the 8 MiB that a small ledger stays under, archives and snapshots take the rest
BESIDE_RING_BYTES: Final = 65_536  # META, LOCK and folders
REMAINS: Final = frozenset({"LOCK", "hot", "arc", "snap"})  # of a ledger that never came to be
_SIZES: Final = {"ring": "ring_bytes", "segment": "segment_bytes", "unit": "unit_bytes"}


@click.command(name="init", short_help="Make an empty ledger.")
@click.argument("folder", metavar="DIR")
@click.option("--ring", metavar="SIZE", help="Where commits go: pre-written once, then recycled in place [64MiB].")
@click.option("--segment", metavar="SIZE", help="One piece of the ring [4MiB].")
@click.option("--unit", metavar="BYTES", help="What a commit is padded to [4096; 16384 on SD cards and eMMC].")
@click.option(
    "--footprint",
    type=click.Choice(["small"]),
    help="small: under 8 MiB in all; then the oldest telemetry goes first, each loss declared by a gap record.",
)
@click.option(
    "--backend", type=click.Choice(["ldg1", "sqlite"]), default="ldg1", help="Our own format [ldg1], or SQLite."
)
@click.pass_context
def init_command(
    context: click.Context,
    *,
    folder: str,
    ring: str | None,
    segment: str | None,
    unit: str | None,
    footprint: str | None,
    backend: str,
) -> None:
    """Make an empty ledger in DIR, a folder that is empty or not there yet.

    All of its ring is written now, so that a commit later costs its own bytes and one flush. A ledger that cannot be
    made leaves nothing behind.

    For example `tidegate ledger init /var/lib/tidegate/ledger`, `tidegate ledger init spool --ring 2MiB --segment
    256KiB`, `tidegate ledger init spool --footprint small`.

    Exit 0: made. 1: the medium refused. 2: bad usage, or the folder holds something.
    """
    path = Path(folder).expanduser()
    options = options_of(
        {"ring": ring, "segment": segment, "unit": unit}, is_small=footprint is not None, is_sqlite=backend == "sqlite"
    )
    options = structs.replace(options, unit_bytes=options.unit_bytes or medium_of(path).unit_bytes)
    _refuse_anything_in(path)
    try:
        with removed_on_failure(path):
            _make(path, options)
    except (LedgerError, OSError) as error:
        click.echo(f"tidegate: no ledger was made in {path}: {error}", err=True)
        context.exit(EXIT_NO)
    click.echo(f"{path}: {_described(options)}")


def options_of(sizes: dict[str, str | None], *, is_small: bool, is_sqlite: bool) -> Options:
    """Return what the options of the command line say. Raises: UsageError."""
    from gateway.ledger.opening import check_geometry

    given = {name: text for name, text in sizes.items() if text is not None}
    if is_sqlite:
        if given or is_small:
            wrong = next(iter(given), "footprint")
            raise UsageError(f"--{wrong} is of our own format; leave it out, or leave --backend sqlite out")
        return Options(backend="sqlite")
    try:
        known = {_SIZES[name]: size_bytes(text) for name, text in given.items()}
    except ValueError as error:
        raise UsageError(f"--{_wrong(given)}: {error}") from error
    if known.get("unit_bytes") == 0:  # which elsewhere means: by the medium
        raise UsageError("--unit 0: a commit unit is a power of two from 512 to 65536")
    options = structs.replace(SMALL if is_small else Options(), **known)
    if is_small and options.ring_bytes > SMALL_RING_MOST:
        raise UsageError(f"--ring {given['ring']}: with --footprint small at most {size_text(SMALL_RING_MOST)}")
    check_geometry(options)
    return options


def _wrong(given: dict[str, str]) -> str:
    """Return the name of the first size that is none."""
    for name, text in given.items():
        try:
            size_bytes(text)
        except ValueError:
            return name
    raise AssertionError(given)


def _refuse_anything_in(path: Path) -> None:
    """Raises: UsageError where a folder is not empty; what an `init` that was killed left there counts as nothing."""
    names = names_in(path)
    if not names:
        return
    from gateway.ledger.ledger import holds_ledger

    if "ledger.db" in names or holds_ledger(path):
        raise UsageError(f"{path} holds a ledger already; name a folder that is empty, or is not there yet")
    if names - REMAINS:
        others = f"other files ({min(names - REMAINS)}, ...)"
        raise UsageError(f"{path} holds {others}; name a folder that is empty, or is not there yet")
    _remove(path, names)


def _remove(path: Path, names: Iterable[str]) -> None:
    for name in names:
        shutil.rmtree(path / name, ignore_errors=True)
        with contextlib.suppress(OSError):
            (path / name).unlink(missing_ok=True)


@contextlib.contextmanager
def removed_on_failure(path: Path) -> Iterator[None]:
    """Make a folder; if what is done in it fails, or is interrupted, remove everything that was made on the way."""
    made = [each for each in (path, *path.parents) if not each.exists()]  # innermost first
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        _remove(path, names_in(path) if path.is_dir() else ())
        for each in made:
            with contextlib.suppress(OSError):
                each.rmdir()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def _make(path: Path, options: Options) -> None:
    """Raises: LedgerError, OSError."""
    from gateway.ledger import Ledger

    if options.backend == "ldg1":
        _check_room(path, options.ring_bytes + BESIDE_RING_BYTES)
        if sys.stderr.isatty():
            click.echo(f"writing {size_text(options.ring_bytes)} ...", err=True)
    Ledger.create(path, options)


def _check_room(path: Path, needed_bytes: int) -> None:
    """Raises: OSError where the file system has no room for it, before a byte is written."""
    told = os.statvfs(path)
    free_bytes = told.f_bavail * told.f_frsize
    if free_bytes < needed_bytes:
        raise OSError(
            errno.ENOSPC,
            f"{size_text(needed_bytes)} are needed and {size_text(free_bytes)} are free; give a smaller --ring",
        )


def _described(options: Options) -> str:
    if options.backend == "sqlite":
        return "an empty ledger in SQLite"
    count = options.ring_bytes // options.segment_bytes
    small = ", under 8 MiB in all" if options.is_small else ""
    return (
        f"an empty ledger, a ring of {count} segments of {size_text(options.segment_bytes)}, "
        f"commits padded to {options.unit_bytes} bytes{small}"
    )


class _Compacting(Protocol):
    """What every backend that is open for writing can do."""

    def compact(self) -> dict[str, Any]:
        """Seal, apply retention and scrub the archives now; return what was done."""
        ...


@click.command(name="compact", short_help="Archive and expire now what is due.")
@dir_option
@click.pass_context
def compact_command(context: click.Context, *, directory: str | None) -> None:
    """Bring the closed part of the ring into archives and let retention take what is due, now.

    A running gateway does both by itself; this is for a ledger that no process writes.

    For example `tidegate ledger compact --dir /var/lib/tidegate/ledger`.

    Exit 0: done. 1: the medium failed, or another process writes this ledger (stderr says which). 64: no ledger there.
    """
    from gateway.ledger import Ledger

    try:
        folder = existing_ledger(directory)
        with Ledger.open(folder) as ledger:
            done = cast("_Compacting", ledger).compact()
    except LedgerMissingError as error:
        click.echo(f"tidegate: {error}", err=True)
        context.exit(EXIT_NO_LEDGER)
    except (LedgerError, OSError) as error:
        click.echo(f"tidegate: {error}", err=True)
        context.exit(EXIT_NO)
    facts = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in done.items())
    click.echo(f"{folder}: {facts}")
