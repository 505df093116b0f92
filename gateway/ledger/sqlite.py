"""Layer 5: the same ledger on SQLite, for who would rather trust it: WAL, synchronous FULL, one connection.

One row a record, with the leaf of our own format chained record by record, so that `verify` and `head` mean the same.
It writes about three times the bytes, and tells damage inside the file only as far as the chain does.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from gateway.clock import Clock
from gateway.errors import GatewayError, LedgerFormatError, LedgerReadOnlyError, LedgerStorageError
from gateway.ledger.background import Background
from gateway.ledger.base import NS, Head, Item, Options
from gateway.ledger.cursor import StoredCursor
from gateway.ledger.governor import CONSUMER_TLC_32GB_BYTES, Governor
from gateway.ledger.lock import NAME as LOCK
from gateway.ledger.lock import WriterLock
from gateway.ledger.sqlite_file import FILE, SIDE_FILES, create
from gateway.ledger.sqlite_keep import SqliteKeeper
from gateway.ledger.sqlite_log import PAGE_BYTES, SqliteLog
from gateway.ledger.sqlite_reader import Readable, SqliteReader

log = logging.getLogger(__name__)

LEAST_WAIT_NS: Final = NS // 200
RETRY_NS: Final = 2 * NS  # after a commit failed
UNFINISHED: Final = f"{FILE}.tmp"
OURS: Final = {FILE, *SIDE_FILES, LOCK, UNFINISHED, f"{UNFINISHED}-wal", f"{UNFINISHED}-shm", f"{UNFINISHED}-journal"}


def open_sqlite(
    folder: Path, options: Options, clock: Clock, *, read_only: bool = False, background: bool = True
) -> SqliteLedger | SqliteReader:
    """Return the ledger in a folder; without one, and not read-only, a new one.

    Raises: LedgerMissingError, LedgerBusyError, LedgerFormatError, LedgerStorageError.
    """
    if read_only:
        return SqliteReader(folder)
    return SqliteLedger(folder, options, clock, background=background)


class SqliteLedger(Readable):
    """The ledger in one database file, open for writing.

    In the background one thread commits what has waited for its window and does the upkeep. Without it (tests) the
    same happens in `tick`, and at every append.
    """

    def __init__(self, folder: Path, options: Options, clock: Clock, *, background: bool = True) -> None:
        """Open it, or make it. Raises: LedgerBusyError, LedgerFormatError, LedgerStorageError."""
        self._path = folder / FILE
        self._options = options
        self._clock = clock
        self._held = hold(folder)
        try:
            self.log = SqliteLog(self._path, clock, tells_early=options.tells_early)
        except BaseException:
            self._held.release()
            raise
        super().__init__(self.log.database)
        self._held.tell(self.log.about.log_id)
        self._governor = Governor(options, clock.monotonic_ns())
        self._keeper = SqliteKeeper(self.log, options, clock, lambda seq: self.read(seq, durable_only=True))
        self._retry_ns = 0  # nothing is tried again before
        self._is_closed = False
        self._is_waiting = False  # the background knows that something waits for its window
        self._background = Background(self.tick, self._idle_s) if background else None

    # ---- writing

    def append(
        self, kind: str, route: str | None, body: Any, class_: str = "telemetry", cause: int | None = None
    ) -> int:
        """Return the sequence number."""
        return self.append_many([(kind, route, body, class_, cause)]).start

    def append_many(self, records: Iterable[Item]) -> range:
        """Return the sequence numbers."""
        checked = self.log.check(records if isinstance(records, list) else list(records))
        if not checked.records:
            return range(self.log.next_seq, self.log.next_seq)
        seqs = self.log.put(checked)
        if checked.is_urgent:
            self.flush(seqs[-1])
        elif self.log.is_almost_full and self._clock.monotonic_ns() >= self._retry_ns:
            with suppress(LedgerStorageError):  # it waits on: whoever needs it durable flushes and is told
                self.flush(seqs[-1])
        elif self._background is None:
            self.tick()
        elif not self._is_waiting:
            self._is_waiting = True
            self._background.wake()
        return seqs

    def note_clock(self, quality: str) -> None:
        """Do nothing: rows keep the time alone; what it is worth, the records of kind clock tell."""

    def flush(self, seq: int | None = None) -> None:
        """Return when everything up to `seq` is durable."""
        if self.log.durable_seq >= (self.log.next_seq - 1 if seq is None else min(seq, self.log.next_seq - 1)):
            return
        try:
            self.log.commit()
        except GatewayError:
            self._retry_ns = self._clock.monotonic_ns() + RETRY_NS
            raise
        self._account()

    @property
    def durable_seq(self) -> int:
        """Return the last sequence number that is on the medium."""
        return self.log.durable_seq

    def tick(self) -> None:
        """Commit what has waited for its window, and do the upkeep that is due."""
        self._is_waiting = False
        now_ns = self._clock.monotonic_ns()
        if now_ns < self._retry_ns or self.log.read_only_reason:
            return
        oldest_ns = self.log.oldest_ns
        if oldest_ns is not None and now_ns - oldest_ns >= self._governor.window_ns:
            self.flush()
        self._keeper.work()

    @property
    def gather_ns(self) -> int:
        """Return for how long state may wait for company now."""
        return self._governor.gather_ns

    def _account(self) -> None:
        body = self._governor.account(self.log.counters.bytes_written, self._clock.monotonic_ns())
        if body is not None:
            log.info("the ledger's day budget: %s", body["level"])
            self.log.put(self.log.check([("note", None, body, "state")]))

    def _idle_s(self) -> float | None:
        """Return for how long there is nothing to do; None: until somebody says so."""
        if self.log.read_only_reason:
            return None
        due_ns, oldest_ns = self._keeper.due_ns, self.log.oldest_ns
        if oldest_ns is not None:
            self._is_waiting = True
            due_ns = min(due_ns, oldest_ns + self._governor.window_ns)
        due_ns = max(due_ns, self._retry_ns)
        return max(LEAST_WAIT_NS, due_ns - self._clock.monotonic_ns()) / NS

    def compact(self) -> dict[str, Any]:
        """Apply retention, look at every row and give free pages back, now; return what was done."""
        self.flush()
        return self._keeper.compact()

    # ---- reading

    def _settle(self) -> None:
        """Commit what waits; where that cannot be, what is durable can still be read."""
        if not self.log.read_only_reason:
            with suppress(LedgerStorageError, LedgerReadOnlyError):
                self.flush()

    def cursor(self, name: str) -> StoredCursor:
        """Return where the consumer of that name stands."""
        return StoredCursor(self, name)

    def head(self) -> Head:
        """Return the end of what is durable."""
        return self.log.head()

    def status(self) -> dict[str, Any]:
        """Return guarantees in force, wear, fill and damage; times in seconds, sizes in bytes."""
        log_, governor, now_ns = self.log, self._governor, self._clock.monotonic_ns()
        counters, oldest_ns = log_.counters, log_.oldest_ns
        none = {"loss_window": 0.0}
        return {
            "backend": "sqlite",
            "mode": "read-only" if log_.read_only_reason else "recording",
            "reason": log_.read_only_reason or self._keeper.error,
            "log_id": log_.about.log_id.hex(),
            "incarnation": log_.about.incarnation,
            "boot_no": log_.about.boot_no,
            "last_seq": log_.next_seq - 1,
            "durable_seq": log_.durable_seq,
            "guarantees": {
                "telemetry": {"loss_window": governor.window_ns / NS},
                "state": {**none, "gather": governor.gather_ns / NS},
                "command": none,
                "audit": none,
            },
            "waiting": (now_ns - oldest_ns) / NS if oldest_ns is not None else None,
            "wear": {
                "bytes_written": counters.bytes_written,  # reckoned: SQLite does not tell
                "payload_bytes": counters.payload_bytes,
                "records": counters.records,
                "commits": counters.commits,
                "units": counters.units,
                "unit_bytes": PAGE_BYTES,
                "write_amplification": counters.bytes_written / counters.payload_bytes
                if counters.payload_bytes
                else None,
                "bytes_per_day": governor.bytes_per_day(now_ns),
                "budget_per_day": self._options.budget_bytes_per_day or None,
                "level": governor.level,
                "card_years": governor.years(now_ns),
                "card_endurance_bytes": CONSUMER_TLC_32GB_BYTES,
            },
            "database": self._keeper.sizes(),
            "shed": counters.shed,
            "failures": counters.failures,
            "damage": [msgspec.to_builtins(each) for each in log_.found],
        }

    # ---- the end

    def close(self) -> None:
        """Commit, say that this is the end, and let go."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._background is not None:
            self._background.stop()
        try:
            self.log.close()
        except LedgerReadOnlyError as error:
            log.warning("the ledger was closed after a failure: %s", error)
        finally:
            self._held.release()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def hold(folder: Path) -> WriterLock:
    """Take the lock of the ledger in a folder; where there is none, make it. What fails leaves nothing behind.

    Raises: LedgerBusyError, LedgerFormatError, LedgerStorageError.
    """
    was_there = folder.exists()
    try:
        if was_there and (others := sorted({entry.name for entry in folder.iterdir()} - OURS)):
            raise LedgerFormatError(f"{folder} holds other things ({', '.join(others[:3])}); give an empty folder")
        folder.mkdir(parents=True, exist_ok=True)
        lock = WriterLock(folder)
    except OSError as error:
        if isinstance(error, LedgerStorageError):
            raise
        raise LedgerStorageError(error.errno or 0, f"{folder}: {os.strerror(error.errno or 0)}") from error
    try:
        if not (folder / FILE).exists():
            create(folder, os.urandom(16))
    except BaseException:
        lock.release()
        if not was_there:
            with suppress(OSError):
                (folder / LOCK).unlink(missing_ok=True)
                folder.rmdir()
        raise
    return lock
