"""Layer 7: the wire of one connection to a broker: asyncio's transport, as the socket that paho takes it for.

What is sent is gathered and goes out once a turn of the loop; what comes in waits until paho reads it. Acknowledgements
are taken out on the way: paho does not know of what they acknowledge.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

MAX_PACKET_BYTES: Final = 256 << 10  # that a broker may send us
READ_AHEAD_BYTES: Final = 64 << 10  # in memory and not read by paho: then the broker waits
_ACKS: Final = frozenset({0x40, 0xB0})  # PUBACK, UNSUBACK: both name a packet in two bytes


class Wire(asyncio.Protocol):
    """asyncio's transport, as the socket that paho takes it for."""

    def __init__(self, on_news: Callable[[], None], on_acks: Callable[[list[int]], None]) -> None:
        """Take who reads what came, told also when the connection is gone; and who hears of acknowledgements."""
        self._on_news = on_news
        self._on_acks = on_acks
        self._half = b""  # of a packet that is not whole yet
        self._transport: asyncio.Transport | None = None
        self._in = bytearray()
        self._at = 0
        self._out: list[bytes] = []
        self._is_gone = False
        self._loop = asyncio.get_running_loop()

    # ---- asyncio's

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep what came until it is read; acknowledgements of messages are told at once."""
        data = self._half + data if self._half else data
        acks: list[int] = []
        at, size = 0, len(data)
        while at < size:
            if data[at] in _ACKS and data[at + 1 : at + 2] == b"\x02" and at + 4 <= size:
                acks.append(data[at + 2] << 8 | data[at + 3])
                at += 4
                continue
            end = _end_of(data, at)
            if end > size:
                break
            self._in += data[at:end]
            at = end
        self._half = data[at:]
        if acks:
            self._on_acks(acks)
        if len(self._in) - self._at > READ_AHEAD_BYTES and self._transport is not None:
            self._transport.pause_reading()
        if len(self._in) > self._at:
            self._on_news()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """Let the reader find the end."""
        self._is_gone = True
        self._on_news()

    @property
    def has_data(self) -> bool:
        """Return whether there is something to read, the end included."""
        return self._at < len(self._in) or self._is_gone

    @property
    def unsent_bytes(self) -> int:
        """Return how much the broker has not taken."""
        transport = self._transport
        return sum(map(len, self._out)) + (0 if transport is None else transport.get_write_buffer_size())

    # ---- paho's

    def recv(self, count: int) -> bytes:
        """Return up to `count` bytes; b"" at the end. Raises: BlockingIOError, ConnectionError for a huge packet."""
        if count > MAX_PACKET_BYTES:
            raise ConnectionError(f"a packet with {count:,} bytes; at most {MAX_PACKET_BYTES:,} are taken")
        data = bytes(self._in[self._at : self._at + count])
        self._at += len(data)
        if self._at == len(self._in):
            self._in.clear()
            self._at = 0
            if self._transport is not None and not self._is_gone:
                self._transport.resume_reading()
        if not data and not self._is_gone:
            raise BlockingIOError
        return data

    def send(self, data: bytes) -> int:
        """Take everything; it goes out when the loop turns."""
        if self._is_gone:
            raise ConnectionError("the connection is gone")
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(bytes(data))
        return len(data)

    def close(self) -> None:
        """Send what waits, and end it."""
        self._flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """End it now."""
        if self._transport is not None:
            self._transport.abort()

    def setblocking(self, flag: bool) -> None:
        """Do nothing: it never blocks."""

    def fileno(self) -> int:
        """Return none: nobody may wait for it but the loop."""
        return -1

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and self._transport is not None and not self._is_gone:
            self._transport.write(out[0] if len(out) == 1 else b"".join(out))


def _end_of(data: bytes, at: int) -> int:
    """Return where the packet at `at` ends, beyond the data where it is not whole (MQTT 3.1.1, 2.2.3).

    Of one that is too long, or whose length is no length, everything is given on: paho refuses it.
    """
    length = shift = 0
    for place in range(at + 1, min(at + 5, len(data))):
        byte = data[place]
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return len(data) if length > MAX_PACKET_BYTES else place + 1 + length
    return len(data) if len(data) >= at + 5 else len(data) + 1
