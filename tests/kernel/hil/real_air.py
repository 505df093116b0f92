"""A pytest plugin: an adapter of the guest's kernel, and the Bluetooth device that tests play within its reach.

The adapter is a controller of bumble behind /dev/vhci: the kernel's stack, bluetoothd, D-Bus and bleak above it are the
real ones. The device is a host of bumble with a controller of its own, and has the words of the simulated peer. One
`advertise` is one report to the kernel, while it scans, and lasts until BlueZ has told of it: BlueZ joins those of a
device that come within one turn of its loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from bumble.att import ATT_Error, ErrorCode
from bumble.controller import Controller
from bumble.core import ProtocolError
from bumble.device import Device as Peripheral
from bumble.device import DeviceConfiguration
from bumble.gatt import Characteristic, CharacteristicValue, Service
from bumble.hci import Address, HCI_LE_Advertising_Report_Event, OwnAddressType
from bumble.host import Host
from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from hil.rigs.radio import Advertisement, address_of, manufacturer_of, service_of, uuid_of
from hil.sim.vhci import Link, plain, plug

ADAPTER = "/org/bluez/hci0"
DBUS = "org.freedesktop.DBus"
SERVICE = "180d"
WITHIN_S = 60.0  # an emulated machine
LOOK_S = 0.01
ADVERTISING_MS = 100.0
MTU = 247
RANDOM_BITS = 0b11  # at the top of a static random address (Core specification, Vol 6 Part B, 1.3.2.1)

T = TypeVar("T")


class Bluez:
    """What BlueZ tells on the bus, heard from beside whoever is tested."""

    def __init__(self) -> None:
        self._bus: Any = None
        self._told: dict[str, asyncio.Event] = {}

    async def start(self) -> None:
        """Connect, and give the adapter power as soon as BlueZ sees it."""
        self._bus = await MessageBus(bus_type=BusType.SYSTEM).connect()
        self._bus.add_message_handler(self._heard)
        rule = "type='signal',sender='org.bluez'"
        await self._call(DBUS, "/org/freedesktop/DBus", f"{DBUS}.AddMatch", "s", rule)
        powered = ("org.bluez.Adapter1", "Powered", Variant("b", True))
        async with asyncio.timeout(WITHIN_S):
            while await self._call("org.bluez", ADAPTER, f"{DBUS}.Properties.Set", "ssv", *powered):  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)

    def next_report(self, address: Address) -> asyncio.Event:
        """Return what is set when BlueZ tells that it heard a device from now on."""
        return self._told.setdefault(path_of(address), asyncio.Event())

    async def forget(self, address: Address) -> None:
        """Have BlueZ forget a device, and what it kept of its characteristics."""
        await self._call("org.bluez", ADAPTER, "org.bluez.Adapter1.RemoveDevice", "o", path_of(address))

    async def _call(self, destination: str, path: str, method: str, signature: str, *body: Any) -> str:
        """Call a method; return the error's name, "" for none."""
        interface, _, member = method.rpartition(".")
        message = Message(
            destination=destination, path=path, interface=interface, member=member, signature=signature, body=[*body]
        )
        reply = await self._bus.call(message)
        return str(reply.error_name) if reply.message_type is MessageType.ERROR else ""

    def _heard(self, message: Message) -> None:
        match message.member, message.body:
            case "PropertiesChanged", ["org.bluez.Device1", {"RSSI": _}, _]:
                path = message.path
            case "InterfacesAdded", [path, {"org.bluez.Device1": {"RSSI": _}}]:
                pass
            case _:
                return
        if path in self._told:
            self._told.pop(path).set()


class Held:
    """The value of a characteristic. bumble itself refuses nobody who may not."""

    def __init__(self, value: bytes, *, is_readable: bool, is_writable: bool) -> None:
        self._value = value
        self._is_readable = is_readable
        self._is_writable = is_writable

    def read(self, _connection: Any) -> bytes:
        if not self._is_readable:
            raise ATT_Error(ErrorCode.READ_NOT_PERMITTED)
        return self._value

    def write(self, _connection: Any, value: bytes) -> None:
        if not self._is_writable:
            raise ATT_Error(ErrorCode.WRITE_NOT_PERMITTED)
        self._value = bytes(value)


class Device:
    """One device, under the address that it advertised first."""

    def __init__(self, air: Air) -> None:
        self._air = air
        self._addresses: list[Address] = []  # that it has advertised
        self._table: dict[str, Characteristic] = {}
        self._peripheral: Any = None
        self._controller: Any = None

    def advertise(
        self,
        address: str,
        rssi: int = -60,
        manufacturer_data: Any = None,
        service_data: Any = None,
        *,
        name: Any = None,
    ) -> None:
        at = on_air(address)
        if at not in self._addresses:
            self._addresses.append(at)
        sent = Advertisement(
            address_of(address), rssi, manufacturer_of(manufacturer_data), service_of(service_data), name=name
        )
        self._air.run(self._air.report(at, rssi, sent.data))

    def characteristic(
        self, uuid: str, value: bytes = b"", notify: bool = False, *, readable: bool = True, writable: bool = True
    ) -> None:
        held = Held(value, is_readable=readable, is_writable=writable)
        kinds = Characteristic.Properties
        kind = kinds(0) | (kinds.READ if readable else 0) | (kinds.NOTIFY if notify else 0)
        kind |= kinds.WRITE | kinds.WRITE_WITHOUT_RESPONSE if writable else 0
        rights = Characteristic.READABLE | Characteristic.WRITEABLE  # `held` refuses
        taking = CharacteristicValue(read=held.read, write=held.write)
        self._table[uuid_of(uuid)] = Characteristic(uuid_of(uuid), kind, rights, taking)
        self._air.run(self._begin())

    def notify(self, uuid: str, value: bytes) -> None:
        self._air.run(self._peripheral.notify_subscribers(self._table[uuid_of(uuid)], value))

    def leave(self) -> None:
        self._air.run(self._leave())

    async def _begin(self) -> None:
        """Be there with the characteristics so far, and be heard by whoever would connect."""
        await self._end()
        controller = plain(Controller("device", link=self._air.link, public_address=self._addresses[0]))
        configuration = DeviceConfiguration(gatt_service_enabled=False)  # nor does the simulated peer have it
        made = Peripheral(address=self._addresses[0], config=configuration, host=Host(controller, controller))
        made.gatt_server.max_mtu = MTU
        made.add_services([Service(SERVICE, list(self._table.values()))])
        await made.power_on()
        is_random = self._addresses[0].is_random
        await made.start_advertising(
            own_address_type=OwnAddressType.RANDOM if is_random else OwnAddressType.PUBLIC,
            auto_restart=True,
            advertising_interval_min=ADVERTISING_MS,
            advertising_interval_max=ADVERTISING_MS,
        )
        self._peripheral, self._controller = made, controller

    async def _end(self) -> None:
        """Be out of reach, also for what bumble would do once a link that is ending has ended: advertise again."""
        made, self._peripheral = self._peripheral, None
        if made is None:
            return
        for connection in list(made.connections.values()):
            with contextlib.suppress(ProtocolError):  # it has ended meanwhile
                await connection.disconnect()
        await made.stop_advertising()
        await made.power_off()
        self._air.link.remove_controller(self._controller)
        self._controller.link = None

    async def _leave(self) -> None:
        await self._end()
        for address in self._addresses:
            await self._air.bluez.forget(address)


class Air:
    """The adapter and what is within its reach, on a thread with a loop of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="air", daemon=True).start()
        self.bluez = Bluez()
        self.link, self._adapter = self.run(self._open())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what `work` gives on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(WITHIN_S)

    @contextlib.contextmanager
    def device(self) -> Iterator[Device]:
        made = Device(self)
        yield made
        made.leave()

    async def report(self, address: Address, rssi: int, data: bytes) -> None:
        """Have the adapter hear one advertisement as soon as it scans, and wait until BlueZ has told of it."""
        while not self._adapter.le_scan_enable:  # noqa: ASYNC110 - BlueZ pauses for seconds, and bumble tells nobody
            await asyncio.sleep(LOOK_S)
        told = self.bluez.next_report(address)
        reports = HCI_LE_Advertising_Report_Event
        kind = reports.EventType.ADV_NONCONN_IND
        self._adapter.send_hci_packet(reports([reports.Report(kind, address.address_type, address, data, rssi)]))
        await told.wait()

    async def _open(self) -> tuple[Link, Controller]:
        link = Link()
        adapter = await plug(link)
        await self.bluez.start()
        return link, adapter


def on_air(address: str) -> Address:
    """Return an address of a device: static random by its first two bits, public otherwise."""
    text = address_of(address)
    is_random = int(text[:2], 16) >> 6 == RANDOM_BITS
    return Address(text, Address.RANDOM_DEVICE_ADDRESS if is_random else Address.PUBLIC_DEVICE_ADDRESS)


def path_of(address: Address) -> str:
    """Return the object that BlueZ has of a device."""
    return f"{ADAPTER}/dev_{address.to_string(False).replace(':', '_')}"


def pytest_configure(config: Any) -> None:
    config.pluginmanager.register(Air(), "air")
