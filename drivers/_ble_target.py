"""Port texts of Bluetooth: `hci0`, or `hci0/AA:BB:CC:DD:EE:FF` for one device behind it. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gateway.errors import PortOptionError

_TARGET: Final = re.compile(r"(hci\d{1,3})(?:/([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}))?")


class Target(NamedTuple):
    """An adapter and, where one is meant, a device."""

    adapter: str
    device: str | None  # in upper case, as BlueZ spells addresses


def target_of(text: str) -> Target:
    """Return what a port text means. Raises: PortOptionError."""
    match = _TARGET.fullmatch(text)
    if match is None:
        raise PortOptionError(text, "no Bluetooth port; write hci0, or hci0/AA:BB:CC:DD:EE:FF for one device")
    return Target(match[1], match[2].upper() if match[2] else None)
