"""A subscriber that costs next to nothing: `python -m tests.bench.subscriber PORT TOPIC MESSAGES_OR_READINGS`."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

CONNECT = bytes.fromhex("101000044d5154540402003c0004") + b"take"  # MQTT 3.1.1, clean session, keep alive 60 s
QUIET_S = 3.0


class Taker:
    """One subscription at most once each; the messages are kept as they came, and looked at afterwards."""

    def __init__(self, port: int, topic: str) -> None:
        """Connect and subscribe. Raises: OSError."""
        self._socket = socket.create_connection(("127.0.0.1", port))
        name = topic.encode()
        body = struct.pack(">HH", 1, len(name)) + name + b"\x00"
        self._socket.sendall(CONNECT + bytes((0x82, len(body))) + body)
        self._held = bytearray()
        while len(self._held) < 9:  # CONNACK and SUBACK
            self._held += self._socket.recv(4096)
        del self._held[:9]
        self._socket.settimeout(0.5)

    def messages(self) -> Iterator[tuple[str, bytes, int]]:
        """Yield topic, payload and when it came (monotonic), as they come; nothing while nothing does."""
        while True:
            came_ns = time.monotonic_ns()
            at = 0
            held = bytes(self._held)
            while (found := _packet(held, at)) is not None:
                kind, begin, at = found
                if kind >> 4 == 3:
                    length = int.from_bytes(held[begin : begin + 2])
                    yield held[begin + 2 : begin + 2 + length].decode(), held[begin + 2 + length : at], came_ns
            del self._held[:at]
            try:
                data = self._socket.recv(1 << 18)
            except TimeoutError:
                yield "", b"", came_ns
                continue
            if not data:
                raise ConnectionError("the broker closed")
            self._held += data

    def close(self) -> None:
        """Go."""
        self._socket.close()


def _packet(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Return the first byte of the packet at a place, where its body begins and ends; None: it is not whole."""
    length, shift, place = 0, 0, at + 1
    while place < len(data):
        byte = data[place]
        length |= (byte & 127) << shift
        shift += 7
        place += 1
        if byte < 128:
            return (data[at], place, place + length) if place + length <= len(data) else None
    return None
