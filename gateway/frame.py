"""Layer 1: what a port gives: frames, batches of them, and garbage.

No meaning here: bytes become values in `gateway/schema/`.
"""

from __future__ import annotations

from typing import Final, NewType

import msgspec

PortName = NewType("PortName", str)
DeviceName = NewType("DeviceName", str)

CAN_EXTENDED: Final = 0x80000000  # linux/can.h CAN_EFF_FLAG
CAN_REMOTE: Final = 0x40000000  # CAN_RTR_FLAG
CAN_ERROR: Final = 0x20000000  # CAN_ERR_FLAG
CAN_ID_MASK: Final = 0x1FFFFFFF
CAN_FD: Final = 1 << 32  # ours, for writes: an FD frame although its data would fit a classic one (ISO-TP on FD)

MAX_GARBAGE_BYTES: Final = 4096


class Element(msgspec.Struct, frozen=True, gc=False):
    """Which part of one BLE advertisement a payload is: the address of a BLE frame.

    Exactly one of `manufacturer` (company id), `service` (data of a service UUID) and `characteristic` (a GATT value)
    is set; UUIDs are lower case, in the short form where they have one (`short_uuid`).
    """

    address: str  # "AA:BB:CC:DD:EE:FF"
    rssi: int | None = None  # dBm
    name: str | None = None
    manufacturer: int | None = None
    service: str | None = None
    characteristic: str | None = None


def short_uuid(text: str) -> str:
    """Return a Bluetooth UUID in lower case, shortened to 4 or 8 digits where it is one of the SIG's base."""
    uuid = text.lower().removeprefix("0x")
    if uuid.endswith("-0000-1000-8000-00805f9b34fb"):
        uuid = uuid[:8]
    return uuid[4:] if len(uuid) == 8 and uuid.startswith("0000") else uuid


Address = int | Element | bytes | None  # CAN: id with linux/can.h flags; BLE: Element; SPI: what was sent; UART: None


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One whole message from one port."""

    payload: bytes
    received_ns: int  # monotonic, stamped in the read step
    sequence: int  # of the port, from 1, gapless
    address: Address = None


class Batch(msgspec.Struct, frozen=True, gc=False):
    """What one read of one port gave: the unit that moves.

    A stream port's payloads are chunks as read (framing comes later); a packet port's payloads are whole frames.
    """

    payloads: list[bytes]
    received_ns: int  # monotonic, one stamp for the read
    wall_ns: int  # since 1970, same instant
    addresses: list[Address] | None = None  # one per payload on packet ports, None on streams
    stamps_ns: list[int] | None = None  # wall time of each payload where the source knows it (logs, kernel)
    dropped: int = 0  # frames known to be lost before this batch (hand-over overflow, kernel counter)

    def __len__(self) -> int:
        """Return how many payloads."""
        return len(self.payloads)


class Garbage(msgspec.Struct, frozen=True, gc=False):
    """Bytes that are no frame, with the reason: bad input from a wire is a value, not an exception."""

    raw: bytes  # at most MAX_GARBAGE_BYTES; a longer run comes as several
    reason: str  # a few words, stable: "noise" "check" "length" "too long" "cut" "const" "unknown" "unknown id" ...
