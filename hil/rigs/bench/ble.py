"""The fixture `ble` on a bench: BlueZ's adapter by the gateway's own scanner and links, on the radio's thread."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Coroutine, Iterator
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Final, NamedTuple, TypeVar

from drivers._ble_adapter import ADAPTERS, Adapter
from drivers._ble_bluez import library_errors
from drivers._ble_links import link_error
from drivers._ble_radio import RADIO
from drivers._ble_target import target_of
from gateway.clock import SystemClock
from gateway.errors import PortError, PortLostError
from gateway.frame import short_uuid
from hil.durations import Timeout, timeout_ns
from hil.faults.faults import Fault, Faults
from hil.rigs.base import RigError
from hil.rigs.bench.wire import SEEN_NS, Wire, no_peer
from hil.rigs.bench.world import BenchWorld
from hil.rigs.model import ResourceSpec

__tracebackhide__ = True  # pytest shows the line of the test instead

OPEN_S: Final = 15.0
CONNECT_S: Final = 40.0  # to be heard, to get a slot, all attempts
ANSWER_S: Final = 4.0
LEAST_MTU: Final = 23  # Core Specification, Vol 3, Part G, 5.2.1
WRITE_HEADER_BYTES: Final = 3  # of an ATT packet that writes

T = TypeVar("T")


class Advert(NamedTuple):
    """One advertisement."""

    address: str
    rssi: int | None
    name: str | None
    manufacturer_data: dict[int, bytes]
    service_data: dict[str, bytes]


class Notifications:
    """What a characteristic notified since it was subscribed to."""

    def __init__(self) -> None:
        self.received: list[bytes] = []


class BleWire(Wire):
    """One adapter, or one device behind it."""

    reads = False  # the radio's thread does

    def __init__(self, name: str, identity: str, heard: BenchBle) -> None:
        super().__init__(name, identity)
        self.where = target_of(identity)
        self.adapter: Adapter | None = None
        self._heard = heard

    def call(self, work: Coroutine[Any, Any, T], limit_s: float, what: str) -> T:
        """Return what `work` gives on the radio's thread. Raises: PortError, RigError."""
        doing = RADIO.start(work)
        try:
            return doing.result(limit_s)
        except FutureTimeoutError as error:
            doing.cancel()
            raise RigError(f"{self.name} ({self.identity}): {what}: no answer in {limit_s:g} s") from error

    def _open(self) -> None:
        self.adapter = self.call(ADAPTERS.acquire(self.where.adapter, self.identity, SystemClock()), OPEN_S, "open")
        try:
            self.call(self.adapter.listen(self._heard, self.identity), OPEN_S, "scan")
        except BaseException:
            self._close()
            raise

    def _close(self) -> None:
        adapter, self.adapter = self.adapter, None
        if adapter is None:
            return

        async def release() -> None:
            adapter.unlisten(self._heard)
            await ADAPTERS.release(adapter)

        self.call(release(), OPEN_S, "close")


class BenchBle:
    """The host's radio: what the board advertises, and links to it. Recorded whether a test looks or not."""

    def __init__(self, name: str, target: str, spec: ResourceSpec) -> None:
        assert spec.port is not None
        self._name = name
        self._wire = BleWire(f"{target}.{name}", spec.port, self)
        self._adverts: deque[Advert] = deque()
        self.wires: list[Wire] = [self._wire]

    @property
    def peer(self) -> Any:
        """Nobody: the device is real. Raises: RigError."""
        return no_peer(self._wire)

    def next(self, timeout: Timeout | None = None) -> Advert | None:
        """Return the next advertisement of the board, None where none comes in time. Raises: RigLostError."""
        self._wire.take(lambda: bool(self._adverts), SEEN_NS if timeout is None else timeout_ns(timeout))
        return self._adverts.popleft() if self._adverts else None

    @contextlib.contextmanager
    def connect(self, address: str | None = None) -> Iterator[BenchLink]:
        """Connect to a device, by default the board. Raises: ValueError, RigError, RigLostError, PortError."""
        wanted = (address or self._wire.where.device or "").upper()
        if not wanted:
            raise ValueError(
                "connect to which device? give its address, or write it behind the adapter in the rig file"
            )
        self._wire.check()
        adapter = self._wire.adapter
        assert adapter is not None
        link = BenchLink(self._name, self._wire, adapter, wanted)
        try:
            self._wire.call(link.begin(), CONNECT_S, f"connect to {wanted}")
        except PortError as error:
            raise RigError(f"{self._wire.name}: {error}") from error
        try:
            yield link
        finally:
            with contextlib.suppress(PortError, RigError):
                self._wire.call(link.end(), OPEN_S, "disconnect")

    def begin(self, world: BenchWorld, faults: Faults) -> None:
        """Begin a run: nothing of the one before is left."""
        self._wire.world = None
        self._adverts.clear()
        self._wire.world = world
        faults.attach(self._name, "ble", self._fault_begins, self._fault_ends, ("unplug",))

    def end(self) -> None:
        """End a run."""
        self._wire.world = None

    def _fault_begins(self, _fault: Fault) -> None:
        self._wire.lose("unplugged by a fault")

    def _fault_ends(self, _fault: Fault) -> None:
        self._wire.open()

    # ---- what the radio's thread tells

    def heard(self, device: Any, advertisement: Any, entries: Any, now_ns: int) -> None:
        """Take one advertisement."""
        del entries
        world, wanted = self._wire.world, self._wire.where.device
        properties = advertisement.platform_data[1]
        if world is None or "RSSI" not in properties or wanted not in {None, device.address}:
            return
        advert = Advert(
            device.address,
            advertisement.rssi,
            advertisement.local_name,
            {company: bytes(data) for company, data in advertisement.manufacturer_data.items()},
            {short_uuid(uuid): bytes(data) for uuid, data in advertisement.service_data.items()},
        )
        told = {str(company): data.hex() for company, data in advert.manufacturer_data.items()}
        told_services = {uuid: data.hex() for uuid, data in advert.service_data.items()}
        facts: dict[str, Any] = {"address": advert.address, "rssi": advert.rssi, "manufacturer_data": told}
        if told_services:
            facts["service_data"] = told_services
        if advert.name:
            facts["name"] = advert.name
        world.record_at(world.since_start_ns(now_ns), self._name, "rx", "adv", **facts)
        self._adverts.append(advert)
        world.wake()

    def lost(self, cause: str) -> None:
        """Hear that the adapter is gone."""
        self._wire.lose(cause)


class BenchLink:
    """A connection."""

    def __init__(self, bus: str, wire: BleWire, adapter: Adapter, address: str) -> None:
        self._bus = bus
        self._wire = wire
        self._adapter = adapter
        self._address = address
        self._link: Any = None
        self._loss: str | None = None
        self._lock = threading.Lock()

    @property
    def mtu(self) -> int:
        """Bytes of one ATT packet."""
        characteristics = self._link.client.services.characteristics.values()
        sizes = [int(each.max_write_without_response_size) for each in characteristics]
        return max(sizes, default=LEAST_MTU - WRITE_HEADER_BYTES) + WRITE_HEADER_BYTES

    def read(self, uuid: str) -> bytes:
        """Return a characteristic's value. Raises: PortLostError, PortRefusedError, RigError."""
        value = bytes(self._asked(self._link.client.read_gatt_char(uuid), f"read {uuid}"))
        self._record("rx", "read", value, uuid=short_uuid(uuid))
        return value

    def write(self, uuid: str, value: bytes) -> None:
        """Write a characteristic, with response where it gives one. Raises: as `read`."""
        self._record("tx", "write", bytes(value), uuid=short_uuid(uuid))
        self._asked(self._link.client.write_gatt_char(uuid, bytes(value)), f"write {uuid}")

    def notifications(self, uuid: str) -> Notifications:
        """Subscribe; return where notifications are kept. Raises: as `read`."""
        kept = Notifications()

        def notified(_characteristic: Any, data: bytearray) -> None:
            self._record("rx", "notify", bytes(data), uuid=short_uuid(uuid))
            kept.received.append(bytes(data))
            if self._wire.world is not None:
                self._wire.world.wake()

        self._asked(self._link.client.start_notify(uuid, notified), f"subscribe to {uuid}")
        return kept

    async def begin(self) -> None:
        """Find the device and connect, on the radio's thread. Raises: PortError."""
        device = await self._adapter.find(self._wire.identity, lambda address, _advert: address == self._address)
        self._link = await self._adapter.connect(self._wire.identity, device, self._lost)
        self._record("note", "connect", address=self._address)

    async def end(self) -> None:
        """Disconnect."""
        link, self._link = self._link, None
        if link is not None:
            await self._adapter.links.disconnect(link)
            self._note_end("by us")

    def _lost(self, cause: str) -> None:
        self._note_end(cause)

    def _note_end(self, cause: str) -> None:
        with self._lock:
            if self._loss is not None:
                return
            self._loss = cause
        self._record("note", "disconnect", address=self._address, reason=cause)

    def _asked(self, work: Coroutine[Any, Any, T], what: str) -> T:
        if self._loss is not None:
            work.close()
            raise PortLostError(self._wire.identity, self._loss)
        try:
            return self._wire.call(work, ANSWER_S, what)
        except library_errors() as error:
            time.sleep(0)  # let the radio tell of a loss first
            if self._loss is not None:
                raise PortLostError(self._wire.identity, self._loss) from error
            raise link_error(self._wire.identity, what, error) from error

    def _record(self, direction: str, kind: str, data: bytes = b"", **facts: Any) -> None:
        if self._wire.world is not None:
            self._wire.world.record(self._bus, direction, kind, data, **facts)
