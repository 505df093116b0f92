"""A connected Bluetooth device as a gateway's port: characteristics are asked, written and subscribed to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Final, TypeVar

from gateway.clock import Clock
from gateway.errors import (
    PortClosedError,
    PortLostError,
    PortNotFoundError,
    PortOptionError,
    PortRefusedError,
    PortTimeoutError,
)
from gateway.frame import Address, Batch, Element, PortName, short_uuid
from gateway.port import CanFilter
from hil.rigs.base import RigLostError
from hil.rigs.radio import BleRefusedError, BleTimeoutError
from hil.rigs.simulated.inbox import UNPLUGGED, Inbox

ANY_ADDRESS: Final = "C0:00:00:00:00:01"  # of a device that has advertised none
T = TypeVar("T")


class GattPort:
    """One device behind the rig's radio: that of an address, or whichever is there."""

    is_stream = False

    def __init__(self, target: str, handle: Any, clock: Clock, address: str | None) -> None:
        self.name = PortName(target)
        self._handle = handle
        self._clock = clock
        self._address = address
        self._wanted: tuple[str, ...] = ()
        self._inbox: Inbox | None = None
        self._link: Any = None

    def listen_for(self, wanted: Sequence[CanFilter | Element]) -> bool:
        """Subscribe, from the next `open` on, to the characteristics named; return whether nothing is open."""
        elements = [element for element in wanted if isinstance(element, Element)]
        self._wanted = tuple(dict.fromkeys(short_uuid(e.characteristic) for e in elements if e.characteristic))
        return self._inbox is None

    async def open(self) -> None:
        """Connect, subscribe. Raises: PortNotFoundError, PortLostError, PortTimeoutError, PortRefusedError."""
        await self.close()
        if not self._handle.is_there:
            raise PortNotFoundError(self.name, UNPLUGGED)
        address = self._address or await self._heard_address()
        self._link = link = await self._done(self._handle.open(address), f"connect to {address}")
        self._inbox = inbox = Inbox(self.name, self._clock)
        link.when_lost(lambda reason: inbox.end(PortLostError(self.name, reason)))
        refused: list[PortRefusedError] = []
        for uuid in self._wanted:
            try:
                await self._done(link.subscribe(uuid, partial(self._came, uuid)), f"subscribe to {uuid}")
            except PortRefusedError as error:
                refused.append(error)
        if refused and len(refused) == len(self._wanted):
            await self.close()
            raise refused[0]

    async def read(self) -> Batch:
        """Return notifications and answers, waiting for the first. Raises: PortLostError, PortClosedError."""
        return await self._opened().take(is_stream=False)

    async def ask(self, request: bytes, address: Address = None) -> None:
        """Read the characteristic of `address`; its value comes by `read`. Raises: as `write`."""
        del request
        self._opened()
        uuid = self._uuid(address)
        self._came(uuid, await self._done(self._link.read(uuid), f"read {uuid}"))

    async def write(self, data: bytes, address: Address = None) -> None:
        """Write the characteristic of `address`. Raises: PortRefusedError, PortTimeoutError, PortLostError ..."""
        self._opened()
        uuid = self._uuid(address)
        await self._done(self._link.write(uuid, bytes(data)), f"write {uuid}")

    async def close(self) -> None:
        """Disconnect; a waiting read raises PortClosedError."""
        inbox, self._inbox = self._inbox, None
        link, self._link = self._link, None
        if inbox is not None:
            inbox.end(PortClosedError(self.name, "by us"))
        if link is not None:
            link.close()

    def health(self) -> dict[str, Any]:
        """Return what is known of the link."""
        return {"mode": "gatt", "is_open": self._inbox is not None}

    async def _heard_address(self) -> str:
        """Return the address of the first device that is heard, or that of one which advertises none."""
        if self._handle.peer.has_address(ANY_ADDRESS):
            return ANY_ADDRESS
        heard: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def take(advertisement: Any) -> None:
            if not heard.done():
                heard.set_result(advertisement.address)

        def lost(reason: str) -> None:
            if not heard.done():
                heard.set_exception(PortLostError(self.name, reason))

        stop = self._handle.listen(take, lost)
        try:
            return await heard
        finally:
            stop()

    def _came(self, uuid: str, value: bytes) -> None:
        if self._inbox is not None:
            self._inbox.put(bytes(value), Element(self._link.address, characteristic=uuid))

    async def _done(self, pending: Future[T], what: str) -> T:
        """Wait for what the radio does; tell the gateway in its own words what is wrong with it."""
        try:
            return await asyncio.wrap_future(pending)
        except BleRefusedError as error:
            raise PortRefusedError(self.name, f"{what}: {error}") from error
        except BleTimeoutError as error:
            raise PortTimeoutError(self.name, str(error)) from error
        except RigLostError as error:
            raise PortLostError(self.name, str(error)) from error

    def _opened(self) -> Inbox:
        if self._inbox is None:
            raise PortClosedError(self.name, "by us")
        return self._inbox

    @staticmethod
    def _uuid(address: Address) -> str:
        if not isinstance(address, Element) or not address.characteristic:
            raise PortOptionError("gatt", "say which characteristic: a GATT device has many")
        return short_uuid(address.characteristic)
