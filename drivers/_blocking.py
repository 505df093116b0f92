"""Blocking libraries beside the event loop: opening in a thread, and the hand-over from a reader thread.

The hand-over is a bounded deque and at most one pending wake: a wake per item costs 26 us, an item in a
drained deque a fraction of one. Nothing here knows what the items are.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Generic, TypeVar

Item = TypeVar("Item")
Opened = TypeVar("Opened")

JOIN_TIMEOUT_S: Final = 0.5  # `Port.close` has a second
ROOM_POLL_S: Final = 0.1  # how soon a thread that waits for room sees that it should end


class HandOver(Generic[Item]):
    """Items of one thread for one loop. Full: the oldest are dropped and counted, or the thread waits (`lossless`)."""

    def __init__(self, loop: asyncio.AbstractEventLoop, capacity: int, *, lossless: bool = False) -> None:
        self._loop = loop
        self._items: deque[Item] = deque()
        self._capacity = capacity
        self._lossless = lossless
        self._lock = threading.Lock()
        self._room = threading.Event()
        self._wake_pending = False
        self._waiter: asyncio.Future[None] | None = None
        self._dropped = 0
        self._error: Exception | None = None

    # The thread's side.

    def put(self, items: Sequence[Item]) -> bool:
        """Hand items over in order; return False when the other side has ended and the thread should too."""
        if self._lossless and not self._wait_for_room(len(items)):
            return False
        with self._lock:
            self._items.extend(items)
            surplus = 0 if self._lossless else len(self._items) - self._capacity
            for _ in range(surplus):
                self._items.popleft()
            self._dropped += max(surplus, 0)
        self._wake()
        return self._error is None

    def fail(self, error: Exception) -> None:
        """End the hand-over: what was put is still given, then `error` is raised for ever. The first error stays."""
        if self._error is None:
            self._error = error
        self._room.set()
        self._wake()

    @property
    def has_ended(self) -> bool:
        """Whether `fail` was called, by either side."""
        return self._error is not None

    # The loop's side.

    async def take(self, at_most: int) -> tuple[list[Item], int]:
        """Wait for items; return up to `at_most` and how many were dropped before them. Cancelling loses nothing."""
        while not self._items:
            if self._error is not None:
                raise self._error
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        with self._lock:
            taken = [self._items.popleft() for _ in range(min(at_most, len(self._items)))]
            dropped, self._dropped = self._dropped, 0
        self._room.set()
        return taken, dropped

    def discard(self) -> None:
        """Forget what was not taken."""
        with self._lock:
            self._items.clear()
        self._room.set()

    def _wait_for_room(self, count: int) -> bool:
        while self._items and len(self._items) + count > self._capacity:
            self._room.clear()
            if self._error is not None:
                return False
            if len(self._items) + count > self._capacity:
                self._room.wait(ROOM_POLL_S)
        return self._error is None

    def _wake(self) -> None:
        if self._wake_pending:
            return
        self._wake_pending = True
        try:
            self._loop.call_soon_threadsafe(self._woken)
        except RuntimeError:  # the loop is closed; nobody will read again
            self._error = self._error or ConnectionError("event loop closed")

    def _woken(self) -> None:
        self._wake_pending = False  # before the waiter looks, so that no item goes unannounced
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


async def open_in_thread(make: Callable[[], Opened], limit_s: float, shut: Callable[[Opened], None]) -> Opened:
    """Return what `make` gives, called in a thread; what it gives too late, or when cancelled, is `shut`.

    Raises: TimeoutError after `limit_s`, and what `make` raises.
    """
    opening = asyncio.get_running_loop().run_in_executor(None, make)

    def shut_late(done: asyncio.Future[Opened]) -> None:
        if not done.cancelled() and done.exception() is None:
            shut(done.result())

    try:
        async with asyncio.timeout(limit_s):
            return await asyncio.shield(opening)
    except (asyncio.CancelledError, TimeoutError):
        opening.add_done_callback(shut_late)
        raise


def start_reader(name: str, work: Callable[[], None]) -> threading.Thread:
    """Run `work` in a daemon thread, which can be left behind when its hardware library hangs."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


async def join_reader(thread: threading.Thread) -> None:
    """Wait a little for a reader whose hand-over has ended."""
    if thread.is_alive():
        await asyncio.to_thread(thread.join, JOIN_TIMEOUT_S)
