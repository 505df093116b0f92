"""What bleak has no word for: whether the adapter is there and has power, and the end of BlueZ. By D-Bus.

One connection per adapter, on the radio's loop, which sees signals of the adapter's own object only: advertisements
never pass here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Final

from drivers._ble_faults import Fault, fault_of, words_of
from gateway.errors import PortError, PortNotFoundError, PortPermissionError
from gateway.registry import require

BLUEZ: Final = "org.bluez"
ADAPTER: Final = "org.bluez.Adapter1"
DEVICE: Final = "org.bluez.Device1"
_DBUS: Final = "org.freedesktop.DBus"
_OBJECTS: Final = "org.freedesktop.DBus.ObjectManager"
_PROPERTIES: Final = "org.freedesktop.DBus.Properties"
CALL_TIMEOUT_S: Final = 5.0

Objects = dict[str, dict[str, dict[str, Any]]]  # path -> interface -> property -> value


log = logging.getLogger(__name__)


class BluetoothDeniedError(PortPermissionError):
    """The bus does not let this user talk to BlueZ."""

    template = "{port} may not be used ({cause}); add the user to its group: sudo usermod -aG bluetooth $USER"


class ReplyError(Exception):
    """BlueZ or the bus answered with an error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(name, text)
        self.dbus_error = name


@cache
def library_errors() -> tuple[type[Exception], ...]:
    """Return what bleak and the bus library raise: their own, and what theirs become when BlueZ goes in mid-call."""
    bleak, dbus = require("bleak.exc", "ble"), require("dbus_fast", "ble")
    inner = (AssertionError, AttributeError, LookupError)
    return (bleak.BleakError, dbus.DBusError, dbus.AuthError, ReplyError, OSError, EOFError, *inner)


class AdapterWatch:
    """The adapter's object on the bus. `changed` is called with why it cannot be used, None when it can."""

    def __init__(self, adapter: str, changed: Callable[[str | None], None]) -> None:
        self.path = f"/org/bluez/{adapter}"
        self._changed = changed
        self._bus: Any = None
        self._dbus: Any = None
        self.is_present = False
        self.is_powered = False
        self.is_discovering = False
        self._has_ended = False
        self._moved = asyncio.Event()
        self.cause = "not looked for yet"  # why it cannot be used

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will be heard of the adapter: the bus is gone."""
        return self._has_ended

    @property
    def is_usable(self) -> bool:
        """Whether the adapter is there and has power."""
        return self.is_present and self.is_powered and not self._has_ended

    def require_usable(self, port: str) -> None:
        """Raise PortNotFoundError when the adapter is not there or has no power."""
        if not self.is_usable:
            raise PortNotFoundError(port, self.cause)

    async def start(self, port: str) -> Objects:
        """Connect, listen, and return all that BlueZ has.

        Raises: PortNotFoundError, PortPermissionError, DriverError.
        """
        self._dbus = require("dbus_fast", "ble")
        aio = require("dbus_fast.aio", "ble")
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                self._bus = await aio.MessageBus(bus_type=self._dbus.BusType.SYSTEM).connect()
                self._bus.add_message_handler(self._heard)
                for rule in self._rules():
                    await self._call(_DBUS, "/org/freedesktop/DBus", f"{_DBUS}.AddMatch", "s", [rule])
                objects = await self.objects()
        except library_errors() as error:
            self.stop()
            raise bus_error(port, error) from error
        self._take(objects.get(self.path, {}).get(ADAPTER))
        return objects

    def stop(self) -> None:
        """Leave the bus."""
        self._has_ended = True
        if self._bus is not None:
            self._bus.remove_message_handler(self._heard)
            self._bus.disconnect()
            self._bus = None

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Return when `is_so`, or after a while in which it was not."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CALL_TIMEOUT_S):
                while not is_so():
                    self._moved.clear()
                    await self._moved.wait()

    def tell(self) -> None:
        """Tell the state once more: whoever looked away while the adapter was reset sees how that ended."""
        self._changed(self.cause or None)

    async def watch_bus(self) -> None:
        """Return when the bus is gone, having told so."""
        bus = self._bus
        try:
            await bus.wait_for_disconnect()
        except library_errors() as error:
            log.debug("bus of %s: %s", self.path, words_of(error))
        if not self._has_ended:
            self._has_ended = True
            self._lose("the D-Bus connection ended")

    async def objects(self) -> Objects:
        """Return all objects that BlueZ has now. Raises: ReplyError, OSError, EOFError."""
        (objects,) = await self._call(BLUEZ, "/", f"{_OBJECTS}.GetManagedObjects")
        unpacked: Objects = self._dbus.unpack_variants(objects)
        return unpacked

    async def set_powered(self, *, on: bool) -> None:
        """Switch the adapter. Raises: ReplyError, TimeoutError."""
        value = self._dbus.Variant("b", on)
        async with asyncio.timeout(CALL_TIMEOUT_S):
            await self._call(BLUEZ, self.path, f"{_PROPERTIES}.Set", "ssv", [ADAPTER, "Powered", value])

    async def _call(
        self, destination: str, path: str, method: str, signature: str = "", body: Sequence[Any] = ()
    ) -> list[Any]:
        interface, _, member = method.rpartition(".")
        message = self._dbus.Message(
            destination=destination,
            path=path,
            interface=interface,
            member=member,
            signature=signature,
            body=list(body),
        )
        reply = await self._bus.call(message)
        if reply.message_type is self._dbus.MessageType.ERROR:
            raise ReplyError(reply.error_name, str(reply.body[0]) if reply.body else "")
        answer: list[Any] = reply.body
        return answer

    def _rules(self) -> tuple[str, ...]:
        return (
            f"type='signal',sender='{_DBUS}',interface='{_DBUS}',member='NameOwnerChanged',arg0='{BLUEZ}'",
            f"type='signal',sender='{BLUEZ}',interface='{_OBJECTS}',arg0path='{self.path}'",
            f"type='signal',sender='{BLUEZ}',interface='{_PROPERTIES}',path='{self.path}',arg0='{ADAPTER}'",
        )

    def _heard(self, message: Any) -> None:
        match message.member:
            case "NameOwnerChanged":
                name, _, owner = message.body
                if name == BLUEZ and not owner:
                    self._lose("bluetoothd ended")
            case "InterfacesAdded":
                path, interfaces = message.body
                if path == self.path and ADAPTER in interfaces:
                    self._take(self._dbus.unpack_variants(interfaces[ADAPTER]))
            case "InterfacesRemoved":
                path, interfaces = message.body
                if path == self.path and ADAPTER in interfaces:
                    self._lose("the adapter was removed")
            case "PropertiesChanged":
                interface, changed, _ = message.body
                if message.path == self.path and interface == ADAPTER:
                    self._update(self._dbus.unpack_variants(changed))

    def _take(self, properties: dict[str, Any] | None) -> None:
        if properties is None:
            self.is_present, self.cause = False, "BlueZ has no such adapter"
            return
        self.is_present = True
        self._update({"Powered": False, "Discovering": False, **properties})

    def _update(self, changed: dict[str, Any]) -> None:
        self._moved.set()
        self.is_discovering = changed.get("Discovering", self.is_discovering)
        if "Powered" in changed:
            self.is_powered = changed["Powered"]
            self.cause = "" if self.is_powered else "the adapter is switched off: bluetoothctl power on"
            self._changed(self.cause or None)

    def _lose(self, cause: str) -> None:
        self._moved.set()
        self.is_present = self.is_powered = self.is_discovering = False
        self.cause = cause
        self._changed(cause)


def bus_error(port: str, error: BaseException) -> PortError:
    """Return the error of a port for one of the bus or of BlueZ."""
    if isinstance(error, PortError):
        return error
    words = words_of(error)
    if fault_of(error) is Fault.DENIED:
        return BluetoothDeniedError(port, words)
    if words.startswith(("ServiceUnknown", "NameHasNoOwner", "Spawn.")):
        return PortNotFoundError(port, "bluetoothd does not run: sudo systemctl start bluetooth")
    if isinstance(error, (FileNotFoundError, ConnectionError)):
        return PortNotFoundError(port, f"no system D-Bus answers: {words}")
    return PortNotFoundError(port, words)
