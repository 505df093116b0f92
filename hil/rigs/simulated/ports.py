"""The rig's simulated buses as a gateway's ports: `hil:uart0` is the rig's resource `uart0`.

A port hears what the fixture of its bus hears, at the same instant, and what it sends goes the fixture's way.
"""

from __future__ import annotations

import asyncio
import errno
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from gateway.clock import Clock
from gateway.driver import Driver
from gateway.errors import (
    PortClosedError,
    PortError,
    PortLostError,
    PortNotFoundError,
    PortOptionError,
    PortTimeoutError,
)
from gateway.frame import (
    CAN_ERROR,
    CAN_EXTENDED,
    CAN_FD,
    CAN_ID_MASK,
    CAN_REMOTE,
    Address,
    Batch,
    Element,
    PortName,
    short_uuid,
)
from gateway.port import Port, Sample
from gateway.profile.model import LinkSpec
from gateway.registry import driver_for
from gateway.spelling import did_you_mean
from hil.rigs.simulated.gatt import GattPort
from hil.rigs.simulated.inbox import UNPLUGGED, Inbox

PREFIX: Final = "hil:"
CLASSIC_BYTES: Final = 8


class RigDriver:
    """A gateway's way to the buses of one simulated rig."""

    name = "hil"

    def __init__(self, rig: Any) -> None:
        self._rig = rig

    def claims(self, target: str, bus: str) -> bool:
        """Whether a port text is of the rig."""
        del bus
        return target.startswith(PREFIX)

    def make(self, target: str, link: LinkSpec, clock: Clock) -> Port:
        """Return an unopened port. Raises: PortOptionError for what the rig has not, or not on this kind of bus."""
        name, _, address = target.removeprefix(PREFIX).partition("/")
        try:
            handle = self._rig.get(name)
        except ValueError as error:
            raise PortOptionError(target, str(error)) from error
        protocol = self._rig.resources[name]
        if protocol != link.bus:
            raise PortOptionError(target, f"the rig's {name} is {protocol}, and the profile is for {link.bus}")
        if link.bus == "ble" and link.mode == "gatt":
            return GattPort(target, handle, clock, address.upper() or None)
        if link.bus == "spi":
            return SpiPort(target, handle, clock)
        kinds: dict[str, Callable[[str, Any, Clock], Port]] = {"uart": UartPort, "can": CanPort, "ble": AdvertPort}
        return kinds[link.bus](target, handle, clock)

    def driver_for(self, target: str, bus: str) -> Driver:
        """Return who serves a port text: the rig, or the machine's own drivers."""
        return self if self.claims(target, bus) else driver_for(target, bus)


def port_text(rig: Any, port: str) -> str:
    """Return the port text of a resource; what names none of the rig's is left as it is, where it names a driver.

    Raises: ValueError naming the nearest resource.
    """
    name = port.removeprefix(PREFIX).partition("/")[0]
    if name in rig.resources:
        return PREFIX + port.removeprefix(PREFIX)
    if port.startswith(("replay:", "/")):
        return port
    raise ValueError(f"{rig.target} has no resource {name!r}{did_you_mean(name, list(rig.resources))}")


class RigPort(ABC):
    """What the ports of all buses share."""

    is_stream = False

    def __init__(self, target: str, handle: Any, clock: Clock) -> None:
        self.name = PortName(target)
        self._handle = handle
        self._clock = clock
        self._inbox: Inbox | None = None
        self._stop: Callable[[], object] | None = None

    async def open(self) -> None:
        """Hear from now on. Raises: PortNotFoundError while it is unplugged."""
        await self.close()
        if not self._handle.is_there:
            raise PortNotFoundError(self.name, UNPLUGGED)
        self._inbox = inbox = Inbox(self.name, self._clock)
        self._stop = self._handle.listen(self._heard, lambda reason: inbox.end(PortLostError(self.name, reason)))

    async def read(self) -> Batch:
        """Return what was heard, waiting for the first. Raises: PortLostError, PortClosedError."""
        return await self._opened().take(is_stream=self.is_stream)

    async def write(self, data: bytes, address: Address = None) -> None:
        """Send. Raises: PortLostError, PortClosedError, PortOptionError."""
        self._opened()
        with self._told():
            self._send(bytes(data), address)

    async def close(self) -> None:
        """Hear no more."""
        inbox, self._inbox = self._inbox, None
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()
        if inbox is not None:
            inbox.end(PortClosedError(self.name, "by us"))

    def _opened(self) -> Inbox:
        if self._inbox is None:
            raise PortClosedError(self.name, "by us")
        return self._inbox

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell the gateway in its own words what is wrong with a bus. Raises: PortLostError, PortTimeoutError."""
        try:
            yield
        except OSError as error:
            if isinstance(error, ConnectionError) or error.errno in {errno.ENODEV, errno.EIO}:
                raise PortLostError(self.name, error.strerror or str(error)) from error
            raise PortTimeoutError(self.name, str(error)) from error

    @abstractmethod
    def _heard(self, item: Any) -> None:
        """Take what the fixture of the bus hears."""

    @abstractmethod
    def _send(self, data: bytes, address: Address) -> None:
        """Send by way of the fixture. Raises: OSError."""


class UartPort(RigPort):
    """A UART."""

    is_stream = True

    def _heard(self, item: bytes) -> None:
        if self._inbox is not None and item:
            self._inbox.put(bytes(item))

    def _send(self, data: bytes, address: Address) -> None:
        del address
        self._handle.host_send(data)


class CanPort(RigPort):
    """A node on a CAN bus. Error frames come with the error flag in their id, as linux/can.h has them."""

    def _heard(self, item: Any) -> None:
        if self._inbox is not None:
            flags = CAN_EXTENDED * bool(item.extended) | CAN_REMOTE * bool(item.remote) | CAN_ERROR * bool(item.error)
            self._inbox.put(bytes(item.data), item.id | flags)

    def _send(self, data: bytes, address: Address) -> None:
        if not isinstance(address, int) or address & CAN_ERROR:
            raise PortOptionError(self.name, "a CAN frame needs an id")
        from hil.can_frames import frame_of

        frame = frame_of(
            address & CAN_ID_MASK,
            data,
            extended=bool(address & CAN_EXTENDED),
            remote=bool(address & CAN_REMOTE),
            fd=bool(address & CAN_FD) or len(data) > CLASSIC_BYTES,
        )
        self._handle.host_send(frame)

    def health(self) -> dict[str, Any]:
        """Return the state of the node: active, warning, passive, bus_off."""
        return {"state": self._handle.state, "is_open": self._inbox is not None}


class AdvertPort(RigPort):
    """An ear for advertisements: an element for each piece of manufacturer and service data."""

    def _heard(self, item: Any) -> None:
        if self._inbox is None or not hasattr(item, "manufacturer_data"):
            return
        for company, data in item.manufacturer_data.items():
            self._inbox.put(bytes(data), Element(item.address, item.rssi, item.name, company))
        for uuid, data in item.service_data.items():
            self._inbox.put(bytes(data), Element(item.address, item.rssi, item.name, None, short_uuid(uuid)))

    def _send(self, data: bytes, address: Address) -> None:
        del data, address
        raise PortOptionError(self.name, 'nobody listens to a scanner; a device is written to with mode = "gatt"')


class SpiPort(RigPort):
    """A chip select: the gateway asks, and the answer's address is what was sent."""

    def __init__(self, target: str, handle: Any, clock: Clock) -> None:
        super().__init__(target, handle, clock)
        self._timers: dict[bytes, asyncio.TimerHandle] = {}

    async def ask(self, request: bytes, address: Address = None) -> None:
        """Make one transfer; its answer comes by `read`. Raises: PortLostError, PortClosedError."""
        del address
        inbox = self._opened()
        with self._told():
            answer = bytes(self._handle.exchange(request))
        await asyncio.sleep(self._handle.duration_ns(request) / 1e9)
        inbox.put(answer, request)

    def sample(self, plan: Sequence[Sample]) -> None:
        """Repeat these on grids of their own from now on."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        loop = asyncio.get_running_loop()
        for each in plan:
            self._again(each, loop.time(), 0)

    async def close(self) -> None:
        """Ask no more."""
        self.sample(())
        await super().close()

    def _again(self, sample: Sample, begun_s: float, number: int) -> None:
        inbox = self._inbox
        if inbox is None:
            return
        try:
            with self._told():
                inbox.put(bytes(self._handle.exchange(sample.request)), sample.request)
        except PortError as error:
            inbox.end(error)
            return
        due_s = begun_s + (number + 1) * sample.every_ns / 1e9
        again = asyncio.get_running_loop().call_at(due_s, self._again, sample, begun_s, number + 1)
        self._timers[sample.request] = again

    def _heard(self, item: Any) -> None:
        """Nothing comes unasked."""

    def _send(self, data: bytes, address: Address) -> None:
        del address
        self._handle.exchange(data)
