"""Bluetooth's far end: a device behind a BlueZ of our own, which the real BlueZ backend of bleak talks to."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from drivers.ble import DRIVER
from gateway.clock import SystemClock
from gateway.frame import Element
from gateway.port import FilteringPort, Port
from gateway.profile.model import LinkSpec
from hil.hosts import Rig
from hil.hosts.wire import RigUnavailableError, Wire
from hil.sim.bluez.bus import private_bus
from hil.sim.bluez.peripheral import Characteristic, Peripheral

if TYPE_CHECKING:
    from hil.sim.bluez.service import FakeBluez

SERVICE: Final = "6e400001-b5a3-f393-e0a9-e50e24dcca9e"  # Nordic's UART service: what serial lines over BLE use
RECEIVE: Final = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
TRANSMIT: Final = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"
ADDRESS: Final = "F0:F1:F2:F3:F4:F5"
LINK: Final = LinkSpec(bus="ble", mode="gatt")


class GattWire(Wire):
    """A device that notifies what it is given and keeps what is written to it. Unplugging pulls the adapter."""

    address = Element("", characteristic=RECEIVE)

    def __init__(self, bluez: FakeBluez) -> None:
        self._bluez = bluez
        self._receive = Characteristic(RECEIVE, ("write", "write-without-response"))
        self._transmit = Characteristic(TRANSMIT, ("notify",))
        services = {SERVICE: [self._receive, self._transmit]}
        self.peripheral = bluez.add(Peripheral(ADDRESS, "HIL", period_s=0.02, services=services))

    def send(self, data: bytes) -> None:
        """Notify as the device."""
        self._bluez.notify(self.peripheral, self._transmit, data)

    def receive(self) -> bytes:
        """Return what was written so far."""
        received = self._receive.received
        return b"".join([received.popleft() for _ in range(len(received))])

    def unplug(self) -> None:
        """Pull the adapter."""
        self._bluez.unplug()

    def plug(self) -> None:
        """Put it back."""
        self._bluez.plug()

    def stall(self) -> None:
        """Answer no write any more."""
        self._receive.is_mute = True

    def resume(self) -> None:
        """Answer again."""
        self.receive()
        self._receive.is_mute = False


@contextlib.asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    """Give `(make, wire)` of one device in GATT mode. Raises: RigUnavailableError."""
    for package in ("bleak", "dbus_fast"):
        if find_spec(package) is None:
            raise RigUnavailableError(f"{package} is not installed; run: pip install 'tidegate[ble]'")
    from hil.sim.bluez.service import FakeBluez

    with private_bus() as address, FakeBluez(address) as bluez:
        wire = GattWire(bluez)

        def make() -> Port:
            port = DRIVER.make(f"hci0/{ADDRESS}", LINK, SystemClock())
            assert isinstance(port, FilteringPort)
            port.listen_for([Element("", characteristic=TRANSMIT)])
            return port

        yield make, wire
