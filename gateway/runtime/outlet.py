"""Layer 6: the way out of one open wire for commands: one write at a time, under the wire's lock.

A Modbus write is answered by the unit, so it goes through the poller, which knows whose answer a frame is. Everything
else is written and done: what the device makes of it comes back as any frame does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from gateway.errors import PortError, PortOptionError, PortRefusedError, PortTimeoutError
from gateway.port import Port
from gateway.profile.setpoint_wire import Write
from gateway.runtime.asking import Request, send
from gateway.runtime.device import Device
from gateway.runtime.isotp import IsoTpLink
from gateway.runtime.poller import Poller
from gateway.shadow.events import WriteFailed, Written

Begin = Callable[[], Write | None]


class WayOut(Protocol):
    """Takes writes for one wire."""

    async def write(self, device: Device, attempt: int, begin: Begin) -> Written | WriteFailed | None:
        """Wait for the wire; write what `begin` gives then, and return what came of it. None: nothing was given."""
        ...


class Outlet:
    """One wire while it is open."""

    def __init__(
        self,
        port: Port,
        lock: asyncio.Lock,
        *,
        poller: Poller | None = None,
        links: Mapping[str, IsoTpLink] | None = None,
    ) -> None:
        """Take the open port and its lock; `poller`: who asks there; `links`: our side of ISO-TP, by device."""
        self._port = port
        self._lock = lock
        self._poller = poller
        self._links = links or {}

    async def write(self, device: Device, attempt: int, begin: Begin) -> Written | WriteFailed | None:
        """Wait for the wire; write what `begin` gives then, and return what came of it. None: nothing was given."""
        async with self._lock:
            write = begin()
            if write is None:
                return None
            try:
                return await self._put(device, attempt, write)
            except PortOptionError as error:
                return WriteFailed(attempt, str(error), may_have_sent=False)
            except PortRefusedError as error:
                return WriteFailed(attempt, error.cause, is_refused=True)
            except PortTimeoutError as error:
                return WriteFailed(attempt, str(error))
            except (PortError, OSError) as error:
                return WriteFailed(attempt, str(error))

    def quiet(self) -> AbstractAsyncContextManager[None]:
        """Return a span in which nothing is written or asked here."""
        return self._lock

    async def _put(self, device: Device, attempt: int, write: Write) -> Written | WriteFailed:
        if write.question is not None and self._poller is not None:
            outcome = await self._poller.write(self._port, device, write.question, write.data)
            if outcome.kind == "answered":
                return Written(attempt, is_acknowledged=True)
            if outcome.kind == "refused":
                return WriteFailed(attempt, outcome.reason, is_refused=True)
            return Written(attempt)  # it may have been heard; only its answer was not
        link = self._links.get(device.name) if write.by_isotp else None
        await send(self._port, Request(write.data, write.address, link), asks=False)
        return Written(attempt)
