"""org.bluez, served by a thread. Tests add devices and faults from any thread."""

from __future__ import annotations

import asyncio
import select
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, Self, TypeVar

from dbus_fast import ErrorType, Message, MessageType
from dbus_fast.aio import MessageBus

from hil.sim.bluez.gatt import GattTable
from hil.sim.bluez.peripheral import Characteristic, Peripheral
from hil.sim.bluez.radio import ADAPTER, DEVICE, Air
from hil.sim.bluez.reply import Failed, Later, Reply
from hil.sim.bluez.tree import OBJECTS, PROPERTIES, Tree

T = TypeVar("T")

NAME: Final = "org.bluez"
CONTROL_S: Final = 5.0


class FakeBluez:
    """A BlueZ with one adapter `hci0`. `calls` counts methods; `start_errors` are for the next StartDiscovery calls."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="asyncio bluez", daemon=True)
        self._bus: Any = None
        self._tree = Tree(self._emit)
        self._gatt = GattTable(self._tree)
        self._air = Air(self._tree, self._gatt, self._loop)
        self.calls: Counter[str] = Counter()
        self.start_errors: deque[tuple[str, str]] = self._air.start_errors

    def __enter__(self) -> Self:
        self._thread.start()
        self._wait(self._connect())
        self.plug()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._do(lambda: self._leave(crashes=False))
        self._do(self._air.rest)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CONTROL_S)
        self._loop.close()

    # What a test can do, from any thread.

    def add(self, peripheral: Peripheral) -> Peripheral:
        """Put a device within reach."""
        self._do(lambda: self._air.add(peripheral))
        return peripheral

    def remove(self, peripheral: Peripheral) -> None:
        """Take a device out of reach, and out of what BlueZ knows."""
        self._do(lambda: self._air.remove(peripheral))

    def plug(self) -> None:
        """Plug the adapter in; BlueZ gives it power."""
        self._do(self._air.plug)

    def unplug(self) -> None:
        """Pull the adapter out."""
        self._do(self._air.unplug)

    def power(self, *, on: bool) -> None:
        """Switch the adapter, as rfkill or another program would."""
        self._do(lambda: self._air.power(on=on))

    def drop(self, peripheral: Peripheral) -> None:
        """Have a device end its connection."""
        self._do(lambda: self._air.dropped(peripheral))

    def remember(self, peripheral: Peripheral, *, is_connected: bool = False) -> None:
        """Have BlueZ know a device from before: its object is there, with old data."""
        self._do(lambda: self._air.remember(peripheral, is_connected=is_connected))

    def advertise(self, peripheral: Peripheral) -> None:
        """Have a device advertise once, now."""
        self._do(lambda: self._air.advertise(peripheral))

    def storm(self, peripherals: list[Peripheral], rounds: int) -> None:
        """Have every device advertise `rounds` times, as fast as the bus takes it."""
        for _ in range(rounds):
            self._do(lambda: self._air.advertise_all(peripherals))

    def notify(self, peripheral: Peripheral, characteristic: Characteristic, value: bytes) -> None:
        """Have a device notify a value, if somebody subscribed."""
        self._do(lambda: self._gatt.notify(peripheral, characteristic, value))

    def is_connected(self, peripheral: Peripheral) -> bool:
        """Return whether somebody is connected to a device."""
        return self._do(lambda: self._air.is_connected(peripheral))

    @property
    def is_discovering(self) -> bool:
        """Whether somebody scans."""
        return self._do(lambda: self._air.is_discovering)

    def restart(self, *, crashes: bool = False) -> None:
        """End and begin again, as bluetoothd does when it is upgraded; or crash, which takes no object back first."""
        self._do(lambda: self._leave(crashes=crashes))
        self._wait(self._connect())
        self.plug()

    # The bus.

    async def _connect(self) -> None:
        bus = await MessageBus(bus_address=self._address).connect()
        bus.add_message_handler(self._answer)
        await bus.request_name(NAME)
        self._bus = bus

    def _leave(self, *, crashes: bool) -> None:
        if not crashes:
            self._air.clear()
        self._bus.disconnect()
        self._bus = None
        self._air.clear()

    def _emit(self, path: str, interface: str, member: str, signature: str, body: list[Any]) -> None:
        if self._bus is not None:
            # dbus-fast ends a connection whose socket is full: wait until the daemon has read some of it
            select.select([], [self._bus._fd], [], CONTROL_S)  # noqa: SLF001 - it tells nobody else
            self._bus.send(Message.new_signal(path, interface, member, signature, body))

    def _answer(self, message: Message) -> Message | bool | None:
        if message.message_type is not MessageType.METHOD_CALL or message.path is None:
            return None
        self.calls[str(message.member)] += 1
        try:
            reply = self._called(message)
        except Failed as error:
            return Message.new_error(message, error.name, error.text)
        if not isinstance(reply, Later):
            return Message.new_method_return(message, reply.signature, reply.body)
        if reply.delay_s is not None:
            self._loop.call_later(reply.delay_s, self._answer_late, message, reply.finish)
        return True  # answered later, or never

    def _answer_late(self, message: Message, finish: Callable[[], Reply]) -> None:
        if self._bus is None:
            return
        try:
            reply = finish()
        except Failed as error:
            self._bus.send(Message.new_error(message, error.name, error.text))
            return
        self._bus.send(Message.new_method_return(message, reply.signature, reply.body))

    def _called(self, message: Message) -> Reply | Later:
        if (message.interface, message.member) == (OBJECTS, "GetManagedObjects"):
            return Reply("a{oa{sa{sv}}}", [self._tree.managed()])
        if message.path not in self._tree:
            raise Failed(ErrorType.UNKNOWN_OBJECT.value, f"no object {message.path}")
        if message.interface == PROPERTIES and message.member == "Set":
            return self._air.set_property(*message.body)
        if message.interface not in self._tree.interfaces(message.path):
            raise Failed(ErrorType.UNKNOWN_METHOD.value, f"no interface {message.interface} at {message.path}")
        if message.interface == ADAPTER:
            return self._air.adapter_method(message.member, message.sender, message.body)
        if message.interface == DEVICE:
            return self._air.device_method(message.path, message.member)
        return self._gatt.method(message.path, message.member, message.body)

    # The thread.

    def _do(self, work: Callable[[], T]) -> T:
        async def doing() -> T:
            return work()

        return self._wait(doing())

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CONTROL_S)
