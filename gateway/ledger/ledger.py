"""Layer 5: opening a ledger: which backend lies in a folder, and what to make where there is none."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import msgspec

from gateway.clock import Clock, SystemClock
from gateway.errors import LedgerError, LedgerFormatError, LedgerMissingError, LedgerStorageError
from gateway.folder import sync_names
from gateway.ledger.base import LedgerLike, Options
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.lock import NAME as LOCK
from gateway.ledger.lock import WriterLock
from gateway.ledger.medium import medium_of
from gateway.ledger.metafile import read_copies
from gateway.ledger.opening import create, derived_meta
from gateway.ledger.readonly import ReadOnlyLedger
from gateway.ledger.storage import OsStorage

OURS = ("hot", "arc", "snap", "META.a", "META.b", LOCK, "lost+found")  # the last: of a partition of its own


class Ledger:
    """The one door: `Ledger.open(folder)`."""

    @classmethod
    def open(
        cls, path: Path | str, *, read_only: bool = False, options: Options | None = None, clock: Clock | None = None
    ) -> LedgerLike:
        """Return the ledger in a folder; without one, and not read-only, a new one of `options` is made there.

        Raises: LedgerMissingError, LedgerBusyError, LedgerFormatError, LedgerStorageError, UsageError.
        """
        folder = Path(path)
        wanted = options or Options()
        if (folder / "ledger.db").exists() or (wanted.backend == "sqlite" and not holds_ledger(folder)):
            from gateway.ledger.sqlite import open_sqlite

            return open_sqlite(folder, wanted, clock or SystemClock(), read_only=read_only)
        if read_only:
            if not folder.is_dir():
                raise LedgerMissingError(f"{folder}: no such folder")
            return ReadOnlyLedger(OsStorage(folder))
        return _Held(folder, wanted, clock or SystemClock())

    @classmethod
    def create(cls, path: Path | str, options: Options | None = None) -> None:
        """Make an empty ledger, every segment of it. Raises: UsageError, LedgerFormatError, LedgerStorageError.

        What fails leaves nothing behind.
        """
        folder = Path(path)
        if holds_ledger(folder) or (folder / "ledger.db").exists():
            raise LedgerFormatError(f"{folder} holds a ledger already")
        wanted = options or Options()
        if wanted.backend == "sqlite":
            from gateway.ledger.sqlite import hold

            hold(folder).release()
            return
        _make(folder, wanted, whole=True)


def holds_ledger(folder: Path) -> bool:
    """Return whether a ledger of our own format lies in a folder, however hurt."""
    storage = OsStorage(folder)
    try:
        return (
            any(meta is not None for meta in read_copies(storage).values())
            or bool(storage.names("arc"))
            or derived_meta(storage) is not None
        )
    except LedgerFormatError:
        return True
    except OSError as error:
        raise LedgerStorageError(error.errno or 0, f"{folder}: {os.strerror(error.errno or 0)}") from error


def _make(folder: Path, options: Options, *, whole: bool) -> None:
    """Make a ledger in a folder that holds nothing else. Raises: UsageError, LedgerFormatError, LedgerStorageError."""
    was_there = folder.exists()
    try:
        if was_there and (others := sorted({entry.name for entry in folder.iterdir()} - set(OURS))):
            raise LedgerFormatError(f"{folder} holds other things ({', '.join(others[:3])}); give an empty folder")
        folder.mkdir(parents=True, exist_ok=True)
        if not options.unit_bytes:
            options = msgspec.structs.replace(options, unit_bytes=medium_of(folder).unit_bytes)
        create(OsStorage(folder), options, whole=whole)
        sync_names(folder.parent)
    except (OSError, LedgerError, ValueError) as error:
        if not isinstance(error, LedgerFormatError):
            _unmake(folder, was_there=was_there)
        if isinstance(error, (LedgerError, ValueError)):
            raise
        raise LedgerStorageError(error.errno or 0, f"no ledger can be made in {folder}: {error}") from error


def _unmake(folder: Path, *, was_there: bool) -> None:
    for name in ("hot", "arc", "snap"):
        with contextlib.suppress(OSError):
            (folder / name).rmdir()
    if not was_there:
        with contextlib.suppress(OSError):
            (folder / LOCK).unlink(missing_ok=True)
            folder.rmdir()


class _Held(Ldg1Ledger):
    """A ledger in a folder, with the lock that makes this process its writer."""

    def __init__(self, folder: Path, options: Options, clock: Clock) -> None:
        if not holds_ledger(folder):
            _make(folder, options, whole=False)
        self._lock = WriterLock(folder)
        try:
            super().__init__(OsStorage(folder), options, clock)
        except BaseException:
            self._lock.release()
            raise
        self._lock.tell(self.log.meta.meta.log_id)
        self._medium = medium_of(folder)

    def status(self) -> dict[str, Any]:
        """Return guarantees in force, wear, fill and damage, and what lies under it all."""
        medium = self._medium
        told = {"file_system": medium.file_system, "is_card": medium.is_card, "advice": medium.advice}
        return super().status() | {"medium": told}

    def close(self) -> None:
        """Close it and let others write."""
        try:
            super().close()
        finally:
            self._lock.release()
