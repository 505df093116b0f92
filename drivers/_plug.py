"""Plugging and unplugging, told by the kernel or udevd: one netlink socket for all ports of an event loop.

Where that is not to be had (no pyudev, no libudev, a network namespace of its own) nothing is told, and ports find out
by looking.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from gateway.errors import DriverError
from gateway.registry import require

SUBSYSTEMS: Final = ("tty", "net", "spidev")
MAX_EVENTS_PER_WAKE: Final = 64  # a hub full of adapters; the rest follows in the next turn
_UDEVD: Final = Path("/run/udev/control")

log = logging.getLogger(__name__)


class PlugEvent(NamedTuple):
    """Something came or went."""

    action: str  # "add", "remove", "change", "move" ...
    subsystem: str  # "tty", "net"
    name: str  # "ttyUSB0", "can0"


Listener = Callable[[PlugEvent], None]
Source = Callable[[], Any]  # an object with fileno() and poll(0) -> pyudev.Device | None


class PlugWatch:
    """Gives events to listeners as long as there are any; the socket is open only meanwhile."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._listeners: dict[object, Listener] = {}
        self._monitor: Any = None
        self._fd = -1

    @property
    def is_watching(self) -> bool:
        """Whether anything would be told."""
        return self._monitor is not None

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` for every event from now on, until the function returned here is called."""
        key = object()
        self._listeners[key] = listener
        if self._monitor is None:
            self._start()

        def end() -> None:
            self._listeners.pop(key, None)
            if not self._listeners:
                self._stop()

        return end

    def _start(self) -> None:
        try:
            self._monitor = self._source()
            self._fd = self._monitor.fileno()
        except (DriverError, OSError, ValueError, AttributeError) as error:  # the last two: a libudev that is no such
            self._monitor = None
            log.debug("no plug events here, ports are looked at instead: cause=%s", error)
            return
        asyncio.get_running_loop().add_reader(self._fd, self._read)

    def _stop(self) -> None:
        if self._monitor is not None:
            asyncio.get_running_loop().remove_reader(self._fd)
            self._monitor = None

    def _read(self) -> None:
        for event in _events(self._monitor):
            for listener in list(self._listeners.values()):
                listener(event)


def _events(monitor: Any) -> Iterable[PlugEvent]:
    for _ in range(MAX_EVENTS_PER_WAKE):
        try:
            device = monitor.poll(0)
        except OSError:  # the socket overflowed: events were lost, and ports find out by looking
            return
        if device is None:
            return
        yield PlugEvent(device.action or "", device.subsystem or "", device.sys_name or "")


def open_monitor() -> Any:
    """Return pyudev's monitor. udevd tells when a new node has its links; without udevd the kernel is asked."""
    pyudev = require("pyudev", "udev")
    try:
        monitor = pyudev.Monitor.from_netlink(pyudev.Context(), source="udev" if _UDEVD.exists() else "kernel")
        for subsystem in SUBSYSTEMS:
            monitor.filter_by(subsystem)
        monitor.start()
    except ImportError as error:  # no libudev
        raise DriverError(f"libudev is not installed; run: sudo apt install libudev1 ({error})") from error
    return monitor


_WATCHES: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, PlugWatch]] = WeakKeyDictionary()


async def plug_watch() -> PlugWatch:
    """Return the watch of the running loop. The library is imported in a thread: it takes longer than a turn may."""
    loop = asyncio.get_running_loop()
    watch = _WATCHES.get(loop)
    if watch is None:
        await asyncio.to_thread(_preload)
        watch = _WATCHES.setdefault(loop, PlugWatch(open_monitor))
    return watch


async def plugged(subsystem: str) -> None:
    """Return when something of a subsystem was plugged in; wait for ever where that is not told."""
    came = asyncio.get_running_loop().create_future()

    def hear(event: PlugEvent) -> None:
        if event.subsystem == subsystem and event.action in {"add", "move"} and not came.done():
            came.set_result(None)

    end = (await plug_watch()).listen(hear)
    try:
        await came
    finally:
        end()


def _preload() -> None:
    try:
        require("pyudev", "udev")
    except DriverError as error:
        log.debug("%s", error)
