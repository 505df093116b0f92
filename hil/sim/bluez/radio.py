"""The adapter and the devices within its reach: discovery, advertisements, connections."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from hil.sim.bluez.gatt import GattTable
from hil.sim.bluez.peripheral import Peripheral
from hil.sim.bluez.reply import Failed, Later, Reply, failed
from hil.sim.bluez.tree import Tree

ADAPTER: Final = "org.bluez.Adapter1"
DEVICE: Final = "org.bluez.Device1"
PATH: Final = "/org/bluez/hci0"
CONNECT_S: Final = 0.01
ABORT: Final = "le-connection-abort-by-local"


class Air:
    """All of it runs on the service's loop."""

    def __init__(self, tree: Tree, gatt: GattTable, loop: asyncio.AbstractEventLoop) -> None:
        self._tree = tree
        self._gatt = gatt
        self._loop = loop
        self._peripherals: dict[str, Peripheral] = {}  # by path
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._scanners: set[str] = set()  # bus names of who started discovery
        self._filters: dict[str, dict[str, Any]] = {}
        self.start_errors: deque[tuple[str, str]] = deque()

    @property
    def is_discovering(self) -> bool:
        """Whether somebody scans."""
        return bool(self._scanners)

    def plug(self) -> None:
        """Make the adapter."""
        if PATH not in self._tree:
            address = "C0:FF:EE:00:00:01"
            properties = {"Address": address, "Powered": True, "Discovering": False, "UUIDs": [], "Roles": ["central"]}
            self._tree.add(PATH, ADAPTER, properties)

    def unplug(self) -> None:
        """Take the adapter away, and all devices with it."""
        self._scanners.clear()
        if PATH in self._tree:
            self._tree.remove(PATH)

    def clear(self) -> None:
        """Forget everything but the devices."""
        self._filters.clear()
        self.unplug()

    def rest(self) -> None:
        """Advertise no more."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def power(self, *, on: bool) -> None:
        """Switch the adapter; off ends discovery and connections."""
        if not on:
            for path, peripheral in self._peripherals.items():
                self._end(peripheral, path)
            self._scanners.clear()
            self._tree.set(PATH, ADAPTER, Discovering=False)
        self._tree.set(PATH, ADAPTER, Powered=on)

    def add(self, peripheral: Peripheral) -> None:
        """Put a device within reach."""
        path = peripheral.path(PATH)
        self._peripherals[path] = peripheral
        self._plan(path)

    def remove(self, peripheral: Peripheral) -> None:
        """Take a device out of reach and forget it; its connection ends."""
        path = peripheral.path(PATH)
        self._end(peripheral, path)
        self._peripherals.pop(path, None)
        if path in self._timers:
            self._timers.pop(path).cancel()
        if path in self._tree:
            self._tree.remove(path)

    def remember(self, peripheral: Peripheral, *, is_connected: bool) -> None:
        """Make a device's object without its having been heard."""
        path = peripheral.path(PATH)
        self._peripherals[path] = peripheral
        self._tree.add(path, DEVICE, _properties(peripheral))
        if is_connected:
            self._connected(peripheral, path)
        self._plan(path)

    def advertise(self, peripheral: Peripheral) -> None:
        """Take one advertisement in, as BlueZ does: told to everybody while somebody scans."""
        path = peripheral.path(PATH)
        if not self._scanners or not self._tree.get(PATH, ADAPTER)["Powered"]:
            return
        if path not in self._tree:
            self._tree.add(path, DEVICE, {**_properties(peripheral), "RSSI": peripheral.rssi_dbm})
            return
        known = self._tree.get(path, DEVICE)
        if known["Connected"]:
            return
        told: dict[str, Any] = {"RSSI": peripheral.rssi_dbm}
        wants_all = any(options.get("DuplicateData") for options in self._filters.values())
        for name, data in (("ManufacturerData", peripheral.manufacturer), ("ServiceData", peripheral.service_data)):
            if data and (wants_all or known.get(name) != data):
                told[name] = dict(data)
        self._tree.set(path, DEVICE, **told)

    def advertise_all(self, peripherals: Iterable[Peripheral]) -> None:
        """Take one advertisement of each in."""
        for peripheral in peripherals:
            self.advertise(peripheral)

    def is_connected(self, peripheral: Peripheral) -> bool:
        """Return whether a device is connected."""
        path = peripheral.path(PATH)
        return path in self._tree and self._tree.get(path, DEVICE)["Connected"] is True

    def dropped(self, peripheral: Peripheral) -> None:
        """End a connection."""
        self._end(peripheral, peripheral.path(PATH))

    def set_property(self, interface: str, name: str, value: Any) -> Reply:
        """Answer Properties.Set."""
        if (interface, name) != (ADAPTER, "Powered"):
            raise Failed("org.freedesktop.DBus.Error.PropertyReadOnly", name)
        self.power(on=value.value)
        return Reply()

    def adapter_method(self, member: str, sender: str, body: list[Any]) -> Reply | Later:
        """Answer a method of Adapter1."""
        match member:
            case "SetDiscoveryFilter":
                self._filters[sender] = {name: variant.value for name, variant in body[0].items()}
            case "StartDiscovery":
                self._start(sender)
            case "StopDiscovery":
                if sender not in self._scanners:
                    raise failed("Failed", "No discovery started")
                self._scanners.discard(sender)
                if not self._scanners:
                    self._tree.set(PATH, ADAPTER, Discovering=False)
            case "RemoveDevice":
                self._tree.remove(body[0])
            case _:
                raise Failed("org.freedesktop.DBus.Error.UnknownMethod", member)
        return Reply()

    def device_method(self, path: str, member: str) -> Reply | Later:
        """Answer a method of Device1."""
        peripheral = self._peripherals[path]
        match member:
            case "Connect":
                return self._connect(peripheral, path)
            case "Disconnect":

                def finish() -> Reply:
                    self._end(peripheral, path)
                    return Reply()

                return Later(peripheral.disconnect_s, finish)
        raise Failed("org.freedesktop.DBus.Error.UnknownMethod", member)

    def _start(self, sender: str) -> None:
        if self.start_errors:
            raise Failed(*self.start_errors.popleft())
        if not self._tree.get(PATH, ADAPTER)["Powered"]:
            raise failed("NotReady", "Resource Not Ready")
        if sender in self._scanners:
            raise failed("InProgress", "Operation already in progress")
        self._scanners.add(sender)
        self._tree.set(PATH, ADAPTER, Discovering=True)

    def _connect(self, peripheral: Peripheral, path: str) -> Later:
        if peripheral.never_connects:
            return Later(None)
        if not peripheral.connect_errors:
            return Later(CONNECT_S, lambda: self._connected(peripheral, path))
        name, text = peripheral.connect_errors.popleft()

        def fail() -> Reply:
            if text == ABORT and path in self._tree:  # BlueZ shows the link before it says that it is none
                self._tree.set(path, DEVICE, Connected=True)
                self._loop.call_later(CONNECT_S, self._end, peripheral, path)
            raise Failed(name, text)

        return Later(CONNECT_S, fail)

    def _connected(self, peripheral: Peripheral, path: str) -> Reply:
        if path not in self._tree:
            raise failed("Failed", "le-connection-abort-by-local")
        self._tree.set(path, DEVICE, Connected=True)
        self._gatt.show(peripheral, path)
        self._tree.set(path, DEVICE, ServicesResolved=True)
        return Reply()

    def _end(self, peripheral: Peripheral, path: str) -> None:
        if path in self._tree and self._tree.get(path, DEVICE)["Connected"]:
            self._gatt.hide(peripheral, path)
            self._tree.set(path, DEVICE, ServicesResolved=False)
            self._tree.set(path, DEVICE, Connected=False, RSSI=None)

    def _plan(self, path: str) -> None:
        """Advertise in a while, and so on."""
        peripheral = self._peripherals[path]
        if path in self._timers:
            self._timers.pop(path).cancel()
        if peripheral.period_s is not None:
            self._timers[path] = self._loop.call_later(peripheral.period_s, self._due, path)

    def _due(self, path: str) -> None:
        if PATH in self._tree:
            self.advertise(self._peripherals[path])
        self._plan(path)


def _properties(peripheral: Peripheral) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "Address": peripheral.address,
        "AddressType": "random",
        "Alias": peripheral.name or peripheral.address.replace(":", "-"),
        "Adapter": PATH,
        "Paired": False,
        "Bonded": False,
        "Trusted": False,
        "Blocked": False,
        "LegacyPairing": False,
        "Connected": False,
        "ServicesResolved": False,
        "UUIDs": list(peripheral.service_uuids),
    }
    if peripheral.name is not None:
        properties["Name"] = peripheral.name
    if peripheral.manufacturer:
        properties["ManufacturerData"] = dict(peripheral.manufacturer)
    if peripheral.service_data:
        properties["ServiceData"] = dict(peripheral.service_data)
    return properties
