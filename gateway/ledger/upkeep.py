"""Layer 5: what keeps a log going beside its commits: sealing, snapshots, retention, and telling what was shed.

Sealing runs here, or in a child process. Nothing here is in the way of a commit: what the two share is the log's
`medium` lock, held while META is told that segments are sealed.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from gateway.clock import Clock
from gateway.ledger import snapshot
from gateway.ledger.archive import ArchiveInfo
from gateway.ledger.base import Options
from gateway.ledger.child import ChildSeal
from gateway.ledger.known import Known, known_by
from gateway.ledger.log import ALMOST_FULL, Log, Sealed
from gateway.ledger.meta import Meta
from gateway.ledger.metafile import MetaFile
from gateway.ledger.opening import derived_meta
from gateway.ledger.reader import Reader
from gateway.ledger.recovery import Live, Missing
from gateway.ledger.retention import bytes_allowed, retain
from gateway.ledger.seal import Hurt, frames_of_archive, seal, tidy
from gateway.ledger.shelf import archives_of
from gateway.ledger.storage import OsStorage, Storage

log = logging.getLogger(__name__)

CHILD_POLL_S: Final = 0.05
RETRY_S: Final = 2.0  # after sealing failed
PATIENCE: Final = 5  # failed tries after which sealing takes what can be read
LOST: Final = "it could not be read any more when it was sealed"


def settled(options: Options, meta: Meta) -> Options:
    """Return options with what was settled when the ledger was made, whatever its opener says of that."""
    return msgspec.structs.replace(
        options,
        ring_bytes=meta.segments * meta.segment_bytes,
        segment_bytes=meta.segment_bytes,
        unit_bytes=meta.unit_bytes,
        is_small=meta.is_small,
    )


class Upkeep:
    """The keeper of one log."""

    def __init__(self, storage: Storage, options: Options, clock: Clock) -> None:
        """Look at the archives. Raises: LedgerFormatError, OSError."""
        self._storage = storage
        self._clock = clock
        self._log: Log | None = None
        self._at_work = threading.Lock()  # one round at a time: taken before the log's locks, never behind them
        self._child: ChildSeal | None = None
        self._told: dict[str, Any] | None = None  # of the snapshot that a child took
        self._failures = 0  # of sealing and of keeping the state, one after another
        self.error = ""  # of the last upkeep; "" when it went well
        meta = MetaFile.read(storage) or derived_meta(storage)
        self.options = options if meta is None else settled(options, meta.meta)
        self._log_id = b"" if meta is None else meta.meta.log_id
        self._unit_bytes = 0 if meta is None else meta.meta.unit_bytes
        self._kept_from = 1 if meta is None else meta.meta.kept_from
        self.archives: list[ArchiveInfo] = archives_of(storage, self._log_id)
        self._untold = list(self.archives)  # what of them is lost may not be declared yet

    def known(self) -> Known:
        """Return what the archives hold."""
        return known_by(self._storage, self.archives, self._kept_from)

    def attach(self, log_: Log) -> None:
        """Take the log, and remove what an earlier process left half done."""
        self._log = log_
        try:
            tidy(self._storage, self.archives)
            snapshot.unfinished_in(self._storage)
        except OSError as error:
            self.error = str(error)

    # ---- sealing

    def seal(self, segments: Sequence[Live]) -> Sealed:
        """Bring segments into an archive, here and now; a child that is at it is waited for. Raises: OSError."""
        if self._child is not None:
            return self._of_child()
        with self._counted():
            info = seal(self._storage, self._log_id, self._unit_bytes, segments, salvages=self._salvages)
        return self._take(info)

    def _of_child(self) -> Sealed:
        assert self._child is not None
        child, self._child = self._child, None
        with self._counted():
            info, self._told = child.result()
        return self._take(info)

    @contextlib.contextmanager
    def _counted(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            self._failures += 1
            raise
        self._failures = 0

    @property
    def _salvages(self) -> bool:
        return self._failures >= PATIENCE

    def _take(self, info: ArchiveInfo) -> Sealed:
        self.archives = [each for each in self.archives if each.last_seq < info.first_seq] + [info]
        self._untold.append(info)
        return Sealed(info.last_epoch, info.last_seq, bytes.fromhex(info.chain))

    @property
    def wait_s(self) -> float:
        """Return after how long there is something to look at again."""
        if self._child is not None:
            return CHILD_POLL_S
        return RETRY_S if self.error else CHILD_POLL_S

    # ---- the rounds

    def work(self) -> None:
        """Do what is due. What fails is remembered, told in the status, and tried again later."""
        with self._at_work:
            self._work()

    def _work(self) -> None:
        log_ = self._log
        if log_ is None or log_.read_only_reason:
            return
        try:
            if self._seal_if_due(log_):
                self._after_sealing(log_)
            self._tell_shed(log_)
            self.error = ""
        except OSError as error:
            if str(error) != self.error:
                log.warning("the ledger's upkeep: %s", error)
            self.error = log_.sealing_error = str(error)
            log_.wants_upkeep = True
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                self._make_room(log_)

    def _seal_if_due(self, log_: Log) -> bool:
        """Return whether sealing was done since the last round, with nothing left under way."""
        with log_.medium:
            if self._child is not None:
                if self._child.is_running:
                    return False
                log_.sealed(self._of_child())
            elif len(log_.ring.live) >= ALMOST_FULL * log_.ring.count and log_.sealable():
                if self.options.archives_in_child and isinstance(self._storage, OsStorage):
                    self._child = ChildSeal(
                        self._storage, self._log_id, self._unit_bytes, log_.sealable(), salvages=self._salvages,
                        is_small=self.options.is_small,
                    )  # fmt: skip
                    return False
                log_.seal()
            log_.wants_upkeep = False
            return True

    def _after_sealing(self, log_: Log) -> None:
        self._tell_damage(
            log_, [Missing(first, last, info.name, 0, LOST) for info in self._untold for first, last in info.lost]
        )
        self._untold = []
        self._snapshot(log_)
        self._retain(log_)

    def _snapshot(self, log_: Log) -> None:
        """Keep the state that sealed history leaves, before any of it is given up. Raises: OSError."""
        told, self._told = self._told, None
        if told is None and self.archives:
            with self._counted():
                told = snapshot.take(
                    self._storage, self._log_id, self.archives, self.archives[-1].last_seq, salvages=self._salvages,
                    is_small=self.options.is_small,
                )  # fmt: skip
        if told is not None:
            self._declare(log_, "snapshot", told)

    def _declare(self, log_: Log, kind: str, body: dict[str, Any]) -> None:
        log_.put(log_.check([(kind, None, body, "state")]))
        log_.commit()

    def _retain(self, log_: Log, need_bytes: int = 0) -> None:
        before = self.archives[0].first_seq if self.archives else 1
        retain(
            self._storage,
            self.archives,
            self.options,
            self._clock.wall_ns(),
            partial(self._declare, log_, "gap"),
            need_bytes=need_bytes,
        )
        with log_.medium:  # sealing may have added one meanwhile
            self.archives = archives_of(self._storage, self._log_id)
        if self.archives and self.archives[0].first_seq != before:
            log_.note_kept_from(self.archives[0].first_seq)

    def _make_room(self, log_: Log) -> None:
        """After sealing failed on a full disk: give up the oldest telemetry, so that it can be tried again."""
        try:
            self.archives = archives_of(self._storage, self._log_id)
            with contextlib.suppress(OSError):  # where there is no room even for that, what is given up is in none
                self._snapshot(log_)
            spare = bytes_allowed(self.options) - self._size()
            self._retain(log_, need_bytes=max(0, spare) + log_.ring.segment_bytes)
        except OSError as error:
            log.debug("no room could be made: %s", error)

    def _size(self) -> int:
        return sum(info.blocks[-1].offset + info.blocks[-1].size for info in self.archives if info.blocks)

    def _tell_shed(self, log_: Log) -> None:
        count = log_.shed_since()
        if count:
            self._declare(log_, "gap", {"dropped": count, "reason": "archiving lagged and the ring was full"})

    # ---- compaction

    def compact(self) -> dict[str, Any]:
        """Seal all but the current segment, apply retention, read every archive. Raises: OSError."""
        with self._at_work:
            return self._compact()

    def _compact(self) -> dict[str, Any]:
        log_ = self._log
        assert log_ is not None
        sealed = log_.seal(everything=True)
        before = self._size()
        self._after_sealing(log_)
        hurt = self._scrub(log_)
        return {
            "sealed": sealed,
            "archives": len(self.archives),
            "archive_bytes": self._size(),
            "freed_bytes": max(0, before - self._size()),
            "damage": len(hurt),
        }

    def _scrub(self, log_: Log) -> list[Missing]:
        """Read every archive; declare what is hurt and not declared yet."""
        hurt = [
            Missing(frame.from_seq, frame.to_seq, info.name, frame.offset, frame.reason)
            for info in self.archives
            for frame in frames_of_archive(self._storage, info)
            if isinstance(frame, Hurt)
        ]
        self._tell_damage(log_, hurt)
        return hurt

    def _tell_damage(self, log_: Log, found: Sequence[Missing]) -> None:
        """Put a record of kind damage for everything that no record tells of yet; durable on return."""
        if not found:
            return
        declared = [
            (told["from_seq"], told["to_seq"])
            for each in Reader(self._storage).replay().damage
            if isinstance(told := each["body"], dict) and "from_seq" in told and "to_seq" in told
        ]
        for each in found:
            if not any(first <= each.from_seq and each.to_seq <= last for first, last in declared):
                log_.put(log_.check([("damage", None, each.body, "state")]))
        log_.commit()

    def stop(self) -> None:
        """End what is under way."""
        if self._child is not None:
            self._child.stop()
            self._child = None
