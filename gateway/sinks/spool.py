"""Layer 7: what one sink has sent and what of it was acknowledged: its cursor, and what to do with poison. Pure.

The cursor moves only on acknowledgement, in the order of the ledger, however acknowledgements come. When a connection
is lost everything behind the cursor is sent again: a receiver may get it twice, and can tell.

Where connections end again and again before anything is acknowledged, documents shrink to one record; if the receiver
still will not take that one, it is told as a gap once, and set aside when the receiver acknowledges that. A document
that was lost after smaller ones were acknowledged was too large: for a while none grows to its size again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

FULL_RATION: Final = 256  # records in one document
SHRINK: Final = 8  # a document is so many times smaller after a loss
TRUST: Final = 16  # documents of the largest size allowed, acknowledged, until larger ones are tried
STRIKES: Final = 4  # losses at one single record until it is told as a gap


class _Sent:
    __slots__ = ("is_aside", "last", "told", "waiting")

    def __init__(self, last: int, told: int, waiting: int, *, is_aside: bool) -> None:
        self.last = last
        self.told = told
        self.waiting = waiting
        self.is_aside = is_aside


class Spool:
    """One sink's place in the ledger."""

    def __init__(self, cursor: int) -> None:
        """Take the last number that was acknowledged in an earlier life."""
        self.cursor = cursor  # everything up to here is acknowledged, or holds nothing to send
        self.position = cursor  # everything up to here was sent in this connection, or holds nothing
        self.told = cursor  # the last number that a message covered: the next document begins behind it
        self.saved = cursor  # the last acknowledged number that was covered: what is worth keeping
        self.ration = FULL_RATION  # records that the next document may hold
        self.set_aside = 0
        self._sent: deque[_Sent] = deque()
        self._by_token: dict[int, _Sent] = {}
        self._largest = FULL_RATION  # what `ration` may grow to
        self._trusted = 0  # documents acknowledged since that changed
        self._strikes = 0
        self._is_silent = True  # nothing was acknowledged in this connection

    @property
    def waiting(self) -> int:
        """Return how many messages are not acknowledged."""
        return len(self._by_token)

    @property
    def is_wary(self) -> bool:
        """Return whether only one document may be under way: one before it was not taken."""
        return self.ration < FULL_RATION

    @property
    def sets_aside(self) -> bool:
        """Return whether the next record is to be told as a gap: it was refused too often by itself."""
        return self._strikes >= STRIKES

    def sent(self, last: int, tokens: Iterable[int] = (), *, is_aside: bool = False) -> None:
        """Take that everything up to `last` is under way as these messages; none: it holds nothing to send.

        `is_aside`: a record of it is told as a gap because the receiver does not take it.
        """
        mine = list(tokens)
        if mine:
            self.told = last
            entry = _Sent(last, last, len(mine), is_aside=is_aside)
            self._sent.append(entry)
            self._by_token.update(dict.fromkeys(mine, entry))
        elif self._sent:
            self._sent[-1].last = last
        else:
            self.cursor = last
        self.position = last

    def acknowledged(self, token: int) -> bool:
        """Take one acknowledgement; False where no message waits for it: a second one, or a false one."""
        entry = self._by_token.pop(token, None)
        if entry is None:
            return False
        entry.waiting -= 1
        self._is_silent = False
        while self._sent and not self._sent[0].waiting:
            done = self._sent.popleft()
            self.cursor, self.saved = done.last, done.told
            self._strikes = 0
            self._grow()
            self.set_aside += done.is_aside
        return True

    def _grow(self) -> None:
        """Let documents be larger, for one was acknowledged."""
        if self._largest < FULL_RATION and self.ration == self._largest:
            self._trusted += 1
            if self._trusted == TRUST:
                self._largest, self._trusted = min(FULL_RATION, 2 * self._largest), 0
        self.ration = min(self._largest, self.ration * SHRINK)

    def lost(self) -> None:
        """Take that the connection ended."""
        if self._sent and self._is_silent:
            if self.sets_aside:
                self._strikes = 0  # not even the gap was taken: it is not that record's fault
            elif self.ration == 1:
                self._strikes += 1
            self.ration = max(1, self.ration // SHRINK)
        elif self._sent and self.is_wary and self.ration > 1:
            self._largest, self._trusted = self.ration // 2, 0
            self.ration = max(1, self.ration // SHRINK)
        self._sent.clear()
        self._by_token.clear()
        self.position = self.cursor
        self.told = self.saved
        self._is_silent = True

    def move(self, cursor: int) -> None:
        """Go to another place: the ledger was opened again, and holds less or more than was known."""
        self._sent.clear()
        self._by_token.clear()
        self.cursor = self.position = self.told = self.saved = cursor
