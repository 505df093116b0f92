"""Layer 9: a port that plays what a test wrote down."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.clock import Clock, SystemClock
from gateway.errors import PortClosedError, PortError, PortNotFoundError
from gateway.frame import Address, Batch, PortName

Step = bytes | Batch | float | Exception  # a chunk, a whole read, seconds of silence, what the read raises
Session = Sequence[Step] | PortError  # what one `open` leads to, or why it fails

NOTHING_MORE: Final = "the script has ended"


class ScriptedPort:
    """Each `open` begins the next session; behind the last step of a session the line is silent.

    Behind the last session the port is not there any more. `writes` keeps what was sent.
    """

    def __init__(
        self, name: str, sessions: Iterable[Session], *, is_stream: bool = True, clock: Clock | None = None
    ) -> None:
        """Take the sessions in order."""
        self.name = PortName(name)
        self.is_stream = is_stream
        self.writes: list[tuple[bytes, Address]] = []
        self.opened = 0
        self._clock = clock or SystemClock()
        self._sessions = iter(sessions)
        self._steps: list[Step] | None = None
        self._closed = asyncio.Event()

    async def open(self) -> None:
        """Begin the next session. Raises: PortError as the script says."""
        session = next(self._sessions, PortNotFoundError(self.name, NOTHING_MORE))
        if isinstance(session, PortError):
            raise session
        self.opened += 1
        self._steps = list(session)
        self._closed = asyncio.Event()

    async def read(self) -> Batch:
        """Play the next step. Raises: PortClosedError after `close`, else what the script says."""
        await asyncio.sleep(0)
        while self._steps is not None:
            if not self._steps:
                await self._closed.wait()
                break
            step = self._steps.pop(0)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, Batch):
                return step
            if isinstance(step, bytes):
                return Batch([step], self._clock.monotonic_ns(), self._clock.wall_ns())
            await asyncio.sleep(step)
        raise PortClosedError(self.name, "by us")

    async def write(self, data: bytes, address: Address = None) -> None:
        """Keep what is sent. Raises: PortClosedError."""
        if self._steps is None:
            raise PortClosedError(self.name, "by us")
        self.writes.append((data, address))

    async def close(self) -> None:
        """End the session; a waiting read raises PortClosedError."""
        self._steps = None
        self._closed.set()
