"""A recording as a far end: it says what was written down, again and again, and takes nothing."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from drivers.replay import DRIVER
from gateway.clock import SystemClock
from gateway.port import Port
from gateway.profile.model import LinkSpec
from hil.hosts import Rig
from hil.hosts.wire import Wire

LINK = LinkSpec(bus="can")
_FRAMES: Final = 50
_SPACING_S: Final = 0.01


@contextlib.asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """Give `(make, wire)` of one recording; its wire can neither send nor be pulled."""
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        recording = Path(folder) / "drive.log"
        lines = (f"({number * _SPACING_S:.6f}) can0 123#{number:016X}\n" for number in range(_FRAMES))
        recording.write_text("".join(lines))

        def make() -> Port:
            return DRIVER.make(f"replay:{recording}?loop=1", LINK, SystemClock())

        yield make, Wire()
