"""Layer 5: the pre-written segments that commits go to: which is current, which may be recycled.

A segment is written with zeros once, under another name until it is whole, and recycled in place for ever after: a
commit changes no size and no extent, so it costs its own bytes and one flush. FORMAT.md section 2.
"""

from __future__ import annotations

import contextlib
import errno
from typing import Final

from gateway.ledger.recovery import Live
from gateway.ledger.storage import Storage, StoredFile

FOLDER: Final = "hot"
PIECE_BYTES: Final = 262_144
SPARES: Final = 2  # a roll leaves one segment that is never live: for the commit after a failed one


def segment_name(number: int) -> str:
    """Return the name of a segment in the ledger's folder."""
    return f"{FOLDER}/{number:02d}.seg"


def prewrite(storage: Storage, name: str, segment_bytes: int) -> None:
    """Write a segment of zeros; it has its name only when it is whole and durable. Raises: OSError."""
    unfinished = f"{name}.tmp"
    file = storage.open(unfinished, create=True)
    try:
        for at in range(0, segment_bytes, PIECE_BYTES):
            file.write(bytes(min(PIECE_BYTES, segment_bytes - at)), at)
        file.sync()
    finally:
        file.close()
    storage.rename(unfinished, name)
    storage.sync_folder(FOLDER)


class Ring:
    """The segments of one ledger."""

    def __init__(self, storage: Storage, segment_bytes: int, count: int) -> None:
        self._storage = storage
        self.segment_bytes = segment_bytes
        self.count = count  # of a complete ring
        self.live: list[Live] = []  # by epoch; the last one is current
        self.poisoned: set[str] = set()  # a sync failed there: not written again by this process
        self.last_epoch: dict[str, int] = {}  # of each ready segment
        self.top_epoch = 0
        self._file: StoredFile | None = None

    @property
    def ready(self) -> int:
        """Return how many segments are pre-written."""
        return len(self.last_epoch)

    @property
    def room(self) -> int:
        """Return the bytes left in the current segment."""
        return self.segment_bytes - self.live[-1].end if self.live and not self._is_closed else 0

    @property
    def _is_closed(self) -> bool:
        return self.live[-1].name in self.poisoned or self.live[-1].limit_seq is not None

    def free(self) -> list[str]:
        """Return the segments that may be recycled, the least recently used first."""
        taken = {each.name for each in self.live} | self.poisoned
        names = (name for name in self.last_epoch if name not in taken)
        return sorted(names, key=lambda name: (self.last_epoch[name], len(name), name))

    def missing(self) -> str | None:
        """Return the name of a segment that is still to be pre-written."""
        return next((name for name in map(segment_name, range(self.count)) if name not in self.last_epoch), None)

    def prewrite_one(self) -> bool:
        """Pre-write one more segment; return whether there is one more. Without room on the disk: a shorter ring."""
        name = self.missing()
        if name is None:
            return False
        try:
            prewrite(self._storage, name, self.segment_bytes)
        except OSError:
            with contextlib.suppress(OSError):
                self._storage.remove(f"{name}.tmp")
            self.count = self.ready
            return False
        self.last_epoch[name] = 0
        return True

    def restore(self) -> None:
        """Pre-write again what is gone between segments that are there; what has no room stays gone."""
        highest = max(
            (int(name.removeprefix(f"{FOLDER}/").removesuffix(".seg")) for name in self.last_epoch), default=-1
        )
        for name in map(segment_name, range(highest)):
            if name not in self.last_epoch:
                with contextlib.suppress(OSError):
                    prewrite(self._storage, name, self.segment_bytes)
                    self.last_epoch[name] = 0

    def roll(self, first_seq: int) -> None:
        """Make a free segment the current one. Raises: OSError; the caller has made sure that one is free."""
        name = self.free()[0]
        self._close()
        self.top_epoch += 1
        self.last_epoch[name] = self.top_epoch
        self.live.append(Live(name, self.top_epoch, first_seq, first_seq, 0, None))

    def append(self, frame: bytes, next_seq: int) -> None:
        """Write one commit behind the last and return when it is durable. Raises: OSError."""
        current = self.live[-1]
        if self._file is None:
            self._file = self._storage.open(current.name)
        self._file.write(frame, current.end)
        self._file.sync()
        self.live[-1] = current._replace(end=current.end + len(frame), next_seq=next_seq)

    def poison(self, limit_seq: int) -> None:
        """Never write the current segment again: a sync of it failed. What was acknowledged in it stays live."""
        current = self.live[-1]
        self._close()
        self.poisoned.add(current.name)
        if current.next_seq == current.first_seq:
            self.live.pop()  # nothing in it was acknowledged
        else:
            self.live[-1] = current._replace(limit_seq=limit_seq)

    def confirm(self, frame: bytes) -> None:
        """Ask through a new file whether the medium gives back the commit just written. Raises: OSError."""
        current = self.live[-1]
        file = self._storage.open(current.name, writable=False)
        try:
            if file.read(len(frame), current.end - len(frame)) != frame:
                raise OSError(errno.EIO, "what was written is not what is read back")
        finally:
            file.close()

    def release(self, epoch: int) -> None:
        """Let go of the segments up to an epoch: archives hold them durably."""
        self.live = [each for each in self.live if each.epoch > epoch]

    def sync_live(self) -> None:
        """Bring to the medium what an earlier process may have written and not synced. Raises: OSError."""
        for each in self.live:
            file = self._storage.open(each.name)
            try:
                file.sync()
            finally:
                file.close()

    def close(self) -> None:
        """Let go of the current segment's file."""
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            file, self._file = self._file, None
            with contextlib.suppress(OSError):
                file.close()
