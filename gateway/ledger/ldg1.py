"""Layer 5: a ledger of our own format, open for writing: the log with its window, its upkeep and its readers.

In the background one thread commits what has waited for its window and does the upkeep. Without it (tests, the crash
enumerator) the same happens in `tick`, and at every append.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, Final, Self

from gateway.clock import Clock
from gateway.errors import LedgerError, LedgerReadOnlyError, LedgerStorageError
from gateway.ledger.background import Background
from gateway.ledger.base import Head, Item, Options, Verification
from gateway.ledger.cursor import StoredCursor
from gateway.ledger.fold import State
from gateway.ledger.frame import QUALITIES
from gateway.ledger.governor import Governor
from gateway.ledger.log import Log
from gateway.ledger.opening import open_log
from gateway.ledger.reader import Reader
from gateway.ledger.record import Gap, Record
from gateway.ledger.storage import Storage
from gateway.ledger.upkeep import Upkeep

log = logging.getLogger(__name__)

LEAST_WAIT_S: Final = 0.005


class Ldg1Ledger:
    """The ledger in one storage; the caller holds its lock."""

    def __init__(self, storage: Storage, options: Options, clock: Clock, *, background: bool = True) -> None:
        """Recover and go on. Raises: LedgerMissingError, LedgerFormatError, LedgerStorageError."""
        self._storage = storage
        self._clock = clock
        self.upkeep = Upkeep(storage, options, clock)
        self._options = options = self.upkeep.options
        self._governor = Governor(options, clock.monotonic_ns())
        self.log: Log = open_log(storage, clock, options, self.upkeep.known(), self.upkeep.seal)
        self.upkeep.attach(self.log)
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
        if self.log.is_almost_full or checked.is_urgent:
            self.flush(seqs[-1])
        elif self._background is None:
            self.tick()
        elif not self._is_waiting:
            self._is_waiting = True
            self._background.wake()
        return seqs

    def note_clock(self, quality: str) -> None:
        """Take how far the wall clock can be trusted: the commits that follow say so."""
        self.log.quality = QUALITIES.index(quality)

    def flush(self, seq: int | None = None) -> None:
        """Return when everything up to `seq` is durable."""
        last = self.log.next_seq - 1 if seq is None else seq
        self.log.commit()
        if self.log.durable_seq < min(last, self.log.next_seq - 1):
            raise LedgerStorageError(5, self.log.read_only_reason or f"record {last} did not become durable")
        self._account()
        if self.log.wants_upkeep:
            is_bound = self._options.is_small and not self._options.sheds  # to its size before it goes on
            if self._background is None or is_bound:
                self.upkeep.work()
            else:
                self._background.wake()

    @property
    def durable_seq(self) -> int:
        """Return the last sequence number that is on the medium."""
        return self.log.durable_seq

    def tick(self) -> None:
        """Commit what has waited for its window, and do the upkeep that is due."""
        if self.log.read_only_reason:
            return
        self._is_waiting = False
        oldest_ns = self.log.oldest_ns
        if oldest_ns is not None and self._clock.monotonic_ns() - oldest_ns >= self._governor.window_ns:
            self.flush()
        elif self.log.wants_upkeep:
            self.upkeep.work()

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
        if self.log.wants_upkeep:
            return self.upkeep.wait_s
        oldest_ns = self.log.oldest_ns
        if oldest_ns is None:
            return None
        return max(LEAST_WAIT_S, (oldest_ns + self._governor.window_ns - self._clock.monotonic_ns()) / 1e9)

    # ---- reading

    def read(self, from_seq: int = 1, *, durable_only: bool = False) -> Iterator[Record | Gap]:
        """Yield records in order; what waits in memory is committed first."""
        if not durable_only:
            self._commit_if_writable()
        return self._reader().read(from_seq)

    def replay(self, until: int | None = None) -> State:
        """Return the folded state."""
        self._commit_if_writable()
        return self._reader().replay(until)

    def verify(self, *, deep: bool = False, against: Head | None = None) -> Verification:
        """Check everything, without changing anything."""
        from gateway.ledger.verify import verify

        self._commit_if_writable()
        return verify(self._storage, deep=deep, against=against)

    def _commit_if_writable(self) -> None:
        if not self.log.read_only_reason:
            self.flush()

    def _reader(self) -> Reader:
        return Reader(self._storage)

    def cursor(self, name: str) -> StoredCursor:
        """Return where the consumer of that name stands."""
        return StoredCursor(self, name)

    def head(self) -> Head:
        """Return the end of what is durable."""
        return self.log.head()

    def compact(self) -> dict[str, Any]:
        """Seal, apply retention and scrub the archives now; return what was done."""
        self.flush()
        try:
            return self.upkeep.compact()
        except OSError as error:
            if isinstance(error, LedgerError):
                raise
            raise LedgerStorageError(error.errno or 0, f"compacting failed: {error}") from error

    def status(self) -> dict[str, Any]:
        """Return guarantees in force, wear, fill and damage."""
        from gateway.ledger.report import report

        return report(self.log, self._governor, self.upkeep, self._options, self._clock.monotonic_ns())

    def close(self) -> None:
        """Commit, say that this is the end, and let go."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._background is not None:
            self._background.stop()
        self.upkeep.stop()
        try:
            self.log.close()
        except LedgerReadOnlyError as error:
            log.warning("the ledger was closed after a failure: %s", error)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()
