"""Layer 5: reading a ledger on SQLite: by its writer, beside it, a copy, a read-only medium."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn, Self

from gateway.errors import LedgerReadOnlyError
from gateway.ledger.base import Head, Verification
from gateway.ledger.cursor import StoredCursor
from gateway.ledger.fold import State
from gateway.ledger.frame import first_chain
from gateway.ledger.record import Gap, Record
from gateway.ledger.sqlite_check import verify
from gateway.ledger.sqlite_file import FILE, LAST, About, MalformedError, Source, about_of
from gateway.ledger.sqlite_keep import replayed
from gateway.ledger.sqlite_scan import MAX_SEQ, Found, Scan
from gateway.ledger.sqlite_view import View

READ_ONLY: Final = "this ledger was opened for reading only"


class Readable:
    """What can be read of one database, whoever writes it."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def _settle(self) -> None:
        """Commit what waits, where that can be."""

    def _about(self) -> About | None:
        """Return what the file says of itself; None where that is hurt."""
        with suppress(MalformedError):
            return about_of(self._source)
        return None

    def read(self, from_seq: int = 1, *, durable_only: bool = False) -> Iterator[Record | Gap]:
        """Yield records in order, up to the end as it is when this is called; what waits is committed first."""
        if not durable_only:
            self._settle()
        about = self._about()
        known_seq = about.last_seq if about is not None else 0
        end_seq = max(known_seq, last_seq_of(self._source))
        found = Scan(self._source, about.log_id if about is not None else None).run(from_seq, known_seq)
        return _joined(itertools.takewhile(lambda each: each.from_seq <= end_seq, found))

    def replay(self, until: int | None = None) -> State:
        """Return the folded state."""
        self._settle()
        return replayed(self._source, lambda seq: self.read(seq, durable_only=True), until)

    def verify(self, *, deep: bool = False, against: Head | None = None) -> Verification:
        """Check the chain of every record, and with `deep` the database's own structure."""
        self._settle()
        return verify(self._source, deep=deep, against=against)


def _joined(found: Iterable[Found]) -> Iterator[Record | Gap]:
    """Yield records, with one Gap for neighbouring numbers that are missing for one reason."""
    waiting: Gap | None = None
    for each in found:
        if each.record is None and waiting is not None and waiting.reason == each.reason:
            waiting = Gap(waiting.from_seq, each.to_seq, each.reason)
            continue
        if waiting is not None:
            yield waiting
        waiting = Gap(each.from_seq, each.to_seq, each.reason) if each.record is None else None
        if each.record is not None:
            yield each.record
    if waiting is not None:
        yield waiting


def last_seq_of(source: Source) -> int:
    """Return the last number that can be read; 0: none."""
    with suppress(MalformedError):
        (rows,) = source.rows(("SELECT max(seq) FROM records", ()))
        return int(rows[0][0] or 0)
    return MAX_SEQ  # the last page is hurt: what can be read shows on the way


class SqliteReader(Readable):
    """The ledger in one database file, opened for reading: a copy, a read-only medium, beside its writer."""

    def __init__(self, folder: Path) -> None:
        """Raises: LedgerMissingError, LedgerFormatError, LedgerStorageError."""
        self._view = View(folder / FILE)
        super().__init__(self._view)

    def append(self, *_: Any, **__: Any) -> NoReturn:
        """Raises: LedgerReadOnlyError."""
        raise LedgerReadOnlyError(READ_ONLY)

    def append_many(self, *_: Any, **__: Any) -> NoReturn:
        """Raises: LedgerReadOnlyError."""
        raise LedgerReadOnlyError(READ_ONLY)

    def note_clock(self, quality: str) -> None:
        """Do nothing: nothing is written here."""

    def flush(self, seq: int | None = None) -> None:
        """Do nothing: nothing waits here."""

    @property
    def durable_seq(self) -> int:
        """Return the last sequence number that can be read."""
        return self.head().seq

    def cursor(self, name: str) -> StoredCursor:
        """Return where the consumer of that name stands; it cannot be moved here."""
        return StoredCursor(self, name)

    def head(self) -> Head:
        """Return the end of what can be read."""
        facts = (self._view.rows((LAST, ()))[0] or [(0, b"")])[0]
        about = self._about()
        first = first_chain(about.log_id) if about is not None else b""
        return Head(facts[0], (facts[1] or first).hex())

    def status(self) -> dict[str, Any]:
        """Return what can be said without being the writer."""
        seq = self.durable_seq
        return {"backend": "sqlite", "mode": "read-only", "reason": READ_ONLY, "last_seq": seq, "durable_seq": seq}

    def close(self) -> None:
        """Let go of the file."""
        self._view.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()
