"""Layer 5: the log of our own format, open for writing: numbers records, commits frames, rolls, survives a failed sync.

Two locks: whoever numbers records holds `_buffer`, whoever writes holds `medium`; the second may take the first, never
the other way round. So a slow card holds up who waits for it, and nobody else. Threads are `ldg1.py`'s.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from gateway.clock import Clock
from gateway.errors import LedgerBehindError, LedgerReadOnlyError, LedgerStorageError, RecordError
from gateway.ledger.base import Damage, Head, Options
from gateway.ledger.draft import Checked, Checker, Draft, Routes
from gateway.ledger.frame import AFTER_UNCLEAN, MILLISECOND_NS, SEGMENT_START, Stamp
from gateway.ledger.metafile import MetaFile
from gateway.ledger.record import MAX_BODY_BYTES
from gateway.ledger.recovery import Live
from gateway.ledger.ring import SPARES, Ring
from gateway.ledger.storage import Storage

DRAFT_BYTES: Final = 65_536  # buffered telemetry is committed when it is so much, whatever the window
WAITING_BYTES: Final = 1 << 20  # more than that never waits in memory for room on the medium
ALMOST_FULL: Final = 0.75  # of the ring: then its older half is sealed


class Sealed(NamedTuple):
    """What sealing made: everything up to here is in archives."""

    epoch: int
    seq: int
    chain: bytes


class Counters:
    """What was written since the ledger was opened."""

    __slots__ = ("bytes_written", "commits", "failures", "payload_bytes", "records", "shed", "units")

    def __init__(self) -> None:
        self.bytes_written = self.commits = self.units = self.records = self.payload_bytes = 0
        self.failures = 0  # of the medium, while committing
        self.shed = 0  # telemetry refused because archiving lags


class Log:
    """One log, open for writing."""

    def __init__(
        self,
        storage: Storage,
        clock: Clock,
        options: Options,
        *,
        meta: MetaFile,
        ring: Ring,
        next_seq: int,
        chain: bytes,
        is_after_unclean: bool,
        seal: Callable[[Sequence[Live]], Sealed],
    ) -> None:
        """Take what recovery found; `gateway.ledger.opening` makes it. `seal` brings segments into an archive."""
        self.storage = storage
        self.options = options
        self.ring = ring
        self.meta = meta
        self.counters = Counters()
        self.routes = Routes()
        self.found: list[Damage] = []  # what opening found hurt or missing
        self.read_only_reason = ""
        self.quality = 0  # of the wall clock, as the gateway knows it
        self.unit_log2 = meta.meta.unit_bytes.bit_length() - 1
        self.next_seq = next_seq
        self.durable_seq = next_seq - 1
        self.wants_upkeep = False  # sealing was done or is due: retention, snapshots
        self.sealing_error = ""  # why the last sealing failed; "" while it works
        self.meta_error = ""  # why META could not be written
        self._shed_undeclared = 0
        self._seal = seal
        self._clock = clock
        self._checker = Checker(self.routes)
        self._chain = chain
        self._after_unclean = AFTER_UNCLEAN if is_after_unclean else 0
        self._limit_bytes = min(DRAFT_BYTES, ring.segment_bytes // 8)
        self._max_body_bytes = ring.segment_bytes // 2 - meta.meta.unit_bytes
        self._drafts: list[Draft] = []
        self._buffered_bytes = 0
        self._buffer = threading.RLock()
        self.medium = threading.RLock()

    # ---- numbering

    def check(self, records: Sequence[tuple[Any, ...]]) -> Checked:
        """Return records that may be put. Raises: RecordError."""
        checked = self._checker.check(records)
        if self._max_body_bytes < MAX_BODY_BYTES and any(
            len(each[3]) > self._max_body_bytes for each in checked.records
        ):
            raise RecordError(
                f"a body over {self._max_body_bytes:,} bytes; segments of this ledger hold no larger ones"
            )
        return checked

    def put(self, checked: Checked) -> range:
        """Number records and keep them in memory. Raises: LedgerReadOnlyError, LedgerBehindError."""
        records = checked.records
        with self._buffer:
            if self.read_only_reason:
                raise LedgerReadOnlyError(self.read_only_reason)
            if not checked.is_urgent and self.is_behind:
                self.counters.shed += len(records)
                self._shed_undeclared += len(records)
                raise LedgerBehindError("archiving lags and the ring is full: telemetry is shed until it caught up")
            if self._buffered_bytes > WAITING_BYTES:
                raise LedgerStorageError(errno.ENOSPC, "the ring is full and too much waits already; make room")
            wall_ns, mono_ns = self._now()
            first, place = self.next_seq, 0
            draft = self._drafts[-1] if self._drafts else None
            if draft is None or not draft.takes(wall_ns, mono_ns):
                draft = self._new_draft(wall_ns, mono_ns)
            while True:
                before = draft.body_bytes
                place = draft.put(records, place, wall_ns, self._limit_bytes, self.routes)
                self._buffered_bytes += draft.body_bytes - before
                self.next_seq = draft.next_seq
                if place == len(records):
                    return range(first, self.next_seq)
                draft = self._new_draft(wall_ns, mono_ns)

    def _now(self) -> tuple[int, int]:
        return self._clock.wall_ns() // MILLISECOND_NS * MILLISECOND_NS, self._clock.monotonic_ns()

    def _new_draft(self, wall_ns: int, mono_ns: int) -> Draft:
        meta = self.meta.meta
        stamp = Stamp(meta.log_id, meta.incarnation, meta.boot_no, wall_ns, mono_ns, self.quality)
        self._drafts.append(Draft(stamp, self.next_seq, mono_ns))
        return self._drafts[-1]

    @property
    def is_almost_full(self) -> bool:
        """Return whether so much waits in memory that it is committed now."""
        return self._buffered_bytes >= self._limit_bytes

    @property
    def oldest_ns(self) -> int | None:
        """Return when the oldest record in memory was put, on the monotonic clock; None: there is none."""
        with self._buffer:
            return self._drafts[0].put_ns if self._drafts else None

    @property
    def is_behind(self) -> bool:
        """Return whether telemetry is shed: the spare is taken, or would be next, and sealing has not made room."""
        ring = self.ring
        lags = self.options.sheds or bool(self.sealing_error)
        if not lags or ring.missing():
            return False
        free = len(ring.free())
        return free == 0 or (free < SPARES and ring.room < 2 * self._limit_bytes)

    def shed_since(self) -> int:
        """Return how many records were shed since the last call, once no more are: for a gap record."""
        with self._buffer:
            if self.is_behind:
                return 0
            count, self._shed_undeclared = self._shed_undeclared, 0
            return count

    # ---- committing

    def commit(self) -> None:
        """Bring everything put so far to the medium. Raises: LedgerStorageError, LedgerReadOnlyError."""
        with self.medium:
            with self._buffer:
                drafts, self._drafts = self._drafts, []
                self._buffered_bytes = 0
            for place, draft in enumerate(drafts):
                if self.read_only_reason:
                    raise LedgerReadOnlyError(self.read_only_reason)
                if draft.padded_bytes(self.unit_log2) > self.ring.room:
                    try:
                        self._roll(draft.base_seq)
                    except LedgerStorageError:
                        self._put_back(drafts[place:])
                        raise
                self._write(draft)

    def _put_back(self, drafts: list[Draft]) -> None:
        with self._buffer:
            self._drafts = drafts + self._drafts
            self._buffered_bytes = sum(draft.body_bytes for draft in self._drafts)

    def _write(self, draft: Draft) -> None:
        chain = draft.chain(self._chain)
        try:
            frame = self._frame(draft, chain)
            self.ring.append(frame, draft.next_seq)
        except OSError as error:
            frame = self._rescue(draft, chain, error)
        self._chain = chain
        self.durable_seq = draft.next_seq - 1
        self._after_unclean = 0
        counters = self.counters
        counters.commits += 1
        counters.records += draft.records
        counters.payload_bytes += draft.body_bytes
        counters.bytes_written += len(frame)
        counters.units += len(frame) >> self.unit_log2

    def _frame(self, draft: Draft, chain: bytes) -> bytes:
        ring = self.ring
        start = SEGMENT_START if ring.live[-1].end == 0 else 0
        return draft.build(
            flags=start | self._after_unclean,
            epoch=ring.live[-1].epoch,
            previous=self._chain,
            chain=chain,
            unit_log2=self.unit_log2,
        )

    def _rescue(self, draft: Draft, chain: bytes, error: OSError) -> bytes:
        """Write a commit that failed to the spare segment, and believe it only when it is read back (R7)."""
        self.counters.failures += 1
        if self.counters.failures > 1:
            raise self._give_up(error) from error
        ring = self.ring
        try:
            if ring.live and not ring.free():
                raise error
            if ring.live:
                ring.poison(draft.base_seq)
            ring.roll(draft.base_seq)
            frame = self._frame(draft, chain)
            ring.append(frame, draft.next_seq)
            ring.confirm(frame)
        except OSError as again:
            self.counters.failures += 1
            raise self._give_up(again) from again
        return frame

    def _give_up(self, error: OSError) -> LedgerStorageError:
        """Acknowledge nothing any more: what the medium holds is not known."""
        with self._buffer:
            self.read_only_reason = f"the medium failed ({error}); nothing is recorded until the ledger is opened again"
            self._drafts.clear()
            self._buffered_bytes = 0
        self.ring.close()
        return LedgerStorageError(error.errno or 0, self.read_only_reason)

    # ---- rolling and sealing

    def _roll(self, first_seq: int) -> None:
        """Go on in a free segment that is not the last spare one; make one where there is none.

        Where none can be made the spare is used: what must not wait goes on, telemetry is shed (`is_behind`).
        Raises: LedgerStorageError where even that is taken; the ring is as it was.
        """
        ring = self.ring
        try:
            while len(ring.free()) < SPARES:
                if ring.prewrite_one():
                    continue
                sealable = self.sealable()
                if not sealable or (self.options.sheds and ring.free()):
                    break  # a child process seals; or there is nothing that could be
                self.sealed(self._seal(sealable))
        except OSError as error:
            self.sealing_error = str(error)
            self.wants_upkeep = True
        if not ring.free():
            reason = f"every segment holds records that no archive has yet ({self.sealing_error or 'archiving lags'})"
            raise LedgerStorageError(errno.ENOSPC, f"{reason}; make room on the disk")
        ring.roll(first_seq)
        if len(ring.live) >= ALMOST_FULL * ring.count:
            self.wants_upkeep = True

    def sealable(self) -> list[Live]:
        """Return the older half of the ring's live segments, never the current one."""
        with self.medium:
            closed = self.ring.live[:-1]
            return closed[: max(1, self.ring.count // 2)]

    def seal(self, everything: bool = False) -> bool:
        """Seal the older half now, or all but the current segment; return whether there was any. Raises: OSError."""
        with self.medium:
            segments = self.ring.live[:-1] if everything else self.sealable()
            if not segments:
                return False
            self.sealed(self._seal(segments))
            return True

    def sealed(self, done: Sealed) -> None:
        """Let go of segments that an archive holds durably."""
        with self.medium:
            self._tell_meta(sealed_epoch=done.epoch, sealed_seq=done.seq)
            self.ring.release(done.epoch)
            self.sealing_error = ""
            self.wants_upkeep = True

    def note_kept_from(self, seq: int) -> None:
        """Remember below which number retention has given up everything."""
        with self.medium:
            self._tell_meta(kept_from=seq)

    def _tell_meta(self, **changes: object) -> None:
        """Write META with the end as it is now. It speeds opening and is evidence; nothing depends on it alone."""
        try:
            self.meta.write(last_seq=self.durable_seq, chain=self._chain, **changes)
            self.meta_error = ""
        except OSError as error:
            self.meta_error = str(error)

    def head(self) -> Head:
        """Return the end of what is durable."""
        with self.medium:
            return Head(self.durable_seq, self._chain.hex())

    def close(self) -> None:
        """Commit and say that the end is the end. Raises: LedgerStorageError; nothing stays open.

        After an unclean end that no commit followed it is not said: what was torn there still lies behind the end.
        """
        with self.medium:
            try:
                if not self.read_only_reason:
                    self.commit()
                    self.meta.write(is_clean=not self._after_unclean, last_seq=self.durable_seq, chain=self._chain)
            except OSError as error:
                if isinstance(error, LedgerStorageError):
                    raise
                raise LedgerStorageError(error.errno or 0, f"closing failed: {error}") from error
            finally:
                self.ring.close()
                self.read_only_reason = self.read_only_reason or "it is closed"
