"""Waiting for a descriptor, and giving way: what every port that reads its own descriptor needs. No reading here."""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.clock import Clock

UNWAITED_READS: Final = 8
SOON_NS: Final = 500_000


class Readiness:
    """Tells when a descriptor is readable. Arming the loop costs 5 us, so it stays armed from one wait to the next.

    It is disarmed when bytes come that nobody waits for: a caller that pauses between reads costs no wakes.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._is_armed = False

    @property
    def is_waited_for(self) -> bool:
        """Whether somebody waits."""
        return self._waiter is not None

    async def wait(self) -> None:
        """Wait until the descriptor is readable or `wake` is called."""
        if not self._is_armed:
            self._loop.add_reader(self._descriptor, self._on_readable)
            self._is_armed = True
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def wake(self) -> None:
        """End a wait."""
        finish(self._waiter)

    def close(self) -> None:
        """Forget the descriptor, before it is closed; ends a wait."""
        if self._is_armed:
            self._loop.remove_reader(self._descriptor)
            self._is_armed = False
        self.wake()

    def _on_readable(self) -> None:
        if self._waiter is None:
            self._loop.remove_reader(self._descriptor)
            self._is_armed = False
        else:
            finish(self._waiter)


class Fairness:
    """Makes a reader that always finds something let the loop turn: a busy wire must not starve everything else."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._unwaited = 0  # reads in a row that did not wait
        self._read_ns = 0

    async def give_way(self) -> None:
        """Let the loop turn if the caller comes back too soon, or too often without a wait. Before a read."""
        if self._unwaited and (
            self._unwaited >= UNWAITED_READS or self._clock.monotonic_ns() - self._read_ns < SOON_NS
        ):
            self._unwaited = 0
            await asyncio.sleep(0)

    def read_at(self, now_ns: int, *, waited: bool) -> None:
        """Take note of a read that gave something."""
        self._read_ns = now_ns
        self._unwaited = 0 if waited else self._unwaited + 1


def finish(future: asyncio.Future[None] | None) -> None:
    """End a wait that has not ended."""
    if future is not None and not future.done():
        future.set_result(None)
