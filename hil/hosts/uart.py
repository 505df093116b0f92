"""A serial port's far end: the master side of a pseudo-terminal, behind a name of its own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from drivers.uart import DRIVER
from gateway.clock import SystemClock
from gateway.port import Port
from gateway.profile.model import LinkSpec
from hil.hosts import Rig
from hil.hosts.wire import Wire
from hil.sim.pty import Cable

LINK = LinkSpec(bus="uart", baud=115200)


class PtyWire(Wire):
    """The device at the end of a cable that can be pulled. A device that is slow takes nothing until `resume`."""

    def __init__(self, cable: Cable) -> None:
        self._cable = cable
        self._is_stalled = False

    def send(self, data: bytes) -> None:
        """Speak as the device."""
        self._cable.send(data)

    def receive(self) -> bytes:
        """Return what came so far."""
        return b"" if self._is_stalled else self._cable.receive()

    def unplug(self) -> None:
        """Pull the cable."""
        self._cable.unplug()

    def plug(self) -> None:
        """Put it back."""
        self._cable.plug()

    def stall(self) -> None:
        """Take nothing any more."""
        self._is_stalled = True

    def resume(self) -> None:
        """Throw away what waits, take again."""
        while self._cable.receive():
            pass
        self._is_stalled = False


@contextlib.asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """Give `(make, wire)` of one pseudo-terminal."""
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder, Cable(Path(folder) / "device") as cable:

        def make() -> Port:
            return DRIVER.make(str(cable.path), LINK, SystemClock())

        yield make, PtyWire(cable)
