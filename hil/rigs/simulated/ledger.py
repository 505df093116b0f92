"""The gateway's ledger on a simulated rig: on the rig's disk, written in the rig's time, by no thread."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from gateway.clock import Clock
from gateway.ledger.base import LedgerLike, Options
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.opening import create
from gateway.ledger.storage import OsFile, OsStorage, StoredFile
from gateway.runtime.committer import Committer, Post
from hil.rigs.disk import Disk

MADE: Final = "META.a"


class RigFile:
    """A file on the rig's disk. No power cut happens to it, so nothing waits for the medium."""

    def __init__(self, file: OsFile, disk: Disk, name: str) -> None:
        self._file = file
        self._disk = disk
        self._name = name
        self.read = file.read
        self.size = file.size
        self.close = file.close

    def write(self, data: bytes, offset: int) -> None:
        """Write all of it. Raises: OSError (ENOSPC) while the disk is full."""
        check(self._disk, self._name)
        self._file.write(data, offset)

    def sync(self) -> None:
        """It is there. Raises: OSError (ENOSPC) while the disk is full."""
        check(self._disk, self._name)


class RigStorage:
    """A folder on the rig's disk."""

    def __init__(self, path: Path, disk: Disk) -> None:
        self._disk = disk
        self._storage = storage = OsStorage(path)
        self.names = storage.names
        self.remove = storage.remove

    def make_folder(self, folder: str) -> None:
        """Make a folder and what it stands in."""
        check(self._disk, folder)
        self._storage.make_folder(folder)

    def open(self, name: str, *, create: bool = False, writable: bool = True) -> StoredFile:
        """Open a file."""
        if create:
            check(self._disk, name)
        return RigFile(self._storage.open(name, create=create, writable=writable), self._disk, name)

    def rename(self, old: str, new: str) -> None:
        """Rename a file."""
        check(self._disk, new)
        self._storage.rename(old, new)

    def sync_folder(self, folder: str = "") -> None:
        """They are there."""
        check(self._disk, folder)


def check(disk: Disk, name: str) -> None:
    """Raise OSError (ENOSPC) while the disk is full."""
    if disk.is_full:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)


def open_ledger(folder: Path, options: Options, clock: Clock, disk: Disk) -> LedgerLike:
    """Return the ledger in a folder of the rig's disk, a new one where there is none. Raises: as `Ledger.open`."""
    storage = RigStorage(folder, disk)
    own = msgspec.structs.replace(options, archives_in_child=False, sheds=False, unit_bytes=4096)
    if not (folder / MADE).exists():
        create(storage, own)
    return Ldg1Ledger(storage, own, clock, background=False)


class LoopCommitter(Committer):
    """Does on the loop, in its time, what the committer's thread does elsewhere: the same waits, the same work."""

    _loop: asyncio.AbstractEventLoop
    _turn_at: asyncio.TimerHandle | None = None
    _is_running = False

    def start(self, post: Post) -> None:
        """Open the ledger, and work from now on."""
        del post
        self._loop = asyncio.get_running_loop()
        self.post = self._soon
        self._is_running = True
        self._turn()

    async def stop(self, timeout_s: float) -> bool:
        """Append what waits and close the ledger."""
        del timeout_s
        self._is_stopping = True
        if self._is_running:
            self._is_running = False
            self._forget()
            while not self._is_over():
                self.work()
            self._close()
        return True

    def _rouse(self, *, urgent: bool = False, now: bool = False, stopping: bool = False) -> None:
        super()._rouse(urgent=urgent, now=now, stopping=stopping)
        if self._is_running and self._ledger is not None:
            self._within(self._patience_s())

    def _soon(self, run: Callable[[], None]) -> None:
        self._loop.call_soon(run)

    def _patience_s(self) -> float:
        """Return for how long what waits may wait for company."""
        if self._is_now:
            return 0.0
        return self._gather_now_s() if self._is_urgent else self.wait_s

    def _turn(self) -> None:
        self._turn_at = None
        if self._ledger is not None or self.open():
            self.work()
        if self._ledger is None:
            self._within(self._backoff.delay_s())
        elif self._is_woken:
            self._within(self._patience_s())
        elif (quiet_s := self._until_committed_s()) is not None:
            self._within(quiet_s)

    def _look(self, *, now: bool = False) -> None:
        if isinstance(self._ledger, Ldg1Ledger):
            self._ledger.tick()  # nothing in the background does
        super()._look(now=now)

    def _within(self, delay_s: float) -> None:
        due_s = self._loop.time() + delay_s
        if self._turn_at is None or due_s < self._turn_at.when():
            self._forget()
            self._turn_at = self._loop.call_at(due_s, self._turn)

    def _forget(self) -> None:
        if self._turn_at is not None:
            self._turn_at.cancel()
            self._turn_at = None
