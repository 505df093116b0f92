"""A CAN port's far end: a socket in the kernel's place, python-can's bus in memory, or an adapter on a pty."""

from __future__ import annotations

import contextlib
import socket
import struct
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Final

from drivers._can_frames import FD_BYTES, pack, unpack
from drivers._can_socket import SocketCanPort
from drivers.canbus import DRIVER
from gateway.clock import SystemClock
from gateway.errors import PortNotFoundError
from gateway.port import Port
from gateway.profile.model import LinkSpec
from gateway.registry import require
from hil.hosts import Rig
from hil.hosts.cable import CableWire
from hil.hosts.wire import Wire
from hil.sim.pty import Cable
from hil.sim.slcan import SlcanAdapter

LINK: Final = LinkSpec(bus="can", fd=True)
HEARD_ID: Final = 0x321  # of what the far end sends
PORT_ID: Final = 0x123  # of what is written to it


class SocketWire(Wire):
    """The other end of a message socket that speaks the kernel's records. One at a time, made by every open."""

    address = PORT_ID

    def __init__(self) -> None:
        self._far: socket.socket | None = None
        self._is_plugged = True
        self._is_stalled = False

    def connect(self) -> socket.socket:
        """Return the port's end. Raises: PortNotFoundError while unplugged."""
        if not self._is_plugged:
            raise PortNotFoundError("stand-in", "unplugged")
        self.end()
        near, self._far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._far.setblocking(False)
        return near

    def send(self, data: bytes) -> None:
        """Put a frame on the bus. A bus does not wait: what has no room is lost."""
        with contextlib.suppress(OSError):
            if self._far is not None:
                self._far.send(pack("far end", data, HEARD_ID, fd=True))

    def receive(self) -> bytes:
        """Return the data of what came so far."""
        return b"" if self._is_stalled else self._drain()

    def unplug(self) -> None:
        """Remove the interface."""
        self._is_plugged = False
        self.end()

    def plug(self) -> None:
        """Make it again."""
        self._is_plugged = True

    def stall(self) -> None:
        """Take nothing any more."""
        self._is_stalled = True

    def resume(self) -> None:
        """Throw away what waits, take again."""
        self._drain()
        self._is_stalled = False

    def end(self) -> None:
        """Let go of the socket."""
        closing, self._far = self._far, None
        if closing is not None:
            closing.close()

    def _drain(self) -> bytes:
        taken = bytearray()
        with contextlib.suppress(OSError, struct.error):
            while self._far is not None:
                taken += unpack(self._far.recv(FD_BYTES))[1]
        return bytes(taken)


class VirtualWire(Wire):
    """Another node on python-can's bus in memory, which nobody can unplug and which takes everything."""

    address = PORT_ID

    def __init__(self, channel: str) -> None:
        self._can = require("can", "can")
        self._bus = self._can.Bus(channel, "virtual", ignore_config=True)

    def send(self, data: bytes) -> None:
        """Put a frame on the bus."""
        self._bus.send(self._can.Message(arbitration_id=HEARD_ID, is_extended_id=False, data=data))

    def receive(self) -> bytes:
        """Return the data of what came so far."""
        return b"".join(bytes(message.data) for message in iter(lambda: self._bus.recv(0), None))

    def end(self) -> None:
        """Leave the bus."""
        self._bus.shutdown()


class SlcanWire(CableWire):
    """A LAWICEL adapter at the end of a serial cable. While it is stalled it does not read its UART."""

    address = PORT_ID

    def __init__(self, cable: Cable) -> None:
        super().__init__(cable)
        self._adapter = SlcanAdapter()

    def send(self, data: bytes) -> None:
        """Put a frame on the bus."""
        self._listen()
        self._cable.send(self._adapter.line(HEARD_ID, data))

    def receive(self) -> bytes:
        """Return the data of the frames that the adapter put on the bus so far."""
        if self._is_stalled:
            return b""
        self._listen()
        taken, self._adapter.frames = self._adapter.frames, []
        return b"".join(data for _, data in taken)

    def unplug(self) -> None:
        """Pull the cable, which also resets the adapter."""
        super().unplug()
        self._adapter = SlcanAdapter()

    def _listen(self) -> None:
        while data := self._cable.receive():
            self._cable.send(self._adapter.feed(data))


@contextlib.asynccontextmanager
async def _socket_rig() -> AsyncIterator[Rig]:
    wire = SocketWire()
    try:
        yield (lambda: SocketCanPort("stand-in", wire.connect, SystemClock(), fd=True)), wire
    finally:
        wire.end()


@contextlib.asynccontextmanager
async def _virtual_rig() -> AsyncIterator[Rig]:
    channel = f"tidegate-{uuid.uuid4()}"
    wire = VirtualWire(channel)
    try:
        yield (lambda: DRIVER.make(f"virtual:{channel}", LINK, SystemClock())), wire
    finally:
        wire.end()


@contextlib.asynccontextmanager
async def _slcan_rig() -> AsyncIterator[Rig]:
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder, Cable(Path(folder) / "adapter") as cable:
        target = f"slcan:{cable.path}?sleep_after_open=0"  # it does not reset when DTR rises

        def make() -> Port:
            return DRIVER.make(target, LinkSpec(bus="can", bitrate=500_000), SystemClock())

        yield make, SlcanWire(cable)


KINDS: Final = {"socket": _socket_rig, "virtual": _virtual_rig, "slcan": _slcan_rig}


def rig(kind: str = "socket") -> AbstractAsyncContextManager[Rig]:
    """Give `(make, wire)` of one of KINDS. Raises: ValueError for any other."""
    if kind not in KINDS:
        raise ValueError(f"no CAN rig {kind!r}; one of {', '.join(KINDS)}")
    return KINDS[kind]()
