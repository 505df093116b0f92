"""The objects of a D-Bus service: interfaces and properties by path. Every change is told as the specification says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from dbus_fast import Variant

OBJECTS: Final = "org.freedesktop.DBus.ObjectManager"
PROPERTIES: Final = "org.freedesktop.DBus.Properties"

SIGNATURES: Final = {  # doc/org.bluez.*.rst of BlueZ
    "Address": "s",
    "AddressType": "s",
    "Name": "s",
    "Alias": "s",
    "Adapter": "o",
    "Blocked": "b",
    "Bonded": "b",
    "Connected": "b",
    "Device": "o",
    "Discovering": "b",
    "Flags": "as",
    "Includes": "ao",
    "LegacyPairing": "b",
    "MTU": "q",
    "ManufacturerData": "a{qv}",
    "Notifying": "b",
    "Paired": "b",
    "Powered": "b",
    "Primary": "b",
    "RSSI": "n",
    "Roles": "as",
    "Service": "o",
    "ServiceData": "a{sv}",
    "ServicesResolved": "b",
    "Trusted": "b",
    "UUID": "s",
    "UUIDs": "as",
    "Value": "ay",
}

Emit = Callable[[str, str, str, str, list[Any]], None]  # path, interface, member, signature, body


class Tree:
    """Plain values inside, variants outside."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._objects: dict[str, dict[str, dict[str, Any]]] = {}

    def __contains__(self, path: str) -> bool:
        """Return whether there is an object."""
        return path in self._objects

    def add(self, path: str, interface: str, properties: Mapping[str, Any]) -> None:
        """Make an object."""
        self._objects.setdefault(path, {})[interface] = dict(properties)
        self._emit("/", OBJECTS, "InterfacesAdded", "oa{sa{sv}}", [path, {interface: _variants(properties)}])

    def remove(self, path: str) -> None:
        """Take an object away, those below it first."""
        gone = [known for known in self._objects if known == path or known.startswith(f"{path}/")]
        for known in sorted(gone, reverse=True):
            interfaces = list(self._objects.pop(known))
            self._emit("/", OBJECTS, "InterfacesRemoved", "oas", [known, interfaces])

    def get(self, path: str, interface: str) -> dict[str, Any]:
        """Return the properties of an interface. Raises: KeyError."""
        return self._objects[path][interface]

    def interfaces(self, path: str) -> list[str]:
        """Return the interfaces of an object."""
        return list(self._objects.get(path, ()))

    def set(self, path: str, interface: str, **changed: Any) -> None:
        """Change properties and tell all of `changed`, whether they differ or not. None takes a property away."""
        properties = self.get(path, interface)
        gone = [name for name, value in changed.items() if value is None and name in properties]
        for name in gone:
            del properties[name]
        told = {name: value for name, value in changed.items() if value is not None}
        properties.update(told)
        self._emit(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [interface, _variants(told), gone])

    def managed(self) -> dict[str, dict[str, dict[str, Variant]]]:
        """Return everything, as GetManagedObjects gives it."""
        return {
            path: {interface: _variants(properties) for interface, properties in interfaces.items()}
            for path, interfaces in self._objects.items()
        }


def _variants(properties: Mapping[str, Any]) -> dict[str, Variant]:
    return {name: _variant(name, value) for name, value in properties.items()}


def _variant(name: str, value: Any) -> Variant:
    if name in {"ManufacturerData", "ServiceData"}:
        value = {key: Variant("ay", data) for key, data in value.items()}
    return Variant(SIGNATURES[name], value)
