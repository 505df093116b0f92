"""The agent: a board's ports for runners on other machines, over TLS or over the pipes of an ssh session."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import socket
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from gateway.clock import Clock, SystemClock
from gateway.errors import UsageError
from gateway.spelling import did_you_mean
from hil.agent.connection import Connection
from hil.agent.errors import AgentRefusedError
from hil.agent.messages import SILENCE_S
from hil.agent.tls import Papers
from hil.agent.wire import Wire
from hil.lease.errors import LeaseLostError
from hil.lease.held import Lease
from hil.lease.pool import Pool

MOST_CONNECTIONS: Final = 32
HANDSHAKE_S: Final = 5.0
RENEW_S: Final = 1.0  # how often the papers are looked at

log = logging.getLogger(__name__)


class Agent:
    """Serves `wires` of one target.

    With `pool` a runner needs the lease of `target`, and loses its streams when it loses that. With `lease` the agent
    itself runs under one, which every write needs. `secret` returns the token of runners, as it is at that moment.
    """

    def __init__(
        self,
        target: str,
        wires: Sequence[Wire],
        *,
        secret: Callable[[], str] | None = None,
        pool: Pool | None = None,
        lease: Lease | None = None,
        clock: Clock | None = None,
        beat_silence_s: float = SILENCE_S,
    ) -> None:
        self.target = target
        self.clock = clock or SystemClock()
        self.beat_silence_s = beat_silence_s
        self.counts: Counter[str] = Counter()  # connections: accepted, refused, too many
        self._secret = secret
        self._wires = {wire.name: wire for wire in wires}
        self._pool = pool
        self._lease = lease
        self._open = 0

    @property
    def has_token(self) -> bool:
        """Whether runners need one."""
        return self._secret is not None

    def wire(self, resource: str) -> Wire:
        """Return a wire. Raises: AgentRefusedError naming those there are."""
        if resource not in self._wires:
            raise AgentRefusedError(f"{self.target} has no {resource!r}{did_you_mean(resource, self._wires)}")
        return self._wires[resource]

    def knows(self, secret: str) -> bool:
        """Return whether this is the agent's token, as it is now; any is, where it has none."""
        if self._secret is None:
            return True
        try:
            return hmac.compare_digest(secret.encode(), self._secret().encode())
        except UsageError as error:
            log.warning("nobody is let in: reason=%s", error)
            return False

    def lease(self, token: int) -> Lease | None:
        """Return the lease by which a runner may write, None where none is needed. Raises: LeaseError."""
        if self._pool is None:
            return self._lease
        if not token:
            raise LeaseLostError(self.target, 0, "there is none; tidegate hil reserve take gives one")
        return self._pool.lease(self.target, token)

    async def listen(
        self, host: str, port: int, papers: Papers | None, on_ready: Callable[[str, int], None] | None = None
    ) -> None:
        """Serve until cancelled, over TLS with `papers`. Raises: OSError when the address cannot be had."""
        tls, timeout_s = (papers.context, HANDSHAKE_S) if papers is not None else (None, None)
        server = await asyncio.start_server(self._accepted, host, port, ssl=tls, ssl_handshake_timeout=timeout_s)
        async with server, asyncio.TaskGroup() as group:
            if papers is not None:
                group.create_task(_renewing(papers), name="papers")
            for wire in self._wires.values():
                group.create_task(wire.run(), name=wire.name)
            if on_ready is not None:
                on_ready(*server.sockets[0].getsockname()[:2])
            await server.serve_forever()

    async def serve_stdio(self) -> None:
        """Serve whoever is behind standard input and output, until it is gone."""
        reader, writer = await _standard_streams()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(wire.run(), name=wire.name) for wire in self._wires.values()]
            await self._serve(reader, writer, "standard input")
            for task in tasks:
                task.cancel()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("peername")
        peer = f"{address[0]}:{address[1]}" if address else "?"
        if self._open >= MOST_CONNECTIONS:
            self.counts["too many"] += 1
            writer.transport.abort()
            return
        await self._serve(reader, writer, peer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str) -> None:
        self._open += 1
        connection = Connection(self, reader, writer, peer)
        try:
            await connection.run()
        finally:
            self._open -= 1
            self.counts["refused" if connection.refused else "accepted"] += 1


async def _renewing(papers: Papers) -> None:
    while True:
        await asyncio.sleep(RENEW_S)
        papers.renew()


async def _standard_streams() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return standard input and output: two pipes, or one socket that is both, as sshd gives it."""
    modes = os.fstat(0).st_mode, os.fstat(1).st_mode
    if not all(stat.S_ISSOCK(mode) or stat.S_ISFIFO(mode) for mode in modes):
        raise UsageError("--stdio speaks with a program over pipes or a socket; a person wants --listen")
    ours = [os.dup(fd) for fd in (0, 1)]  # what asyncio closes is not the interpreter's
    if stat.S_ISSOCK(modes[0]):
        os.close(ours[1])
        return await asyncio.open_connection(sock=socket.socket(fileno=ours[0]))
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(ours[0], "rb", 0))
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, os.fdopen(ours[1], "wb", 0))
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)
