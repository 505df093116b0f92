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
from hil.hosts.cable import CableWire
from hil.sim.pty import Cable

LINK = LinkSpec(bus="uart", baud=115200)


class PtyWire(CableWire):
    """The device at the end of a cable. One that is slow takes nothing until `resume`."""

    def send(self, data: bytes) -> None:
        """Speak as the device."""
        self._cable.send(data)

    def receive(self) -> bytes:
        """Return what came so far."""
        return b"" if self._is_stalled else self._cable.receive()


@contextlib.asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """Give `(make, wire)` of one pseudo-terminal."""
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder, Cable(Path(folder) / "device") as cable:

        def make() -> Port:
            return DRIVER.make(str(cable.path), LINK, SystemClock())

        yield make, PtyWire(cable)
