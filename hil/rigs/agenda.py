"""What will be done, in order: by time, and where times are equal in the order of asking. Knows no clock."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from itertools import count


class Event:
    """Something that will be done."""

    __slots__ = ("action",)

    def __init__(self, action: Callable[[], None]) -> None:
        self.action: Callable[[], None] | None = action

    def cancel(self) -> None:
        """Do it not."""
        self.action = None


class Agenda:
    """All events of a world."""

    def __init__(self) -> None:
        self._queue: list[tuple[int, int, Event]] = []
        self._numbers = count()

    def add(self, at_ns: int, action: Callable[[], None]) -> Event:
        """Have something done at a time."""
        event = Event(action)
        heapq.heappush(self._queue, (at_ns, next(self._numbers), event))
        return event

    def next_ns(self) -> int | None:
        """Return when the next thing is due."""
        while self._queue and self._queue[0][2].action is None:
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def take(self, limit_ns: int) -> tuple[int, Callable[[], None]] | None:
        """Return the next thing that is due until `limit_ns`, and when that is; None where there is none."""
        due_ns = self.next_ns()
        if due_ns is None or due_ns > limit_ns:
            return None
        _, _, event = heapq.heappop(self._queue)
        action, event.action = event.action, None
        assert action is not None, "next_ns has dropped what was cancelled"
        return due_ns, action

    def clear(self) -> None:
        """Have nothing done any more."""
        self._queue.clear()
