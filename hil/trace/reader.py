"""Reads a trace. What a crash tore off at its end is told and the rest used; damage in the middle is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from hil.trace.errors import TraceDamagedError, TraceHeaderError
from hil.trace.record import Header, Record, parse_header, parse_record

MAX_LINE_BYTES: Final = 64 << 20  # longer is no line of ours; bounds what a foreign file makes us hold


class TraceStream:
    """The records of a file, one after the other, in bounded memory. A context manager and an iterator, once."""

    def __init__(self, path: Path | str) -> None:
        """Open a trace and read its header. Raises: OSError; TraceHeaderError."""
        self.path = path
        self.torn_line: int | None = None  # from 1, known at the end; `None`: the tail is whole
        self._digest = hashlib.sha256()
        self._file: BinaryIO = Path(path).open("rb")  # noqa: SIM115 - this is the context manager
        try:
            self.header = self._read_header()
        except BaseException:
            self._file.close()
            raise

    @property
    def torn(self) -> bool:
        """Whether the last line is no whole record; known at the end."""
        return self.torn_line is not None

    @property
    def hash(self) -> str:
        """SHA-256 of all bytes behind the header line, in hex; known at the end."""
        return self._digest.hexdigest()

    def __iter__(self) -> Iterator[Record]:
        """Give the records. Raises: TraceDamagedError for a line that is none and not the last."""
        number, bad = 1, ""
        while line := self._file.readline(MAX_LINE_BYTES):
            if bad:
                raise TraceDamagedError(self.path, number, f"damaged: {bad}")
            number += 1
            self._digest.update(line)
            if not line.endswith(b"\n"):
                bad = "it has no end"
                continue
            try:
                record = parse_record(line)
            except ValueError as error:
                bad = str(error)
            else:
                yield record
        if bad:
            self.torn_line = number

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_header(self) -> Header:
        line = self._file.readline(MAX_LINE_BYTES)
        if not line.endswith(b"\n"):
            reason = "it has no whole first line" if line else "it is empty"
            raise TraceHeaderError(self.path, 1, f"no trace: {reason}")
        try:
            return parse_header(line)
        except ValueError as error:
            raise TraceHeaderError(self.path, 1, str(error)) from error


class Trace:
    """A trace as a whole. `torn`: a crash tore its last line off, which is `torn_line` (from 1) of the file."""

    def __init__(self, stream: TraceStream) -> None:
        self.path = stream.path
        self.header = stream.header
        self.records = list(stream)
        self.torn = stream.torn
        self.torn_line = stream.torn_line
        self.hash = stream.hash


def read(path: Path | str) -> Trace:
    """Return a trace. Raises: OSError; TraceHeaderError; TraceDamagedError, both with `path` and `line`."""
    with TraceStream(path) as stream:
        return Trace(stream)
