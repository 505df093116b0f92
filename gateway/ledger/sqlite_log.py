"""Layer 5: a ledger on SQLite, open for writing: numbers records, commits them, goes on after a full disk.

Two locks, as in `log.py`: whoever numbers records holds `_buffer`, whoever writes holds the database's; the second may
take the first, never the other way round.
"""

from __future__ import annotations

import errno
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from gateway.clock import Clock
from gateway.errors import (
    LedgerBusyError,
    LedgerError,
    LedgerReadOnlyError,
    LedgerStorageError,
)
from gateway.ledger.base import Damage, Head
from gateway.ledger.draft import Checked, Checker, Entry, Routes
from gateway.ledger.frame import MILLISECOND_NS, first_chain
from gateway.ledger.log import DRAFT_BYTES, WAITING_BYTES, Counters
from gateway.ledger.record import HEAD_BYTES, leaf_of
from gateway.ledger.sqlite_file import FILE, LAST, Database, Row, about_of, write_about
from gateway.ledger.sqlite_scan import NO_DIGEST, link_of

PAGE_BYTES: Final = 4096
WAL_FRAME_BYTES: Final = PAGE_BYTES + 24
ROW_BYTES: Final = 64  # what a row takes beside its body, as a rule
_INSERT: Final = "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_LAST_GONE: Final = "SELECT last_seq, chain FROM gone ORDER BY first_seq DESC LIMIT 1"
PASSING: Final = {"SQLITE_IOERR_WRITE", "SQLITE_IOERR_SHMSIZE", "SQLITE_IOERR_SHMOPEN", "SQLITE_IOERR_LOCK"}
"""Failures before anything counts as written, a quota for one; a failed flush is not among them."""
END_GONE: Final = "they were durable, and the end of the log is gone"


class Waiting(NamedTuple):
    """A record that is numbered and not committed yet."""

    seq: int
    wall_ns: int
    entry: Entry


class _Laid:
    """Rows that continue the chain, not written yet."""

    def __init__(self, chain: bytes, last_seq: int) -> None:
        self.chain = chain
        self.last_seq = last_seq
        self.rows: list[Row] = []
        self.routes: dict[str, int] = {}  # new ones
        self.payload_bytes = 0

    def insert(self, connection: sqlite3.Connection) -> None:
        """Write them, in the transaction that is under way."""
        connection.executemany("INSERT INTO routes VALUES (?, ?)", [(key, text) for text, key in self.routes.items()])
        connection.executemany(_INSERT, self.rows)


class SqliteLog:
    """The rows of one ledger, from their end."""

    def __init__(self, path: Path, clock: Clock, *, tells_early: bool = False) -> None:
        """Open for writing and tell the start. Raises: LedgerError."""
        self._clock = clock
        self._tells_early = tells_early
        self.database = Database(path)
        self.counters = Counters()
        self.found: list[Damage] = []  # what opening found missing
        self.read_only_reason = ""
        self.next_seq = 1
        self.durable_seq: int = 0
        self._chain = b""
        self._routes = Routes()
        self._checker = Checker(self._routes)
        self._route_ids: dict[str, int] = {}
        self._buffer = threading.RLock()
        self._waiting: list[Waiting] = []
        self._waiting_bytes = 0
        self._oldest_ns: int | None = None
        try:
            self._start()
        except BaseException:
            self.database.close()
            raise

    # ---- opening

    def _start(self) -> None:
        """Take over what is there. Numbers that were durable and are gone are skipped, never given again (R6)."""
        about = about_of(self.database)
        routes, last, gone = self.database.rows(("SELECT route, id FROM routes", ()), (LAST, ()), (_LAST_GONE, ()))
        self._route_ids = dict(routes)
        seq, self._chain = max(last + gone, default=(0, first_chain(about.log_id)))
        end_seq = max(seq, about.last_seq)
        is_end_gone = end_seq > seq
        is_anew = is_end_gone or (self._tells_early and not about.is_clean)
        self.about = msgspec.structs.replace(
            about, boot_no=about.boot_no + 1, incarnation=about.incarnation + is_anew, is_clean=False,
            last_seq=end_seq, chain=self._chain,
        )  # fmt: skip
        self.next_seq, self.durable_seq = end_seq + 1, seq
        told: list[Waiting] = []
        if is_end_gone:
            self.found.append(Damage(seq + 1, FILE, 0, END_GONE))
            body = {"from_seq": seq + 1, "to_seq": end_seq, "reason": END_GONE, "file": FILE, "offset": 0}
            told = self._numbered(self.check([("damage", None, body, "state")]).records)
        laid = self._lay(told)
        with self.database.transaction() as connection:
            write_about(connection, self.about)
            laid.insert(connection)
        self._take(laid)

    # ---- numbering

    def check(self, records: Sequence[tuple[Any, ...]]) -> Checked:
        """Return records that may be put. Raises: RecordError."""
        return self._checker.check(records)

    def put(self, checked: Checked) -> range:
        """Number records and keep them in memory. Raises: LedgerReadOnlyError, LedgerStorageError."""
        with self._buffer:
            if self.read_only_reason:
                raise LedgerReadOnlyError(self.read_only_reason)
            if self._waiting_bytes > WAITING_BYTES:
                raise LedgerStorageError(errno.ENOSPC, "too much waits for the database already; make room on the disk")
            if self._oldest_ns is None:
                self._oldest_ns = self._clock.monotonic_ns()
            first = self.next_seq
            self._waiting += self._numbered(checked.records)
            self._waiting_bytes += sum(HEAD_BYTES + len(entry[3]) for entry in checked.records)
            return range(first, self.next_seq)

    def _numbered(self, entries: list[Entry]) -> list[Waiting]:
        wall_ns = max(0, self._clock.wall_ns()) // MILLISECOND_NS * MILLISECOND_NS
        first, self.next_seq = self.next_seq, self.next_seq + len(entries)
        return [Waiting(seq, wall_ns, entry) for seq, entry in enumerate(entries, start=first)]

    @property
    def is_almost_full(self) -> bool:
        """Return whether so much waits in memory that it is committed now."""
        return self._waiting_bytes >= DRAFT_BYTES

    @property
    def oldest_ns(self) -> int | None:
        """Return when the oldest record in memory was put, on the monotonic clock; None: there is none."""
        return self._oldest_ns

    # ---- committing

    def commit(self, doomed: Sequence[Row] = ()) -> None:
        """Bring everything put so far to the medium. Raises: LedgerStorageError, LedgerBusyError, LedgerReadOnlyError.

        After a full disk, or another program's lock, what was put waits on, and the next commit brings it; after any
        other failure nothing more is taken, since what the medium holds is not known. `doomed` are runs of numbers
        (first, last, chain behind it) that leave in the same transaction.
        """
        with self.database.lock:
            with self._buffer:
                waiting, self._waiting = self._waiting, []
                size, self._waiting_bytes = self._waiting_bytes, 0
                oldest_ns, self._oldest_ns = self._oldest_ns, None
                if self.read_only_reason:
                    raise LedgerReadOnlyError(self.read_only_reason)
            if not waiting:
                return
            laid = self._lay(waiting)
            try:
                with self.database.transaction() as connection:
                    laid.insert(connection)
                    _give_up_rows(connection, doomed)
            except LedgerError as error:
                if not _is_passing(error):
                    raise self._give_up(error) from error
                self.counters.failures += 1
                with self._buffer:
                    self._waiting = waiting + self._waiting
                    self._waiting_bytes += size
                    self._oldest_ns = oldest_ns
                raise LedgerStorageError(getattr(error, "errno", None) or errno.EBUSY, _told(error)) from error
            self._take(laid)

    def _lay(self, waiting: list[Waiting]) -> _Laid:
        """Return records as rows that continue the chain."""
        chain, about = self._chain, self.about
        laid = _Laid(chain, self.durable_seq)
        for seq, wall_ns, (code, route, cause, body) in waiting:
            route_id, digest = None, NO_DIGEST
            if route is not None:
                digest = self._routes.stored(route)[1]
                route_id = self._route_ids.get(route) or laid.routes.get(route)
                if route_id is None:
                    route_id = laid.routes[route] = 1 + len(self._route_ids) + len(laid.routes)
            kind, flags = code >> 8, code & 0xFF
            leaf = leaf_of(seq, wall_ns, kind, flags, cause, digest, body)
            chain = link_of(chain, about.incarnation, about.boot_no, leaf)
            laid.rows.append(
                (seq, about.incarnation, about.boot_no, wall_ns, kind, flags, route_id, cause or None, body, chain)
            )
            laid.payload_bytes += HEAD_BYTES + len(body)
            laid.last_seq, laid.chain = seq, chain
        return laid

    def _take(self, laid: _Laid) -> None:
        """Take over what is durable now."""
        self._chain, self.durable_seq = laid.chain, laid.last_seq
        self._route_ids |= laid.routes
        if not laid.rows:
            return
        counters = self.counters
        size = laid.payload_bytes + len(laid.rows) * ROW_BYTES
        pages = 1 + size // PAGE_BYTES + (1 if laid.routes else 0)
        counters.commits += 1
        counters.records += len(laid.rows)
        counters.payload_bytes += laid.payload_bytes
        counters.units += pages
        counters.bytes_written += pages * WAL_FRAME_BYTES + size  # into the log, and later home

    def _give_up(self, error: Exception) -> LedgerError:
        with self._buffer:
            self.counters.failures += 1
            self.read_only_reason = f"the database failed ({error}); nothing is recorded until it is opened again"
            self._waiting, self._waiting_bytes, self._oldest_ns = [], 0, None
        if isinstance(error, LedgerReadOnlyError):
            return LedgerReadOnlyError(self.read_only_reason)
        return LedgerStorageError(getattr(error, "errno", None) or errno.EIO, self.read_only_reason)

    def head(self) -> Head:
        """Return the end of what is durable."""
        with self.database.lock:
            return Head(self.durable_seq, self._chain.hex())

    def close(self) -> None:
        """Commit and say that the end is the end. Raises: LedgerError; nothing stays open."""
        try:
            if not self.read_only_reason:
                self.commit()
                with self.database.transaction() as connection:
                    write_about(
                        connection,
                        msgspec.structs.replace(
                            self.about, is_clean=True, last_seq=max(self.about.last_seq, self.durable_seq),
                            chain=self._chain,
                        ),
                    )  # fmt: skip
        finally:
            self.database.close()
            self.read_only_reason = self.read_only_reason or "it is closed"


def _give_up_rows(connection: sqlite3.Connection, doomed: Sequence[Row]) -> None:
    """Delete runs of rows; what touches becomes one run, with the chain hash behind it."""
    for first, last, chain in doomed:
        connection.execute("DELETE FROM records WHERE seq BETWEEN ? AND ?", (first, last))
        start = first
        before = connection.execute(
            "SELECT first_seq, last_seq FROM gone WHERE first_seq < ? ORDER BY first_seq DESC LIMIT 1", (first,)
        ).fetchone()
        if before is not None and before[1] == first - 1:
            start = before[0]
        behind = connection.execute("SELECT last_seq, chain FROM gone WHERE first_seq = ?", (last + 1,)).fetchone()
        end, link = (last, chain) if behind is None else behind
        connection.execute("DELETE FROM gone WHERE first_seq BETWEEN ? AND ?", (start, end))
        connection.execute("INSERT INTO gone VALUES (?, ?, ?)", (start, end, link))


def _is_passing(error: LedgerError) -> bool:
    """Return whether the database is as it was before, and may take the same again later."""
    return (
        isinstance(error, LedgerBusyError)
        or getattr(error, "errno", None) == errno.ENOSPC
        or getattr(error.__cause__, "sqlite_errorname", "") in PASSING
    )


def _told(error: LedgerError) -> str:
    return getattr(error, "strerror", None) or str(error)
