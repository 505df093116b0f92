"""One Bluetooth adapter, shared by all ports of the process that use it: one scanner, one connect at a time, slots.

Everything here runs on the radio's loop. Ports hold an adapter from `ADAPTERS.acquire` to `ADAPTERS.release`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Final, Protocol

from drivers._ble_bluez import ADAPTER, DEVICE, AdapterWatch, Objects, library_errors
from drivers._ble_faults import words_of
from drivers._ble_links import Link, Links
from drivers._ble_radio import RADIO
from drivers._ble_reports import Entry, Reports
from drivers._ble_scan import Scan
from drivers._ble_watchdog import Step
from gateway.clock import Clock
from gateway.errors import PortNotFoundError
from gateway.registry import require

HEAR_S: Final = 8.0  # for a device to be heard: slow ones advertise every 1 to 5 s

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Who hears advertisements."""

    def heard(self, device: Any, advertisement: Any, entries: list[Entry], now_ns: int) -> None:
        """Take one advertisement: bleak's two objects, and the elements that it brought."""
        ...

    def lost(self, cause: str) -> None:
        """Hear that the adapter is gone."""
        ...


class Adapter:
    """One adapter of BlueZ."""

    def __init__(self, name: str, clock: Clock) -> None:
        self.name = name
        self.users = 0
        self.taken: set[str] = set()  # addresses of devices that ports of this process use
        self.adverts = 0
        self.watch = AdapterWatch(name, self._changed)
        self.links = Links(name, self.watch, clock, self.taken)
        self.scan = Scan(name, self.watch, clock, self.heard, self.links.__len__)
        self._clock = clock
        self._reports = Reports()
        self._listeners: tuple[Listener, ...] = ()

    async def start(self, port: str) -> None:
        """Look for the adapter. Raises: PortNotFoundError, PortPermissionError, DriverError."""
        objects = await self.watch.start(port)
        if not self.watch.is_usable:
            self.watch.stop()
            raise PortNotFoundError(port, _with_others(self.watch, objects))
        for properties in self._devices(objects).values():
            self._reports.know(properties["Address"], properties)
        RADIO.leave(self.scan.supervise())
        RADIO.leave(self.watch.watch_bus())

    async def stop(self) -> None:
        """Release everything; the supervisor and the watch end by themselves."""
        await self.scan.stop()
        self.watch.stop()

    async def listen(self, listener: Listener, port: str) -> None:
        """Give a listener every advertisement from now on. Raises: PortError when the adapter does not scan."""
        self.watch.require_usable(port)
        self._listeners = (*self._listeners, listener)
        try:
            await self.scan.begin(port)
        except BaseException:
            self.unlisten(listener)
            raise

    def unlisten(self, listener: Listener) -> None:
        """Give it no more."""
        self._listeners = tuple(other for other in self._listeners if other is not listener)
        if not self._listeners:
            self.scan.end()

    def heard(self, device: Any, advertisement: Any) -> None:
        """Take one advertisement from bleak."""
        now_ns = self._clock.monotonic_ns()
        self.scan.watchdog.heard_ns = now_ns
        self.adverts += 1
        entries = self._reports.entries(device.address, advertisement)
        for listener in self._listeners:
            listener.heard(device, advertisement, entries, now_ns)

    async def find(self, port: str, is_it: Callable[[str, Any], bool]) -> Any:
        """Return the first device heard that `is_it` and that no port has, and take it.

        One that BlueZ still holds connected, from a process that died, says nothing and is found among its objects.
        Raises: PortNotFoundError.
        """
        self.watch.require_usable(port)
        try:
            objects = await self.watch.objects()
        except library_errors() as error:
            raise PortNotFoundError(port, words_of(error)) from error
        for path, properties in self._devices(objects).items():
            address = properties["Address"]
            if properties.get("Connected") and address not in self.taken and is_it(address, _as_heard(properties)):
                self.taken.add(address)
                device = require("bleak.backends.device", "ble").BLEDevice
                return device(address, properties.get("Name"), {"path": path, "props": properties})
        finder = _Finder(port, is_it, self.taken)
        await self.listen(finder, port)
        try:
            async with asyncio.timeout(HEAR_S):
                return await finder.found
        except BaseException as error:
            self.taken -= finder.took
            if isinstance(error, TimeoutError):
                raise PortNotFoundError(port, f"not heard in {HEAR_S:g} s") from error
            raise
        finally:
            self.unlisten(finder)

    async def connect(self, port: str, device: Any, lost: Callable[[str], None]) -> Link:
        """Return a link to a device that `find` gave. Raises: see `Links.connect`."""
        return await self.links.connect(port, device, self.scan, lost)

    def health(self) -> dict[str, Any]:
        """Return what is known of the adapter, JSON-ready."""
        now_ns = self._clock.monotonic_ns()
        steps, slots = self.scan.steps, self.links.slots
        return {
            "adapter": self.name,
            "is_usable": self.watch.is_usable,
            "is_scanning": self.scan.is_running,
            "is_silent": self.scan.watchdog.is_silent,
            "adverts": self.adverts,
            "scan_restarts": steps[Step.RESTART_SCAN] + steps[Step.RESTART_DISCOVERY],
            "resets": steps[Step.POWER_CYCLE],
            "slots": slots.count,
            "slots_used": slots.used(now_ns),
            "slot_owners_s": {owner: round(held_s, 1) for owner, held_s in slots.owners(now_ns).items()},
            "retries": {fault.value: count for fault, count in (self.links.retries + self.scan.faults).items()},
        }

    def _changed(self, cause: str | None) -> None:
        """Hear of the adapter's state: without it, every port has lost its wire."""
        self.scan.look(is_lost=cause is not None)
        if cause is None or (self.scan.is_resetting and self.watch.is_present):
            return
        log.info("adapter lost: adapter=%s reason=%s", self.name, cause)
        for listener in self._listeners:
            listener.lost(cause)
        self.links.lost(cause)

    def _devices(self, objects: Objects) -> dict[str, dict[str, Any]]:
        found = {path: interfaces[DEVICE] for path, interfaces in objects.items() if DEVICE in interfaces}
        return {path: properties for path, properties in found.items() if properties.get("Adapter") == self.watch.path}


class _Finder:
    """Hears until a device is the right one."""

    def __init__(self, port: str, is_it: Callable[[str, Any], bool], taken: set[str]) -> None:
        self._port = port
        self._is_it = is_it
        self._taken = taken
        self.took: set[str] = set()
        self.found: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def heard(self, device: Any, advertisement: Any, entries: list[Entry], now_ns: int) -> None:
        del entries, now_ns
        properties = advertisement.platform_data[1]
        if self.found.done() or "RSSI" not in properties or properties.get("Connected"):
            return  # only the table changed, or somebody talks to it
        if device.address not in self._taken and self._is_it(device.address, advertisement):
            self.took.add(device.address)
            self._taken.add(device.address)
            self.found.set_result(device)

    def lost(self, cause: str) -> None:
        if not self.found.done():
            self.found.set_exception(PortNotFoundError(self._port, cause))


class Adapters:
    """The adapters in use, by name; an adapter lives as long as somebody uses it."""

    def __init__(self) -> None:
        self._adapters: dict[str, Adapter] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def acquire(self, name: str, port: str, clock: Clock) -> Adapter:
        """Return an adapter to use until `release`. Raises: PortNotFoundError, PortPermissionError, DriverError."""
        async with self._locks[name]:
            adapter = self._adapters.get(name)
            if adapter is None or adapter.watch.has_ended:
                adapter = Adapter(name, clock)
                await adapter.start(port)
                self._adapters[name] = adapter
            adapter.watch.require_usable(port)
            adapter.users += 1
            return adapter

    async def release(self, adapter: Adapter) -> None:
        """Give an adapter back; the last one to do so stops it."""
        async with self._locks[adapter.name]:
            adapter.users -= 1
            if adapter.users:
                return
            if self._adapters.get(adapter.name) is adapter:
                del self._adapters[adapter.name]
            await adapter.stop()


ADAPTERS: Final = Adapters()


def _as_heard(properties: dict[str, Any]) -> Any:
    """Return BlueZ's table of a device in the form of an advertisement."""
    return SimpleNamespace(
        local_name=properties.get("Name"),
        manufacturer_data=properties.get("ManufacturerData", {}),
        service_data=properties.get("ServiceData", {}),
        service_uuids=properties.get("UUIDs", []),
    )


def _with_others(watch: AdapterWatch, objects: Objects) -> str:
    others = sorted(path.rpartition("/")[2] for path, interfaces in objects.items() if ADAPTER in interfaces)
    if watch.is_present or not others:
        return watch.cause
    return f"{watch.cause}; there is {', '.join(others)}"
