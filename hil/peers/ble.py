"""The device's side of a radio: what it advertises, the characteristics that it has, what it answers to writes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from gateway.spelling import did_you_mean
from hil.data import bytes_of
from hil.durations import Duration, ns
from hil.faults.ble import RSSI_DBM
from hil.peers.ble_script import BleRule, BleScript, Found, Reply, Request, Written, values_of
from hil.peers.scripted import ScriptedPeer
from hil.peers.surroundings import Board, Times
from hil.rigs import radio
from hil.rigs.agenda import Event
from hil.rigs.radio import (
    MOST_DATA_BYTES,
    MOST_VALUE_BYTES,
    UNLIKELY_ERROR,
    Advertisement,
    BleRefusedError,
    Uuid,
    address_of,
    uuid_of,
)

if TYPE_CHECKING:
    from hil.peers.attach import Simulated
    from hil.peers.ble_playing import BlePlaying
    from hil.peers.playing import TracePeer
    from hil.trace import Record, Trace

__tracebackhide__ = True  # pytest shows the line of the test instead

STANDARD_RSSI_DBM: Final = -60
SHORTEST_NS: Final = 20_000_000  # between two advertisements (Core specification, Vol 6 Part B, 4.4.2.2)
MOST_WRITTEN: Final = 65_536  # writes that are remembered, of each characteristic

Value = bytes | Callable[[], bytes | None]
Manufacturer = Mapping[int, bytes] | bytes | None


class Air(Protocol):
    """What carries away what a device sends; `air_ns` and `answer` are for `ble_playing.py`."""

    @property
    def name(self) -> str:
        """The bus's."""

    def carry(self, advertisement: Advertisement, encrypted_from: int | None) -> None:
        """Let an advertisement be heard."""

    def notify(self, address: str | None, uuid: str, value: bytes) -> None:
        """Bring a value to those that have subscribed."""

    def air_ns(self, advertisement: Advertisement) -> int:
        """Return how long an advertisement is on the air."""

    def answer(self, record: Record) -> None:
        """Bring what the host waits for, a notification, or the end of a link, at once."""


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
        """Return its value now. Raises: BleRefusedError where a function has none to give."""
        value = self.value() if callable(self.value) else self.value
        if value is None:
            raise BleRefusedError(f"characteristic {self.uuid} has no value now", UNLIKELY_ERROR)
        return value

    def snapshot(self) -> Characteristic:
        """Return it as it is now."""
        try:
            return replace(self, value=self.read())
        except BleRefusedError:
            return replace(self, value=b"")

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
        return Table({key: each.snapshot() for key, each in self._entries.items()})


class Advertising:
    """Something that the device advertises again and again."""

    def __init__(self) -> None:
        self.coming: Event | None = None

    def stop(self) -> None:
        """Advertise it no more."""
        if self.coming is not None:
            self.coming.cancel()
            self.coming = None


class BlePeer(ScriptedPeer[BleRule, Written]):
    """What a test says about the device, which is silent without power and while it boots.

    It has the addresses that it advertises, and answers to every address before it has advertised any. Its
    characteristics are the same under all of them, unless they are told `address`.
    """

    def __init__(self, air: Air, times: Times, board: Board) -> None:
        self._script = BleScript()
        super().__init__(air.name, times, board, self._script)
        self._air = air
        self._playing: BlePlaying | None = None
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

        def send(made: Advertisement | None) -> None:
            if made is None:
                return
            if interval_ns is not None:
                advertising.coming = self._times.at(self._times.now_ns + interval_ns, again)
            if self._board.is_answering:
                self._air.carry(made, encrypted_from)

        def again() -> None:
            send(self._told(f"advertisement of {fixed.address}", build))

        self._addresses.add(fixed.address)
        send(build())
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
        this returns. Where a function fails, a read gets the ATT error 0x0e. `encrypted`: it is for those that have
        the bonding keys, as host and device do unless `key_change` is in force. Raises: ValueError.
        """
        short, given = uuid_of(uuid), value
        if callable(given):
            value = partial(self._told, f"value of {short}", lambda: bytes_of(given(), most=MOST_VALUE_BYTES))
        else:
            value = bytes_of(given, most=MOST_VALUE_BYTES)
        write = None if on_write is None else partial(self._told, f"on_write of {short}", on_write)
        made = Characteristic(short, value, notify, readable, writable, encrypted, write)
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

        return on_air(self, self._times, self._board, Wanted(profile, values, params, period), address)

    def notify(self, uuid: Uuid, value: bytes, *, address: str | None = None) -> None:
        """Set a characteristic's value and notify all that have subscribed. Raises: ValueError naming the nearest."""
        short, at = uuid_of(uuid), None if address is None else address_of(address)
        found = self.table.find(at, short)
        if found is None:
            raise ValueError(f"the peer has no characteristic {short}{did_you_mean(short, self.table.uuids(at))}")
        if not found.notify:
            raise ValueError(f"characteristic {short} does not notify; make it with notify=True")
        found.value = bytes_of(value, most=MOST_VALUE_BYTES)
        if self._board.is_answering:
            self._air.notify(at, short, found.value)

    def play(
        self, trace: Trace | str | Path, bus: str | None = None, order: str = "strict", speed: object = 1
    ) -> TracePeer:
        """Let the device do what it did in a trace, from now on; `diverged` of what this returns is None, or where.

        It advertises and notifies, and answers what is read and written, as in the trace; it has the addresses and the
        characteristics that the trace names. `order`: "strict" as it was, or "matched", each request with its replies;
        `speed`: 1, "2x", or "max" for at once. `trace`: a file, or what `hil.trace.read` gives. Raises: ValueError,
        TraceError.
        """
        from hil.peers.ble_playing import BlePlaying, named
        from hil.peers.playing import trace_peer

        at, around = (self._bus_name, "ble"), (self._times, self._board)
        playing = BlePlaying(self._air)
        trace_of_it = trace_peer(trace, bus, order, speed, at, around, playing.do, playing.lead_ns)
        addresses = named(trace_of_it.records, "address", address_of)
        self._addresses.update(addresses)
        for uuid in named(trace_of_it.records, "uuid", uuid_of):
            for address in addresses:
                self.table.put(address, Characteristic(uuid, b"", notify=True, encrypted=False))
        self._playing = playing
        playing.begin(trace_of_it)
        return trace_of_it

    def is_played(self, kind: str, data: bytes = b"", **facts: Any) -> bool:
        """Take what the host does; return whether a trace answers it."""
        return self._playing is not None and self._playing.takes(kind, data, facts)

    def on(  # noqa: PLR0917 - in the order of the sentence
        self,
        request: Request,
        reply: Reply,
        delay: Duration = 0,
        ignore: int = 0,
        when: str | None = None,
        then: str | None = None,
    ) -> BleRule:
        """Let the device answer a write by notifying; `heard` of what this returns says how often it came.

        `request`: a UUID, data that a write begins with, a pattern of that, `(uuid, data)`, or a function of a write
        (`uuid data address`); `reply`: `(uuid, value)`, a value of the same characteristic, a list of these, or a
        function of the request (of the match, for a pattern) that returns one of them or None. It is notified `delay`
        later; the first `ignore` requests get none. `when`, `then`: only in that state, and into that one. The rule
        that was added last comes first. The characteristics are those of `characteristic`. Raises: ValueError.
        """
        return self._add(BleRule(request, reply, ns(delay), ignore, when, then))

    def every(self, interval: Duration, value: Reply) -> Callable[[], None]:
        """Let the device notify at this interval, the first time after one; return what ends it.

        `value`: `(uuid, value)`, a list of these, or a function that returns them. Raises: ValueError.
        """
        if not callable(value):
            values_of(value, "")
        return self._each(interval, lambda: self._say(values_of(value() if callable(value) else value, "")))

    def forget(self, known: Uuid | BleRule, *, address: str | None = None) -> None:
        """Have a characteristic no more, or answer a request no more; once more does nothing."""
        if isinstance(known, BleRule):
            self._script.remove(known)
        else:
            self.table.remove(None if address is None else address_of(address), uuid_of(known))

    def hear(self, written: Written) -> None:
        """Take what the host wrote, when it has arrived."""
        self._notice_restart()
        self._tell(written)
        known = self._told("request", self._script.hear, written)
        if known is not None:
            self._answer(*known, written)

    def _answer(self, rule: BleRule, found: Found, request: Written) -> None:
        replies = self._told(f"reply to {rule.request!r:.60}", rule.answer, request, found)
        if replies:
            self._later(rule.delay_ns, lambda: self._say(replies, request.address))

    def _say(self, values: Iterable[tuple[str, bytes]], address: str | None = None) -> None:
        for uuid, value in values:
            self.notify(uuid, value, address=address)

    def has_address(self, address: str) -> bool:
        """Whether the device listens under an address."""
        own = self._addresses | self.table.addresses
        return self._board.is_answering and (not own or address in own)
