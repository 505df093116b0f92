"""Layer 9: ports that play what a test wrote down."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from gateway.clock import Clock, SystemClock
from gateway.errors import PortClosedError, PortError, PortNotFoundError
from gateway.frame import Address, Batch, PortName
from gateway.port import Sample

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


Answer = Callable[[bytes, Address], Sequence[bytes | Exception]]  # what a device says to a request; an error is raised


class AnsweringPort:
    """A packet port with a device that answers what it is asked, by a function that a test wrote.

    An answer's address is the request on SPI (`address` None), else the address that was asked. `say` lets the device
    speak by itself. `writes` and `asked` keep what was sent.
    """

    is_stream = False

    def __init__(self, name: str, answer: Answer, clock: Clock | None = None) -> None:
        """Take what the device answers."""
        self.name = PortName(name)
        self.writes: list[tuple[bytes, Address]] = []
        self.asked: list[tuple[bytes, Address]] = []
        self._answer = answer
        self._clock = clock or SystemClock()
        self._heard: asyncio.Queue[tuple[bytes, Address] | PortError] = asyncio.Queue()
        self._is_open = False

    async def open(self) -> None:
        """It is open; what was said before is forgotten."""
        self._heard = asyncio.Queue()
        self._is_open = True

    async def read(self) -> Batch:
        """Return the next thing that was said. Raises: PortClosedError, and what `say` was told to raise."""
        if not self._is_open:
            raise PortClosedError(self.name, "by us")
        heard = await self._heard.get()
        if isinstance(heard, PortError):
            raise heard
        payload, address = heard
        return Batch([payload], self._clock.monotonic_ns(), self._clock.wall_ns(), [address])

    async def write(self, data: bytes, address: Address = None) -> None:
        """Keep what is sent. Raises: PortClosedError."""
        if not self._is_open:
            raise PortClosedError(self.name, "by us")
        self.writes.append((data, address))

    async def ask(self, request: bytes, address: Address = None) -> None:
        """Let the device answer. Raises: what it answers with."""
        self.asked.append((request, address))
        for answer in self._answer(request, address):
            if isinstance(answer, Exception):
                raise answer
            self.say(answer, request if address is None else address)

    def say(self, payload: bytes | PortError, address: Address = None) -> None:
        """Let the device speak, or the read fail."""
        self._heard.put_nowait(payload if isinstance(payload, PortError) else (payload, address))

    async def close(self) -> None:
        """End it; a waiting read raises PortClosedError."""
        self._is_open = False
        self._heard.put_nowait(PortClosedError(self.name, "by us"))


class SampledPort(AnsweringPort):
    """An AnsweringPort that repeats requests by itself, on the loop's clock."""

    def __init__(self, name: str, answer: Answer, clock: Clock | None = None) -> None:
        """Take what the device answers."""
        super().__init__(name, answer, clock)
        self.plan: list[Sample] = []
        self._timers: list[asyncio.TimerHandle] = []

    def sample(self, plan: Sequence[Sample]) -> None:
        """Repeat these from now on."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self.plan = list(plan)
        for sample in plan:
            self._repeat(sample, asyncio.get_running_loop().time())

    async def close(self) -> None:
        """End it, and the repeating."""
        self.sample(())
        await super().close()

    def _repeat(self, sample: Sample, at_s: float) -> None:
        for answer in self._answer(sample.request, None):
            if isinstance(answer, bytes):
                self.say(answer, sample.request)
        due_s = at_s + sample.every_ns / 1e9
        self._timers.append(asyncio.get_running_loop().call_at(due_s, self._repeat, sample, due_s))
