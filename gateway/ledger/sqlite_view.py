"""Layer 5: the database file of a ledger seen from outside its writer: beside it, on a copy, on a read-only medium.

No file of the folder is changed or made, not even the ones that SQLite would make to coordinate with a writer.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from gateway.errors import LedgerBusyError, LedgerError, LedgerReadOnlyError, LedgerStorageError
from gateway.ledger.sqlite_file import (
    BUSY_TIMEOUT_S,
    FILE,
    SIDE_FILES,
    Row,
    check_tables,
    check_there,
    typed,
    uri,
)

TRIES: Final = 5  # where the file changes under its hands


class Way(NamedTuple):
    """How a file can be read without changing anything, and what tells that this has changed."""

    kind: (
        str  # "alone": no writer has it open; "beside": one has, or was killed; "copy": its log cannot be read in place
    )
    stamp: tuple[int, ...]


class View:
    """The file seen from outside its writer."""

    def __init__(self, path: Path) -> None:
        """Look at it. Raises: LedgerMissingError, LedgerFormatError, LedgerStorageError."""
        check_there(path)
        self.path = path
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._way: Way | None = None
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._is_closed = False
        self.rows(("SELECT 1 FROM about LIMIT 1", ()))

    def rows(self, *queries: tuple[str, Row]) -> list[list[Row]]:
        """Return the rows of each query; read again where the file changed meanwhile."""
        with self._lock:
            for tries in range(TRIES):
                way = self._look()
                try:
                    found = self._read(way, queries)
                except LedgerError:
                    if tries + 1 == TRIES or self._look() == way:
                        raise
                else:
                    if self._look() == way:
                        return found
            raise LedgerBusyError(f"{self.path} changes all the time; try again, or read a copy of it")

    def _look(self) -> Way:
        stamps = [_stamp(self.path.with_name(name)) for name in (FILE, *SIDE_FILES)]
        main, wal, shm = stamps
        if wal is None or (shm is None and not wal[1]):
            return Way("alone", main or ())
        return Way("copy", (*(main or ()), *wal)) if shm is None else Way("beside", ())

    def _read(self, way: Way, queries: tuple[tuple[str, Row], ...]) -> list[list[Row]]:
        if self._is_closed:
            raise LedgerStorageError(errno.EBADF, f"{self.path} is closed")
        if self._connection is None or way != self._way:
            self._let_go()
            self._connection, self._way = self._connect(way), way
        connection = self._connection
        with typed(self.path):
            connection.execute("BEGIN")
            try:
                return [connection.execute(*query).fetchall() for query in queries]
            finally:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")

    def _connect(self, way: Way) -> sqlite3.Connection:
        if way.kind == "alone":
            return self._checked("mode=ro&immutable=1", self.path)
        if way.kind == "beside":
            try:
                return self._checked("mode=ro&readonly_shm=1", self.path)
            except (LedgerStorageError, LedgerReadOnlyError):
                pass  # the writer's index of its log may not be read, or not be made
        return self._checked("mode=rw", self._copied())

    def _checked(self, mode: str, path: Path) -> sqlite3.Connection:
        with typed(self.path):
            connection = sqlite3.connect(
                uri(path, mode), uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_S
            )
            try:
                connection.execute("PRAGMA trusted_schema=OFF")
                connection.execute("PRAGMA cell_size_check=ON")
                check_tables(connection, self.path)
            except BaseException:
                connection.close()
                raise
        return connection

    def _copied(self) -> Path:
        """Return a copy with its log, elsewhere: where SQLite may make what it needs to read it."""
        try:
            self._copy = tempfile.TemporaryDirectory(prefix="tidegate-", ignore_cleanup_errors=True)
            for name in (FILE, SIDE_FILES[0]):
                shutil.copyfile(self.path.with_name(name), Path(self._copy.name) / name)
        except OSError as error:
            raise LedgerStorageError(error.errno or 0, f"{self.path} cannot be copied to be read: {error}") from error
        return Path(self._copy.name) / FILE

    def _let_go(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None

    def close(self) -> None:
        """Let go of it; doing so twice is fine."""
        with self._lock:
            self._is_closed = True
            self._let_go()


def _stamp(path: Path) -> tuple[int, ...] | None:
    """Return what changes when a file is written; None where it is not there. Raises: LedgerStorageError."""
    try:
        told = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LedgerStorageError(error.errno or 0, f"{path}: {os.strerror(error.errno or 0)}") from error
    return told.st_ino, told.st_size, told.st_mtime_ns
