"""A node that babbles on a bench's bus: frames that are really sent, through a second socket on its interface."""

from __future__ import annotations

import threading
import time
from typing import Final

from hil.can_frames import Frame
from hil.faults import can
from hil.faults.faults import Fault
from hil.lease.errors import LeaseError
from hil.rigs.base import RigError, TxFullError
from hil.rigs.bench.can_wire import CanWire, send
from hil.rigs.bench.leased import deed

JOIN_S: Final = 2.0
STANDARD_BITRATE: Final = 500_000  # where the rig file says none
MOST_BEHIND_S: Final = 0.1  # what is later than that is not made up for
_NS: Final = 1_000_000_000


class Babbler:
    """Sends for `load` percent of the time, by the bits that its frames have, until `stop`."""

    def __init__(self, wire: CanWire, fault: Fault) -> None:
        """Begin. Raises: RigError."""
        self._wire = wire
        self._fault = fault
        self._bit_ns = _NS / (wire.link.bitrate or STANDARD_BITRATE)
        self._bus = wire.second()
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"hil {wire.name} babble", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send no more."""
        self._is_over.set()
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        try:
            due_s = time.monotonic()
            while not self._is_over.wait(max(due_s - time.monotonic(), 0.0)):
                frame = can.babbled(self._fault)
                with deed(self._wire.lease):
                    self._send(frame)
                due_s += can.babble_interval_ns(self._fault, frame, self._bit_ns) / 1e9
                due_s = max(due_s, time.monotonic() - MOST_BEHIND_S)
        except (RigError, LeaseError):  # the interface is gone, or the board is somebody else's
            return
        finally:
            self._bus.shutdown()

    def _send(self, frame: Frame) -> None:
        while self._bus.recv(0) is not None:  # what it hears is nothing to it, and must not pile up
            pass
        try:
            send(self._bus, frame, f"{self._wire.name} babbling", self._wire.check)
        except TxFullError:
            return  # the bus takes no more: that is all the load there is
