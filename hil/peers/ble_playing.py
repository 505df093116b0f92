"""A trace as the device on a radio: what it advertised and notified, and what it answered to reads and writes.

Connecting is the trace's, too, where the trace has it; in one that has not the device is there at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from hil.rigs.radio import Advertisement, address_of, manufacturer_of, service_of

if TYPE_CHECKING:
    from hil.peers.playing import TracePeer
    from hil.trace import Record

LINKS: Final = frozenset({"connect", "disconnect"})
ANSWERS: Final = frozenset({"read", "write", "notify"})


class Air(Protocol):
    """What carries what a device does, at once: the trace has its times."""

    def carry(self, advertisement: Advertisement, encrypted_from: int | None) -> None:
        """Let an advertisement be heard."""

    def air_ns(self, advertisement: Advertisement) -> int:
        """Return how long an advertisement is on the air."""

    def answer(self, record: Record) -> None:
        """Bring what the host waits for, a notification, or the end of a link."""


class BlePlaying:
    """The air on one side, the trace on the other."""

    def __init__(self, air: Air) -> None:
        self._air = air
        self._trace: TracePeer | None = None
        self._has_links = False

    def begin(self, trace: TracePeer) -> None:
        """Play."""
        self._trace = trace
        self._has_links = any(each.kind in LINKS and each.dir == "tx" for each in trace.records)
        trace.begin()

    def takes(self, kind: str, data: bytes, facts: Mapping[str, Any]) -> bool:
        """Take what the host does; return whether the trace answers it."""
        if self._trace is None or self._trace.is_stopped or (kind in LINKS and not self._has_links):
            return False
        self._trace.hear(kind, data, **facts)
        return True

    def do(self, record: Record) -> bool:
        """Do as a record says; False: no device does that."""
        if record.kind in ANSWERS | LINKS:
            self._air.answer(record)
            return True
        heard = advertisement_in(record)
        if heard is not None:
            self._air.carry(heard, None)
        return heard is not None

    def lead_ns(self, record: Record) -> int:
        """Return how long before its time an advertisement begins."""
        heard = advertisement_in(record)
        return 0 if heard is None else self._air.air_ns(heard)


def advertisement_in(record: Record) -> Advertisement | None:
    """Return the advertisement of a record: its elements, or what a bench wrote of them; None where it has none."""
    if record.kind != "adv":
        return None
    rssi = record.get("rssi")
    rssi = rssi if type(rssi) is int else 0
    try:
        address = address_of(record.get("address"))
        if record.data:
            return Advertisement.of_elements(address, rssi, record.payload)
        by_company = {int(key): bytes.fromhex(value) for key, value in record.get("manufacturer_data", {}).items()}
        by_uuid = {key: bytes.fromhex(value) for key, value in record.get("service_data", {}).items()}
        return Advertisement(address, rssi, manufacturer_of(by_company), service_of(by_uuid), name=record.get("name"))
    except (ValueError, TypeError, AttributeError):
        return None


def named(records: Iterable[Record], key: str, read: Callable[[Any], str]) -> list[str]:
    """Return what records name, each once; what cannot be such a name is left out."""
    found: dict[str, None] = {}
    for record in records:
        try:
            found[read(record.get(key))] = None
        except ValueError:
            continue
    return list(found)
