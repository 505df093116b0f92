"""How a CAN controller counts errors and confines itself by them. Pure.

Source: ISO 11898-1, "Fault confinement" (Bosch CAN 2.0, part B, section 8); the rules' letters below are Bosch's.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

State = Literal["active", "warning", "passive", "bus_off"]

WARNING_AT: Final = 96
PASSIVE_AT: Final = 128
BUS_OFF_AT: Final = 256
BACK_FROM_PASSIVE: Final = 127  # the standard leaves 119 to 127
MOST_COUNTED: Final = 255  # receive errors; a register is one byte
RECOVERY_SEQUENCES: Final = 128  # of 11 recessive bits
SEQUENCE_BITS: Final = 11
OWN_FLAG: Final = 8  # rule b, and c for a transmitter


class Counters(NamedTuple):
    """Transmit and receive errors, as counted."""

    tx: int
    rx: int


class Controller:
    """The error counters of one node, and the state that they put it in."""

    def __init__(self) -> None:
        self._tx = 0
        self._rx = 0
        self._is_off = False
        self._floor = 0  # it is held there: no success takes it below

    @property
    def counters(self) -> Counters:
        """Its counters; 256 transmit errors and more have taken it off the bus."""
        return Counters(self._tx, self._rx)

    @property
    def state(self) -> State:
        """Its state. `warning` is an active node that the standard calls heavily disturbed."""
        if self._is_off:
            return "bus_off"
        worst = max(self._tx, self._rx)
        return "passive" if worst >= PASSIVE_AT else "warning" if worst >= WARNING_AT else "active"

    @property
    def is_active(self) -> bool:
        """Whether its error flags are dominant, so that everybody sees them."""
        return not self._is_off and max(self._tx, self._rx) < PASSIVE_AT

    @property
    def is_off(self) -> bool:
        """Whether it takes no part in the bus."""
        return self._is_off

    def sent(self) -> None:
        """Count a frame that was sent and acknowledged (rule g)."""
        self._tx = max(self._tx - 1, self._floor, 0)

    def received(self) -> None:
        """Count a frame that was received without error (rule h)."""
        self._rx = self._rx - 1 if 0 < self._rx < PASSIVE_AT else min(self._rx, BACK_FROM_PASSIVE)

    def failed_to_send(self) -> None:
        """Count an error in a frame of its own (rule c)."""
        self._tx += OWN_FLAG
        if self._tx >= BUS_OFF_AT:
            self._is_off = True

    def missed_ack(self) -> None:
        """Count that nobody acknowledged: not where it is passive and nobody answers its flag (rule c, exception 1)."""
        if self.is_active:
            self.failed_to_send()

    def failed_to_receive(self, *, is_first: bool) -> None:
        """Count an error in another's frame (rule a).

        `is_first`: it saw the error before others, and so what they answered after its own flag (rule b).
        """
        self._rx = min(self._rx + 1 + (OWN_FLAG if is_first else 0), MOST_COUNTED)

    def hold_passive(self) -> None:
        """Be passive, whatever succeeds, until it is reset."""
        self._floor = PASSIVE_AT
        self._tx = max(self._tx, PASSIVE_AT)

    def go_off(self) -> None:
        """Be off the bus."""
        self._tx = max(self._tx, BUS_OFF_AT)
        self._is_off = True

    def reset(self) -> None:
        """Begin anew, as after recovery or a restart (rule l)."""
        self._tx = self._rx = self._floor = 0
        self._is_off = False


class Recovery:
    """How far a controller that is off the bus has come with its 128 sequences of 11 recessive bits."""

    def __init__(self, now_ns: int, bit_ns: int, busy_ns: int, frames: int) -> None:
        """Begin; `busy_ns`, `frames`: how long the bus was busy so far, and how many ends of frames it saw."""
        self._least_ns = now_ns + RECOVERY_SEQUENCES * SEQUENCE_BITS * bit_ns
        self._sequence_ns = SEQUENCE_BITS * bit_ns
        self._busy_ns = busy_ns
        self._frames = frames

    def due_ns(self, busy_ns: int, frames: int) -> int:
        """Return when it is complete if the bus is quiet from now on: each frame's end is a sequence, its rest none."""
        return self._least_ns + (busy_ns - self._busy_ns) - (frames - self._frames) * self._sequence_ns
