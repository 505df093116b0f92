"""Layer 6: what a gateway answers on its socket: one JSON line asks, JSON lines answer.

{"request": "status"} | {"request": "devices"} | {"request": "routes", "pattern": "pump/*"} -> {"ok": ...}
{"request": "values", "pattern": "pump/*"} -> {"ok": [...]}
{"request": "watch", "pattern": "*"} -> {"ok": {"fields": ...}}, then a line per message until the reader leaves
{"request": "tap", "args": {"devices": ["pump"]}} -> {"ok": {"wall_ns": ..., "buses": ...}}, then a line per record
{"request": "install_profile", "args": {...}, "text_bytes": 812} and 812 bytes -> {"ok": ...}
what cannot be answered -> {"error": {"type": ..., "message": ...}}

A slow reader never slows the gateway: its rows wait in a bounded mailbox, and it is told how many it missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from gateway.authority.decision import Caller
from gateway.errors import GatewayError, UsageError
from gateway.route import RoutePattern
from gateway.runtime.doorway import Doorway
from gateway.runtime.peer import peer_of
from gateway.runtime.tap import Tap
from gateway.runtime.watch import Watcher

MAX_LINE_BYTES: Final = 65_536
MAX_TEXT_BYTES: Final = 1_048_576
MAX_VISITORS: Final = 64
ANSWER_TIMEOUT_S: Final = 10.0  # a reader that takes no answer for so long is let go

log = logging.getLogger(__name__)


class Answers(Protocol):
    """What the socket asks the gateway for."""

    def status(self) -> dict[str, Any]:
        """Return the object of `status --json`."""
        ...

    def devices(self) -> list[dict[str, Any]]:
        """Return the list of `devices --json`."""
        ...

    def routes(self, pattern: RoutePattern) -> list[dict[str, Any]]:
        """Return the list of `routes --json`."""
        ...

    def values(self, pattern: RoutePattern) -> list[dict[str, Any]]:
        """Return what routes say now: the object of `get --json` with its route."""
        ...

    async def left(self, what: str, pattern: RoutePattern) -> list[dict[str, Any]]:
        """Return the same, `routes` or `values`, of a device that is remembered only, where the pattern names it."""
        ...

    def fields(self, pattern: RoutePattern) -> dict[str, dict[str, dict[str, list[str]]]]:
        """Return route and unit by device, message and field: what plain lines need beside the records."""
        ...

    def watcher(self, pattern: RoutePattern) -> contextlib.AbstractContextManager[Watcher]:
        """Return a watcher that looks on as long as the context lasts."""
        ...

    def tap(self, names: Sequence[str]) -> contextlib.AbstractContextManager[Tap]:
        """Return what records the ports of these devices, () of all, as long as the context lasts."""
        ...


class Asked(Protocol):
    """What callers may have done (`gateway.runtime.asks.Asks`)."""

    @property
    def names(self) -> list[str]:
        """Return what can be asked for."""
        ...

    async def answer(self, name: str, args: dict[str, Any], caller: Caller) -> dict[str, Any]:
        """Return the answer. Raises: GatewayError, msgspec.ValidationError."""
        ...

    async def may_look(self, caller: Caller, pattern: str = "*") -> None:
        """Raises: DeniedError where a caller may not look at everything that a `RoutePattern` may show."""
        ...


_ABOUT_ROUTES: Final = frozenset({"routes", "values", "watch"})


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    request: str
    pattern: str = "*"
    args: dict[str, Any] = msgspec.field(default_factory=dict)
    token: str | None = None
    text_bytes: int = 0  # of a text that follows the line, and is the argument `text`


class _Tapped(msgspec.Struct, forbid_unknown_fields=True):
    devices: list[str] = msgspec.field(default_factory=list)


class ControlServer:
    """The gateway's end of its socket."""

    def __init__(self, doorway: Doorway, answers: Answers, asks: Asked) -> None:
        """Take the bound socket, who answers and who does things."""
        self._asks = asks
        self._doorway = doorway
        self._answers = answers
        self._visitors: set[asyncio.StreamWriter] = set()
        self._reading = asyncio.Lock()  # a text is taken: so many bytes once, not once for each visitor
        self._simple: dict[str, Callable[[RoutePattern], Any]] = {
            "status": lambda _pattern: answers.status(),
            "devices": lambda _pattern: answers.devices(),
            "routes": answers.routes,
            "values": answers.values,
        }

    async def run(self) -> None:
        """Answer until cancelled."""
        server = await asyncio.start_unix_server(self._visit, sock=self._doorway.socket, limit=MAX_LINE_BYTES)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()
            for writer in list(self._visitors):
                writer.transport.abort()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._visitors.add(writer)
        try:
            if len(self._visitors) > MAX_VISITORS:
                await _send(writer, _problem("busy", f"{MAX_VISITORS} connections are open; close one"))
                return
            while line := await self._line(reader, writer):
                if not await self._answer(line, reader, writer):
                    return
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            log.debug("a reader of the socket went away")
        finally:
            self._visitors.discard(writer)
            writer.close()

    @staticmethod
    async def _line(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """Return one request; empty at the end, and after a line that is too long, which is answered."""
        try:
            return await reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as end:
            return end.partial.strip()
        except asyncio.LimitOverrunError:
            await _send(writer, _problem("request", f"a request is at most {MAX_LINE_BYTES} bytes long"))
            return b""

    async def _answer(self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Answer one line; return whether another may follow."""
        try:
            request = msgspec.json.decode(line, type=_Request)
            pattern = RoutePattern(request.pattern)
            caller = Caller(principal=peer_of(writer), token=request.token, is_local=True)
            if request.request in {*self._simple, "watch", "tap"}:
                await self._asks.may_look(caller, request.pattern if request.request in _ABOUT_ROUTES else "*")
            if request.request == "watch":
                await self._watch(pattern, reader, writer)
                return False
            if request.request == "tap":
                await self._tap(msgspec.convert(request.args, _Tapped), reader, writer)
                return False
            if request.request in self._simple:
                found = self._simple[request.request](pattern)
                if request.request in {"routes", "values"} and not found:
                    found = await self._answers.left(request.request, pattern)
                await _send(writer, {"ok": found})
            elif request.request in self._asks.names:
                args = request.args if not request.text_bytes else await self._with_text(request, reader)
                await _send(writer, {"ok": await self._asks.answer(request.request, args, caller)})
            else:
                known = [*self._simple, "watch", "tap", *self._asks.names]
                raise UsageError(f"no request {request.request!r}; one of {', '.join(known)}")
        except msgspec.MsgspecError as error:
            await _send(writer, _problem("request", str(error)))
        except RecursionError:
            await _send(writer, _problem("request", "the request is nested too deeply"))
        except (GatewayError, UnicodeDecodeError) as error:
            await _send(writer, _problem(type(error).__name__, str(error)))
        return True

    async def _with_text(self, request: _Request, reader: asyncio.StreamReader) -> dict[str, Any]:
        """Return the arguments with the text behind the line; one visitor at a time gives one.

        Raises: UsageError, TimeoutError, IncompleteReadError.
        """
        if not 0 < request.text_bytes <= MAX_TEXT_BYTES:
            raise UsageError(f"a text has at most {MAX_TEXT_BYTES:,} bytes, and not {request.text_bytes:,}")
        async with self._reading, asyncio.timeout(ANSWER_TIMEOUT_S):
            text = await reader.readexactly(request.text_bytes)
        return request.args | {"text": text.decode()}

    async def _watch(self, pattern: RoutePattern, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send rows until the reader leaves, which its end of file says even while nothing comes to be sent."""
        with self._answers.watcher(pattern) as watcher:
            await _send(writer, {"ok": {"fields": self._answers.fields(pattern)}})
            await _tell_until_end(watcher, reader, writer)

    async def _tap(self, tapped: _Tapped, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send what passes on ports until the reader leaves."""
        with self._answers.tap(tapped.devices) as tap:
            await _send(writer, {"ok": {"wall_ns": tap.wall_ns, "buses": tap.buses}})
            await _tell_until_end(tap, reader, writer)


async def _tell_until_end(told: Watcher | Tap, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    async with asyncio.TaskGroup() as group:
        telling = group.create_task(_tell(told, writer), name="watch/tell")
        await _until_end(reader)
        telling.cancel()


async def _tell(told: Watcher | Tap, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while True:
            writer.write(b"".join(map(line_of, await told.chunk())))
            await writer.drain()
            await asyncio.sleep(0)


async def _until_end(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(4096):
            pass


async def _send(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
    writer.write(line_of(answer))
    async with asyncio.timeout(ANSWER_TIMEOUT_S):
        await writer.drain()


def line_of(record: Any) -> bytes:
    """Return one JSON line. Numbers beyond 64 bits (long BCD) are written out, where the fast encoder gives up."""
    try:
        return msgspec.json.encode(record) + b"\n"
    except OverflowError:
        return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"


def _problem(kind: str, message: str) -> dict[str, Any]:
    return {"error": {"type": kind, "message": message}}
