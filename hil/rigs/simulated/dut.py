"""The simulated device as a whole: power, boot, configuration; and the rig's switch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from hil.durations import Timeout, timeout_ns
from hil.faults.faults import Fault
from hil.rigs.agenda import Event
from hil.rigs.base import BringUpError
from hil.rigs.simulated.world import World
from hil.rigs.standard import STATES

__tracebackhide__ = True  # pytest shows the line of the test instead

STEP_NS: Final = {"powered": 0, "answering": 100_000_000, "configured": 10_000_000}  # from the state before
STANDARD_TIMEOUT_NS: Final = 10_000_000_000
BROWN_OUT_NS: Final = 30_000_000  # below what it needs to run


class SimulatedDut:
    """A device that boots in no time worth mentioning. A test finds it as far up as its target goes."""

    firmware = "simulated"

    def __init__(self, name: str, states: tuple[str, ...], world: World) -> None:
        self.name = name
        self._states = states
        self._world = world
        self._state = states[-1]
        self._has_power = self._state != "off"
        self._boots = 1 if self._has_power else 0
        self._coming: Event | None = None
        self.watchers: list[Callable[[], None]] = []  # called when its state has changed

    @property
    def state(self) -> str:
        """One of the target's states."""
        return self._state

    @property
    def boots(self) -> int:
        """How often it started since the test began, which found it started once."""
        return self._boots

    @property
    def is_powered(self) -> bool:
        """Whether anything of it can be heard."""
        return self._has_power

    @property
    def is_answering(self) -> bool:
        """Whether its program runs: it is up as far as that, or as far as its target goes."""
        return self.is_powered and (self._state != "powered" or self._states[-1] == "powered")

    def to(self, state: str, timeout: Timeout | None = None) -> None:
        """Bring it into a state; down by way of off. Raises: ValueError, BringUpError when `timeout` is too short."""
        if state not in self._states:
            raise ValueError(f"{self.name} has no state {state!r}; it has {', '.join(self._states)}")
        limit_ns = STANDARD_TIMEOUT_NS if timeout is None else timeout_ns(timeout)
        if state == "off" or STATES.index(state) < STATES.index(self._state):
            self.power_off()
        if state != "off":
            self.power_on(as_far_as=state)
        until_ns = self._world.now_ns + limit_ns
        if not self._world.wait_for(lambda: self._state == state, until_ns):
            raise BringUpError(f"{self.name} is {self._state}, not {state}, after {limit_ns / 1e9:g} s")

    def power_on(self, as_far_as: str = "answering") -> None:
        """Give it power; it boots, and is not configured by that."""
        if not self._has_power:
            self._has_power = True
            self._boots += 1
            if "powered" in self._states:
                self._become("powered")
        self._climb(as_far_as)

    def power_off(self) -> None:
        """Take its power."""
        self._stop_climbing()
        self._has_power = False
        self._become("off")

    def boot_again(self, without_power_ns: int = 0) -> None:
        """Restart by itself: it is as far as booting brings it, and forgets how it was configured."""
        if not self._has_power:
            return
        self.power_off()
        if without_power_ns:
            self._coming = self._world.after(without_power_ns, self.power_on)
        else:
            self.power_on()

    def strike(self, fault: Fault) -> None:
        """Do what a fault of power does."""
        self.boot_again(fault.lasts_ns(BROWN_OUT_NS if fault.kind == "brown_out" else 0))

    def _climb(self, as_far_as: str) -> None:
        self._stop_climbing()
        above = [
            each for each in self._states if STATES.index(self._state) < STATES.index(each) <= STATES.index(as_far_as)
        ]
        if not above:
            return

        def arrive() -> None:
            self._coming = None
            self._become(above[0])
            self._climb(as_far_as)

        self._coming = self._world.after(STEP_NS[above[0]], arrive)

    def _stop_climbing(self) -> None:
        if self._coming is not None:
            self._coming.cancel()
            self._coming = None

    def _become(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._world.record("power", "note", "note", text=f"{self.name} is {state}")
            for changed in self.watchers:
                changed()


class Power:
    """The switch: what the fixture `power` is."""

    def __init__(self, dut: SimulatedDut) -> None:
        self._dut = dut

    def on(self) -> None:
        """Switch on; the device boots while time passes."""
        self._dut.power_on()

    def off(self) -> None:
        """Switch off."""
        self._dut.power_off()

    @property
    def is_on(self) -> bool:
        """Whether the device has power."""
        return self._dut.is_powered
