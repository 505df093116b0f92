"""A characteristic that can be set: a number that is read back, treated as `behaviour.py` says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from hil.sim.behaviour import GOOD, Behaviour
from hil.sim.bluez.peripheral import Characteristic
from hil.sim.bluez.reply import Failed, Later, Reply, failed
from hil.sim.obedience import Actuator, Echo

REFUSAL: Final = (
    "Operation failed with ATT error: 0x80"  # Core Specification, Vol 3, Part F, 3.4.1.1: application error
)


class Setting(Characteristic):
    """An unsigned little-endian number of `size` bytes. The answer to a write request is its ack.

    Notifications are for the test to send: `bluez.notify(peripheral, setting, setting.read())`. To restart the device,
    call `restart` and have the connection dropped.
    """

    def __init__(self, uuid: str, size: int, number: int = 0, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds."""
        super().__init__(uuid)
        self.behaviour = GOOD
        self._size = size
        self._first = number
        self._clock = clock
        self._number = Actuator(number)
        self._echo: Echo[int] = Echo()

    def behave(self, behaviour: Behaviour) -> None:
        """Treat writes so from now on. Raises: ValueError for a condition, of which it has none, or a restart."""
        if behaviour.restarts:
            raise ValueError("a characteristic cannot restart its device; drop the connection")
        self.behaviour = behaviour.known_to(())

    def restart(self) -> None:
        """Return to the number of the beginning."""
        self._number = Actuator(self._first)

    def read(self) -> bytes:
        """Return what is told of the number."""
        now_s = self._clock()
        number = self._echo.told(self._number.target(self.behaviour, now_s), self.behaviour, now_s)
        most = (1 << 8 * self._size) - 1
        return min(max(number, 0), most).to_bytes(self._size, "little")

    def write(self, value: bytes) -> Reply | Later:
        """Take a number, or do what the behaviour says instead. Raises: Failed, as BlueZ tells of an ATT error."""
        if self.behaviour.ignores:
            return Later(None)
        if len(value) != self._size:
            raise failed("InvalidValueLength", "Invalid Length")
        if self.behaviour.refuses:
            raise Failed("org.bluez.Error.Failed", REFUSAL)
        if not self.behaviour.lies:
            self.read()  # an echo knows what was before
            self._number.order(int.from_bytes(value, "little"), self.behaviour, self._clock())
        late_s = self.behaviour.ack_after_s
        return Reply() if late_s == 0 else Later(late_s)
