"""Bluetooth Low Energy by BlueZ: `hci0` hears what is advertised, `hci0/AA:BB:CC:DD:EE:FF` one device of it.

`mode = "advertisement"` listens (`drivers/_ble_adverts.py`), `mode = "gatt"` connects (`drivers/_ble_gatt.py`): to the
device of the address, or to the first one heard that agrees with the profile's `match`. All ports of an adapter share
its one scanner and its connection slots (`drivers/_ble_adapter.py`), on a thread of their own.
"""

from __future__ import annotations

from typing import Final

from drivers._ble_adverts import AdvertisementPort
from drivers._ble_gatt import GattPort
from drivers._ble_target import target_of
from gateway.clock import Clock
from gateway.errors import PortOptionError
from gateway.port import Port
from gateway.profile.model import LinkSpec


class BleDriver:
    """Entry point `ble`."""

    name = "ble"

    def make(self, target: str, link: LinkSpec, clock: Clock) -> Port:
        """Return an unopened port.

        Raises: PortOptionError for text that can never be one, and for a link without a device to connect to.
        """
        where = target_of(target)
        if link.mode != "gatt":
            return AdvertisementPort(target, where, link, clock)
        if where.device is None and link.match is None:
            raise PortOptionError(
                target, "which device? write its address behind the adapter, or `match` in the profile"
            )
        return GattPort(target, where, link, clock)

    def claims(self, target: str, bus: str) -> bool:
        """Whether the device is on Bluetooth."""
        return bus == "ble" and not target.startswith("replay:")


DRIVER: Final = BleDriver()
