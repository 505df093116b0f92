"""What a port of the rig has heard and its gateway has not read yet."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from gateway.clock import Clock
from gateway.errors import PortError
from gateway.frame import Address, Batch, PortName

MOST_WAITING: Final = 8192  # payloads that nobody has read yet
UNPLUGGED: Final = "unplugged"  # why a port is not there


class Inbox:
    """What was heard and not read yet. Full, the oldest goes, and is counted."""

    def __init__(self, port: PortName, clock: Clock) -> None:
        self._port = port
        self._clock = clock
        self._waiting: deque[tuple[bytes, Address]] = deque()
        self._dropped = 0
        self._end: PortError | None = None
        self._changed = asyncio.Event()

    def put(self, payload: bytes, address: Address = None) -> None:
        """Take what was heard."""
        if len(self._waiting) == MOST_WAITING:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append((payload, address))
        self._changed.set()

    def end(self, error: PortError) -> None:
        """Let a read raise this, behind what was heard before."""
        self._end = self._end or error
        self._changed.set()

    async def take(self, *, is_stream: bool) -> Batch:
        """Return all of it, waiting for the first. Raises: what `end` was given."""
        while not self._waiting:
            if self._end is not None:
                raise self._end
            self._changed.clear()
            await self._changed.wait()
        heard, self._waiting = self._waiting, deque()
        dropped, self._dropped = self._dropped, 0
        addresses = None if is_stream else [address for _, address in heard]
        payloads = [payload for payload, _ in heard]
        return Batch(payloads, self._clock.monotonic_ns(), self._clock.wall_ns(), addresses, None, dropped)
