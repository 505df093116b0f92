"""The GATT objects of connected devices, and their methods."""

from __future__ import annotations

from typing import Any, Final

from hil.sim.bluez.peripheral import Characteristic, Peripheral
from hil.sim.bluez.reply import Failed, Later, Reply, failed
from hil.sim.bluez.tree import Tree

SERVICE: Final = "org.bluez.GattService1"
CHARACTERISTIC: Final = "org.bluez.GattCharacteristic1"
MTU: Final = 247


class GattTable:
    """What BlueZ shows of devices that are connected."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._known: dict[str, Characteristic] = {}  # by path
        self._paths: dict[Characteristic, str] = {}

    def show(self, peripheral: Peripheral, device_path: str) -> None:
        """Make the objects of a device that was connected."""
        handle = 1
        for uuid, characteristics in peripheral.services.items():
            service = f"{device_path}/service{handle:04x}"
            self._tree.add(service, SERVICE, {"UUID": uuid, "Primary": True, "Device": device_path, "Includes": []})
            handle += 1
            for characteristic in characteristics:
                path = f"{service}/char{handle:04x}"
                self._known[path] = characteristic
                self._paths[characteristic] = path
                properties = {
                    "UUID": characteristic.uuid,
                    "Service": service,
                    "Value": b"",
                    "Flags": list(characteristic.flags),
                    "Notifying": False,
                    "MTU": MTU,
                }
                self._tree.add(path, CHARACTERISTIC, properties)
                handle += 2

    def hide(self, peripheral: Peripheral, device_path: str) -> None:
        """Take them away."""
        for characteristic in peripheral.characteristics:
            self._known.pop(self._paths.pop(characteristic, ""), None)
        for path in [path for path in self._tree.managed() if path.startswith(f"{device_path}/service")]:
            if path in self._tree:
                self._tree.remove(path)

    def notify(self, peripheral: Peripheral, characteristic: Characteristic, value: bytes) -> None:
        """Tell a value, if somebody subscribed."""
        del peripheral
        path = self._paths.get(characteristic)
        if path is not None and self._tree.get(path, CHARACTERISTIC)["Notifying"]:
            self._tree.set(path, CHARACTERISTIC, Value=value)

    def method(self, path: str, member: str, body: list[Any]) -> Reply | Later:
        """Answer a method of a characteristic."""
        characteristic = self._known[path]
        if characteristic.error is not None:
            raise Failed(*characteristic.error)
        if characteristic.is_mute:
            return Later(None)
        match member:
            case "ReadValue":
                return self._read(path, characteristic)
            case "WriteValue":
                return _write(characteristic, *body)
            case "StartNotify" | "StopNotify":
                if not {"notify", "indicate"} & set(characteristic.flags):
                    raise failed("NotSupported", "Operation is not supported")
                self._tree.set(path, CHARACTERISTIC, Notifying=member == "StartNotify")
                return Reply()
        raise Failed("org.freedesktop.DBus.Error.UnknownMethod", member)

    def _read(self, path: str, characteristic: Characteristic) -> Reply:
        if "read" not in characteristic.flags:
            raise failed("NotPermitted", "Read not permitted")
        value = characteristic.read()
        self._tree.set(path, CHARACTERISTIC, Value=value)  # BlueZ tells what it read, too
        return Reply("ay", [value])


def _write(characteristic: Characteristic, value: bytes, options: dict[str, Any]) -> Reply | Later:
    kind = options["type"].value if "type" in options else "request"
    flag = "write" if kind == "request" else "write-without-response"
    if flag not in characteristic.flags:
        raise failed("NotSupported", "Operation is not supported")
    if kind == "command" and len(value) > MTU - 3:
        raise failed("Failed", "Failed to initiate write")
    characteristic.received.append(bytes(value))
    ending = characteristic.write(bytes(value))
    return ending if kind == "request" else Reply()  # a command is not answered by the device
