"""Writes a trace so that a crash loses at most the line that was being written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from hil.trace.record import Header, Record


class TraceWriter:
    """One trace that grows: each line goes to the system whole, at once, so that a killed process loses none."""

    def __init__(self, path: Path | None, header: Header, *, keeps: bool = True) -> None:
        """Begin it. `path` None: in memory alone; `keeps`: whether `records` grows, too. Raises: OSError."""
        self.header = header
        self.path = path
        self.records: list[Record] = []
        self.count = 0
        self._keeps = keeps
        self._digest = hashlib.sha256()
        self._file = (
            None if path is None else os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
        )
        try:
            self._put(header.line())
        except OSError:
            self.close()
            raise

    @property
    def hash(self) -> str:
        """SHA-256 of all that stands behind the header line, in hex."""
        return self._digest.hexdigest()

    def write(self, record: Record) -> None:
        """Append a record. Raises: OSError, for example of a full disk; ValueError for values that JSON lacks."""
        line = record.line()
        self._put(line)
        self._digest.update(line)
        self.count += 1
        if self._keeps:
            self.records.append(record)

    def close(self) -> None:
        """End it; once more does nothing."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def _put(self, line: bytes) -> None:
        if self._file is None:
            return
        left = memoryview(line)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error
