"""Layer 5: a ledger of our own format, opened for reading: a copy, a read-only medium, beside its writer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NoReturn, Self

from gateway.errors import LedgerReadOnlyError
from gateway.ledger.base import Cursor, Head, Verification
from gateway.ledger.cursor import StoredCursor
from gateway.ledger.fold import State
from gateway.ledger.reader import Reader
from gateway.ledger.record import Gap, Record
from gateway.ledger.storage import Storage

REASON: Final = "this ledger was opened for reading only"


class ReadOnlyLedger:
    """The ledger in one storage; changes nothing, and sees what its writer adds meanwhile."""

    def __init__(self, storage: Storage) -> None:
        """Raises: LedgerMissingError, LedgerFormatError."""
        self._storage = storage
        Reader(storage)

    def append(self, *_: Any, **__: Any) -> NoReturn:
        """Raises: LedgerReadOnlyError."""
        raise LedgerReadOnlyError(REASON)

    def append_many(self, *_: Any, **__: Any) -> NoReturn:
        """Raises: LedgerReadOnlyError."""
        raise LedgerReadOnlyError(REASON)

    def note_clock(self, quality: str) -> None:
        """Do nothing: nothing is written here."""

    def flush(self, seq: int | None = None) -> None:
        """Do nothing: nothing waits here."""

    @property
    def durable_seq(self) -> int:
        """Return the last sequence number that can be read."""
        return self.head().seq

    def read(self, from_seq: int = 1, *, durable_only: bool = False) -> Iterator[Record | Gap]:
        """Yield records in order."""
        del durable_only  # nothing waits here
        return Reader(self._storage).read(from_seq)

    def verify(self, *, deep: bool = False, against: Head | None = None) -> Verification:
        """Check everything."""
        from gateway.ledger.verify import verify

        return verify(self._storage, deep=deep, against=against)

    def replay(self, until: int | None = None) -> State:
        """Return the folded state."""
        return Reader(self._storage).replay(until)

    def cursor(self, name: str) -> Cursor:
        """Return where the consumer of that name stands; it cannot be moved here."""
        return StoredCursor(self, name)

    def head(self) -> Head:
        """Return the end of what can be read."""
        return Reader(self._storage).head()

    def status(self) -> dict[str, Any]:
        """Return what can be said without being the writer."""
        head = self.head()
        return {"backend": "ldg1", "mode": "read-only", "reason": REASON, "last_seq": head.seq, "durable_seq": head.seq}

    def close(self) -> None:
        """Nothing is held."""

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is held."""
