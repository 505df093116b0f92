"""Layer 6: devices nobody named: every address heard that fits a profile becomes a device of its own.

At most `limit` at a time; for a new one the device that has been silent longest makes room. No I/O.
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
        self.on_appeared: Callable[[Device], None] = _nobody
        self.on_evicted: Callable[[Device], None] = _nobody
        self._limit = limit
        self._make = make
        self._named = frozenset(address.upper() for address in named)
        self._taken = frozenset(taken)
        self._by_address: dict[str, Device] = {}  # the one silent longest first

    def owners(self, addresses: Sequence[Address], names: Sequence[str | None]) -> list[tuple[Device, list[int]]]:
        """Return each device with the places of its frames; who is new is made. `names`: what messages they are."""
        places: dict[str, list[int]] = {}
        for place, (address, name) in enumerate(zip(addresses, names, strict=True)):
            if name is not None and isinstance(address, Element) and self._is_meant(address):
                places.setdefault(address.address, []).append(place)
        return [(self._device(address), kept) for address, kept in places.items()]

    def as_json(self) -> dict[str, Any]:
        """Return the object that `status --json` shows."""
        return {"name": self.name, "devices": len(self.devices), "limit": self._limit, "evicted": self.evicted}

    def _is_meant(self, element: Element) -> bool:
        match = self.profile.profile.link.match
        return element.address.upper() not in self._named and (match is None or name_fits(match, element))

    def _device(self, address: str) -> Device:
        device = self._by_address.pop(address, None)
        if device is None:
            if len(self._by_address) >= self._limit:
                self._evict()
            device = self._make(self._name_for(address), address)
            self.devices.append(device)
            self.on_appeared(device)
            log.info("%s: discovered by %s", device.name, self.name)
        self._by_address[address] = device  # now the one heard last
        return device

    def _evict(self) -> None:
        address = next(iter(self._by_address))
        device = self._by_address.pop(address)
        self.devices.remove(device)
        self.evicted += 1
        self.on_evicted(device)
        log.info("%s: evicted from %s, which holds %d devices", device.name, self.name, self._limit)

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
