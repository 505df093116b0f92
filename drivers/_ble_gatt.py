"""A link: a port to one connected device, whose characteristics are asked, written and subscribed to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from drivers._ble_adapter import ADAPTERS, Adapter
from drivers._ble_adverts import finish
from drivers._ble_bluez import library_errors
from drivers._ble_links import Link, link_error
from drivers._ble_radio import RADIO
from drivers._ble_reports import Entry, is_device
from drivers._ble_target import Target
from drivers._blocking import HandOver
from gateway.clock import Clock
from gateway.errors import PortClosedError, PortLostError, PortOptionError, PortRefusedError, PortTimeoutError
from gateway.frame import Address, Batch, Element, PortName, short_uuid
from gateway.port import CanFilter
from gateway.profile.model import LinkSpec

HAND_OVER_VALUES: Final = 4096
MAX_VALUES_PER_READ: Final = 256
ANSWER_S: Final = 4.0  # a peripheral answers within two connection intervals, 4 s at most (Core specification 4.5.2)
ECHO_S: Final = 0.5
ECHO_VALUES: Final = 16

T = TypeVar("T")


@dataclass(slots=True)
class _Echo:
    """A characteristic that is subscribed and being read: BlueZ tells the value that was read as a notification too."""

    notified: list[bytes] = field(default_factory=list)  # since the read began
    answer: bytes | None = None
    until_s: float = 0.0


class _Session:
    """The radio's side of one open port."""

    def __init__(self, port: GattPort, is_it: Callable[[str, Any], bool], values: HandOver[Entry]) -> None:
        self._name = port.name
        self._adapter_name = port.where.adapter
        self._wanted = port.wanted
        self._clock = port.clock
        self._is_it = is_it
        self._lock = asyncio.Lock()  # of beginning and ending, which a cancelled open makes overlap
        self._has_ended = False
        self._link: Link | None = None
        self._characteristics: dict[str, Any] = {}
        self._elements: dict[str, Element] = {}
        self._echoes: dict[str, _Echo] = {}
        self.values = values
        self.adapter: Adapter | None = None
        self.address: str | None = None
        self.missing: list[str] = []  # wanted, but the device has them not, or refuses
        self.loss: str | None = None

    async def begin(self) -> None:
        async with self._lock:
            if self._has_ended:
                raise PortClosedError(self._name, "by us")
            self.adapter = await ADAPTERS.acquire(self._adapter_name, self._name, self._clock)
            device = await self.adapter.find(self._name, self._is_it)
            self.address = device.address
            self._link = await self.adapter.connect(self._name, device, self.lost)
            characteristics = list(self._link.client.services.characteristics.values())
            self._characteristics = {short_uuid(found.uuid): found for found in reversed(characteristics)}
            self._elements = {
                uuid: Element(device.address, None, device.name, characteristic=uuid) for uuid in self._characteristics
            }
            await self._subscribe()

    async def end(self) -> None:
        self._has_ended = True
        async with self._lock:
            adapter, self.adapter = self.adapter, None
            link, self._link = self._link, None
            if adapter is None:
                return
            if link is not None:
                await adapter.links.disconnect(link)
            elif self.address is not None:
                adapter.taken.discard(self.address)
            await ADAPTERS.release(adapter)

    async def ask(self, uuid: str) -> None:
        """Read a characteristic and hand its value over, once."""
        characteristic = self._characteristic(uuid)
        if uuid in self._wanted:
            self._echoes[uuid] = _Echo()
        value = bytes(await self._answered(self._client().read_gatt_char(characteristic), f"read {uuid}"))
        echo = self._echoes.get(uuid)
        if echo is not None and value in echo.notified:
            del self._echoes[uuid]
            return
        if echo is not None:
            echo.answer, echo.until_s = value, asyncio.get_running_loop().time() + ECHO_S
        self.values.put([(value, self._elements[uuid])])

    async def write(self, uuid: str, data: bytes) -> None:
        """Write a characteristic, with response where it gives one."""
        characteristic = self._characteristic(uuid)
        kinds = characteristic.properties
        if "write" not in kinds and "write-without-response" not in kinds:
            raise PortRefusedError(self._name, f"write {uuid}: the characteristic takes no writes")
        writing = self._client().write_gatt_char(characteristic, data, response="write" in kinds)
        await self._answered(writing, f"write {uuid}")

    def lost(self, cause: str) -> None:
        """Hear that the link is gone."""
        self.loss = self.loss or cause
        self.values.fail(PortLostError(self._name, cause))

    async def _subscribe(self) -> None:
        """Subscribe to what is wanted and there. Raises: PortRefusedError when none is."""
        refused: PortRefusedError | None = None
        for uuid in self._wanted:
            notified = partial(self._notified, uuid)
            try:
                starting = self._client().start_notify(self._characteristic(uuid), notified)
                await self._answered(starting, f"subscribe to {uuid}")
            except PortRefusedError as error:
                refused = refused or error
                self.missing.append(uuid)
        if refused is not None and len(self.missing) == len(self._wanted):
            raise refused

    def _notified(self, uuid: str, _characteristic: Any, data: bytearray) -> None:
        value = bytes(data)
        echo = self._echoes.get(uuid)
        if echo is not None:
            if echo.answer is None:
                echo.notified = [*echo.notified[1 - ECHO_VALUES :], value]
            else:
                del self._echoes[uuid]
                if value == echo.answer and asyncio.get_running_loop().time() < echo.until_s:
                    return
        self.values.put([(value, self._elements[uuid])])

    async def _answered(self, work: Awaitable[T], what: str) -> T:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await work
        except TimeoutError as error:
            raise PortTimeoutError(self._name, f"{what}: no answer in {ANSWER_S:g} s") from error
        except library_errors() as error:
            if self.loss is not None:
                raise PortLostError(self._name, self.loss) from error
            raise link_error(self._name, what, error) from error

    def _client(self) -> Any:
        if self._link is None or self.loss is not None:
            raise PortLostError(self._name, self.loss or "the link is closed")
        return self._link.client

    def _characteristic(self, uuid: str) -> Any:
        try:
            return self._characteristics[uuid]
        except KeyError:
            known = ", ".join(sorted(self._characteristics)) or "none at all"
            raise PortRefusedError(self._name, f"it has no characteristic {uuid}, only {known}") from None


class GattPort:
    """One device. `open` finds it, leases a slot, connects and subscribes to what `listen_for` named.

    A device that has only some of the characteristics wanted is opened, and `health` names what is missing. Of two
    characteristics with one UUID the first is meant.
    """

    is_stream = False

    def __init__(self, target: str, where: Target, link: LinkSpec, clock: Clock) -> None:
        self.name = PortName(target)
        self.where = where
        self.clock = clock
        self.wanted: tuple[str, ...] = ()
        self._match = link.match
        self._session: _Session | None = None
        self._dropped = 0

    def listen_for(self, wanted: Sequence[CanFilter | Element]) -> bool:
        """Subscribe, from the next `open` on, to the characteristics that these elements name.

        Return whether nothing is open.
        """
        elements = [element for element in wanted if isinstance(element, Element)]
        self.wanted = tuple(dict.fromkeys(short_uuid(e.characteristic) for e in elements if e.characteristic))
        return self._session is None

    async def open(self) -> None:
        """Connect.

        Raises: PortNotFoundError when the device is not heard, SlotsTakenError, PortTimeoutError, PortRefusedError when
        it has nothing of what is wanted, PortLostError when it went meanwhile, PortPermissionError, DriverError.
        """
        await self.close()
        values: HandOver[Entry] = HandOver(asyncio.get_running_loop(), HAND_OVER_VALUES)
        self._session = session = _Session(self, self._is_it, values)
        try:
            await RADIO.call(session.begin())
        except BaseException:
            self._session = None
            RADIO.leave(session.end())
            raise

    async def read(self) -> Batch:
        """Return notifications and answers, waiting for the first. Raises: PortLostError, PortClosedError."""
        taken, dropped = await self._open_session().values.take(MAX_VALUES_PER_READ)
        self._dropped += dropped
        payloads = [payload for payload, _ in taken]
        addresses: list[Address] = [element for _, element in taken]
        return Batch(payloads, self.clock.monotonic_ns(), self.clock.wall_ns(), addresses, None, dropped)

    async def ask(self, request: bytes, address: Address = None) -> None:
        """Read the characteristic of `address`; its value comes by `read`. `request` is not used.

        Raises: PortRefusedError (no such characteristic, an ATT error), PortTimeoutError, PortLostError ...
        """
        del request
        session = self._open_session()
        await RADIO.call(session.ask(self._uuid(address)))

    async def write(self, data: bytes, address: Address = None) -> None:
        """Write the characteristic of `address`, with response where it gives one. Raises: as `ask`."""
        session = self._open_session()
        await RADIO.call(session.write(self._uuid(address), data))

    async def close(self) -> None:
        """Disconnect; BlueZ may take its time for that in the background. A waiting read raises PortClosedError."""
        session, self._session = self._session, None
        if session is None:
            return
        session.values.discard()
        session.values.fail(PortClosedError(self.name, "by us"))
        await finish(session)

    def health(self) -> dict[str, Any]:
        """Return what is known of the adapter and of the link."""
        session = self._session
        adapter = session.adapter if session is not None else None
        return {
            "mode": "gatt",
            "is_open": session is not None,
            "is_device_known": session is not None and session.address is not None,
            "dropped": self._dropped,
            "missing_characteristics": list(session.missing) if session is not None else [],
            **(adapter.health() if adapter is not None else {"adapter": self.where.adapter}),
        }

    def _is_it(self, address: str, advertisement: Any) -> bool:
        """Whether a device that is heard is the one to connect to."""
        if self.where.device is not None:
            return address == self.where.device
        return self._match is not None and is_device(self._match, advertisement)

    def _open_session(self) -> _Session:
        if self._session is None:
            raise PortClosedError(self.name, "by us")
        return self._session

    def _uuid(self, address: Address) -> str:
        if not isinstance(address, Element) or not address.characteristic:
            raise PortOptionError(self.name, "say which characteristic: a GATT device has many")
        return short_uuid(address.characteristic)
