"""One runner's connection: who it is, what it may, and then both directions until either end is gone."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, Protocol

from gateway.clock import Clock
from gateway.errors import DriverError, GatewayError, PortError, PortOptionError
from gateway.port import AskingPort, Port
from hil.agent.errors import AgentBusyError, AgentProtocolError, AgentRefusedError
from hil.agent.messages import (
    MOST_BYTES,
    MOST_WRITE_BYTES,
    VERSION,
    Beat,
    Failed,
    FromAgent,
    Hello,
    Incoming,
    Message,
    No,
    Welcome,
    Write,
    Wrote,
    encoded,
)
from hil.agent.wire import Wire
from hil.lease.errors import LeaseError, LeaseLostError
from hil.lease.held import Lease

HELLO_S: Final = 5.0  # for the first message
WATCH_S: Final = 0.1  # how often a lease is looked at
_READ_BYTES: Final = 65_536

log = logging.getLogger(__name__)


class _OverError(Exception):
    """The connection is over; the text says why."""


class Host(Protocol):
    """What a connection asks of its agent."""

    clock: Clock
    beat_silence_s: float

    def wire(self, resource: str) -> Wire:
        """Return a wire. Raises: AgentRefusedError naming those there are."""
        ...

    def knows(self, secret: str) -> bool:
        """Return whether this is the agent's token, as it is now."""
        ...

    def lease(self, token: int) -> Lease | None:
        """Return the lease by which a runner may write, None where none is needed. Raises: LeaseError."""
        ...


class Connection:
    """A runner that was accepted or is about to be. Any error of its ends it and nothing else."""

    def __init__(self, host: Host, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> None:
        self.peer = peer
        self.session = ""
        self.token = 0  # of its lease
        self.refused = ""  # why, where it was not let in, or said something that nobody understands
        self._host = host
        self._reader = reader
        self._writer = writer
        self._incoming = Incoming(from_agent=False)
        self._heard_s = 0.0
        self._displaced: str | None = None

    async def run(self) -> None:
        """Serve the runner until one of both is gone."""
        try:
            await self._serve()
        except AgentProtocolError as error:
            self.refused = str(error)
        except (ConnectionError, TimeoutError, EOFError) as error:
            log.info("runner gone: peer=%s reason=%s", self.peer, error)
        if self.refused:
            log.warning("runner refused: peer=%s reason=%s", self.peer, self.refused)
        self._writer.close()

    def displace(self, why: str) -> None:
        """End, soon: somebody else has the wire."""
        self._displaced = why

    async def _serve(self) -> None:
        async with asyncio.timeout(HELLO_S):
            first = await self._first()
        if not isinstance(first, Hello):
            raise AgentProtocolError("its first message is no Hello")
        try:
            wire, lease = await self._admitted(first)
        except (GatewayError, PortError, DriverError) as error:
            self.refused = str(error)
            await self._say(_refusal(first, error))
            return
        wire.user = self
        try:
            await self._welcome(first, wire)
            await self._both_ways(first, wire, lease)
        finally:
            wire.leave(self)

    async def _first(self) -> Message:
        while True:
            data = await self._reader.read(_READ_BYTES)
            if not data:
                raise EOFError("it said nothing")
            for message in self._incoming.feed(data):
                return message

    async def _admitted(self, hello: Hello) -> tuple[Wire, Lease | None]:
        """Return what the runner may use. Raises: GatewayError, saying why it may not."""
        if hello.version != VERSION:
            raise AgentRefusedError(f"it speaks version {hello.version}, this agent {VERSION}; update the older")
        if not self._host.knows(hello.secret):
            raise AgentRefusedError("its token is not this agent's")
        self._incoming.most_bytes = MOST_BYTES
        self.session, self.token = hello.session, hello.token
        wire = self._host.wire(hello.resource)
        lease = self._host.lease(hello.token)
        self._may_have(wire)
        await wire.opened()
        self._may_have(wire)
        if wire.user is not None:
            wire.user.displace(f"{self.peer} has it by now")
        return wire, lease

    def _may_have(self, wire: Wire) -> None:
        """Raise AgentBusyError unless the wire is free, was this runner's before, or is lent to it by now."""
        user = wire.user
        if user is not None and user.session != self.session and user.token >= self.token:
            raise AgentBusyError(f"{wire.name} is in use by {user.peer}")

    async def _welcome(self, hello: Hello, wire: Wire) -> None:
        self._next = wire.history.next_sequence
        if hello.instance == wire.instance and hello.next_sequence <= self._next:
            self._next = max(1, hello.next_sequence)
        clock = self._host.clock
        port = wire.port
        now_ns, wall_ns = clock.monotonic_ns(), clock.wall_ns()
        await self._say(
            Welcome(VERSION, wire.instance, self._next, wire.protocol, port.is_stream, now_ns, wall_ns, port.name)
        )
        log.info("runner let in: peer=%s resource=%s", self.peer, wire.name)

    async def _both_ways(self, hello: Hello, wire: Wire, lease: Lease | None) -> None:
        self._heard_s = asyncio.get_running_loop().time()
        port: Any = wire.port if lease is None else lease.guard(wire.port)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._give(wire), name=f"{hello.resource}/give")
                group.create_task(self._take(wire.port, port), name=f"{hello.resource}/take")
                group.create_task(self._watch(hello, lease), name=f"{hello.resource}/watch")
        except BaseExceptionGroup as errors:
            for error in errors.exceptions:
                if isinstance(error, AgentProtocolError):
                    self.refused = str(error)
                elif not isinstance(error, (_OverError, ConnectionError, EOFError, asyncio.CancelledError)):
                    raise
            log.info("runner gone: peer=%s reason=%s", self.peer, errors.exceptions[0])
            if not self._writer.transport.get_write_buffer_size():
                return
            self._writer.transport.abort()  # it takes nothing any more

    async def _give(self, wire: Wire) -> None:
        while True:
            wire.news.clear()
            part, self._next = wire.history.after(self._next)
            if part is not None:
                await self._say(part)
            elif wire.lost is not None:
                await self._say(_failed(0, wire.lost))
                raise _OverError(str(wire.lost))
            else:
                await wire.news.wait()

    async def _take(self, port: Port, guarded: Any) -> None:
        while True:
            for message in self._incoming.feed(b""):
                await self._do(message, port, guarded)
            data = await self._reader.read(_READ_BYTES)
            if not data:
                raise EOFError("it closed the connection")
            self._heard_s = asyncio.get_running_loop().time()
            for message in self._incoming.feed(data):
                await self._do(message, port, guarded)

    async def _do(self, message: Message, port: Port, guarded: Any) -> None:
        match message:
            case Beat():
                clock = self._host.clock
                await self._say(Beat(message.runner_ns, clock.monotonic_ns(), clock.wall_ns()))
            case Write() if len(message.data) <= MOST_WRITE_BYTES:
                await self._say(await _written(message, port, guarded, self._host.clock.monotonic_ns()))
            case _:
                raise AgentProtocolError(f"a {type(message).__name__} where none belongs")

    async def _watch(self, hello: Hello, lease: Lease | None) -> None:
        """End what nobody is behind any more, what is somebody else's by now, and who is not welcome any more."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(min(WATCH_S, self._host.beat_silence_s / 4))
            if not self._host.knows(hello.secret):
                self._writer.write(encoded(No("its token was withdrawn")))
                raise _OverError("its token was withdrawn")
            if self._displaced is not None:
                raise _OverError(self._displaced)
            if loop.time() - self._heard_s >= self._host.beat_silence_s:
                raise _OverError(f"silent for {self._host.beat_silence_s:g} s")
            try:
                if lease is not None:
                    lease.check()
            except LeaseLostError as error:
                self._writer.write(encoded(_failed(0, error)))
                raise _OverError(str(error)) from error
            except LeaseError as error:  # who may write cannot be known any more
                raise _OverError(str(error)) from error

    async def _say(self, message: FromAgent) -> None:
        self._writer.write(encoded(message))
        await self._writer.drain()


async def _written(message: Write, port: Port, guarded: Any, now_ns: int) -> FromAgent:
    try:
        if not message.asks:
            await guarded.write(message.data, message.address)
        elif isinstance(port, AskingPort):
            await guarded.ask(message.data, message.address)
        else:
            return _failed(message.number, PortOptionError(port.name, "it answers no requests; write and read"))
    except (PortError, LeaseLostError) as error:
        return _failed(message.number, error)
    return Wrote(message.number, now_ns)


def _refusal(hello: Hello, error: Exception) -> No | Failed:
    if isinstance(error, LeaseLostError) and hello.token:
        return _failed(0, error)
    return No(str(error), is_passing=isinstance(error, (AgentBusyError, PortError)))


def _failed(number: int, error: PortError | LeaseLostError) -> Failed:
    if isinstance(error, LeaseLostError):
        return Failed(number, "LeaseLostError", error.target, error.why, error.token)
    return Failed(number, type(error).__name__, error.port, error.cause)
