"""Layer 5: the same ledger on SQLite, for who would rather trust it: WAL, synchronous FULL, one connection.

One row a record, with the leaf of our own format chained record by record, so that `verify` and `head` mean the same.
It writes about three times the bytes, and tells damage inside the file only as far as the chain does.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import quote

from gateway.clock import Clock
from gateway.errors import LedgerFormatError, LedgerMissingError, LedgerReadOnlyError, LedgerStorageError
from gateway.ledger.background import Background
from gateway.ledger.base import Damage, Head, Item, Options, Verification
from gateway.ledger.cursor import StoredCursor
from gateway.ledger.draft import Checker, Routes
from gateway.ledger.fold import State
from gateway.ledger.frame import MILLISECOND_NS, first_chain
from gateway.ledger.lock import WriterLock
from gateway.ledger.record import CLASSES, Gap, Record, leaf_of
from gateway.ledger.retention import keep_ns_of
from gateway.ledger.sqlite_check import FILE, ChainCheck, record_of

FORMAT: Final = 1
_TABLES: Final = """
CREATE TABLE about (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE record (
  seq INTEGER PRIMARY KEY, kind INTEGER NOT NULL, flags INTEGER NOT NULL, route TEXT, wall_ns INTEGER NOT NULL,
  boot_no INTEGER NOT NULL, cause INTEGER NOT NULL, body BLOB NOT NULL, chain BLOB NOT NULL);
CREATE INDEX record_route ON record (route, seq);
"""
_INSERT: Final = "INSERT INTO record VALUES (?,?,?,?,?,?,?,?,?)"
_SELECT: Final = "SELECT * FROM record WHERE seq >= ? ORDER BY seq LIMIT 1000"
_NO_DIGEST: Final = bytes(32)


class SqliteLedger:
    """The ledger in one database file."""

    def __init__(
        self, folder: Path, options: Options, clock: Clock, *, read_only: bool = False, background: bool = True
    ) -> None:
        """Open it, or make it. Raises: LedgerMissingError, LedgerBusyError, LedgerFormatError, LedgerStorageError."""
        self._path = folder / FILE
        self._options = options
        self._clock = clock
        self._read_only = read_only
        self._lock = threading.RLock()
        self._routes = Routes()
        self._checker = Checker(self._routes)
        self._oldest_ns: int | None = None
        self._failed = ""
        self._bytes = self._commits = 0
        self._held = None if read_only else _held(folder)
        try:
            self._db = self._connect()
            self._recall()
        except BaseException:
            self._release()
            raise
        self._background = Background(self.tick, self._idle_s) if background and not read_only else None

    # ---- opening

    def _connect(self) -> sqlite3.Connection:
        name = quote(str(self._path))
        try:
            if not self._read_only:
                db = sqlite3.connect(f"file:{name}", uri=True, isolation_level=None, check_same_thread=False)
                db.execute("PRAGMA journal_mode=WAL")
                db.execute("PRAGMA synchronous=FULL")
                return db
            if not self._path.exists():
                raise LedgerMissingError(
                    f"{self._path.parent}: no ledger here; make one with: tidegate ledger init DIR"
                )
            for mode in ("mode=ro", "immutable=1"):
                db = sqlite3.connect(f"file:{name}?{mode}", uri=True, isolation_level=None, check_same_thread=False)
                try:
                    db.execute("SELECT count(*) FROM sqlite_master")
                except sqlite3.OperationalError:
                    db.close()
                    continue
                return db
        except sqlite3.Error as error:
            raise self._error(error) from error
        raise LedgerStorageError(5, f"{self._path}: cannot be read")

    def _recall(self) -> None:
        """Take over what is there; a writer tells its start."""
        try:
            if not self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'about'").fetchone():
                if self._read_only:
                    raise LedgerMissingError(f"{self._path.parent}: no ledger here")
                self._make()
            told = dict(self._db.execute("SELECT name, value FROM about"))
            if told.get("format") != FORMAT:
                raise LedgerFormatError(f"{self._path} was written by a newer version; read it with that one")
            self._log_id: bytes = told["log_id"]
            self._boot_no = int(told["boot_no"])
            if not self._read_only:
                self._boot_no += 1
                self._db.execute("UPDATE about SET value = ? WHERE name = 'boot_no'", (self._boot_no,))
            self._durable_seq, self._chain = self._end()
            self._next_seq = max(self._durable_seq, int(told["last_seq"])) + 1
        except (sqlite3.Error, KeyError, TypeError, ValueError) as error:
            raise self._error(error) from error

    def _make(self) -> None:
        log_id = os.urandom(16)
        self._db.executescript(_TABLES)
        about = {"format": FORMAT, "log_id": log_id, "boot_no": 0, "last_seq": 0, "kept_from": 1}
        self._db.executemany("INSERT INTO about VALUES (?, ?)", list(about.items()))

    def _end(self) -> tuple[int, bytes]:
        row = self._db.execute("SELECT seq, chain FROM record ORDER BY seq DESC LIMIT 1").fetchone()
        return (row[0], row[1]) if row else (0, first_chain(self._log_id))

    def _error(self, error: Exception) -> LedgerStorageError | LedgerFormatError:
        if isinstance(error, sqlite3.OperationalError):
            return LedgerStorageError(5, f"{self._path}: {error}")
        return LedgerFormatError(f"{self._path} is no ledger, or damaged: {error}")

    # ---- writing

    def append(
        self, kind: str, route: str | None, body: Any, class_: str = "telemetry", cause: int | None = None
    ) -> int:
        """Return the sequence number."""
        return self.append_many([(kind, route, body, class_, cause)]).start

    def append_many(self, records: Iterable[Item]) -> range:
        """Return the sequence numbers."""
        checked = self._checker.check(list(records))
        with self._lock:
            if self._read_only or self._failed:
                raise LedgerReadOnlyError(self._failed or "this ledger was opened for reading only")
            first = self._next_seq
            if not checked.records:
                return range(first, first)
            wall_ns = self._clock.wall_ns() // MILLISECOND_NS * MILLISECOND_NS
            rows = []
            chain, seq = self._chain, first
            for code, route, cause, raw in checked.records:
                kind, flags = code >> 8, code & 0xFF
                digest = _NO_DIGEST if route is None else self._routes.stored(route)[1]
                chain = sha256(chain + leaf_of(seq, wall_ns, kind, flags, cause, digest, raw)).digest()
                rows.append((seq, kind, flags, route, wall_ns, self._boot_no, cause, raw, chain))
                seq += 1
            self._insert(rows)
            self._chain, self._next_seq = chain, seq
            if self._oldest_ns is None:
                self._oldest_ns = self._clock.monotonic_ns()
        if checked.is_urgent:
            self.flush()
        elif self._background is not None:
            self._background.wake()
        else:
            self.tick()
        return range(first, seq)

    def _insert(self, rows: list[tuple[Any, ...]]) -> None:
        try:
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(_INSERT, rows)
        except sqlite3.Error as error:
            self._give_up(error)

    def flush(self, seq: int | None = None) -> None:
        """Return when everything up to `seq` is durable."""
        del seq  # a transaction ends whole
        with self._lock:
            if self._failed:
                raise LedgerReadOnlyError(self._failed)
            if not self._db.in_transaction:
                return
            try:
                self._db.execute("COMMIT")
            except sqlite3.Error as error:
                self._give_up(error)
            self._durable_seq = self._next_seq - 1
            self._oldest_ns = None
            self._commits += 1

    def _give_up(self, error: sqlite3.Error) -> None:
        self._failed = f"the database failed ({error}); nothing is recorded until the ledger is opened again"
        raise LedgerStorageError(5, self._failed) from error

    def tick(self) -> None:
        """Commit what has waited for its window."""
        with self._lock:
            oldest_ns = self._oldest_ns
            if oldest_ns is not None and self._clock.monotonic_ns() - oldest_ns >= self._options.window_ns:
                self.flush()

    def _idle_s(self) -> float | None:
        oldest_ns = self._oldest_ns
        if oldest_ns is None or self._failed:
            return None
        return max(0.005, (oldest_ns + self._options.window_ns - self._clock.monotonic_ns()) / 1e9)

    def compact(self) -> dict[str, Any]:
        """Apply retention now; return what was done."""
        now_ns = self._clock.wall_ns()
        with self._lock:
            self.flush()
            gone = [
                seq
                for seq, route, wall_ns in self._db.execute(
                    "SELECT seq, route, wall_ns FROM record WHERE flags & 3 = 0 ORDER BY seq"
                )
                if wall_ns + keep_ns_of(self._options, route) < now_ns
            ]
            if gone:
                body = {
                    "from_seq": gone[0], "to_seq": gone[-1], "reason": "retention", "classes": ["telemetry"],
                    "records": len(gone),
                }  # fmt: skip
                self.append("gap", None, body, "state")
                self._db.executemany("DELETE FROM record WHERE seq = ?", [(seq,) for seq in gone])
        return {"freed_records": len(gone)}

    # ---- reading

    @property
    def durable_seq(self) -> int:
        """Return the last sequence number that is on the medium."""
        return self._end()[0] if self._read_only else self._durable_seq

    def read(self, from_seq: int = 1, *, durable_only: bool = False) -> Iterator[Record | Gap]:
        """Yield records in order; what waits is committed first."""
        if not durable_only:
            self._commit_if_writable()
        end = self.durable_seq
        next_seq = max(1, from_seq)
        while rows := self._rows(next_seq):
            for row in rows:
                if row[0] > end:
                    return
                if row[0] > next_seq:
                    yield Gap(next_seq, row[0] - 1, "not there")
                yield record_of(row)
                next_seq = row[0] + 1

    def _rows(self, from_seq: int) -> list[tuple[Any, ...]]:
        with self._lock:
            try:
                return self._db.execute(_SELECT, (from_seq,)).fetchall()
            except sqlite3.Error as error:
                raise self._error(error) from error

    def replay(self, until: int | None = None) -> State:
        """Return the folded state."""
        state = State()
        for record in self.read():
            if until is not None and record.seq > until:
                break
            if isinstance(record, Record):
                state.apply(record)
        return state

    def verify(self, *, deep: bool = False, against: Head | None = None) -> Verification:
        """Check everything: the chain of every record, and with `deep` the database's own structure."""
        start = time.monotonic()
        self._commit_if_writable()
        checked = ChainCheck(self._log_id, against)
        try:
            if deep and (told := self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]) != "ok":
                checked.damage.append(Damage(0, FILE, 0, str(told)))
            checked.run(self._rows)
        except sqlite3.Error as error:
            checked.damage.append(Damage(checked.last_seq + 1, FILE, 0, str(error)))
        return checked.result(time.monotonic() - start)

    def _commit_if_writable(self) -> None:
        if not self._read_only and not self._failed:
            self.flush()

    def cursor(self, name: str) -> StoredCursor:
        """Return where the consumer of that name stands."""
        return StoredCursor(self, name)

    def head(self) -> Head:
        """Return the end of what is durable."""
        self._commit_if_writable()
        seq, chain = self._end()
        return Head(seq, chain.hex())

    def status(self) -> dict[str, Any]:
        """Return guarantees in force, fill and mode."""
        window_s = self._options.window_ns / 1e9
        mode = "read-only" if self._read_only or self._failed else "recording"
        return {
            "backend": "sqlite",
            "mode": mode,
            "reason": self._failed,
            "log_id": self._log_id.hex(),
            "incarnation": 1,
            "boot_no": self._boot_no,
            "last_seq": self._next_seq - 1,
            "durable_seq": self.durable_seq,
            "guarantees": {"telemetry": {"loss_window": window_s}}
            | {name: {"loss_window": 0.0} for name in CLASSES[1:]},
            "commits": self._commits,
            "damage": [],
        }

    # ---- the end

    def _release(self) -> None:
        if self._held is not None:
            self._held.release()

    def close(self) -> None:
        """Commit and let go."""
        if self._background is not None:
            self._background.stop()
        try:
            self._commit_if_writable()
        finally:
            self._db.close()
            self._failed = self._failed or "it is closed"
            self._release()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def _held(folder: Path) -> WriterLock:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LedgerStorageError(error.errno or 0, f"{folder}: {error}") from error
    lock = WriterLock(folder)
    lock.tell(b"")
    return lock
