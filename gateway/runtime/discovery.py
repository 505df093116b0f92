"""Layer 6: devices nobody named: every address heard that fits a profile becomes a device of its own.

At most `limit` at a time; for a new one the device that has been silent longest makes room. One that had to go comes
back when there is room, or after a minute: where more speak than there is room for, the same few stay. No I/O.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from fnmatch import fnmatchcase
from typing import Any, Final

from gateway.frame import Address, Element
from gateway.profile.build import CompiledProfile
from gateway.profile.model import MatchSpec
from gateway.runtime.device import Device

REST_NS: Final = 60_000_000_000  # for so long an evicted address drives out nobody
MAX_RESTING: Final = 4096  # addresses
_SHORT: Final = 4  # digits of an address in a name, where they tell devices apart

log = logging.getLogger(__name__)

Make = Callable[[str, str], Device]  # from the device's name and address


class Discovery:
    """One `[discover.NAME]` on one port."""

    def __init__(
        self,
        name: str,
        profile: CompiledProfile,
        limit: int,
        make: Make,
        *,
        named: Collection[str] = (),
        taken: Collection[str] = (),
    ) -> None:
        """Take how a device is made; `named` are addresses that have a device of their own, `taken` names of devices.

        `on_appeared` and `on_evicted` are called with each device that comes and goes.
        """
        self.name = name
        self.profile = profile
        self.devices: list[Device] = []
        self.evicted = 0  # devices, since the gateway started
        self.refused = 0  # frames of addresses for which there was no room
        self.on_appeared: Callable[[Device], None] = _nobody
        self.on_evicted: Callable[[Device], None] = _nobody
        self._limit = limit
        self._make = make
        self._named = frozenset(address.upper() for address in named)
        self.keep_clear_of(taken)
        self._by_address: dict[str, Device] = {}  # the one silent longest first
        self._resting: dict[str, int] = {}  # evicted addresses, and until when they drive out nobody; oldest first
        self._has_warned = False

    def keep_clear_of(self, taken: Collection[str]) -> None:
        """Give none of these names to devices that appear from now on."""
        self._taken = frozenset(taken)

    def owners(
        self, addresses: Sequence[Address], names: Sequence[str | None], now_ns: int
    ) -> list[tuple[Device, list[int]]]:
        """Return each device with the places of its frames; who is new is made. `names`: what messages they are."""
        places: dict[str, list[int]] = {}
        for place, (element, name) in enumerate(zip(addresses, names, strict=True)):
            if name is not None and isinstance(element, Element) and self._is_meant(element):
                places.setdefault(element.address, []).append(place)
        found = []
        for address, kept in places.items():
            device = self._device(address, now_ns)
            if device is not None:
                found.append((device, kept))
            else:
                self.refused += len(kept)
        return found

    def as_json(self) -> dict[str, Any]:
        """Return the object that `status --json` shows."""
        return {
            "name": self.name,
            "devices": len(self.devices),
            "limit": self._limit,
            "evicted": self.evicted,
            "refused": self.refused,
        }

    def _is_meant(self, element: Element) -> bool:
        match = self.profile.profile.link.match
        return element.address.upper() not in self._named and (match is None or name_fits(match, element))

    def _device(self, address: str, now_ns: int) -> Device | None:
        device = self._by_address.pop(address, None)
        if device is None:
            if len(self._by_address) >= self._limit and not self._made_room_for(address, now_ns):
                return None
            device = self._make(self._name_for(address), address)
            self.devices.append(device)
            log.info("%s: discovered by %s", device.name, self.name)
            self.on_appeared(device)
        self._by_address[address] = device  # now the one heard last
        return device

    def _made_room_for(self, address: str, now_ns: int) -> bool:
        """Evict the device that has been silent longest, unless `address` had to go itself a short while ago."""
        if now_ns < self._resting.get(address, now_ns):
            if not self._has_warned:
                self._has_warned = True
                log.warning("%s hears more than the %d devices that it has room for; raise its `limit`", *self._words())
            return False
        oldest = next(iter(self._by_address))
        device = self._by_address.pop(oldest)
        self.devices.remove(device)
        self.evicted += 1
        self._resting.pop(address, None)
        self._resting[oldest] = now_ns + REST_NS
        if len(self._resting) > MAX_RESTING:
            del self._resting[next(iter(self._resting))]
        self.on_evicted(device)
        log.info("%s: evicted from %s, which holds %d devices", device.name, *self._words())
        return True

    def _words(self) -> tuple[str, int]:
        return self.name, self._limit

    def _name_for(self, address: str) -> str:
        """Return NAME-<last four of the address>, with more of it where another device is called so."""
        digits = "".join(each for each in address.lower() if each.isalnum())
        taken = {device.name for device in self.devices} | self._taken
        for size in range(_SHORT, len(digits)):
            if (name := f"{self.name}-{digits[-size:]}") not in taken:
                return name
        return f"{self.name}-{digits}"


def name_fits(match: MatchSpec, element: Element) -> bool:
    """Return whether an element's device may be one that `link.match` describes, as far as a name says."""
    return match.name is None or (element.name is not None and fnmatchcase(element.name, match.name))


def _nobody(_device: Device) -> None:
    """Nobody wants to know."""
