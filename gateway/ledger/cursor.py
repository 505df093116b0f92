"""Layer 5: how far one consumer has come, kept in the ledger itself as records of kind `cursor`."""

from __future__ import annotations

import itertools

from gateway.errors import CursorError
from gateway.ledger.base import LedgerLike
from gateway.ledger.record import Gap, Record


class StoredCursor:
    """One consumer's place. Moves forward only, and only over what is durable."""

    def __init__(self, ledger: LedgerLike, name: str) -> None:
        """Find the consumer's place. One ahead of a log that lost its end stands at the end, and that is told."""
        self._ledger = ledger
        self.name = name
        told: int = ledger.replay(ledger.durable_seq).cursors.get(name, 0)  # a move that failed may read, and is none
        self._seq: int = min(told, ledger.durable_seq)
        if told > self._seq:
            body = {
                "reason": "a cursor was ahead of the log: what it had seen is gone",
                "consumer": name,
                "cursor": told,
                "last_seq": self._seq,
            }
            ledger.append("damage", None, body, "state")

    @property
    def seq(self) -> int:
        """Return the last sequence number that the consumer acknowledged; 0: none."""
        return self._seq

    def read(self, at_most: int = 1000) -> list[Record | Gap]:
        """Return what comes next, durable records only."""
        durable_seq = self._ledger.durable_seq
        found = itertools.takewhile(
            lambda each: each.seq <= durable_seq, self._ledger.read(self._seq + 1, durable_only=True)
        )
        return list(itertools.islice(found, at_most))

    def advance(self, seq: int) -> None:
        """Remember that everything up to `seq` was acknowledged; durable on return."""
        durable_seq = self._ledger.durable_seq
        if seq > durable_seq:
            raise CursorError(f"cursor {self.name}: {seq} is ahead of what is durable ({durable_seq})")
        if seq < self._seq:
            raise CursorError(f"cursor {self.name}: {seq} is behind {self._seq}; a cursor never goes back")
        if seq > self._seq:
            self._ledger.append("cursor", None, {"consumer": self.name, "seq": seq}, "state")
            self._seq = seq
