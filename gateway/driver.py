"""Layer 4: what a driver plugin is: an object with a name that makes ports. Entry point group `gateway.drivers`."""

from __future__ import annotations

from typing import Protocol

from gateway.clock import Clock
from gateway.port import Port
from gateway.profile.model import LinkSpec


class Driver(Protocol):
    """One kind of link. The entry point's name is the driver's: `uart`, `can`, `ble`, `spi`, `replay`."""

    name: str

    def make(self, target: str, link: LinkSpec, clock: Clock) -> Port:
        """Return an unopened port for `target`: a path, a CAN interface, a URL, `usb:VID:PID[:serial]`.

        Nothing is touched yet: what is wrong with the target shows at `open`. Raises: PortOptionError for text that
        can never be a target of this driver.
        """
        ...

    def claims(self, target: str, bus: str) -> bool:
        """Return whether a port text of a device on `bus` is this driver's: `replay:log.asc` is replay's on any bus."""
        ...
