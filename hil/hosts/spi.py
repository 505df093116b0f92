"""An SPI device's far end: py-spidev's fake with a model on it that says what it is told.

A slave cannot speak by itself, so `send` loads the model and has the port that was made last clock it: zeros out, what
was loaded in.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import threading
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from drivers._spi_bus import Buses
from drivers.spi import SpiPort
from gateway.clock import SystemClock
from gateway.port import Port
from gateway.profile.model import LinkSpec
from hil.hosts import Rig
from hil.hosts.wire import Wire
from hil.sim.spi.fake import FakeBus
from hil.sim.spi.line import Line
from hil.sim.spi.model import SpiModel

NODE: Final = "spidev0.0"
LINK: Final = LinkSpec(bus="spi", mode=0, speed_hz=1_000_000)


class Mailbag(SpiModel):
    """Gives what was loaded to who clocks zeros, keeps everything else that comes in."""

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


class SpiWire(Wire):
    """The device on the chip select, and its plug."""

    def __init__(self, bus: FakeBus) -> None:
        self._bus = bus
        self._bag = Mailbag()
        self._line: Line = bus.plug(NODE, self._bag)
        self.port: _HostPort | None = None

    def send(self, data: bytes) -> None:
        """Load `data` and have the port read it."""
        port = self.port
        if port is None or port.loop is None:
            raise RuntimeError("a slave speaks when its master clocks it; open a port first")
        self._bag.load(data)
        asyncio.run_coroutine_threadsafe(port.ask(bytes(len(data))), port.loop)

    def receive(self) -> bytes:
        """Return what was clocked out so far."""
        return self._bag.take()

    def unplug(self) -> None:
        """Take the node away."""
        self._bus.unplug(NODE)

    def plug(self) -> None:
        """Bring it back."""
        self._bus.replug(NODE)

    def stall(self) -> None:
        """Let transfers hang."""
        self._line.hang()

    def resume(self) -> None:
        """Throw away what came, let transfers pass."""
        self._bag.take()
        self._line.release()


class _HostPort(SpiPort):
    """A port that says on which loop it is, so that its far end may be used from any thread."""

    loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        await super().open()
        self.loop = asyncio.get_running_loop()


@contextlib.asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """Give `(make, wire)` of one chip select."""
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        bus, buses = FakeBus(Path(folder)), Buses()
        wire = SpiWire(bus)

        def make() -> Port:
            wire.port = _HostPort(str(bus.path(NODE)), LINK, SystemClock(), buses, bus.device)
            return wire.port

        yield make, wire
