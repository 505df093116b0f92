"""Layer 7: `/v1/watch`: values as they come, as server-sent events or over a WebSocket, with resume and told gaps.

With `from`, or a browser's `Last-Event-ID`, it begins in the ledger and goes on with what comes; without either, with
what comes. With `live=true` every decoded value is told, recorded or not, without number and without resume.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, Protocol
from urllib.parse import parse_qsl

from starlette.requests import HTTPConnection
from uvicorn.protocols.utils import ClientDisconnected

from gateway.api.api import Api
from gateway.api.feed import Piece, Reader, WatchPattern, gap_piece
from gateway.api.http.guard import SUBPROTOCOL
from gateway.api.http.parameters import FLAG, MAX_SEQ, SEQ, text
from gateway.api.http.problems import Problem
from gateway.api.live import live_pieces
from gateway.authority.decision import Caller
from gateway.errors import LedgerError
from gateway.route import RoutePattern

PARAMETERS: Final = {
    "pattern": text("up to three globs, device/family/stream, with @variant or @* for more than plain values [*]"),
    "from": SEQ._replace(words="begin at this sequence number of the ledger"),
    "live": FLAG._replace(words="every decoded value, recorded or not, without resume"),
}
STALLED_S: Final = 10.0  # a socket that takes nothing for so long is closed
HEARTBEAT_S: Final = 5.0  # a comment, so that who reads can tell silence from a gateway that is gone
SETTLE_S: Final = 0.1  # until what is neither held nor durable yet is looked for again
WRITE_BYTES: Final = 16_384  # given to a socket at once

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Connection(Protocol):
    """One socket, as the door's protocols are."""

    on_lost: Callable[[], None]

    async def has_room(self, within_s: float) -> bool:
        """Wait until the socket takes more; return False where it took nothing for so long."""
        ...

    def end_slow(self) -> None:
        """Close a socket that takes nothing."""
        ...


class Wanted:
    """What one who looks on asks for."""

    def __init__(self, connection: HTTPConnection) -> None:
        """Read it. Raises: Problem, RouteError for a pattern that is none."""
        given = parse_qsl(connection.scope["query_string"].decode("latin-1"), keep_blank_values=True)
        told = dict(given)
        unknown = sorted(set(told) - set(PARAMETERS))
        if unknown or len(told) != len(given):
            what = unknown[0][:40] if unknown else "a parameter given twice"
            raise Problem(400, "malformed", f"{what!r} is nothing here; there are {', '.join(PARAMETERS)}, once each")
        self.pattern = WatchPattern(told.get("pattern", "*"))
        self.is_live = _flag(told.get("live", "false"))
        since = told.get("from")
        last_id = connection.headers.get("last-event-id") if connection.scope["type"] == "http" else None
        self.after: int | None = None  # the last number that is known already
        if last_id is not None:  # a browser that comes back: it knows better than the address it began with
            self.after = _seq("Last-Event-ID", last_id)
        elif since is not None:
            self.after = max(0, _seq("from", since) - 1)
        if self.is_live and self.after is not None:
            raise Problem(400, "malformed", "live=true has no numbers to resume from; leave one of the two out")


class Watch:
    """All who look on through one door."""

    def __init__(self, api: Api) -> None:
        """Take what is behind the door."""
        self._api = api
        self.open: set[Reader] = set()
        self.closed: dict[str, int] = {}  # by reason

    async def serve(
        self, connection: HTTPConnection, caller: Caller, scope: dict[str, Any], _receive: Any, send: Send
    ) -> None:
        """Serve one until it leaves. Raises: Problem before anything was sent."""
        wanted = Wanted(connection)
        await self._api.asks.may_look(caller, wanted.pattern.text)
        if self._api.feed.stream is None and wanted.after is not None:
            raise Problem(404, "no_ledger", "nothing is recorded here, so there is nothing to resume; leave `from` out")
        socket: Connection = scope["tidegate.connection"]
        reader = Reader()
        socket.on_lost = reader.close
        self.open.add(reader)
        reason = "fault"
        try:
            scope["tidegate.begun"] = True  # what fails from here on is not answered any more
            out = _Out(send, socket, is_sse=scope["type"] == "http")
            await out.begin(scope.get("subprotocols", ()))
            reason = await self._tell(wanted, reader, out)
        finally:
            self.open.discard(reader)
            self.closed[reason] = self.closed.get(reason, 0) + 1

    async def _tell(self, wanted: Wanted, reader: Reader, out: _Out) -> str:
        """Tell everything that comes; return why it ended."""
        try:
            async with aclosing(self._pieces(wanted, reader)) as pieces:
                async for some in pieces:
                    if not await out.write(some):
                        return "slow"
            await out.end()
        except ClientDisconnected:
            return "left"
        except LedgerError:
            return "ledger"
        return "left"

    async def _pieces(self, wanted: Wanted, reader: Reader) -> AsyncGenerator[list[Piece], None]:
        """Give what is to be told, as it can be; [] now and then where nothing came."""
        feed = self._api.feed
        if wanted.is_live or feed.stream is None:
            pattern = RoutePattern(wanted.pattern.text.partition("@")[0])
            async for some in live_pieces(self._api.queries, pattern, reader, HEARTBEAT_S):
                yield some
            return
        stream, after = feed.stream, wanted.after
        while not stream.is_open.is_set() or (after is not None and not stream.holds(after)):
            if stream.is_open.is_set() and after is not None:
                async for chunk in feed.behind(wanted.pattern, after):
                    after = chunk.last
                    yield chunk.pieces
                    if reader.is_closed:
                        return
            if await reader.take(SETTLE_S) is None:
                return
        if (
            after is not None and after > stream.last_seq
        ):  # its numbers are of another ledger, or of a tail that was lost
            yield [gap_piece(stream.last_seq + 1, after, "the ledger ends before it")]
        with feed.joined(reader, wanted.pattern, after):
            while (found := await reader.take(HEARTBEAT_S)) is not None:
                yield found


class _Out:
    """The sending half of one who looks on."""

    def __init__(self, send: Send, socket: Connection, *, is_sse: bool) -> None:
        self._send = send
        self._socket = socket
        self._is_sse = is_sse

    async def begin(self, offered: Any) -> None:
        """Accept."""
        if self._is_sse:
            headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._send({"type": "http.response.body", "body": b": tidegate\n\n", "more_body": True})
        else:
            protocol = SUBPROTOCOL if SUBPROTOCOL in offered else None
            await self._send({"type": "websocket.accept", "subprotocol": protocol})

    async def write(self, pieces: list[Piece]) -> bool:
        """Send; return False where the socket takes nothing any more. It is closed then."""
        if self._is_sse:
            return await self._write_events(pieces)
        for piece in pieces:
            if not await self._has_room():
                return False
            await self._send({"type": "websocket.send", "text": piece.data.decode()})
        return True

    async def _write_events(self, pieces: list[Piece]) -> bool:
        body = b"".join(map(_event, pieces)) or b":\n\n"
        for start in range(0, len(body), WRITE_BYTES):
            if not await self._has_room():
                return False
            part = body[start : start + WRITE_BYTES]
            await self._send({"type": "http.response.body", "body": part, "more_body": True})
        return True

    async def end(self) -> None:
        """Say that nothing more comes."""
        if self._is_sse:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await self._send({"type": "websocket.close", "code": 1001})

    async def _has_room(self) -> bool:
        if await self._socket.has_room(STALLED_S):
            return True
        self._socket.end_slow()
        return False


def _event(piece: Piece) -> bytes:
    """Return one server-sent event; only what may be resumed behind has an id."""
    if piece.seq is None:
        return b"data: %s\n\n" % piece.data
    return b"id: %d\ndata: %s\n\n" % (piece.seq, piece.data)


def _seq(name: str, text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= MAX_SEQ:
        return int(text)
    raise Problem(400, "malformed", f"{name} is a sequence number, not {text[:40]!r}")


def _flag(text: str) -> bool:
    if text not in {"true", "false"}:
        raise Problem(400, "malformed", f"live is true or false, not {text[:40]!r}")
    return text == "true"
