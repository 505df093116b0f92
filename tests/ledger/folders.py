"""Small ledgers to hurt: made by the real writer, in memory, the same to the byte at every run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gateway.ledger import opening
from gateway.ledger.archive import ArchiveInfo
from gateway.ledger.base import Head, Options, Verification
from gateway.ledger.known import Known, known_by
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.log import Log, Sealed
from gateway.ledger.opening import create, open_log
from gateway.ledger.recovery import Live
from gateway.ledger.seal import seal
from gateway.ledger.shelf import in_line, shelf
from gateway.ledger.verify import verify
from gateway.testing import FakeClock
from gateway.testing.storage import Image, MemoryFile, MemoryStorage

UNIT = 512
TINY = Options(ring_bytes=3 * 8 * UNIT, segment_bytes=8 * UNIT, unit_bytes=UNIT)
LOG_ID = bytes(range(16))
OTHER_ID = bytes(range(100, 116))


class BusyStorage(MemoryStorage):
    """Has somebody do something whenever a segment is opened for reading: a writer beside a reader."""

    def __init__(self, image: Image) -> None:
        super().__init__(image)
        self.left = 0  # how often
        self.busy: Callable[[], object] = lambda: None

    def open(self, name: str, *, create: bool = False, writable: bool = True) -> MemoryFile:
        if self.left and not writable and name.startswith("hot/"):
            left, self.left = self.left, 0  # what it does opens segments too
            self.busy()
            self.left = left - 1
        return super().open(name, create=create, writable=writable)


def archives(storage: MemoryStorage) -> list[ArchiveInfo]:
    """Return the archives of the one ledger there."""
    found = shelf(storage)
    ids = {each.info.log_id for each in found if each.info is not None}
    return in_line(found, ids.pop()) if ids else []


def made(options: Options = TINY, log_id: bytes = LOG_ID) -> MemoryStorage:
    """Return an empty ledger with its whole ring."""
    storage = MemoryStorage()
    given, opening.os.urandom = opening.os.urandom, lambda count: log_id[:count]  # type: ignore[attr-defined]
    try:
        create(storage, options, whole=True)
    finally:
        opening.os.urandom = given  # type: ignore[attr-defined]
    return storage


def opened(storage: MemoryStorage, options: Options = TINY, clock: FakeClock | None = None) -> Log:
    """Return its log, open for writing."""

    def sealed(segments: Sequence[Live]) -> Sealed:
        info = seal(storage, log.meta.meta.log_id, options.unit_bytes, segments, "zlib")
        return Sealed(info.last_epoch, info.last_seq, bytes.fromhex(info.chain))

    log = open_log(storage, clock or FakeClock(), options, known_of(storage), sealed)
    return log


def known_of(storage: MemoryStorage) -> Known:
    """Return what the archives hold."""
    return known_by(storage, archives(storage), 1)


def commit(log: Log, *bodies: Any, kind: str = "note", route: str | None = "a/b/c", class_: str = "state") -> None:
    """Append records as one commit."""
    log.put(log.check([(kind, route, body, class_) for body in bodies]))
    log.commit()


def filled(commits: int = 6, options: Options = TINY, log_id: bytes = LOG_ID, *, is_closed: bool = True) -> Image:
    """Return the files of a ledger of so many commits, two records each."""
    storage = made(options, log_id)
    clock = FakeClock()
    log = opened(storage, options, clock)
    for number in range(commits):
        commit(log, {"value": number}, bytes([number % 256]) * 3)
        clock.advance(1)
    if is_closed:
        log.close()
    return storage.image()


def checked(image: Image, *, deep: bool = False, against: Head | None = None) -> Verification:
    """Verify files."""
    return verify(MemoryStorage(image), deep=deep, against=against)


def reasons(found: Verification) -> list[tuple[int, str, str]]:
    """Return what stands against a ledger, without offsets."""
    return [(each.seq, each.file, each.reason) for each in found.damage]


def changed(image: Image, name: str, data: bytes) -> Image:
    """Return files of which one holds something else."""
    return {**image, name: data}


def flipped(data: bytes, bit: int) -> bytes:
    """Return bytes with one bit turned."""
    hurt = bytearray(data)
    hurt[bit // 8] ^= 1 << bit % 8
    return bytes(hurt)


def without(image: Image, names: Iterable[str]) -> Image:
    """Return files without some."""
    gone = set(names)
    return {name: data for name, data in image.items() if name not in gone}


def storied(commits: int = 60, options: Options = TINY, *, is_closed: bool = True) -> Image:
    """Return the files of a ledger with archives, snapshots, a declared drop, several kinds, routes and causes."""
    storage = made(options)
    clock = FakeClock()
    ledger = Ldg1Ledger(storage, options, clock, background=False)
    for number in range(commits):
        seq = ledger.append("command_intent", "pump/motor/speed@desired", {"value": number}, "command")
        ledger.append("command_result", "pump/motor/speed@ack", {"ok": True}, "state", cause=seq)
        ledger.append("reading", f"pump/link/f{number % 3}@frame", bytes([number]) * 8)
        clock.advance(1)
    ledger.append("gap", None, {"dropped": 3, "reason": "the queue was full"}, "state")
    if is_closed:
        ledger.close()
    return storage.image()
