"""Layer 7: uvicorn's protocols with the limits that a gateway keeps: connections, heads, and time for a request.

uvicorn parses HTTP and WebSocket; what is here is what it leaves open. Each application is called with its connection
in `scope["tidegate.connection"]`: one that takes nothing can only be ended there.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final

import h11
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.frames import Frame

from gateway.api.http.guard import MOST_HEAD_BYTES, check_handshake
from gateway.api.http.problems import PROBLEM_JSON, Problem
from gateway.api.http.sockets import Counting, Progress, Sips

REQUEST_S: Final = 15.0  # until a request is there whole
SLOW_CODE: Final = 4008
LINGER_S: Final = 5.0  # for a slow socket to read that it was too slow
UNREAD_S: Final = 2.0  # what comes is thrown away for so long, or who is sending still would not read why it is over
REFUSED_MOST: Final = 64  # connections beyond the limit that are told so; further ones are just closed


class State(ServerState):
    """What all connections of one door share."""

    def __init__(self, most: int, answered: dict[int, int]) -> None:
        """Take how many connections there may be, and where answers are counted by their status."""
        super().__init__()
        self.most = most
        self.over = 0  # connections that were refused for that
        self.stalled = 0  # that took nothing of their answer
        self.answered = answered

    def look(self, now_s: float) -> None:
        """End connections that take nothing; to be called now and then."""
        for connection in list(self.connections):
            assert isinstance(connection, HttpProtocol | WsProtocol)
            if connection.progress.is_stalled(connection.transport.get_write_buffer_size(), now_s):
                self.stalled += 1
                connection.transport.abort()


async def _with_connection(app: Any, protocol: Any, scope: dict[str, Any], receive: Any, send: Any) -> None:
    scope["tidegate.connection"] = protocol
    await app(scope, receive, send)


class HttpProtocol(Sips, H11Protocol):  # type: ignore[misc] # asyncio annotates one method of its two bases differently
    """One connection."""

    server_state: State

    def __init__(
        self,
        config: Config,
        server_state: State,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Take what uvicorn gives."""
        super().__init__(config, server_state, app_state, _loop)
        self.app = partial(_with_connection, self.app, self)
        self.conn = Counting()
        self.progress = Progress()
        self.on_lost: Callable[[], None] = _nothing
        self._due: asyncio.TimerHandle | None = None
        self._is_over = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Take a connection, if there is room for it."""
        super().connection_made(transport)
        over = len(self.connections) - self.server_state.most
        if over > 0:
            self.server_state.over += 1
            if over > REFUSED_MOST:
                transport.abort()
                return
            self.app = _too_many
            self.ws_protocol_class = None
        self._due = self.loop.call_later(REQUEST_S, self._too_slow)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go."""
        self._in_time()
        self.on_lost()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes; a request that has begun is whole in time, or the connection ends."""
        if self._is_over:
            return
        super().data_received(data)
        if self.transport.is_closing() or self.conn.their_state not in {h11.IDLE, h11.SEND_BODY}:
            self._in_time()
        elif self._due is None:
            self._due = self.loop.call_later(REQUEST_S, self._too_slow)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Pass the connection on."""
        self._in_time()
        try:
            check_handshake(event.method, self.headers)
        except Problem as problem:
            self._end(problem)
        else:
            super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Say what is wrong with what cannot be parsed; called where h11's error is being handled."""
        error = sys.exc_info()[1]
        if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431:
            self._end(Problem(431, "headers", f"the head of a request has at most {MOST_HEAD_BYTES} bytes"))
        else:
            self._end(Problem(400, "malformed", f"this is no HTTP: {error or msg}"))

    async def has_room(self, within_s: float) -> bool:
        """Wait until the socket takes more; return False where it took nothing for so long."""
        while self.flow.write_paused:
            if not await _drained(self.transport, self.flow.drain, within_s):
                return False
        return True

    def end_slow(self) -> None:
        """Close a socket that takes nothing."""
        self.transport.abort()

    def _in_time(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _too_slow(self) -> None:
        self._due = None
        if self.transport.is_closing() or self._is_over:
            self.transport.abort()
            return
        has_begun = self.conn.our_state is h11.IDLE and self.conn.trailing_data[0]
        if has_begun or self.conn.their_state is h11.SEND_BODY:
            self._end(Problem(408, "timeout", f"a request is here whole within {REQUEST_S:g} s"))
        elif self.conn.their_state is h11.IDLE:
            self.transport.close()  # it never said anything

    def _end(self, problem: Problem) -> None:
        """Answer without the application, unless it has begun to; and end."""
        if self.conn.our_state not in {h11.IDLE, h11.SEND_RESPONSE}:
            self.transport.close()
            return
        self._count(problem.status)
        body = problem.body()
        headers = [("content-type", PROBLEM_JSON), ("content-length", str(len(body))), ("connection", "close")]
        headers += problem.headers.items()
        reason = HTTPStatus(problem.status).phrase.encode()
        told = h11.Response(status_code=problem.status, headers=headers, reason=reason)
        parts = [self.conn.send(each) for each in (told, h11.Data(data=body), h11.EndOfMessage())]
        self.transport.write(b"".join(part or b"" for part in parts))
        self._is_over = True
        self._in_time()
        if self.cycle is not None:  # nobody answers for us any more
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self.flow.resume_reading()
            self._due = self.loop.call_later(UNREAD_S, self._too_slow)
        else:
            self.transport.close()

    def _count(self, status: int) -> None:
        answered = self.server_state.answered
        answered[status] = answered.get(status, 0) + 1


class WsProtocol(Sips, WebSocketsSansIOProtocol):  # type: ignore[misc] # asyncio annotates one method of its two bases differently
    """One connection that became a WebSocket."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        """Take what uvicorn gives."""
        super().__init__(config, server_state, app_state, _loop)
        self.app = partial(_with_connection, self.app, self)
        self.progress = Progress()
        self.on_lost: Callable[[], None] = _nothing

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go."""
        self.on_lost()
        super().connection_lost(exc)

    def handle_text(self, event: Frame) -> None:
        """Let what a client says go unheard, and keep none of it: it has nothing to say here."""

    handle_bytes = handle_cont = handle_text

    def handle_ping(self) -> None:
        """Answer, unless the last answers were not taken: a flood of pings fills no memory."""
        told = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(told)

    def handle_close(self, event: Any) -> None:
        """Take that the other end says goodbye."""
        self.on_lost()
        super().handle_close(event)

    async def has_room(self, within_s: float) -> bool:
        """Wait until the socket takes more; return False where it took nothing for so long."""
        while not self.writable.is_set():
            if not await _drained(self.transport, self.writable.wait, within_s):
                return False
        return True

    def end_slow(self) -> None:
        """Close a socket that takes nothing: it is told so, should it ever read on."""
        if not self.close_sent and not self.transport.is_closing():
            self.conn.send_close(SLOW_CODE, "too slow")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.loop.call_later(LINGER_S, self.transport.abort)
        self.transport.close()


async def _drained(transport: asyncio.Transport, wait: Callable[[], Awaitable[Any]], within_s: float) -> bool:
    """Wait until a socket has taken what waits, or part of it; return False where it took nothing in time."""
    before = transport.get_write_buffer_size()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            await wait()
            return True
    return transport.get_write_buffer_size() < before


def _nothing() -> None:
    """Nobody wants to know."""


async def _too_many(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Refuse one connection too many."""
    del scope, receive
    problem = Problem(503, "busy", "too many connections are open; close one, or raise http.max_connections")
    body = problem.body()
    headers = [
        (b"content-type", PROBLEM_JSON.encode()), (b"content-length", str(len(body)).encode()),
        (b"retry-after", b"1"), (b"connection", b"close"),
    ]  # fmt: skip
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": body})
