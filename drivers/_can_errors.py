"""What a CAN error frame says: the controller's state, what went wrong, the error counters. Pure.

The id holds the classes; data:  # [lost at bit:1] [controller:1] [protocol:1] [place:1] [wire:1] [0:1] [tx:1] [rx:1]

Source: linux/can/error.h.
"""

from __future__ import annotations

from typing import Final, NamedTuple

ERROR_ACTIVE: Final = "error-active"
ERROR_WARNING: Final = "error-warning"
ERROR_PASSIVE: Final = "error-passive"
BUS_OFF: Final = "bus-off"
STATES: Final = (ERROR_ACTIVE, ERROR_WARNING, ERROR_PASSIVE, BUS_OFF)  # by linux/can/netlink.h number, ever worse
UNKNOWN: Final = "unknown"

OVERFLOW: Final = "rx-overflow"  # the controller itself lost frames

_CONTROLLER, _PROTOCOL, _BUS_OFF, _BUS_ERROR, _RESTARTED, _COUNTERS = 0x04, 0x08, 0x40, 0x80, 0x100, 0x200
_CLASSES: Final = ((0x01, "tx-timeout"), (0x02, "arbitration"), (0x10, "transceiver"), (0x20, "ack"))
_OVERFLOWS: Final = ((0x01, OVERFLOW), (0x02, "tx-overflow"))
_CONTROLLER_STATES: Final = ((0x30, ERROR_PASSIVE), (0x0C, ERROR_WARNING), (0x40, ERROR_ACTIVE))  # worst first
_PROTOCOLS: Final = ((0x19, "bit"), (0x02, "form"), (0x04, "stuff"), (0x20, "overload"))
_PLACES: Final = {0x08: "crc", 0x18: "crc", 0x19: "ack"}  # of the frame: CRC sequence, its delimiter, ACK slot


class ErrorReport(NamedTuple):
    """One error frame, understood."""

    state: str | None  # one of STATES, None when the frame says nothing of it
    restarted: bool
    kinds: tuple[str, ...]  # what went wrong, each at most once; () for a mere change of state
    counters: tuple[int, int] | None  # transmit and receive errors, as the controller counts


def read_error(can_id: int, data: bytes) -> ErrorReport:
    """Return what an error frame says, whatever it holds; what it leaves out counts as zero."""
    data = data[:8].ljust(8, b"\0")
    controller = data[1] if can_id & _CONTROLLER else 0
    state = next((name for bits, name in _CONTROLLER_STATES if controller & bits), None)
    restarted = bool(can_id & _RESTARTED)
    if can_id & _BUS_OFF:
        state = BUS_OFF
    elif restarted and state is None:
        state = ERROR_ACTIVE
    kinds = [name for bit, name in _CLASSES if can_id & bit]
    kinds += [name for bit, name in _OVERFLOWS if controller & bit]
    if can_id & _PROTOCOL:
        kinds += [name for bits, name in _PROTOCOLS if data[2] & bits]
        kinds += [_PLACES[data[3]]] if data[3] in _PLACES else []
    if not kinds and can_id & (_PROTOCOL | _BUS_ERROR):
        kinds = ["bus"]
    # drivers older than the flag fill in the counters of a change of state
    has_counters = can_id & _COUNTERS or (state not in {None, BUS_OFF} and not restarted and any(data[6:8]))
    return ErrorReport(state, restarted, tuple(dict.fromkeys(kinds)), (data[6], data[7]) if has_counters else None)
