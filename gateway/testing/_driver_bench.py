"""What the checks of `gateway.testing.check_driver` stand on: calls with a limit, the far end, the list of findings."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, TypeVar

from gateway.errors import PortError
from gateway.frame import Batch
from gateway.port import Port

T = TypeVar("T")

OPEN_S: Final = 3.0
REPLY_S: Final = 2.0
FIRST_WORD_S: Final = 8.0  # of a wire that nobody can make speak: an advertiser does so when it likes
CLOSE_S: Final = 1.2  # the contract says a second
CANCEL_S: Final = 0.5


class StoppedError(Exception):
    """The check cannot go on; why has been noted."""


class Bench:
    """One port at a time, its wire, and what was found wrong."""

    def __init__(self, make: Callable[[], Port], wire: object, deadline_s: float) -> None:
        self._make = make
        self._wire = wire
        self._deadline_s = deadline_s
        self._ports: list[Port] = []
        self.violations: list[str] = []
        self.beat_s = time.monotonic()  # when the loop last turned
        self.is_hopeless = False  # nothing more can be learnt
        self.step = "make"
        self.address = getattr(wire, "address", None)
        self.payload_bytes = int(getattr(wire, "payload_bytes", 8))

    @property
    def is_over(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() >= self._deadline_s

    def note(self, violation: str) -> None:
        """Add a finding, once."""
        if violation not in self.violations:
            self.violations.append(violation)

    def fail(self, text: str) -> StoppedError:
        """Note a finding of this check and return what to raise to leave it."""
        self.note(f"{self.step}: {text}")
        return StoppedError(text)

    def can(self, *methods: str) -> bool:
        """Whether the wire has these methods."""
        return all(callable(getattr(self._wire, method, None)) for method in methods)

    def require(self, *methods: str) -> None:
        """Leave the check silently when the wire cannot do what it needs."""
        if not self.can(*methods):
            raise StoppedError(f"the wire has no {methods}")

    async def wire(self, method: str, *arguments: Any) -> Any:
        """Call a method of the far end, plain or async."""
        result = getattr(self._wire, method)(*arguments)
        if inspect.isawaitable(result):
            result = await self.limited(_awaited(result), REPLY_S, f"the wire's {method}")
        return result

    async def opened(self) -> Port:
        """Return a new port, opened."""
        port = self.made()
        try:
            await self.call(port.open(), OPEN_S, "open")
        except StoppedError:
            self.is_hopeless = True
            raise
        return port

    def made(self) -> Port:
        """Return a new port, unopened."""
        port = self._make()
        self._ports.append(port)
        return port

    async def call(self, call: Coroutine[Any, Any, T], limit_s: float, what: str) -> T:
        """Return what a call gives that must succeed."""
        try:
            return await self.limited(call, limit_s, what)
        except (PortError, EOFError) as error:
            raise self.fail(f"{what} raised {type(error).__name__}: {error}") from error

    async def limited(self, call: Coroutine[Any, Any, T], limit_s: float, what: str) -> T:
        """Return what a call gives; leave the check if it does not end in time or raises what no port may raise."""
        task = self.start(call)
        limit_s = max(min(limit_s, self._deadline_s - time.monotonic()), 0.05)
        await asyncio.wait({task}, timeout=limit_s)
        if not task.done():
            await self.cancelled(task, what)
            raise self.fail(f"{what} did not return within {limit_s:g} s")
        return self.result(task, what)

    def start(self, call: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a call."""
        return asyncio.get_running_loop().create_task(call)

    async def cancelled(self, task: asyncio.Task[Any], what: str) -> bool:
        """Cancel a call and return whether it ended as cancelled; notes a call that goes on."""
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_S)
        if not task.done():
            self.is_hopeless = True
            self.note(f"{self.step}: {what} swallows cancellation")
            return False
        return task.cancelled()

    def result(self, task: asyncio.Task[T], what: str) -> T:
        """Return the result of a finished call; only errors of the contract pass."""
        if task.cancelled():
            raise self.fail(f"{what} cancelled itself")
        error = task.exception()
        if error is None:
            return task.result()
        if isinstance(error, (PortError, EOFError)):
            raise error
        raise self.fail(f"{what} raised {type(error).__name__}, which is no PortError: {error}") from error

    async def expect(self, call: Coroutine[Any, Any, Any], errors: tuple[type[Exception], ...], what: str) -> None:
        """Note when a call that must fail with one of `errors` does anything else."""
        names = " or ".join(error.__name__ for error in errors)
        try:
            await self.limited(call, REPLY_S, what)
        except errors:
            return
        except (PortError, EOFError) as error:
            self.note(f"{self.step}: {what} raised {type(error).__name__}, expected {names}")
            return
        self.note(f"{self.step}: {what} succeeded, expected {names}")

    def look_at(self, batch: Batch, port: Port) -> None:
        """Note what is wrong with the shape of a batch."""
        if not isinstance(batch, Batch):
            raise self.fail(f"read returned {type(batch).__name__}, not a Batch")
        if not batch.payloads and not batch.dropped:
            self.note(f"{self.step}: read returned an empty batch instead of waiting")
        if not all(isinstance(payload, bytes) for payload in batch.payloads):
            self.note(f"{self.step}: payloads are not all bytes")
        if batch.received_ns < 0 or batch.wall_ns < 0:
            self.note(f"{self.step}: a batch is not stamped")
        if port.is_stream and batch.addresses is not None:
            self.note(f"{self.step}: a stream port gave addresses")
        for name, column in (("addresses", batch.addresses), ("stamps_ns", batch.stamps_ns)):
            if column is not None and len(column) != len(batch.payloads):
                self.note(f"{self.step}: {len(column)} {name} for {len(batch.payloads)} payloads")
        if not port.is_stream and batch.addresses is None:
            self.note(f"{self.step}: a packet port gave no addresses")

    async def receive(self, port: Port, count: int, limit_s: float = REPLY_S) -> tuple[bytes, int]:
        """Read until `count` bytes came; return them and how many frames were reported as dropped."""
        got, dropped = bytearray(), 0
        until_s = time.monotonic() + limit_s
        while len(got) < count and not dropped:
            left_s = until_s - time.monotonic()
            task = self.start(port.read())
            await asyncio.wait({task}, timeout=max(left_s, 0.0))
            if not task.done():
                await self.cancelled(task, "read")
                break
            try:
                batch = self.result(task, "read")
            except (PortError, EOFError) as error:
                raise self.fail(f"read raised {type(error).__name__}: {error}") from error
            self.look_at(batch, port)
            got += b"".join(batch.payloads)
            dropped += batch.dropped
        return bytes(got), dropped

    async def far_end(self, count: int) -> bytes:
        """Return `count` bytes that arrived at the far end, or what came within the limit."""
        got = bytearray()
        until_s = time.monotonic() + REPLY_S
        while len(got) < count and time.monotonic() < until_s:
            piece = await self.wire("receive")
            if piece:
                got += piece
            else:
                await asyncio.sleep(0.01)
        return bytes(got)

    async def clean_up(self) -> None:
        """Close whatever this check opened."""
        ports, self._ports = self._ports, []
        for port in ports:
            task = self.start(port.close())
            await asyncio.wait({task}, timeout=CLOSE_S)
            if not task.done():
                self.note(f"{self.step}: close did not return within a second")
                self.is_hopeless = True
                await self.cancelled(task, "close")
            elif not task.cancelled() and (error := task.exception()) is not None:
                self.note(f"{self.step}: close raised {type(error).__name__}: {error}")


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable
