"""Layer 2: what tells one USB adapter from others, as a port text and as sysfs has it."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

_USB: Final = re.compile(r"usb:([0-9a-fA-F]{4}):([0-9a-fA-F]{4})(?::(.+))?")


class UsbIdentity(NamedTuple):
    """The ids of an adapter; in a port text without a serial number, any will do."""

    vid: int
    pid: int
    serial: str | None = None
    product: str | None = None  # of what is plugged in, never of a port text

    def __str__(self) -> str:
        """Return the port text, `usb:VID:PID[:serial]`."""
        return f"usb:{self.vid:04x}:{self.pid:04x}" + (f":{self.serial}" if self.serial else "")

    def is_served_by(self, plugged: UsbIdentity) -> bool:
        """Return whether an adapter that is plugged in is one that this port text means."""
        return (self.vid, self.pid) == (plugged.vid, plugged.pid) and self.serial in (None, plugged.serial)


def parse_usb(text: str) -> UsbIdentity | None:
    """Return what `usb:VID:PID[:serial]` means, None for any other text."""
    match = _USB.fullmatch(text)
    return UsbIdentity(int(match[1], 16), int(match[2], 16), match[3]) if match else None
