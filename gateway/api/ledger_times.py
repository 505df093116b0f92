"""Layer 7: wall times of the ledger: read from text, and found among records whose clock may have gone back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from gateway.errors import UsageError
from gateway.ledger.record import Gap, Record

_1970: Final = datetime(1970, 1, 1, tzinfo=UTC)
MAX_INTERVALS: Final = 1000


def time_ns(text: str) -> int:
    """Return nanoseconds since 1970 of an ISO 8601 time; without a zone it is UTC. Raises: UsageError."""
    try:
        told = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"{text!r} is no time; write for example 2026-11-28T14:30:00Z or 2026-11-28") from error
    told = told.replace(tzinfo=UTC) if told.tzinfo is None else told
    return (told - _1970) // timedelta(microseconds=1) * 1000


class Instants:
    """Finds every place of a ledger where the wall clock passed an instant: it may have gone back and come again."""

    def __init__(self, instant_ns: int) -> None:
        """Take nanoseconds since 1970."""
        self._instant_ns = instant_ns
        self._before: int | None = None  # the record just met, where it is not later than the instant
        self._found: list[int] = []

    def take(self, record: Record) -> None:
        """Take the next record in order."""
        if record.wall_ns <= self._instant_ns:
            self._before = record.seq
        elif self._before is not None:
            if len(self._found) < MAX_INTERVALS:
                self._found.append(self._before)
            self._before = None

    def ends(self) -> list[int]:
        """Return, for each time that the instant came, the last record up to then; 0: before the first record."""
        return [*self._found, self._before] if self._before is not None else self._found or [0]


def instants(items: Iterable[Record | Gap], instant_ns: int) -> list[int]:
    """Return the last record before each time that a wall time came; several where the clock went back."""
    found = Instants(instant_ns)
    for item in items:
        if isinstance(item, Record):
            found.take(item)
    return found.ends()
