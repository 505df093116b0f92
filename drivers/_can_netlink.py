"""The kernel's own account of a CAN interface, and asking it to restart a controller: two rtnetlink messages.

Source: linux/rtnetlink.h, linux/if_link.h, linux/can/netlink.h.  # [nlmsghdr:16] [ifinfomsg:16] [attribute]...
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from drivers._can_errors import STATES

ANSWER_S: Final = 0.2  # the kernel answers at once
_GET, _NEW, _ERROR = 18, 16, 2  # RTM_GETLINK, RTM_NEWLINK, NLMSG_ERROR
_REQUEST, _ACK = 1, 4  # NLM_F_*
_STATISTICS, _CARRIER, _LINK_INFO, _KIND, _DATA = 23, 33, 18, 1, 2  # IFLA_STATS64, _CARRIER, _LINKINFO, IFLA_INFO_*
_BIT_TIMING, _STATE, _MODE, _RESTART_MS, _RESTART, _COUNTERS = 1, 4, 5, 6, 7, 8  # IFLA_CAN_*
_LISTEN_ONLY: Final = 0x02  # CAN_CTRLMODE_LISTENONLY
_HEADER: Final = struct.Struct("=IHHII")
_LINK: Final = struct.Struct("=BxHiII")
_ATTRIBUTE: Final = struct.Struct("=HH")
_LOSSES: Final = {"rx_errors": 4, "rx_dropped": 6, "tx_dropped": 7, "rx_over_errors": 11}  # struct rtnl_link_stats64


class LinkFacts(NamedTuple):
    """What the kernel knows of one interface; None where its kind has no such thing."""

    kind: str  # "can", "vcan", ...
    state: str | None  # see `drivers._can_errors.STATES`
    restart_ms: int | None  # 0: a controller in bus-off stays there
    bitrate: int | None
    is_listen_only: bool
    has_carrier: bool  # without one the kernel takes frames and drops them
    counters: tuple[int, int] | None  # transmit and receive errors
    losses: dict[str, int]  # frames lost below the socket, since the interface came up


class Interface:
    """One CAN interface, as the kernel knows it. Every method raises OSError when it is not there."""

    def __init__(self, name: str) -> None:
        self.name = name

    def facts(self) -> LinkFacts:
        """Return what the kernel knows; no privilege is needed. Takes 0.1 ms."""
        answer = _ask(_GET, self.name, 0, b"")
        found = dict(_attributes(answer[_HEADER.size + _LINK.size :]))
        info = dict(_attributes(found.get(_LINK_INFO, b"")))
        data = dict(_attributes(info.get(_DATA, b"")))
        state = _numbers("=I", data.get(_STATE))
        mode = _numbers("=II", data.get(_MODE))
        restart_ms, bit_timing = _numbers("=I", data.get(_RESTART_MS)), _numbers("=I", data.get(_BIT_TIMING))
        counters = _numbers("=HH", data.get(_COUNTERS))
        losses = _numbers("=12Q", found.get(_STATISTICS))
        return LinkFacts(
            kind=info.get(_KIND, b"").rstrip(b"\0").decode(errors="replace"),
            state=STATES[state[0]] if state and state[0] < len(STATES) else None,
            restart_ms=restart_ms[0] if restart_ms else None,
            bitrate=bit_timing[0] or None if bit_timing else None,
            is_listen_only=bool(mode and mode[1] & _LISTEN_ONLY),
            has_carrier=found.get(_CARRIER) != b"\0",
            counters=(counters[0], counters[1]) if counters else None,
            losses={name: losses[place] for name, place in _LOSSES.items()} if losses else {},
        )

    def can_restart(self) -> bool:
        """Whether asking for a restart is safe: Linux before 6.16 follows a null pointer where a driver cannot do it.

        Those are the line disciplines (slcan, can327) and virtual interfaces: no driver of a device is beneath them.
        """
        return Path(f"/sys/class/net/{self.name}/device/driver").exists()

    def restart(self) -> None:
        """Bring the controller back from bus-off. EPERM without CAP_NET_ADMIN, EBUSY when it is not in bus-off."""
        data = _attribute(_RESTART, struct.pack("=I", 1))
        info = _attribute(_LINK_INFO, _attribute(_KIND, b"can") + _attribute(_DATA, data))
        _ask(_NEW, self.name, _ACK, info)


def _ask(kind: int, interface: str, flags: int, attributes: bytes) -> bytes:
    body = _LINK.pack(socket.AF_UNSPEC, 0, socket.if_nametoindex(interface), 0, 0) + attributes
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asking:
        asking.settimeout(ANSWER_S)
        asking.send(_HEADER.pack(_HEADER.size + len(body), kind, _REQUEST | flags, 1, 0) + body)
        answer = asking.recv(1 << 16)
    if _HEADER.unpack_from(answer)[1] == _ERROR and (number := -struct.unpack_from("=i", answer, _HEADER.size)[0]):
        raise OSError(number, os.strerror(number))
    return answer


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Give kind and value of each; what is cut off ends it."""
    while len(data) >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(data)
        if not _ATTRIBUTE.size <= size <= len(data):
            return
        yield kind & 0x3FFF, data[_ATTRIBUTE.size : size]  # without NLA_F_NESTED and NLA_F_NET_BYTEORDER
        data = data[size + -size % 4 :]


def _numbers(layout: str, value: bytes | None) -> tuple[int, ...] | None:
    if value is None or len(value) < struct.calcsize(layout):
        return None
    return struct.unpack_from(layout, value)
