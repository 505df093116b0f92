"""A Bluetooth controller for the kernel's own stack, and a device in its air: bumble behind /dev/vhci.

    python -m hil.sim.vhci

A process of its own, because an adapter is pulled out by ending it. Orders come as JSON lines, one word each:
{"notify": HEX} {"drop": true} {"advertise": true|false} {"manufacturer": {ID: HEX}} {"mute": true|false}. What happens
goes out as JSON lines: {"ready": ADDRESS} {"connected": ADDRESS} {"disconnected": true} {"written": HEX}.
Needs root, the module hci_vhci and bumble.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any, Final

from bumble.controller import Controller
from bumble.core import AdvertisingData, PhysicalTransport
from bumble.device import Device
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.hci import Address, HCI_Object, LeFeatureMask
from bumble.host import Host
from bumble.link import LocalLink
from bumble.transport import open_transport

ADAPTER: Final = "C0:FF:EE:00:00:01"
ADDRESS: Final = "F0:F1:F2:F3:F4:F5"
NAME: Final = "HIL"
SERVICE: Final = "6e400001-b5a3-f393-e0a9-e50e24dcca9e"
RECEIVE: Final = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
TRANSMIT: Final = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"
LEVEL: Final = 0x2A19
COMPANY: Final = 0x0499
ADVERTISING_MS: Final = 50.0

# bumble words every packet for its log, whether anybody reads that or not: on an emulated machine most of what it does.
HCI_Object.format_fields = staticmethod(lambda *_: "")


class Link(LocalLink):  # type: ignore[misc]  # bumble has no types that mypy follows
    """bumble 0.0.236 names the sender of data by its random address; BlueZ scans with one and connects with another."""

    def send_acl_data(self, sender: Any, destination: Any, transport: Any, data: bytes) -> None:
        """Deliver data under the address that the connection was made with."""
        if transport != PhysicalTransport.LE:
            super().send_acl_data(sender, destination, transport, data)
            return
        connection = sender.le_connections.get(destination)
        receiver = self.find_le_controller(destination)
        if connection is not None and receiver is not None:
            asyncio.get_running_loop().call_soon(receiver.on_link_acl_data, connection.self_address, transport, data)


def plain(controller: Controller) -> Controller:
    """Return a controller as of Bluetooth 4.2.

    With extended advertising or privacy the kernel waits for the enhanced event of a connection, which bumble never
    sends; until the kernel gives up, it does nothing else, and its disconnect never leaves it.
    """
    controller.le_features &= ~(LeFeatureMask.LE_EXTENDED_ADVERTISING | LeFeatureMask.LL_PRIVACY)
    return controller


class VirtualDevice:
    """The device: notifies and takes what it is told to."""

    def __init__(self, controller: Controller, group: asyncio.TaskGroup) -> None:
        self._group = group
        self._is_heard = True  # advertises while nobody is connected
        self._device = Device(name=NAME, address=Address(ADDRESS), host=Host(controller, controller))
        kinds = Characteristic.Properties
        self._transmit = Characteristic(TRANSMIT, kinds.READ | kinds.NOTIFY, Characteristic.READABLE, b"\x2a\x00")
        writable = kinds.WRITE | kinds.WRITE_WITHOUT_RESPONSE
        taking = CharacteristicValue(write=self._written)
        receive = Characteristic(RECEIVE, writable, Characteristic.WRITEABLE, taking)
        level = Characteristic(
            f"{LEVEL:04x}", kinds.READ, Characteristic.READABLE, CharacteristicValue(read=self._level)
        )
        self._device.add_services([Service(SERVICE, [self._transmit, receive]), Service("180f", [level])])
        self._answering = asyncio.Event()
        self._answering.set()

    async def start(self) -> None:
        """Power on and advertise."""
        await self._device.power_on()
        self._device.on("connection", self._connected)
        self._describe(COMPANY, b"\x05\x01")
        await self._advertise(on=True)

    async def obey(self, order: dict[str, Any]) -> None:
        """Do what one line says."""
        match order:
            case {"notify": data}:
                await self._device.notify_subscribers(self._transmit, bytes.fromhex(data))
            case {"drop": _}:
                for connection in list(self._device.connections.values()):
                    await connection.disconnect()
            case {"advertise": on}:
                await self._advertise(on=on)
            case {"mute": True}:
                self._answering.clear()
            case {"mute": _}:
                self._answering.set()
            case {"manufacturer": data}:
                for company, body in data.items():
                    self._describe(int(company), bytes.fromhex(body))
                await self._advertise(on=True)

    def _connected(self, connection: Any) -> None:
        say(connected=str(connection.peer_address))
        connection.on("disconnection", self._disconnected)

    def _disconnected(self, _reason: int) -> None:
        say(disconnected=True)
        if self._is_heard:
            self._group.create_task(self._advertise(on=True))

    def _describe(self, company: int, body: bytes) -> None:
        parts = [
            (AdvertisingData.FLAGS, b"\x06"),
            (AdvertisingData.COMPLETE_LOCAL_NAME, NAME.encode()),
            (AdvertisingData.MANUFACTURER_SPECIFIC_DATA, company.to_bytes(2, "little") + body),
        ]
        self._device.advertising_data = bytes(AdvertisingData(parts))

    async def _advertise(self, *, on: bool) -> None:
        self._is_heard = on
        await self._device.stop_advertising()
        if on and not self._device.connections:
            interval = {"advertising_interval_min": ADVERTISING_MS, "advertising_interval_max": ADVERTISING_MS}
            await self._device.start_advertising(**interval)

    async def _written(self, _connection: Any, data: bytes) -> None:
        await self._answering.wait()
        say(written=bytes(data).hex())

    async def _level(self, _connection: Any) -> bytes:
        await self._answering.wait()
        return b"\x64"


def say(**facts: Any) -> None:
    """Tell what happened."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


async def plug(link: Link) -> Controller:
    """Return a controller that the kernel now has as an adapter, until the process ends or its `host` is closed."""
    kernel = await open_transport("vhci")
    return plain(
        Controller("adapter", host_source=kernel.source, host_sink=kernel.sink, link=link, public_address=ADAPTER)
    )


async def main() -> None:
    """Plug the controller in and obey until the input ends."""
    link = Link()
    await plug(link)
    async with asyncio.TaskGroup() as group:
        device = VirtualDevice(plain(Controller("device", link=link, public_address=ADDRESS)), group)
        await device.start()
        say(ready=ADDRESS)
        orders = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
        while line := await orders.readline():
            await device.obey(json.loads(line))


if __name__ == "__main__":
    asyncio.run(main())
