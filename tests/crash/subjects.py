"""The logs that can be put to the test, by name: `ledger`, and `toy` with the faults planted in it (`toy-no_sync`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from gateway.clock import Clock
from gateway.errors import GatewayError, LedgerMissingError, LedgerStorageError
from gateway.ledger.base import Options, Verification
from gateway.ledger.fold import State
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.metafile import read_copies
from gateway.ledger.opening import create, derived_meta, segment_files
from gateway.ledger.readonly import ReadOnlyLedger
from gateway.ledger.record import Gap, Record
from gateway.ledger.storage import Storage


class Reading(Protocol):
    """What is asked of a log that is only looked at."""

    def read(self, from_seq: int = 1) -> Iterator[Record | Gap]: ...

    def verify(self, *, deep: bool = False) -> Verification: ...


class Subject(Reading, Protocol):
    """What is asked of a log: the part of `LedgerLike` that means the same to all of them."""

    @property
    def durable_seq(self) -> int: ...

    def append(
        self, kind: str, route: str | None, body: Any, class_: str = "telemetry", cause: int | None = None
    ) -> int: ...

    def append_many(self, records: Any) -> range: ...

    def flush(self, seq: int | None = None) -> None: ...

    def close(self) -> None: ...


def open_subject(name: str, storage: Storage, clock: Clock, options: Options) -> Subject:
    """Open, or make, the log of that name in a storage. Raises: GatewayError."""
    if name.startswith("toy"):
        from tests.crash.toy import ToyLog

        return ToyLog(storage, clock, frozenset(name.split("-")[1:]))
    try:
        if not holds_ledger(storage):
            create(storage, options)
        return Ldg1Ledger(storage, options, clock, background=False)
    except OSError as error:
        if isinstance(error, GatewayError):
            raise
        raise LedgerStorageError(error.errno or 0, str(error)) from error


def holds_ledger(storage: Storage) -> bool:
    """Return whether a ledger lies there, as `gateway.ledger.ledger` decides it."""
    if any(meta is not None for meta in read_copies(storage).values()):
        return True
    return bool(segment_files(storage)) and (derived_meta(storage) is not None or bool(storage.names("arc")))


def look_at(name: str, storage: Storage) -> Reading | None:
    """Return a log as who must not write sees it; None where there is none, or the log cannot be looked at."""
    if name.startswith("toy"):
        return None
    try:
        return ReadOnlyLedger(storage)
    except LedgerMissingError:
        return None


def durable_records(name: str, log: Subject, storage: Storage, from_seq: int) -> Iterator[Record]:
    """Yield what is on the medium, without having the log do anything."""
    found = log.read(from_seq) if name.startswith("toy") else ReadOnlyLedger(storage).read(from_seq)
    return (each for each in found if isinstance(each, Record))


def state_of(log: Subject) -> State | None:
    """Return the folded state of a log that has one."""
    return log.replay() if isinstance(log, Ldg1Ledger) else None
