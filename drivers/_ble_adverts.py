"""An ear: a port that gives the elements of advertisements, one payload each."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from drivers._ble_adapter import ADAPTERS, Adapter
from drivers._ble_radio import RADIO
from drivers._ble_reports import REPEAT_NS, Entry, Selection
from drivers._ble_target import Target
from drivers._blocking import HandOver
from gateway.clock import Clock
from gateway.errors import PortClosedError, PortLostError, PortOptionError
from gateway.frame import Address, Batch, Element, PortName
from gateway.port import CanFilter
from gateway.profile.model import LinkSpec

HAND_OVER_ELEMENTS: Final = 8192  # 4 s of the busiest place that one adapter can hear
MAX_ELEMENTS_PER_READ: Final = 1024
FLUSH_S: Final = 0.01  # elements go over in handfuls: a wake of the gateway's loop costs more than an element
FLUSH_ELEMENTS: Final = 256
CLOSE_WAIT_S: Final = 0.6  # of the second that closing may take; the rest happens in the background


class _Ear:
    """The radio's side of one open port."""

    def __init__(self, name: PortName, selection: Selection, elements: HandOver[Entry], clock: Clock) -> None:
        self._name = name
        self._clock = clock
        self._lock = asyncio.Lock()  # of beginning and ending, which a cancelled open makes overlap
        self._has_ended = False
        self._pending: list[Entry] = []
        self._flush: asyncio.TimerHandle | None = None
        self.selection = selection
        self.elements = elements
        self.adapter: Adapter | None = None

    async def begin(self, adapter: str) -> None:
        async with self._lock:
            if self._has_ended:
                raise PortClosedError(self._name, "by us")
            self.adapter = await ADAPTERS.acquire(adapter, self._name, self._clock)
            await self.adapter.listen(self, self._name)

    async def end(self) -> None:
        self._has_ended = True
        async with self._lock:
            adapter, self.adapter = self.adapter, None
            if self._flush is not None:
                self._flush.cancel()
            if adapter is not None:
                adapter.unlisten(self)
                await ADAPTERS.release(adapter)

    def heard(self, device: Any, advertisement: Any, entries: list[Entry], now_ns: int) -> None:
        del device, advertisement
        if not entries or not (chosen := self.selection.of(entries, now_ns)):
            return
        self._pending += chosen
        if len(self._pending) >= FLUSH_ELEMENTS:
            self._hand_over()
        elif self._flush is None:
            self._flush = asyncio.get_running_loop().call_later(FLUSH_S, self._hand_over)

    def lost(self, cause: str) -> None:
        self._hand_over()
        self.elements.fail(PortLostError(self._name, cause))

    def _hand_over(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        pending, self._pending = self._pending, []
        if pending:
            self.elements.put(pending)


class AdvertisementPort:
    """Everything that an adapter hears, or one device. Elements that repeat unchanged come at most once a second.

    (`duplicates = "all"`: as often as they are heard.) What `listen_for` does not want never leaves the driver.
    """

    is_stream = False

    def __init__(self, target: str, where: Target, link: LinkSpec, clock: Clock) -> None:
        self.name = PortName(target)
        self._where = where
        self._repeat_ns = None if link.duplicates == "all" else REPEAT_NS
        self._clock = clock
        self._wanted: tuple[Element, ...] = ()
        self._ear: _Ear | None = None
        self._dropped = 0

    def listen_for(self, wanted: Sequence[CanFilter | Element]) -> bool:
        """Give, from the next `open` on, only elements that match a pattern; () for all.

        Return whether nothing is open.
        """
        self._wanted = tuple(element for element in wanted if isinstance(element, Element))
        return self._ear is None

    async def open(self) -> None:
        """Scan. Raises: PortNotFoundError, PortPermissionError, PortBusyError, DriverError."""
        await self.close()
        elements: HandOver[Entry] = HandOver(asyncio.get_running_loop(), HAND_OVER_ELEMENTS)
        selection = Selection(self._where.device, self._wanted, repeat_ns=self._repeat_ns)
        self._ear = ear = _Ear(self.name, selection, elements, self._clock)
        try:
            await RADIO.call(ear.begin(self._where.adapter))
        except BaseException:
            self._ear = None
            RADIO.leave(ear.end())
            raise

    async def read(self) -> Batch:
        """Return the elements that were heard, waiting for the first. Raises: PortLostError, PortClosedError."""
        taken, dropped = await self._open_ear().elements.take(MAX_ELEMENTS_PER_READ)
        self._dropped += dropped
        payloads = [payload for payload, _ in taken]
        addresses: list[Address] = [element for _, element in taken]
        return Batch(payloads, self._clock.monotonic_ns(), self._clock.wall_ns(), addresses, None, dropped)

    async def write(self, data: bytes, address: Address = None) -> None:
        """Raise PortOptionError: nobody listens to a scanner."""
        del data, address
        if self._open_ear().elements.has_ended:
            raise PortLostError(self.name, "the adapter is gone")
        raise PortOptionError(self.name, 'nobody listens to a scanner; a device is written to with mode = "gatt"')

    async def close(self) -> None:
        """Stop listening; a waiting read raises PortClosedError."""
        ear, self._ear = self._ear, None
        if ear is None:
            return
        ear.elements.discard()
        ear.elements.fail(PortClosedError(self.name, "by us"))
        await finish(ear)

    def health(self) -> dict[str, Any]:
        """Return what is known of the adapter and of what was heard."""
        ear = self._ear
        adapter = ear.adapter if ear is not None else None
        return {
            "mode": "advertisement",
            "is_open": ear is not None,
            "dropped": self._dropped,
            "coalesced": ear.selection.coalesced if ear is not None else 0,
            "unwanted": ear.selection.unwanted if ear is not None else 0,
            **(adapter.health() if adapter is not None else {"adapter": self._where.adapter}),
        }

    def _open_ear(self) -> _Ear:
        if self._ear is None:
            raise PortClosedError(self.name, "by us")
        return self._ear


async def finish(session: Any) -> None:
    """End the radio's side of a port; what takes longer than a close may goes on in the background."""
    ending = asyncio.wrap_future(RADIO.start(session.end()))
    await asyncio.wait({ending}, timeout=CLOSE_WAIT_S)
