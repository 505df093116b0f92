"""Writes a trace so that a crash loses at most the line that was being written."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hil.trace.record import Header, Record


class TraceWriter:
    """One trace that grows. `path` None: in memory alone."""

    def __init__(self, path: Path | None, header: Header) -> None:
        self.records: list[Record] = []
        self._digest = hashlib.sha256()
        self._file = None if path is None else path.open("wb", buffering=0)
        if self._file is not None:
            self._file.write(header.line())

    @property
    def hash(self) -> str:
        """SHA-256 of all that stands behind the header line, in hex."""
        return self._digest.hexdigest()

    def write(self, record: Record) -> None:
        """Append a record, whole."""
        line = record.line()
        self._digest.update(line)
        self.records.append(record)
        if self._file is not None:
            self._file.write(line)

    def close(self) -> None:
        """End it; once more does nothing."""
        if self._file is not None:
            self._file.close()
