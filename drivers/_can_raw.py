"""Raw CAN sockets of the kernel: made, bound, and told what to listen to."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Sequence
from typing import Final

from drivers._can_filters import packed
from drivers._can_netlink import Interface
from gateway.errors import PortError, PortNotFoundError, PortOptionError, PortPermissionError
from gateway.port import CanFilter

RECEIVE_BUFFER_BYTES: Final = 4 << 20  # doubled by the kernel: 11,000 frames; its default holds 280
_ERROR_FILTER: Final = 2  # linux/can/raw.h CAN_RAW_ERR_FILTER; Python 3.11 has no name for it
_ALL_ERROR_CLASSES: Final = 0x1FFFFFFF  # CAN_ERR_MASK
_RECEIVE_BUFFER_FORCE: Final = 33  # asm-generic/socket.h SO_RCVBUFFORCE
_USUAL_BITRATE: Final = 500_000


def can_socket(interface: str, *, fd: bool, bitrate: int | None = None) -> socket.socket:
    """Return a raw socket bound to a network interface of the kernel; it hears nothing until `listen` says what.

    `bitrate` is only for the command in an error text. Raises: PortNotFoundError, also for an interface that is down,
    PortPermissionError, PortOptionError.
    """
    try:
        opened = socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW)
    except (OSError, AttributeError) as error:
        raise PortNotFoundError(interface, "this kernel has no CAN sockets: sudo modprobe can_raw") from error
    try:
        enlarge(opened)
        opened.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, b"")
        opened.setsockopt(socket.SOL_CAN_RAW, _ERROR_FILTER, _ALL_ERROR_CLASSES)
        _enable_fd(opened, interface, needed=fd)
        opened.bind((interface,))
        _check(opened)
    except OSError as error:
        opened.close()
        if isinstance(error, PortError):
            raise
        if error.errno in {errno.EPERM, errno.EACCES}:
            raise PortPermissionError(interface, os.strerror(error.errno)) from error
        raise PortNotFoundError(interface, cause_of(error, interface, bitrate)) from error
    return opened


def enlarge(receiving: socket.socket) -> None:
    """Make room for a burst: what root may ask for, else what the kernel's limit allows."""
    try:
        receiving.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER_FORCE, RECEIVE_BUFFER_BYTES)
    except OSError:
        receiving.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)


def listen(receiving: socket.socket, filters: Sequence[CanFilter]) -> None:
    """Let the kernel give what passes one of `filters`, and error frames. Raises: OSError.

    A socket that only stands in for the kernel's gives what it is sent.
    """
    if receiving.family == getattr(socket, "AF_CAN", None):
        receiving.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FILTER, packed(filters))


def cause_of(error: OSError, interface: str, bitrate: int | None = None) -> str:
    """Return what an error means for this interface, with the command where there is one."""
    if error.errno == errno.ENETDOWN:
        timing = ""
        with contextlib.suppress(OSError):
            if Interface(interface).facts().kind == "can":
                timing = f" type can bitrate {bitrate or _USUAL_BITRATE}"
        return f"the interface is down: sudo ip link set {interface} up{timing}"
    return os.strerror(error.errno) if error.errno else str(error)


def _check(bound: socket.socket) -> None:
    """Raise what the kernel holds against a socket: binding to an interface that is down succeeds."""
    if number := bound.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(number, os.strerror(number))


def _enable_fd(opened: socket.socket, interface: str, *, needed: bool) -> None:
    try:
        opened.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
    except OSError as error:
        if needed:
            raise PortOptionError(interface, "the kernel has no CAN FD") from error
