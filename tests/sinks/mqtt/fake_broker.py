"""A broker that does what no good one does: each answer is a script's, byte by byte."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Self

from tests.sinks.mqtt.kit import packet

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, SUBSCRIBE, PINGREQ = 1, 2, 3, 4, 5, 8, 12
WELCOME = bytes((0x20, 2, 0, 0))

Script = Callable[["Visit"], Awaitable[None]]


def puback(mid: int) -> bytes:
    return bytes((0x40, 2)) + mid.to_bytes(2, "big")


def publish(topic: bytes, payload: bytes, *, qos: int = 0, mid: int = 1, flags: int = 0) -> bytes:
    """Return a PUBLISH packet as a broker sends it."""
    body = len(topic).to_bytes(2, "big") + topic + (mid.to_bytes(2, "big") if qos else b"") + payload
    return bytes((0x30 | qos << 1 | flags,)) + length(len(body)) + body


def length(size: int) -> bytes:
    """Return a remaining length (MQTT 3.1.1, 2.2.3)."""
    out = b""
    while True:
        size, digit = divmod(size, 128)
        out += bytes((digit | (0x80 if size else 0),))
        if not size:
            return out


class Visit:
    """One connection of a gateway: what it said, and the way to answer."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number  # of the connection, from 1
        self._reader = reader
        self._writer = writer

    async def take(self) -> tuple[int, bytes]:
        """Return the next packet: its kind, and its body."""
        head, body = await packet(self._reader)
        return head[0] >> 4, body

    async def until(self, kind: int) -> bytes:
        """Return the body of the next packet of a kind."""
        while True:
            found, body = await self.take()
            if found == kind:
                return body

    async def mid(self) -> int:
        """Return the number of the next PUBLISH of ours."""
        body = await self.until(PUBLISH)
        size = int.from_bytes(body[:2], "big")
        return int.from_bytes(body[2 + size : 4 + size], "big")

    async def say(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def behave(self) -> None:
        """Be a good broker from here on: acknowledge everything."""
        while True:
            kind, body = await self.take()
            if kind == CONNECT:
                await self.say(WELCOME)
            elif kind == PUBLISH:
                size = int.from_bytes(body[:2], "big")
                await self.say(puback(int.from_bytes(body[2 + size : 4 + size], "big")))
            elif kind == SUBSCRIBE:
                await self.say(bytes((0x90, 6)) + body[:2] + b"\x01\x01\x01\x01")
            elif kind == PINGREQ:
                await self.say(b"\xd0\x00")


class FakeBroker:
    """A TCP server that lets a script have each connection."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self.connections = 0
        self._script = script
        self._context = context
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._script(Visit(self.connections, reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()
