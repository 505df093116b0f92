"""Layer 5: the database file of a ledger on SQLite: its tables, how it is opened, what its failures mean.

One process writes it, over one connection, in WAL mode with synchronous FULL. Everybody else looks through
`sqlite_view.View`.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Any, Final, Protocol
from urllib.parse import quote

import msgspec

from gateway.errors import (
    LedgerBusyError,
    LedgerError,
    LedgerFormatError,
    LedgerMissingError,
    LedgerReadOnlyError,
    LedgerStorageError,
)
from gateway.folder import sync_names
from gateway.ledger.frame import first_chain

FILE: Final = "ledger.db"
SIDE_FILES: Final = (f"{FILE}-wal", f"{FILE}-shm")
APPLICATION_ID: Final = 0x4C445131  # "LDQ1", in the file's header
FORMAT: Final = 1  # user_version, in the file's header
BUSY_TIMEOUT_S: Final = 5.0  # for a shell that holds the file a moment; another gateway is kept out by LOCK
WAL_KEPT_BYTES: Final = 4 << 20

TABLES: Final = (
    """CREATE TABLE about (id INTEGER PRIMARY KEY CHECK (id = 1), log_id BLOB NOT NULL, incarnation INTEGER NOT NULL,
 boot_no INTEGER NOT NULL, is_clean INTEGER NOT NULL, last_seq INTEGER NOT NULL, chain BLOB NOT NULL,
 digest BLOB NOT NULL) STRICT""",
    "CREATE TABLE routes (id INTEGER PRIMARY KEY, route TEXT NOT NULL) STRICT",
    """CREATE TABLE records (seq INTEGER PRIMARY KEY, incarnation INTEGER NOT NULL, boot_no INTEGER NOT NULL,
 wall_ns INTEGER NOT NULL, kind INTEGER NOT NULL, flags INTEGER NOT NULL, route INTEGER, cause INTEGER,
 body BLOB NOT NULL, chain BLOB NOT NULL) STRICT""",
    "CREATE TABLE gone (first_seq INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL, chain BLOB NOT NULL) STRICT",
    "CREATE TABLE snapshots (seq INTEGER PRIMARY KEY, state BLOB NOT NULL, digest BLOB NOT NULL) STRICT",
)
"""`routes.id`, `records.kind` and `records.flags` are as in a record of our own format (`record.py`). `gone` has the
runs of numbers that retention took, each with the chain hash behind it, so that what follows can still be checked."""

LAST: Final = "SELECT seq, chain FROM records ORDER BY seq DESC LIMIT 1"
_ABOUT: Final = Struct("<16sIIBQ32s")
Row = tuple[Any, ...]


class MalformedError(LedgerFormatError):
    """What SQLite reads where it looked is not a database."""


class About(msgspec.Struct, frozen=True, kw_only=True):
    """The one row of `about`."""

    log_id: bytes
    incarnation: int = 1
    boot_no: int = 0
    is_clean: bool = True
    last_seq: int = 0  # evidence: durable when this was written
    chain: bytes

    @property
    def digest(self) -> bytes:
        """Return the hash over the row, so that a changed one is noticed."""
        packed = _ABOUT.pack(
            self.log_id, self.incarnation, self.boot_no, self.is_clean, self.last_seq, self.chain
        )  # fmt: skip
        return sha256(packed).digest()


class Source(Protocol):
    """Where rows come from."""

    def rows(self, *queries: tuple[str, Row]) -> list[list[Row]]:
        """Return the rows of each query, all of one moment. Raises: MalformedError and other LedgerErrors."""
        ...


def about_of(source: Source) -> About:
    """Return what the file says of itself. Raises: LedgerFormatError where that is not what was written."""
    (found,) = source.rows(("SELECT * FROM about", ()))
    try:
        ((_, log_id, incarnation, boot_no, is_clean, last_seq, chain, digest),) = found
        about = About(
            log_id=log_id, incarnation=incarnation, boot_no=boot_no, is_clean=bool(is_clean), last_seq=last_seq,
            chain=chain,
        )  # fmt: skip
        is_right = about.digest == digest
    except (TypeError, ValueError, struct.error):
        is_right = False
    if not is_right:
        raise MalformedError(f"{FILE}: what it says of itself is not what was written; restore it from a copy")
    return about


@contextmanager
def typed(path: Path) -> Iterator[None]:
    """Turn what SQLite raises into our errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise _typed(path, error) from error
    except UnicodeDecodeError as error:  # of what SQLite says of damage, when it quotes it
        raise MalformedError(f"{path} is damaged ({error.reason}, {error.object[:200]!r})") from error


def _typed(path: Path, error: sqlite3.Error) -> LedgerError:
    code = getattr(error, "sqlite_errorcode", None)
    name = getattr(error, "sqlite_errorname", "")
    match code and code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LedgerBusyError(f"{path} is held by another program ({error}); stop that one first")
        case sqlite3.SQLITE_FULL:
            return LedgerStorageError(errno.ENOSPC, f"{path}: {error}; make room on the disk")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return LedgerReadOnlyError(f"{path} may not be written ({error})")
        case sqlite3.SQLITE_IOERR | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_NOMEM | sqlite3.SQLITE_PROTOCOL:
            return LedgerStorageError(errno.EIO, f"{path}: {error} ({name})")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_FORMAT:
            return MalformedError(f"{path} is damaged ({error}); read what is left with: tidegate ledger export")
    if isinstance(error, sqlite3.ProgrammingError):
        return LedgerStorageError(errno.EBADF, f"{path} is closed")
    return MalformedError(f"{path} is damaged, or no ledger ({error})")


def check_there(path: Path) -> None:
    """Raises: LedgerMissingError, LedgerStorageError.

    It is not opened: to close a descriptor of a file is to lose SQLite's locks on it, in the whole process.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise LedgerMissingError(f"{path.parent}: no ledger here; make one with: tidegate ledger init DIR") from None
    except OSError as error:
        raise LedgerStorageError(error.errno or 0, f"{path}: {os.strerror(error.errno or 0)}") from error


def create(folder: Path, log_id: bytes) -> None:
    """Make an empty database in a folder; cut anywhere, there is a whole one or none. Raises: LedgerError."""
    path, unfinished = folder / FILE, folder / f"{FILE}.tmp"
    try:
        _clear(unfinished)
        unfinished.touch(mode=0o640)
        with typed(unfinished):
            database = sqlite3.connect(unfinished, isolation_level=None)
            try:
                _lay_out(database, About(log_id=log_id, chain=first_chain(log_id)))
            finally:
                database.close()
        unfinished.rename(path)
        for each in (folder, folder.parent):
            sync_names(each)
    except OSError as error:
        raise LedgerStorageError(error.errno or 0, f"no ledger can be made in {folder}: {error}") from error
    finally:
        with suppress(OSError):
            _clear(unfinished)


def _clear(path: Path) -> None:
    for name in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + name).unlink(missing_ok=True)


def _lay_out(database: sqlite3.Connection, about: About) -> None:
    database.execute("PRAGMA page_size=4096")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("BEGIN")
    for table in TABLES:
        database.execute(table)
    database.execute(f"PRAGMA application_id={APPLICATION_ID}")
    database.execute(f"PRAGMA user_version={FORMAT}")
    write_about(database, about)
    database.execute("COMMIT")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def write_about(database: sqlite3.Connection, about: About) -> None:
    """Write the one row, in the transaction that is under way."""
    database.execute(
        "INSERT OR REPLACE INTO about VALUES (1, ?, ?, ?, ?, ?, ?, ?)",
        (
            about.log_id, about.incarnation, about.boot_no, int(about.is_clean), about.last_seq, about.chain,
            about.digest,
        ),
    )  # fmt: skip


def check_tables(database: sqlite3.Connection, path: Path) -> None:
    """Raises: LedgerFormatError for what is no ledger, and for what would change one behind our back."""
    try:
        ((application,), (version,)) = (
            database.execute(f"PRAGMA {name}").fetchone() for name in ("application_id", "user_version")
        )
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_NOTADB:
            raise
        raise LedgerFormatError(f"{path} is no SQLite database; move it away, or restore it from a copy") from error
    if application != APPLICATION_ID:
        raise LedgerFormatError(f"{path} is a database of another program; move it away")
    if version != FORMAT:
        raise LedgerFormatError(f"{path} was written by a newer version (format {version}); read it with that one")
    told = database.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
    if not {sql for _, _, sql in told} >= set(TABLES):
        raise LedgerFormatError(f"{path} has other tables than a ledger; restore it from a copy")
    if triggers := [name for kind, name, _ in told if kind == "trigger"]:
        raise LedgerFormatError(f"{path} has a trigger {triggers[0]!r}, which changes what is recorded; drop it")


class Database:
    """The one connection that writes. Safe to use from several threads: whoever uses it holds `lock`."""

    def __init__(self, path: Path) -> None:
        """Open it; what an earlier process left in the log of SQLite is brought home. Raises: LedgerError."""
        check_there(path)
        self.path = path
        self.lock = threading.RLock()
        with typed(path):
            self._connection = sqlite3.connect(
                uri(path, "mode=rw"), uri=True, isolation_level=None, check_same_thread=False,
                timeout=BUSY_TIMEOUT_S, cached_statements=32,
            )  # fmt: skip
        try:
            with typed(path):
                check_tables(self._connection, path)
                for pragma in (
                    "trusted_schema=OFF", "cell_size_check=ON", "temp_store=MEMORY", "journal_mode=WAL",
                    "synchronous=FULL", f"journal_size_limit={WAL_KEPT_BYTES}", "wal_checkpoint(TRUNCATE)",
                ):  # fmt: skip
                    self._connection.execute(f"PRAGMA {pragma}").fetchall()
        except BaseException:
            self._connection.close()
            raise

    def rows(self, *queries: tuple[str, Row]) -> list[list[Row]]:
        """Return the rows of each query."""
        with self.lock, typed(self.path):
            return [self._connection.execute(*query).fetchall() for query in queries]

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Give a connection whose changes are durable when the block ends, or not made. Raises: LedgerError."""
        with self.lock, typed(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def pragma(self, text: str) -> Any:
        """Return what one says: its first value."""
        ((row, *_),) = self.rows((f"PRAGMA {text}", ()))
        return row[0]

    def shrink(self) -> None:
        """Give free pages back to the file system; writes the whole file once. Raises: LedgerError."""
        with self.lock, typed(self.path):
            self._connection.execute("VACUUM")
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Let go of it; doing so twice is fine."""
        with self.lock, suppress(sqlite3.Error):
            self._connection.close()


def uri(path: Path, mode: str) -> str:
    """Return a path as SQLite opens it in a mode."""
    return f"file:{quote(str(path.absolute()))}?{mode}"
