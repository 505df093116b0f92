"""What BlueZ means by its errors: whether to try again, and when. Pure; errors are known by their names and texts.

Sources: the error names of BlueZ's D-Bus interfaces (its doc folder: org.bluez.Device, Adapter, GattCharacteristic),
the D-Bus specification's org.freedesktop.DBus.Error.*, bleak's exception classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import Final

_BLUEZ: Final = "org.bluez.Error."
_DBUS: Final = "org.freedesktop.DBus.Error."


class Fault(Enum):
    """What to do about an error."""

    RETRY_NOW = "retry_now"  # the radio's bad luck: the next attempt mostly works
    RETRY_LATER = "retry_later"  # BlueZ is busy with something that ends by itself
    NOT_THERE = "not_there"  # adapter, device or BlueZ itself is gone or switched off
    REFUSED = "refused"  # the device or BlueZ says no, and will again
    DENIED = "denied"  # this user may not
    FATAL = "fatal"  # nothing we know


# Texts that BlueZ puts beside org.bluez.Error.Failed and others, and bleak's own; spaces are written as dashes.
_TEXTS: Final[tuple[tuple[str, Fault], ...]] = (
    ("abort-by-local", Fault.RETRY_NOW),
    ("abort-by-remote", Fault.RETRY_NOW),
    ("software-caused-connection-abort", Fault.RETRY_NOW),  # how BlueZ before 5.62 says abort by local
    ("link-layer-protocol-error", Fault.RETRY_NOW),
    ("gatt-browsing", Fault.RETRY_NOW),
    ("failed-to-discover-services", Fault.RETRY_NOW),  # bleak: it disconnected while it was asked for its services
    ("service-discovery", Fault.RETRY_NOW),
    ("connection-timeout", Fault.RETRY_LATER),
    ("page-timeout", Fault.RETRY_LATER),
    ("connection-limit", Fault.RETRY_LATER),
    ("connection-busy", Fault.RETRY_LATER),
    ("already-in-progress", Fault.RETRY_LATER),
    ("device-or-resource-busy", Fault.RETRY_LATER),
    ("not-powered", Fault.NOT_THERE),
    ("no-such-device", Fault.NOT_THERE),
    ("not-connected", Fault.NOT_THERE),
    ("not-found", Fault.NOT_THERE),
    ("no-powered-bluetooth-adapters", Fault.NOT_THERE),
    ("att-error", Fault.REFUSED),
    ("requires-bluez", Fault.FATAL),
)
_NAMES: Final = {
    **{
        f"{_BLUEZ}{name}": fault
        for name, fault in {
            "InProgress": Fault.RETRY_LATER,
            "NotReady": Fault.NOT_THERE,  # the adapter is off, or on its way
            "NotAvailable": Fault.RETRY_LATER,
            "AlreadyConnected": Fault.RETRY_LATER,
            "ConnectionAttemptFailed": Fault.RETRY_NOW,
            "Failed": Fault.RETRY_LATER,  # with a text that says nothing more
            "NotConnected": Fault.NOT_THERE,
            "DoesNotExist": Fault.NOT_THERE,
            "AuthenticationCanceled": Fault.REFUSED,
            "AuthenticationFailed": Fault.REFUSED,
            "AuthenticationRejected": Fault.REFUSED,
            "AuthenticationTimeout": Fault.REFUSED,
            "NotAuthorized": Fault.REFUSED,
            "NotPermitted": Fault.REFUSED,
            "NotSupported": Fault.REFUSED,
            "InvalidArguments": Fault.REFUSED,
            "InvalidOffset": Fault.REFUSED,
            "InvalidValueLength": Fault.REFUSED,
            "ImproperlyConfigured": Fault.REFUSED,
        }.items()
    },
    **{
        f"{_DBUS}{name}": fault
        for name, fault in {
            "UnknownObject": Fault.NOT_THERE,
            "UnknownMethod": Fault.NOT_THERE,  # how objects without an interface answer once it was removed
            "UnknownInterface": Fault.NOT_THERE,
            "ServiceUnknown": Fault.NOT_THERE,
            "NameHasNoOwner": Fault.NOT_THERE,
            "NoReply": Fault.NOT_THERE,  # bluetoothd ended before it answered
            "Disconnected": Fault.NOT_THERE,
            "NoServer": Fault.NOT_THERE,
            "TimedOut": Fault.RETRY_LATER,
            "Timeout": Fault.RETRY_LATER,
            "LimitsExceeded": Fault.RETRY_LATER,
            "AccessDenied": Fault.DENIED,
            "AuthFailed": Fault.DENIED,
        }.items()
    },
}
_CLASSES: Final = {
    "BleakDeviceNotFoundError": Fault.NOT_THERE,
    "BleakBluetoothNotAvailableError": Fault.NOT_THERE,
    "BleakCharacteristicNotFoundError": Fault.REFUSED,
    "BleakGATTProtocolError": Fault.REFUSED,
    "AuthError": Fault.DENIED,
}


def fault_of(error: BaseException) -> Fault:
    """Return what to do about an error of bleak, of D-Bus or of the system."""
    known = _CLASSES.get(type(error).__name__)
    if known is not None:
        return known
    name = str(getattr(error, "dbus_error", "") or getattr(error, "type", "") or "")
    if name.startswith(_BLUEZ) or not name:
        text = "-".join(words_of(error).lower().split())
        for part, fault in _TEXTS:
            if part in text:
                return fault
    if name.startswith(f"{_DBUS}Spawn."):  # the bus tried to start bluetoothd
        return Fault.NOT_THERE
    if name:
        return _NAMES.get(name, Fault.FATAL)
    if isinstance(error, TimeoutError):
        return Fault.RETRY_LATER
    if isinstance(error, PermissionError):
        return Fault.DENIED
    return Fault.NOT_THERE if isinstance(error, (OSError, EOFError)) else Fault.FATAL


def words_of(error: BaseException) -> str:
    """Return what an error says, in one line: the D-Bus name without its prefix, then the text."""
    words = [str(part) for part in _flat(error.args) if part not in {None, ""}]
    text = ": ".join(dict.fromkeys(words)) or type(error).__name__
    return text.removeprefix(_BLUEZ).removeprefix(_DBUS).replace("\n", " ")


def _flat(parts: object) -> Iterator[object]:
    if isinstance(parts, (list, tuple)):
        for part in parts:
            yield from _flat(part)
    else:
        yield parts
