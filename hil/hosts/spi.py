"""An SPI device's far end: py-spidev's fake with a model on it that says what it is told.

A slave cannot speak by itself, so `send` loads the model and has the port that was made last clock it: zeros out, what
was loaded in.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, Protocol

from drivers._spi_bus import Buses
from drivers._spi_device import SpiDev
from drivers.spi import SpiPort
from gateway.clock import SystemClock
from gateway.port import Port
from gateway.profile.model import LinkSpec
from hil.hosts import Rig
from hil.hosts.wire import Wire
from hil.sim.spi.fake import FakeBus
from hil.sim.spi.mailbag import Mailbag

NODE: Final = "spidev0.0"
LINK: Final = LinkSpec(bus="spi", mode=0, speed_hz=1_000_000)


class FarEnd(Protocol):
    """What carries the wire: a fake here, the kernel's SPI core in the kernel rig."""

    def load(self, data: bytes) -> None:
        """Have something to say."""
        ...

    def take(self) -> bytes:
        """Return what came in, once."""
        ...

    def unplug(self) -> None:
        """Take the node away."""
        ...

    def replug(self) -> None:
        """Bring it back."""
        ...

    def hang(self) -> None:
        """Let transfers begin and not end."""
        ...

    def release(self) -> None:
        """Let them pass."""
        ...


class SpiWire(Wire):
    """The device on the chip select, and its plug."""

    def __init__(self, far: FarEnd) -> None:
        self._far = far
        self._port: _HostPort | None = None

    def port(self, path: str, buses: Buses, new_device: Callable[[], SpiDev]) -> Port:
        """Return a new port, which `send` uses from now on."""
        self._port = _HostPort(path, LINK, SystemClock(), buses, new_device)
        return self._port

    def send(self, data: bytes) -> None:
        """Load `data` and have the port read it."""
        port = self._port
        if port is None or port.loop is None:
            raise RuntimeError("a slave speaks when its master clocks it; open a port first")
        self._far.load(data)
        asyncio.run_coroutine_threadsafe(port.ask(bytes(len(data))), port.loop)

    def receive(self) -> bytes:
        """Return what was clocked out so far."""
        return self._far.take()

    def unplug(self) -> None:
        """Take the node away."""
        self._far.unplug()

    def plug(self) -> None:
        """Bring it back."""
        self._far.replug()

    def stall(self) -> None:
        """Let transfers hang."""
        self._far.hang()

    def resume(self) -> None:
        """Throw away what came, let transfers pass."""
        self._far.take()
        self._far.release()


class _HostPort(SpiPort):
    """A port that says on which loop it is, so that its far end may be used from any thread."""

    loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        await super().open()
        self.loop = asyncio.get_running_loop()


class _FakeEnd:
    """A mailbag on py-spidev's fake."""

    def __init__(self, bus: FakeBus) -> None:
        bag = Mailbag()
        line = bus.plug(NODE, bag)
        self._bus = bus
        self.load, self.take = bag.load, bag.take
        self.hang, self.release = line.hang, line.release

    def unplug(self) -> None:
        self._bus.unplug(NODE)

    def replug(self) -> None:
        self._bus.replug(NODE)


@contextlib.asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """Give `(make, wire)` of one chip select."""
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        bus, buses = FakeBus(Path(folder)), Buses()
        wire = SpiWire(_FakeEnd(bus))
        yield lambda: wire.port(str(bus.path(NODE)), buses, bus.device), wire
