"""Ports for a gateway under test that lead to the rig's own: all it says and hears passes through the rig's trace.

A serial line is a pseudo-terminal, a CAN bus one of python-can's virtual ones. SPI and Bluetooth are in `ports.py`.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, Final

from gateway.registry import require
from hil.can_frames import Frame
from hil.lease.errors import LeaseLostError
from hil.rigs.base import RigError
from hil.rigs.bench.can_wire import frame_from, message_of
from hil.rigs.bench.canbus import BenchCan
from hil.rigs.bench.uart import BenchUart
from hil.rigs.bench.wire import POLL_S
from hil.sim.pty import Cable

JOIN_S: Final = 1.0


class Bridge(ABC):
    """One port, joined with one of the rig's."""

    port: str  # what the gateway opens

    def __init__(self, name: str) -> None:
        self._is_over = False
        self._thread = threading.Thread(target=self._run, name=f"hil bridge {name}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Part them."""
        self._is_over = True
        self._thread.join(JOIN_S)

    def _run(self) -> None:
        while not self._is_over:
            with contextlib.suppress(RigError, LeaseLostError):  # a lost board is told to the test that uses it
                self._carry()

    @abstractmethod
    def _carry(self) -> None:
        """Wait a moment for what the gateway says, and carry it to the board."""


class UartBridge(Bridge):
    """A pseudo-terminal joined with a serial line."""

    def __init__(self, uart: BenchUart, place: Path) -> None:
        self._uart = uart
        self._cable = Cable(place)
        self._cable.plug()
        self.port = str(place)
        self._unlisten = uart.listen(self._cable.send)
        super().__init__(place.name)

    def close(self) -> None:
        """Part them."""
        self._unlisten()
        super().close()
        self._cable.unplug()

    def _carry(self) -> None:
        select.select([self._cable.fileno()], [], [], POLL_S)
        if said := self._cable.receive():
            self._uart.write(said)


class CanBridge(Bridge):
    """A virtual bus joined with a real one."""

    def __init__(self, bus: BenchCan, name: str) -> None:
        can = require("can", "can")
        channel = f"hil-{os.getpid()}-{name}"
        self._bus = bus
        self._virtual: Any = can.Bus(channel, "virtual", ignore_config=True)
        self.port = f"virtual:{channel}"
        self._unlisten = bus.listen(self._to_gateway)
        super().__init__(name)

    def close(self) -> None:
        """Part them."""
        self._unlisten()
        super().close()
        self._virtual.shutdown()

    def _to_gateway(self, frame: Frame) -> None:
        self._virtual.send(message_of(frame))

    def _carry(self) -> None:
        message = self._virtual.recv(POLL_S)
        if message is not None:
            self._bus.host_send(frame_from(message))
