"""The device's side of a simulated radio: what it advertises, and the characteristics that it has."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.spelling import did_you_mean
from hil.durations import Duration, ns
from hil.faults.ble import RSSI_DBM
from hil.rigs import radio
from hil.rigs.radio import MOST_DATA_BYTES, Advertisement, Uuid, address_of, data_of, uuid_of
from hil.rigs.simulated.dut import SimulatedDut
from hil.rigs.simulated.world import Event, World

if TYPE_CHECKING:
    from hil.peers.attach import Simulated

__tracebackhide__ = True  # pytest shows the line of the test instead

STANDARD_RSSI_DBM: Final = -60
SHORTEST_NS: Final = 20_000_000  # between two advertisements (Core specification, Vol 6 Part B, 4.4.2.2)
MOST_VALUE_BYTES: Final = 512  # of a characteristic (Core specification, Vol 3 Part F, 3.2.9)
MOST_WRITTEN: Final = 65_536  # writes that are remembered, of each characteristic

Value = bytes | Callable[[], bytes]
Manufacturer = Mapping[int, bytes] | bytes | None


class Air(Protocol):
    """What carries away what a device sends."""

    def carry(self, advertisement: Advertisement, encrypted_from: int | None) -> None:
        """Let an advertisement be heard."""

    def notify(self, address: str | None, uuid: str, value: bytes) -> None:
        """Bring a value to those that have subscribed."""


@dataclass(slots=True)
class Characteristic:
    """One of the device."""

    uuid: str
    value: Value
    notify: bool = False
    readable: bool = True
    writable: bool = True
    encrypted: bool = True
    on_write: Callable[[bytes], object] | None = None
    written: list[bytes] = field(default_factory=list)

    def read(self) -> bytes:
        """Return its value now. Raises: ValueError for what a function returned that is none."""
        return data_of(self.value() if callable(self.value) else self.value, MOST_VALUE_BYTES)

    def write(self, data: bytes) -> None:
        """Take what the host wrote; that is its value from now on."""
        self.value = data
        self.written.append(data)
        del self.written[:-MOST_WRITTEN]
        if self.on_write is not None:
            self.on_write(data)


class Table:
    """The characteristics of a device: those that it has under one address, and those that it has under all (None)."""

    def __init__(self, entries: Mapping[tuple[str | None, str], Characteristic] | None = None) -> None:
        self._entries = dict(entries or {})

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._entries)

    @property
    def addresses(self) -> set[str]:
        """Those that have characteristics of their own."""
        return {address for address, _ in self._entries if address is not None}

    def put(self, address: str | None, characteristic: Characteristic) -> None:
        """Have one more."""
        self._entries[address, characteristic.uuid] = characteristic

    def remove(self, address: str | None, uuid: str) -> None:
        """Have it no more."""
        self._entries.pop((address, uuid), None)

    def find(self, address: str | None, uuid: str) -> Characteristic | None:
        """Return the characteristic that a device of that address has."""
        return self._entries.get((address, uuid)) or self._entries.get((None, uuid))

    def uuids(self, address: str | None) -> list[str]:
        """Return those of all characteristics that a device of that address has."""
        return sorted({uuid for at, uuid in self._entries if at in {None, address}})

    def snapshot(self) -> Table:
        """Return all as they are now."""
        return Table({key: replace(each, value=each.read()) for key, each in self._entries.items()})


class Advertising:
    """Something that the device advertises again and again."""

    def __init__(self) -> None:
        self.coming: Event | None = None

    def stop(self) -> None:
        """Advertise it no more."""
        if self.coming is not None:
            self.coming.cancel()
            self.coming = None


class BlePeer:
    """What a test says about the device, which is silent without power and while it boots.

    It has the addresses that it advertises, and answers to every address before it has advertised any. Its
    characteristics are the same under all of them, unless they are told `address`.
    """

    def __init__(self, air: Air, world: World, dut: SimulatedDut) -> None:
        self._air = air
        self._world = world
        self._dut = dut
        self._addresses: set[str] = set()
        self.table = Table()

    def advertise(
        self,
        address: str,
        rssi: int = STANDARD_RSSI_DBM,
        manufacturer_data: Manufacturer | Callable[[], Manufacturer] = None,
        service_data: Mapping[Uuid, bytes] | Callable[[], Mapping[Uuid, bytes]] | None = None,
        *,
        name: str | None = None,
        service_uuids: Iterable[Uuid] = (),
        interval: Duration | None = None,
        encrypted_from: int | None = None,
    ) -> Advertising:
        """Advertise once; with `interval` again each time that has passed, until what this returns is told to stop.

        `manufacturer_data`: by company id, or bytes that begin with it; it and `service_data`, by UUID, may be
        functions, called each time. `encrypted_from`: from that byte of them on they are encrypted, which matters to
        `key_change`. Raises: ValueError.
        """
        if isinstance(rssi, bool) or not isinstance(rssi, int) or rssi not in RSSI_DBM:
            raise ValueError(f"rssi = {rssi!r}: whole dBm from {RSSI_DBM[0]} to {RSSI_DBM[-1]}")
        interval_ns = None if interval is None else ns(interval)
        if interval_ns is not None and interval_ns < SHORTEST_NS:
            raise ValueError(f"interval = {interval!r}: devices advertise every 20 ms at most")
        fixed = Advertisement(address_of(address), rssi, name=name, service_uuids=radio.uuids_of(service_uuids))

        def build() -> Advertisement:
            by_company = manufacturer_data() if callable(manufacturer_data) else manufacturer_data
            by_uuid = service_data() if callable(service_data) else service_data
            made = replace(
                fixed, manufacturer_data=radio.manufacturer_of(by_company), service_data=radio.service_of(by_uuid)
            )
            if len(made.data) > MOST_DATA_BYTES:
                raise ValueError(f"{len(made.data)} bytes: an advertisement has at most {MOST_DATA_BYTES}")
            return made

        advertising = Advertising()

        def send() -> None:
            if interval_ns is not None:
                advertising.coming = self._world.after(interval_ns, send)
            made = build()
            if self._dut.is_answering:
                self._air.carry(made, encrypted_from)

        self._addresses.add(fixed.address)
        send()
        return advertising

    def characteristic(
        self,
        uuid: Uuid,
        value: Value = b"",
        notify: bool = False,
        *,
        readable: bool = True,
        writable: bool = True,
        encrypted: bool = True,
        on_write: Callable[[bytes], object] | None = None,
        address: str | None = None,
    ) -> Characteristic:
        """Have a characteristic, in place of one with the same UUID.

        `value`: bytes, or a function of them; what is written becomes its value, and is kept in `written` of what
        this returns. `encrypted`: it is for those that have the bonding keys, as host and device do unless
        `key_change` is in force. Raises: ValueError.
        """
        if not callable(value):
            value = data_of(value, MOST_VALUE_BYTES)
        made = Characteristic(uuid_of(uuid), value, notify, readable, writable, encrypted, on_write)
        self.table.put(None if address is None else address_of(address), made)
        return made

    def simulate(
        self,
        profile: str | Path,
        values: Mapping[str, Any] | None = None,
        period: Duration | None = "1s",
        params: Mapping[str, object] | None = None,
        address: str = "C0:00:00:00:00:01",
    ) -> Simulated:
        """Be the device of a profile: advertise at this interval, or have its characteristics and notify them.

        `values` by `family/value`, `message.field` or `field`; the rest are as plain as the profile lets them be.
        What this returns has `set(name, value)`, `orders`, `say(message)`, `stop()`. Raises: ValueError.
        """
        from hil.peers.attach import Wanted, on_air

        return on_air(self, self._world, self._dut, Wanted(profile, values, params, period), address)

    def notify(self, uuid: Uuid, value: bytes, *, address: str | None = None) -> None:
        """Set a characteristic's value and notify all that have subscribed. Raises: ValueError naming the nearest."""
        short, at = uuid_of(uuid), None if address is None else address_of(address)
        found = self.table.find(at, short)
        if found is None:
            raise ValueError(f"the peer has no characteristic {short}{did_you_mean(short, self.table.uuids(at))}")
        if not found.notify:
            raise ValueError(f"characteristic {short} does not notify; make it with notify=True")
        found.value = data_of(value, MOST_VALUE_BYTES)
        if self._dut.is_answering:
            self._air.notify(at, short, found.value)

    def forget(self, uuid: Uuid, *, address: str | None = None) -> None:
        """Have a characteristic no more; once more does nothing."""
        self.table.remove(None if address is None else address_of(address), uuid_of(uuid))

    def has_address(self, address: str) -> bool:
        """Whether the device listens under an address."""
        own = self._addresses | self.table.addresses
        return self._dut.is_answering and (not own or address in own)
