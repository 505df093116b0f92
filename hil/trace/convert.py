"""A log of one program as that of another. Everything goes through a trace, on disk, so that length does not matter."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from gateway.errors import UsageError
from gateway.spelling import did_you_mean
from hil.trace.formats.base import Facts, Import, Losses
from hil.trace.reader import TraceStream
from hil.trace.record import VERSION, Header
from hil.trace.times import HIGHEST_S, LOWEST_S, NS, iso_of

TRACE: Final = ".trace"
FORMATS: Final = {".log": "candump", ".asc": "asc", ".blf": "blf", ".trc": "trc", ".btsnoop": "btsnoop"}


class Outcome:
    """How a conversion went."""

    def __init__(self) -> None:
        self.told: list[str] = []  # lines for stderr
        self.losses = Losses()
        self.is_damaged = False
        self.unread = 0  # lines that are kept as notes because nothing can be read in them
        self.count = 0  # records read

    @property
    def has_damage(self) -> bool:
        """Whether something in the file could not be read, though a note may keep it byte for byte."""
        return self.is_damaged or self.unread > 0

    @property
    def is_whole(self) -> bool:
        """Whether everything is in the output."""
        return not self.losses.counts and not self.is_damaged


def check_extension(path: Path) -> str:
    """Return a path's extension. Raises: UsageError for one that is no format."""
    extension = path.suffix.lower()
    known = [TRACE, *FORMATS]
    if extension not in known:
        raise UsageError(f"{path}: the format is told by the extension{did_you_mean(extension, known)}")
    return extension


def convert(source: Path, target: Path) -> Outcome:
    """Write `target` from `source`; whole or not at all.

    Raises: UsageError; TraceHeaderError, ForeignError; TraceDamagedError; OSError; DriverError without python-can.
    """
    extension = check_extension(target)
    outcome = Outcome()
    with as_trace(source, outcome) as stream, _new(target) as made:
        if extension == TRACE:
            _copy(stream, made)
        else:
            low_ns = _lowest(stream.path)
            writer: Any = import_module(f"hil.trace.formats.{FORMATS[extension]}")
            writer.write(made, stream.header, stream, low_ns, outcome.losses)
        if stream.torn_line is not None:
            outcome.told.append(f"{stream.path}:{stream.torn_line}: torn off; the rest is used")
    outcome.told += outcome.losses.told
    return outcome


@contextmanager
def as_trace(path: Path, outcome: Outcome) -> Iterator[TraceStream]:
    """Give a file of any format as a trace. Raises: as `convert`."""
    if check_extension(path) == TRACE:
        with TraceStream(path) as stream:
            yield stream
        return
    with tempfile.TemporaryDirectory(prefix="tidegate-trace-") as folder:
        made = Path(folder) / "import.trace"
        _import(path, made, outcome)
        with TraceStream(made) as stream:
            yield stream


def _import(path: Path, made: Path, outcome: Outcome) -> None:
    reader: Any = import_module(f"hil.trace.formats.{FORMATS[path.suffix.lower()]}")
    reading = Import(path)
    body = made.with_suffix(".body")
    started_ns: int | None = None  # in a year that a date can have, which a foreign stamp need not be
    with body.open("wb") as file:
        for record in reader.records(reading):
            if started_ns is None:
                started_ns = min(max(record.t_ns, LOWEST_S * NS), HIGHEST_S * NS)
            record.t_ns -= started_ns
            file.write(record.line())
            outcome.count += 1
    header = Header(VERSION, iso_of(started_ns or 0), 0, _facts(reading, started_ns or 0))
    with made.open("wb") as whole, body.open("rb") as rest:
        whole.write(header.line())
        shutil.copyfileobj(rest, whole, 1 << 20)
    body.unlink()
    outcome.told += reading.told
    outcome.is_damaged = reading.is_damaged
    outcome.unread = reading.unread


def _facts(reading: Import, started_ns: int) -> Facts:
    """Return what the header says of each bus; `zero_ns`: where the log's own stamps begin, on the trace's time."""
    if reading.zero_ns is None:
        return reading.facts
    return {name: {**facts, "zero_ns": reading.zero_ns - started_ns} for name, facts in reading.facts.items()}


def _copy(stream: TraceStream, made: Path) -> None:
    with made.open("wb") as file:
        file.write(stream.header.line())
        for record in stream:
            file.write(record.line())


def _lowest(path: Path | str) -> int:
    with TraceStream(path) as stream:
        return min((record.t_ns for record in stream), default=0)


@contextmanager
def _new(target: Path) -> Iterator[Path]:
    """Give a file that takes `target`'s place when all went well: where a link points, or into a pipe or a device.

    Raises: UsageError where it cannot be written.
    """
    place = target.resolve()
    is_stream = place.exists() and not place.is_file() and not place.is_dir()
    folder = None if is_stream else place.parent
    try:
        handle, name = tempfile.mkstemp(dir=folder, prefix=f".{target.stem}-", suffix=target.suffix.lower())
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}") from error
    os.close(handle)
    made = Path(name)
    try:
        yield made
        try:
            if is_stream:
                with made.open("rb") as whole, place.open("wb") as stream:
                    shutil.copyfileobj(whole, stream, 1 << 20)
            else:
                made.chmod(0o666 & ~_umask())
                made.replace(place)
        except OSError as error:
            raise UsageError(f"{target} cannot be written: {error.strerror}") from error
    finally:
        with suppress(FileNotFoundError):
            made.unlink()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
