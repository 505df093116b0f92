"""Layer 5: what keeps a log going beside its commits: sealing, snapshots, retention, and telling what was shed.

Sealing runs here, or in a child process. Nothing here is in the way of a commit: what the two share is the log's
`medium` lock, held while META is told that segments are sealed.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from gateway.clock import Clock
from gateway.ledger import snapshot
from gateway.ledger.archive import ArchiveInfo
from gateway.ledger.base import Damage, Options
from gateway.ledger.child import ChildSeal
from gateway.ledger.log import ALMOST_FULL, Log, Sealed
from gateway.ledger.metafile import MetaFile
from gateway.ledger.opening import Known, derived_meta
from gateway.ledger.reader import Reader
from gateway.ledger.recovery import Live
from gateway.ledger.retention import bytes_allowed, retain
from gateway.ledger.seal import Hurt, frames_of_archive, seal, tidy
from gateway.ledger.shelf import archives_of
from gateway.ledger.storage import OsStorage, Storage

log = logging.getLogger(__name__)

CHILD_POLL_S: Final = 0.05
RETRY_S: Final = 2.0  # after sealing failed


class Upkeep:
    """The keeper of one log."""

    def __init__(self, storage: Storage, options: Options, clock: Clock) -> None:
        """Look at the archives. Raises: LedgerFormatError, OSError."""
        self._storage = storage
        self._options = options
        self._clock = clock
        self._log: Log | None = None
        self._child: ChildSeal | None = None
        self._told: dict[str, Any] | None = None  # of the snapshot that a child took
        self.error = ""  # of the last upkeep; "" when it went well
        meta = MetaFile.read(storage) or derived_meta(storage)
        self._log_id = b"" if meta is None else meta.meta.log_id
        self._unit_bytes = 0 if meta is None else meta.meta.unit_bytes
        self.archives: list[ArchiveInfo] = archives_of(storage, self._log_id)

    def known(self) -> Known:
        """Return what the archives hold."""
        if not self.archives:
            return Known()
        last = self.archives[-1]
        return Known(last.last_epoch, last.last_seq, bytes.fromhex(last.chain), last.incarnation)

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
        return self._take(seal(self._storage, self._log_id, self._unit_bytes, segments))

    def _of_child(self) -> Sealed:
        assert self._child is not None
        child, self._child = self._child, None
        info, self._told = child.result()
        return self._take(info)

    def _take(self, info: ArchiveInfo) -> Sealed:
        self.archives = [each for each in self.archives if each.last_seq < info.first_seq] + [info]
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
                if self._options.archives_in_child and isinstance(self._storage, OsStorage):
                    self._child = ChildSeal(self._storage, self._log_id, self._unit_bytes, log_.sealable())
                    return False
                log_.seal()
            log_.wants_upkeep = False
            return True

    def _after_sealing(self, log_: Log) -> None:
        told, self._told = self._told, None
        if told is None and self.archives:
            told = snapshot.take(self._storage, self._log_id, self.archives, self.archives[-1].last_seq)
        if told is not None:
            self._declare(log_, "snapshot", told)
        self._retain(log_)

    def _declare(self, log_: Log, kind: str, body: dict[str, Any]) -> None:
        log_.put(log_.check([(kind, None, body, "state")]))
        log_.commit()

    def _retain(self, log_: Log, need_bytes: int = 0) -> None:
        before = self.archives[0].first_seq if self.archives else 1
        retain(
            self._storage,
            self.archives,
            self._options,
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
            spare = bytes_allowed(self._options) - self._size()
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

    def _scrub(self, log_: Log) -> list[Damage]:
        """Read every archive; declare what is hurt and not declared yet."""
        declared = [
            (told["from_seq"], told["to_seq"])
            for each in Reader(self._storage).replay().damage
            if isinstance(told := each["body"], dict) and "from_seq" in told and "to_seq" in told
        ]
        found: list[Damage] = []
        for info in self.archives:
            for frame in frames_of_archive(self._storage, info):
                if not isinstance(frame, Hurt):
                    continue
                found.append(Damage(frame.from_seq, info.name, frame.offset, frame.reason))
                if any(first <= frame.from_seq and frame.to_seq <= last for first, last in declared):
                    continue
                body = {
                    "from_seq": frame.from_seq, "to_seq": frame.to_seq, "reason": frame.reason, "file": info.name,
                    "offset": frame.offset,
                }  # fmt: skip
                log_.put(log_.check([("damage", None, body, "state")]))
        log_.commit()
        return found

    def stop(self) -> None:
        """End what is under way."""
        if self._child is not None:
            self._child.stop()
            self._child = None
