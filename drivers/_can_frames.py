"""The kernel's CAN records: classic `struct can_frame` (16 bytes) and `struct canfd_frame` (72 bytes). No I/O.

Source: linux/can.h.  # [id and flags:4] [length:1] [fd flags:1] [reserved:2] [data:8 or 64], host byte order
"""

from __future__ import annotations

import bisect
import struct
from typing import Any, Final

from gateway.errors import PortOptionError
from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_FD, CAN_ID_MASK, CAN_REMOTE

CLASSIC_BYTES: Final = 16
FD_BYTES: Final = 72
HEADER_BYTES: Final = 8
HEADER: Final = struct.Struct("=IB")
_CLASSIC: Final = struct.Struct("=IB3x8s")
_FD: Final = struct.Struct("=IBB2x64s")
_FD_BIT_RATE_SWITCH: Final = 0x01  # CANFD_BRS
_FD_FRAME: Final = 0x04  # CANFD_FDF
FD_LENGTHS: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)  # ISO 11898-1, DLC 0..15
STANDARD_ID_MASK: Final = 0x7FF


def fd_length(count: int) -> int:
    """Return the shortest length an FD frame can have for `count` bytes (at most 64)."""
    return FD_LENGTHS[bisect.bisect_left(FD_LENGTHS, count)]


def check_frame(port: str, data: bytes, address: object, *, fd: bool) -> tuple[int, bool]:
    """Return the id with its flags, and whether it is an FD frame: over 8 bytes, or when the address has CAN_FD.

    Raises: PortOptionError for what no CAN frame can be.
    """
    if not isinstance(address, int):
        raise PortOptionError(port, "a CAN frame needs an id")
    is_fd = len(data) > 8 or bool(address & CAN_FD)
    address &= ~CAN_FD
    if is_fd and (address & CAN_REMOTE or not fd) and len(data) <= 8:
        raise PortOptionError(port, "no FD frame: `fd = true` allows them, a remote frame is never one")
    limit = STANDARD_ID_MASK if not address & CAN_EXTENDED else CAN_ID_MASK
    if address & CAN_ID_MASK > limit or address & CAN_ERROR or not 0 <= address < 1 << 32:
        raise PortOptionError(port, f"0x{address:x} is no CAN id; one over 0x7ff needs the extended flag 0x80000000")
    most = 64 if fd and not address & CAN_REMOTE else 8
    if len(data) > most:
        raise PortOptionError(port, f"{len(data)} bytes do not fit a frame of {most}; `fd = true` allows 64")
    return address, is_fd


def pack(port: str, data: bytes, address: object, *, fd: bool) -> bytes:
    """Return the kernel's record of one frame: classic, or FD with bit rate switch, zero-filled to the next FD length.

    Raises: PortOptionError.
    """
    can_id, is_fd = check_frame(port, data, address, fd=fd)
    if not is_fd:
        return _CLASSIC.pack(can_id, len(data), bytes(data))
    return _FD.pack(can_id, fd_length(len(data)), _FD_BIT_RATE_SWITCH | _FD_FRAME, bytes(data))


def unpack(record: bytes) -> tuple[int, bytes]:
    """Return id with flags and data of one record. Raises: struct.error for less than a header."""
    can_id, length = HEADER.unpack_from(record)
    return can_id, record[HEADER_BYTES : HEADER_BYTES + length]


def address_of_message(message: Any) -> int:
    """Return id and kernel flags of a python-can message."""
    can_id = int(message.arbitration_id) & CAN_ID_MASK
    if message.is_extended_id:
        can_id |= CAN_EXTENDED
    if message.is_remote_frame:
        can_id |= CAN_REMOTE
    if message.is_error_frame:
        can_id |= CAN_ERROR
    return can_id
