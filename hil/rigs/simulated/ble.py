"""The simulated radio: the host's side is the fixture `ble`, the device's is its `peer`.

One device is in reach. An advertisement takes its time on the air at 1 Mbit/s; links are in `ble_link.py`. What the
faults do: `adv_loss`, `adv_duplicate` and `rssi_walk` are in `hil.faults.ble`;

- `disconnect`: all links end, now or in the middle of the next `during`; what was under way fails at once
- `notify_gap`: a notification does not come, and nothing tells of it
- `mtu_shrink`: links agree on that MTU: shorter notifications, more packets for a long value
- `stale_cache`: the host sees the device's characteristics and values as they were when it began (of a device that had
  none, as they are at the next connect), as a BlueZ does that does not notice that its cache of them is out of date
- `key_change`: the device does not know the keys any more that it and the host had: it refuses what is for encrypted
  links, and encrypted advertisements do not open. At its end they are paired again
- `unplug`: the host's adapter is gone, with all its links
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Any, Final

from hil.durations import Timeout, timeout_ns
from hil.faults import ble as physics
from hil.faults.catalogue import KINDS
from hil.faults.faults import Fault
from hil.peers.ble import BlePeer, Table
from hil.peers.ble_script import Written
from hil.rigs.ble_connection import Connection, waited
from hil.rigs.radio import Advertisement, BleTimeoutError, address_of
from hil.rigs.simulated.ble_link import LINK_KINDS, Link
from hil.rigs.simulated.setting import Setting, gone
from hil.trace.record import Record

__tracebackhide__ = True  # pytest shows the line of the test instead

STANDARD_MTU: Final = 247  # one packet of the air's greatest length
NEXT_S: Final = 10.0
CONNECT_S: Final = 10.0
ATTEMPT_NS: Final = 100_000_000  # until a device that is there is connected
MOST_UNREAD: Final = 65_536  # advertisements; then the oldest go
BYTE_NS: Final = 8_000  # on the air
AROUND_BYTES: Final = 16  # preamble, access address, header, the device's address, check: Vol 6 Part B, 2.1
_ADVERT_KINDS: Final = frozenset({"adv_loss", "adv_duplicate", "rssi_walk", "key_change", "unplug"})
_KINDS: Final = frozenset(kind.name for kind in KINDS.values() if "ble" in kind.protocols)

Heard = Callable[[Advertisement], None]


class SimulatedBle:
    """The host: `next(timeout=)`, `connect(address)`."""

    def __init__(self, name: str, setting: Setting) -> None:
        self.name = name
        self.world, self.faults, self._dut = setting
        self._unread: deque[Advertisement] = deque(maxlen=MOST_UNREAD)
        self._listeners: dict[object, tuple[Heard, Callable[[str], None]]] = {}
        self._links: list[Link] = []
        self._calling: dict[str, Future[Link]] = {}  # those that a trace answers, by address
        self._walks: dict[int, float] = {}
        self._air_free_ns = 0
        self._boots = self._dut.boots
        self._losses = 0
        self._cache: Table | None = None  # what the host believes of the device, where that is out of date
        self.peer = BlePeer(self, self.world, self._dut)
        self._dut.watchers.append(self._device_changed)
        self.faults.attach(name, "ble", self._begin, self._end, _KINDS)

    # ---- what a test does

    @property
    def is_there(self) -> bool:
        """Whether the adapter is plugged in."""
        return self.faults.in_force(self.name, "unplug") is None

    def next(self, timeout: Timeout = NEXT_S, address: str | None = None) -> Advertisement | None:
        """Return the next advertisement, of one device if `address` is given; None when none comes in time.

        What is on the air arrives first. Those of others are left for the next call. Raises: RigLostError, ValueError.
        """
        wanted = None if address is None else address_of(address)
        until_ns = max(self.world.now_ns + timeout_ns(timeout), self._air_free_ns)
        losses = self._losses
        self._need_plugged(losses)

        def find() -> Advertisement | None:
            return next((each for each in self._unread if wanted in {None, each.address}), None)

        self.world.wait_for(lambda: find() or self._losses != losses, until_ns)
        self._need_plugged(losses)
        found = find()
        if found is not None:
            self._unread.remove(found)
        return found

    def connect(self, address: str, timeout: Timeout = CONNECT_S) -> Connection:
        """Connect to a device, and return the connection, for a `with`.

        Raises: BleTimeoutError when it does not answer, BleLinkLostError, RigLostError, ValueError.
        """
        pending = self.open(address, timeout)
        return Connection(waited(self.world, pending, timeout_ns(timeout) / 1e9 + 1, "connect"), self.world)

    # ---- what a gateway does

    def listen(self, heard: Heard, lost: Callable[[str], None]) -> Callable[[], object]:
        """Call `heard` with each advertisement, and `lost` once if the adapter goes away; return what ends it.

        Raises: RigLostError.
        """
        self._need_plugged(self._losses)
        listener = object()
        self._listeners[listener] = (heard, lost)
        return lambda: self._listeners.pop(listener, None)

    def open(self, address: str, timeout: Timeout = CONNECT_S) -> Future[Link]:
        """Begin to connect: `add_done_callback` of what this returns is called when it has come about.

        Raises: RigLostError, ValueError.
        """
        at, limit_ns = address_of(address), timeout_ns(timeout)
        losses = self._losses
        self._need_plugged(losses)
        pending: Future[Link] = Future()
        until_ns = self.world.now_ns + limit_ns
        self.world.record(self.name, "tx", "connect", address=at)
        is_played = self.peer.is_played("connect", address=at)
        if is_played:
            self._calling[at] = pending

        def attempt() -> None:
            if pending.done():
                return
            if self._losses != losses:
                self._give_up(pending, at, gone(self.name))
            elif not is_played and self.peer.has_address(at):
                self._connected(pending, at)
            elif self.world.now_ns >= until_ns:
                self._give_up(pending, at, BleTimeoutError(f"{at} does not answer, in {limit_ns / 1e9:g} s"))
            else:
                self.world.at(min(self.world.now_ns + ATTEMPT_NS, until_ns), attempt)

        self.world.at(min(self.world.now_ns + ATTEMPT_NS, until_ns), attempt)
        return pending

    # ---- what a link asks

    @property
    def mtu(self) -> int:
        """The greatest packet that both sides take."""
        shrunk = self.faults.in_force(self.name, "mtu_shrink")
        return STANDARD_MTU if shrunk is None else min(STANDARD_MTU, shrunk.params["mtu"])

    @property
    def live(self) -> Table:
        """The characteristics that the device has."""
        return self.peer.table

    @property
    def seen(self) -> Table:
        """Those that the host believes it has."""
        return self.live if self._cache is None else self._cache

    # ---- what the device sends

    def carry(self, advertisement: Advertisement, encrypted_from: int | None) -> None:
        """Let an advertisement be heard when it has been on the air."""
        begin_ns = max(self.world.now_ns, self._air_free_ns)
        self._air_free_ns = begin_ns + self.air_ns(advertisement)
        self.world.at(self._air_free_ns, lambda: self._hear(advertisement, encrypted_from))

    @staticmethod
    def air_ns(advertisement: Advertisement) -> int:
        """Return how long an advertisement is on the air."""
        return BYTE_NS * (AROUND_BYTES + len(advertisement.data))

    def answer(self, record: Record) -> None:
        """Bring at once what a record says that the device did: to who waits for it, if anybody does."""
        address = record.get("address")
        if not isinstance(address, str):
            return
        pending = self._calling.pop(address, None)
        if record.kind == "connect" and pending is not None:
            self._connected(pending, address)
        elif record.kind == "disconnect" and pending is not None:
            self._give_up(pending, address, BleTimeoutError(f"{address} does not answer, as in the trace"))
        else:
            for link in [each for each in self._links if each.is_up and each.address == address]:
                link.answer(record)

    def is_played(self, kind: str, data: bytes = b"", **facts: Any) -> bool:
        """Take what the host does; return whether a trace answers it."""
        return self.peer.is_played(kind, data, **facts)

    def written(self, address: str, uuid: str, data: bytes) -> None:
        """Let the device take note of what the host wrote."""
        self.peer.hear(Written(uuid, data, address))

    def notify(self, address: str | None, uuid: str, value: bytes) -> None:
        """Bring a value to all links that have subscribed."""
        for link in self._links:
            if address in {None, link.address}:
                link.notify(uuid, value)

    def close(self) -> list[str]:
        """End what a test has left open; return what a test must not end with."""
        for link in tuple(self._links):
            link.close()
        return self.peer.left_wrong()

    def _hear(self, sent: Advertisement, encrypted_from: int | None) -> None:
        if not self.is_there:
            return
        losses = self._losses
        struck = self.faults.passing(self.name, sent.data, _ADVERT_KINDS)
        if self._losses != losses:
            return  # one that struck has unplugged it
        changed = self.faults.in_force(self.name, "key_change")
        if changed is not None:
            seed = f"{self.world.seed}/{changed.ordinal}"
            by_company, by_uuid = sent.manufacturer_data, sent.service_data
            sent = replace(
                sent,
                manufacturer_data={k: physics.encrypted_again(v, encrypted_from, seed) for k, v in by_company.items()},
                service_data={k: physics.encrypted_again(v, encrypted_from, seed) for k, v in by_uuid.items()},
            )
        for rssi in physics.heard(sent.rssi, struck, self._walks):
            self._take(replace(sent, rssi=rssi, t_ns=self.world.now_ns))

    def _take(self, heard: Advertisement) -> None:
        self.world.record(self.name, "rx", "adv", heard.data, address=heard.address, rssi=heard.rssi)
        self._unread.append(heard)
        for listener, _ in tuple(self._listeners.values()):
            listener(heard)

    # ---- links

    def _connected(self, pending: Future[Link], address: str) -> None:
        link = Link(self, address)
        self._links = [each for each in self._links if each.is_up]
        self._links.append(link)
        if self._cache is not None and not self._cache:
            self._cache = self.live.snapshot()
        self.faults.passing(self.name, b"", LINK_KINDS, "connect")
        if link.is_up:
            self.world.record(self.name, "rx", "connect", address=address, mtu=self.mtu)
            pending.set_result(link)
        else:
            pending.set_exception(link.lost_error())

    def _give_up(self, pending: Future[Link], address: str, error: Exception) -> None:
        self.world.record(self.name, "rx", "disconnect", address=address, reason=str(error))
        pending.set_exception(error)

    def _need_plugged(self, losses: int) -> None:
        if not self.is_there or self._losses != losses:
            raise gone(self.name)

    def _device_changed(self) -> None:
        if not self._dut.is_powered or self._dut.boots != self._boots:
            self._boots = self._dut.boots
            for link in self._links:
                link.fall_silent()

    # ---- faults

    def _begin(self, fault: Fault) -> None:
        match fault.kind:
            case "disconnect":
                self._lose_links("the device disconnected")
            case "stale_cache":
                self._cache = self.live.snapshot()
            case "unplug":
                self._losses += 1
                self._unread.clear()
                self._lose_links("the adapter is unplugged")
                listeners, self._listeners = self._listeners, {}
                for _, lost in listeners.values():
                    lost("unplug")

    def _end(self, fault: Fault) -> None:
        if fault.kind == "stale_cache":
            self._cache = None

    def _lose_links(self, reason: str) -> None:
        links, self._links = self._links, []
        for link in links:
            link.lose(reason)


def make(name: str, setting: Setting) -> SimulatedBle:
    """Return the radio."""
    return SimulatedBle(name, setting)
