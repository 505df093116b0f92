"""A device that says what it is told and keeps what it hears: the far end of contract checks."""

from __future__ import annotations

import threading
from collections import deque

from hil.sim.spi.model import SpiModel


class Mailbag(SpiModel):
    """Gives what was loaded to who clocks zeros, keeps everything else that comes in. Usable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._out: deque[bytes] = deque()
        self._in = bytearray()

    def load(self, data: bytes) -> None:
        """Have something to say."""
        with self._lock:
            self._out.append(data)

    def take(self) -> bytes:
        """Return what came in, once."""
        with self._lock:
            taken = bytes(self._in)
            self._in.clear()
        return taken

    def exchange(self, tx: bytes) -> bytes:
        """Speak, or listen."""
        with self._lock:
            if self._out and not any(tx):
                return self._out.popleft()[: len(tx)].ljust(len(tx), b"\xff")
            self._in += tx
        return b"\xff" * len(tx)
