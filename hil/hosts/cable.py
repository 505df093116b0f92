"""What far ends on a serial cable have in common: the cable can be pulled, and what hangs on it can be slow."""

from __future__ import annotations

from hil.hosts.wire import Wire
from hil.sim.pty import Cable


class CableWire(Wire):
    """The far end of a pty. `send` and `receive` are its subclasses'."""

    def __init__(self, cable: Cable) -> None:
        self._cable = cable
        self._is_stalled = False

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
