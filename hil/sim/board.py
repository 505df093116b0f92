"""The COBS node as the real firmware in an emulated microcontroller, at a cable that can be pulled while it runs on.

with Microcontroller(build(), uart=folder / "uart") as board, BoardOnCable(cable, board, folder / "uart") as node:
    rig.berths["node"] = node
"""

from __future__ import annotations

import contextlib
import socket
from dataclasses import replace
from pathlib import Path
from typing import Final, Self

from hil.kernel.firmware import JAM, LET_GO, TURN_BY_HAND, Microcontroller
from hil.sim.behaviour import GOOD, Behaviour
from hil.sim.berth import OnCable
from hil.sim.pty import Cable

CHUNK_BYTES: Final = 65536
CONNECT_S: Final = 20.0
HANDS: Final = {"": LET_GO, "manual": TURN_BY_HAND, "blocked": JAM}  # by the condition that they make


class BoardOnCable(OnCable):
    """A berth (`berth.py`). The cable may be pulled: what the board says meanwhile goes nowhere, as on a bench."""

    def __init__(self, cable: Cable, board: Microcontroller, uart: Path) -> None:
        """Take the board, running, and the path of its UART's socket."""
        super().__init__(cable)
        self._board = board
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._line.settimeout(CONNECT_S)
        self._line.connect(str(uart))
        self._line.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._line.close()

    def behave(self, behaviour: Behaviour) -> None:
        """Put a hand on the valve: `condition`, or `clamp` with an end stop.

        Raises: ValueError for what no hand can do. Firmware that ships has no switch for lies.
        """
        hand = _hand_for(behaviour)
        if hand is None:
            raise ValueError(f"the firmware does what its protocol says; it cannot be told {behaviour}")
        self._board.touch(hand)

    def restart(self, now_s: float) -> None:
        """Pull the reset pin."""
        del now_s
        self._board.reset()

    def tick(self, now_s: float = 0.0) -> None:
        """Carry what was said, both ways. A UART does not wait: what the other side cannot hold is lost."""
        del now_s
        with contextlib.suppress(OSError):  # nothing there, or the board has lost its power
            self.cable.send(self._line.recv(CHUNK_BYTES))
        if heard := self.cable.receive():
            with contextlib.suppress(OSError):
                self._line.send(heard)


def _hand_for(behaviour: Behaviour) -> int | None:
    """Return the touch that makes the valve behave so; None: no hand can."""
    if behaviour == replace(GOOD, condition=behaviour.condition):
        return HANDS.get(behaviour.condition)
    if behaviour.clamp is None or behaviour != replace(GOOD, clamp=behaviour.clamp) or behaviour.clamp[0] != 0:
        return None
    return round(min(behaviour.clamp[1], 100) * 2)
