"""Advertisements as BlueZ tells them to the elements that a port gives. Pure.

BlueZ has one table of properties per device, and merges what reports carry into it; bleak hands on a copy of that
table for every change of any property, also of those that no report changed. With `DuplicateData` (which this driver
always sets) BlueZ announces the manufacturer data or the service data of a device once for each report that carried
them, changed or not, and the whole of what that report carried. In the table that bleak hands on, a property that was
announced is a new object, one that was not is the object of the time before: identity tells what a report carried.
So an element is given when a report brought it, never because another part of the device's table changed.

BlueZ joins reports of one device that come within one turn of its loop; the later data win.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Final

from gateway.frame import Element, short_uuid
from gateway.profile.model import MatchSpec

MAX_DEVICES: Final = 4096  # remembered; phones change their address every 15 minutes
MAX_ELEMENTS: Final = 8192
REPEAT_NS: Final = 1_000_000_000  # `coalesce`: data that did not change are given again at most this often

Entry = tuple[bytes, Element]

_short: Final = lru_cache(MAX_ELEMENTS)(short_uuid)


@dataclass(frozen=True, slots=True)
class _Old:
    """Data that BlueZ had before the scan began: the same once more may be just the table."""

    data: object


class Reports:
    """Which elements a report brought, for every device of one adapter."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[object, object]] = {}

    def know(self, address: str, properties: Mapping[str, Any]) -> None:
        """Take in what BlueZ knew of a device before the scan began: old data, not to be taken for heard."""
        if address not in self._last and len(self._last) < MAX_DEVICES:
            self._last[address] = (_Old(properties.get("ManufacturerData")), _Old(properties.get("ServiceData")))

    def entries(self, address: str, advertisement: Any) -> list[Entry]:
        """Return the payload and element of each manufacturer and service data entry that this report brought."""
        properties = advertisement.platform_data[1]
        manufacturer, service = properties.get("ManufacturerData"), properties.get("ServiceData")
        last_manufacturer, last_service = self._last.pop(address, (None, None))
        self._last[address] = (manufacturer, service)  # put back as the newest
        if len(self._last) > MAX_DEVICES:
            del self._last[next(iter(self._last))]
        has_manufacturer = manufacturer is not last_manufacturer and _is_new(manufacturer, last_manufacturer)
        has_service = service is not last_service and _is_new(service, last_service)
        if not has_manufacturer and not has_service:
            return []
        rssi, name = properties.get("RSSI"), advertisement.local_name
        found: list[Entry] = []
        if has_manufacturer:
            found += [
                (data, Element(address, rssi, name, company))
                for company, data in advertisement.manufacturer_data.items()
            ]
        if has_service:
            found += [
                (data, Element(address, rssi, name, None, _short(uuid)))
                for uuid, data in advertisement.service_data.items()
            ]
        return found

    def __len__(self) -> int:
        """Return how many devices are remembered."""
        return len(self._last)


def _is_new(data: object, last: object) -> bool:
    return bool(data) and not (isinstance(last, _Old) and last.data == data)


class Selection:
    """What one port wants of what is heard, and how often."""

    def __init__(self, device: str | None, wanted: Sequence[Element], *, repeat_ns: int | None) -> None:
        """Take the address to hear (None: all), the patterns (none: all) and the pause between equals (None: none)."""
        self._device = device
        self._patterns = tuple(wanted)
        self._repeat_ns = repeat_ns
        self._given: dict[tuple[str, int | None, str | None], tuple[bytes, int]] = {}
        self.coalesced = 0
        self.unwanted = 0

    def of(self, entries: Sequence[Entry], now_ns: int) -> list[Entry]:
        """Return those of one report's entries that the port should give."""
        return [entry for entry in entries if self._wants(entry[1]) and self._is_due(entry, now_ns)]

    def _wants(self, element: Element) -> bool:
        if self._device is not None and element.address != self._device:
            return False
        if not self._patterns or any(_agrees(pattern, element) for pattern in self._patterns):
            return True
        self.unwanted += 1
        return False

    def _is_due(self, entry: Entry, now_ns: int) -> bool:
        if self._repeat_ns is None:
            return True
        payload, element = entry
        key = (element.address, element.manufacturer, element.service)
        given = self._given.pop(key, None)
        if given is not None and given[0] == payload and now_ns - given[1] < self._repeat_ns:
            self._given[key] = given
            self.coalesced += 1
            return False
        self._given[key] = (payload, now_ns)
        if len(self._given) > MAX_ELEMENTS:
            del self._given[next(iter(self._given))]
        return True


def _agrees(pattern: Element, element: Element) -> bool:
    return (
        (pattern.manufacturer is None or pattern.manufacturer == element.manufacturer)
        and (pattern.service is None or pattern.service == element.service)
        and (not pattern.address or pattern.address == element.address)
        and (pattern.name is None or pattern.name == element.name)
    )


def is_device(match: MatchSpec, advertisement: Any) -> bool:
    """Return whether what is known of a device agrees with all that a profile says of it."""
    name = advertisement.local_name
    if match.name is not None and (name is None or not fnmatchcase(name, match.name)):
        return False
    if match.manufacturer is not None and match.manufacturer not in advertisement.manufacturer_data:
        return False
    if match.service is None:
        return True
    service = short_uuid(match.service)
    return any(_short(uuid) == service for uuid in (*advertisement.service_uuids, *advertisement.service_data))
