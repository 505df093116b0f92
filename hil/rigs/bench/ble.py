"""The fixture `ble` on a bench: what BlueZ's adapter hears, and links to real devices (`ble_link.py`).

Faults strike what the host hears: advertisements as in `hil.faults.ble`, notifications that do not come (`notify_gap`),
links that really end (`disconnect`), an adapter that is closed (`unplug`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Any, Final

from hil.durations import Timeout, timeout_ns
from hil.faults import ble as physics
from hil.faults.faults import Fault, Faults
from hil.rigs.bench.ble_link import NOTIFY_KINDS, BenchLink
from hil.rigs.bench.ble_wire import BleWire
from hil.rigs.bench.wire import Wire, no_peer
from hil.rigs.bench.world import BenchWorld
from hil.rigs.ble_connection import Connection, waited
from hil.rigs.model import ResourceSpec
from hil.rigs.radio import Advertisement, address_of, uuid_of, uuids_of

__tracebackhide__ = True  # pytest shows the line of the test instead

NEXT_S: Final = 10.0
CONNECT_S: Final = 30.0  # to be heard, to get a slot, all attempts
ADVERT_KINDS: Final = frozenset({"adv_loss", "adv_duplicate", "rssi_walk", "unplug"})
MOST_UNREAD: Final = 65_536  # advertisements; then the oldest go


class BenchBle:
    """The host's radio: what devices advertise, and links to them. Recorded whether a test looks or not."""

    def __init__(self, name: str, target: str, spec: ResourceSpec) -> None:
        assert spec.port is not None
        self.name = name
        self._wire = BleWire(f"{target}.{name}", spec.port, self)
        self._unread: deque[Advertisement] = deque(maxlen=MOST_UNREAD)
        self._links: list[BenchLink] = []
        self._faults: Faults | None = None
        self._walks: dict[int, float] = {}
        self.wires: list[Wire] = [self._wire]

    @property
    def peer(self) -> Any:
        """Nobody: the device is real. Raises: RigError."""
        return no_peer(self._wire)

    @property
    def is_there(self) -> bool:
        """Whether the adapter is plugged in."""
        return self._wire.is_open

    def next(self, timeout: Timeout = NEXT_S, address: str | None = None) -> Advertisement | None:
        """Return the next advertisement, of one device if `address` is given; None when none comes in time.

        Those of others are left for the next call. Raises: RigLostError, ValueError.
        """
        wanted = None if address is None else address_of(address)

        def find() -> Advertisement | None:
            return next((each for each in list(self._unread) if wanted in {None, each.address}), None)

        found = self._wire.take(find, timeout_ns(timeout))
        if found is not None:
            self._unread.remove(found)
        return found

    def connect(self, address: str | None = None, timeout: Timeout = CONNECT_S) -> Connection:
        """Connect to a device, by default the rig file's, and return the connection, for a `with`.

        Raises: BleTimeoutError when it does not answer, BleError, RigLostError, ValueError.
        """
        known = self._wire.where.device
        if address is None and known is None:
            raise ValueError(
                "connect to which device? give its address, or write it behind the adapter in the rig file"
            )
        limit_s = timeout_ns(timeout) / 1e9
        self._wire.check()
        world = self._wire.world
        assert world is not None, "a test has begun"
        assert self._faults is not None
        link = BenchLink(self.name, self._wire, address_of(address or known), self._faults)
        self._links = [each for each in self._links if each.is_up]
        self._links.append(link)
        waited(world, self._wire.start(link.begin(limit_s)), limit_s + 1, "connect")
        return Connection(link, world)

    # ---- what the rig does

    def begin(self, world: BenchWorld, faults: Faults) -> None:
        """Begin a run: nothing of the one before is left."""
        self._wire.world = None
        self._unread.clear()
        self._faults = faults
        self._walks.clear()
        faults.attach(self.name, "ble", self._fault_begins, self._fault_ends, ADVERT_KINDS | NOTIFY_KINDS)
        self._wire.world = world

    def end(self) -> None:
        """End a run, and the links that a test has left open."""
        links, self._links = self._links, []
        for link in links:
            link.close()
        self._wire.world = None

    def _fault_begins(self, fault: Fault) -> None:
        is_unplugged = fault.kind == "unplug"
        for link in tuple(self._links):
            link.drop("the adapter is unplugged" if is_unplugged else "the device disconnected")
        if is_unplugged:
            self._unread.clear()
            self._wire.lose("unplugged by a fault")

    def _fault_ends(self, fault: Fault) -> None:
        if fault.kind == "unplug":
            self._wire.open()

    # ---- what the radio's thread tells

    def heard(self, device: Any, advertisement: Any, entries: Any, now_ns: int) -> None:
        """Take one advertisement."""
        del entries
        world, faults, wanted = self._wire.hearing(), self._faults, self._wire.where.device
        properties = advertisement.platform_data[1]
        if world is None or faults is None or "RSSI" not in properties or wanted not in {None, device.address}:
            return
        sent = advertisement_from(device.address, advertisement, world.since_start_ns(now_ns))
        struck = faults.passing(self.name, sent.data, ADVERT_KINDS)
        if not self.is_there:
            return
        for rssi in physics.heard(sent.rssi, struck, self._walks):
            facts = {"address": sent.address, "rssi": rssi}
            world.record_at(sent.t_ns, self.name, "rx", "adv", sent.data, **facts)
            self._unread.append(replace(sent, rssi=rssi))
        world.wake()

    def lost(self, cause: str) -> None:
        """Hear that the adapter is gone."""
        self._wire.lose(cause)


def advertisement_from(address: str, heard: Any, t_ns: int) -> Advertisement:
    """Return what bleak tells of a device as the advertisement that it is."""
    return Advertisement(
        address,
        int(heard.rssi),
        {company: bytes(data) for company, data in heard.manufacturer_data.items()},
        {uuid_of(uuid): bytes(data) for uuid, data in heard.service_data.items()},
        uuids_of(heard.service_uuids),
        heard.local_name,
        t_ns,
    )
