"""What the faults of a CAN bus do. Pure, but for the chance that each fault brings along.

On what the host gives its controller to send:

- `tx_full`: its queue has no room: `send` raises

On each attempt to send, retries included, so that `after` and `count` count attempts; `pattern` is of the data:

- `lost_ack`: nobody acknowledges a frame of the host; it tries again, and its transmit errors rise until it is passive
- `id_collision`: the device sends with the host's id at the same time, once, with a dominant bit in its data (or its
  length, where those are all zeros) where the host's is recessive; both see an error there, and the host tries again
- `dlc`: a frame of the device says that length: its data is cut to that, or goes on with zeros; beyond 8 a classic
  frame has 8 bytes

At once, where a frame is on the bus in it, and in the very frame that brings it about:

- `error_frame`: an error flag that is nobody's: who sends counts 8, who receives 1, and the frame is sent again

As long as they last:

- `error_passive`: the host's controller is passive and no success changes that, until the end or `restart()`
- `bus_off`: the host's controller is off the bus, until the end or `restart()`
- `babble`: the device sends frames with `id` for `load` percent of the time: what has a higher id waits, and starves
  at 100
- `bitrate`: the device is at `factor` times the bit rate; beyond what receivers tolerate nobody understands the other
- `unplug`: the host's interface is gone; `reenumerate`: for a quarter of a second, or its `duration`, and it
  comes back as it was made
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, Final, Protocol

from hil.can_bits import INTERMISSION_BITS, STANDARD_MAX, bits_of
from hil.can_frames import Frame, with_dlc

OF_THE_BUS: Final = frozenset({"error_frame", "error_passive", "bus_off", "babble", "bitrate", "unplug", "reenumerate"})
OF_THE_HOST: Final = OF_THE_BUS | {"lost_ack", "id_collision"}  # those that strike its attempts
OF_THE_DEVICE: Final = OF_THE_BUS | {"dlc"}
KINDS: Final = OF_THE_HOST | OF_THE_DEVICE | {"tx_full"}
KEEP_OFF: Final = frozenset({"bus_off", "bitrate", "id_collision", "error_frame"})
"""As long as one of these is active on a bus, the host's controller does not come back from bus-off by itself."""
TOLERATED: Final = 0.0158  # of two bit rates, at most: ISO 11898-1, oscillator tolerance
BABBLE_BYTES: Final = 8


class Striking(Protocol):
    """What is needed of a fault that strikes."""

    kind: str
    params: dict[str, Any]
    chance: random.Random


def has_ack(struck: Sequence[Striking]) -> bool:
    """Return whether an attempt is acknowledged."""
    return not any(fault.kind == "lost_ack" for fault in struck)


def rival_of(frame: Frame, struck: Sequence[Striking]) -> Frame | None:
    """Return what the device sends at the same time with the same id."""
    fault = next((fault for fault in struck if fault.kind == "id_collision"), None)
    if fault is None:
        return None
    value = int.from_bytes(frame.data, "big")
    if not value:
        return with_dlc(frame, frame.code - 1 if frame.code else 1)
    places = [place for place in range(value.bit_length()) if value >> place & 1]
    value ^= 1 << fault.chance.choice(places)
    return frame._replace(data=value.to_bytes(len(frame.data), "big"))


def as_told(frame: Frame, struck: Sequence[Striking]) -> Frame:
    """Return what the device sends instead of `frame`."""
    for fault in struck:
        if fault.kind == "dlc":
            frame = with_dlc(frame, fault.params["dlc"])
    return frame


def babbled(fault: Striking) -> Frame:
    """Return one frame of a babbling device."""
    number = fault.params["id"]
    return Frame(number, fault.chance.randbytes(BABBLE_BYTES), extended=number > STANDARD_MAX, dlc=BABBLE_BYTES)


def babble_interval_ns(fault: Striking, frame: Frame, bit_ns: float) -> int:
    """Return how long after a frame of a babbling device its next one begins, a bit being so long."""
    bits = bits_of(frame).nominal + INTERMISSION_BITS
    return int(bits * bit_ns / (Fraction(str(fault.params["load"])) / 100))


def is_understood(factor: float) -> bool:
    """Return whether receivers tolerate a bit rate of `factor` times their own."""
    return abs(factor - 1.0) <= TOLERATED
