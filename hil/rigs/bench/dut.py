"""The board as a whole: a state machine whose steps the rig file describes, each tried so often and no longer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from gateway.notation import duration_ns
from hil.durations import Timeout, timeout_ns
from hil.lease.held import Lease
from hil.rigs.base import BringUpError, RigError
from hil.rigs.bench.leased import deed
from hil.rigs.bench.power import Switch, run, settle_ns, words_of
from hil.rigs.bench.probe import Probe, probe_of
from hil.rigs.bench.wire import Wire
from hil.rigs.bench.world import BenchWorld
from hil.rigs.model import ResourceSpec, StateSpec, TargetSpec
from hil.rigs.standard import STATES

STANDARD_TIMEOUT_NS: Final = 10_000_000_000
LOOK_NS: Final = 100_000_000  # between two looks for a port that is to appear


class BenchDut:
    """One board. Going down is by way of `off`, where it has that."""

    def __init__(
        self,
        name: str,
        spec: TargetSpec,
        switch: tuple[Switch, ResourceSpec] | None,
        wires: Sequence[Wire],
        handles: Mapping[str, object],
        *,
        lease: Lease | None = None,
    ) -> None:
        """Take the switch of its power, where it has one, all its ports, and the lease it is had under."""
        self.name = name
        self.firmware = spec.firmware or ""
        self.options = dict(spec.options)  # {NAME} in the texts of states
        self._spec = spec
        self._switch = switch
        self._wires = wires
        self._handles = handles
        self._lease = lease
        self._state: str = "off"
        self._boots = 0
        self._world: BenchWorld | None = None

    @property
    def state(self) -> str:
        """One of the target's states; the lowest as long as nobody brought it up, and after a port went away."""
        if self._state != "off" and any(wire.loss is not None for wire in self._wires):
            return "off" if self._switch is not None else self._lowest
        return self._state

    @property
    def boots(self) -> int:
        """How often the rig started it in this test; the start before the test counts."""
        return self._boots

    def begin(self, world: BenchWorld) -> None:
        """Begin a run."""
        self._world = world
        self._boots = 0 if self._state == "off" else 1

    def end(self) -> None:
        """End a run."""
        self._world = None

    def to(self, state: str, timeout: Timeout | None = None) -> None:
        """Bring it into a state; `timeout` is for all steps together, and each has its own from the rig file too.

        Raises: ValueError for none of the target's; BringUpError with the step that failed and why; LeaseLostError.
        """
        world = self._begun()
        if state not in self._spec.states:
            raise ValueError(f"{self.name} has no state {state!r}; it has {', '.join(self._spec.states)}")
        limit_ns = None if timeout is None else world.now_ns + timeout_ns(timeout)
        now = self.state
        if now != self._state or STATES.index(state) < STATES.index(now):
            self.down()
        if state == "off" and self._state != "off":
            self.down()
        for step in self._steps_to(state):
            self._climb(step, limit_ns)

    def switch(self, *, on: bool) -> None:
        """Switch its power. Raises: RigError where there is no switch."""
        world = self._begun()
        if self._switch is None:
            raise RigError(f"{self.name} has no resource of protocol 'power'; add one to the rig file")
        switch, spec = self._switch
        if not on:
            for wire in self._wires:
                wire.close()
        switch.set(on=on)
        world.run_until(world.now_ns + settle_ns(spec))
        self._boots += on
        self._become("powered" if on else "off")

    def down(self) -> None:
        """Take its power, or where nobody can, leave it alone: its ports are closed."""
        if self._switch is not None:
            self.switch(on=False)
        else:
            for wire in self._wires:
                wire.close()
            self._become("off")

    # ---- one step

    @property
    def _lowest(self) -> str:
        return self._spec.states[0]

    def _steps_to(self, state: str) -> list[str]:
        low, high = STATES.index(self._state), STATES.index(state)
        return [each for each in self._spec.states if low < STATES.index(each) <= high]

    def _climb(self, step: str, limit_ns: int | None) -> None:
        """Reach the next state. Raises: BringUpError."""
        world = self._begun()
        how = self._spec.state.get(step, StateSpec())
        each_ns = STANDARD_TIMEOUT_NS if how.timeout is None else duration_ns(how.timeout)
        attempts = how.retries + 1
        cause = ""
        for attempt in range(1, attempts + 1):
            until_ns = min(world.now_ns + each_ns, limit_ns if limit_ns is not None else world.now_ns + each_ns)
            try:
                self._reach(step, how, until_ns)
            except RigError as error:
                cause = str(error)
                world.record("power", "note", "note", text=f"{self.name} not {step}, try {attempt}: {cause}")
            else:
                world.run_until(world.now_ns + duration_ns(how.settle))
                self._become(step)
                return
            if limit_ns is not None and world.now_ns >= limit_ns:
                break
        tries = f" in {attempts} tries" if attempts > 1 else ""
        raise BringUpError(f"{self.name} is {self._state} and did not get {step}{tries}: {cause}")

    def _reach(self, step: str, how: StateSpec, until_ns: int) -> None:
        """Try once. Raises: RigError."""
        world = self._begun()
        if how.command is not None:
            left_s = max(0.001, (until_ns - world.now_ns) / 1e9)
            words = [_filled(word, self.options) for word in words_of(how.command)]
            with deed(self._lease):
                run(words, f"{self.name} {step}", left_s)
        if step == "powered":
            if self._switch is not None and self._state == "off":
                self.switch(on=True)
        else:
            self._open_all(until_ns)
        probe = probe_of(how, self._handles, lambda text: _filled(text, self.options))
        if probe is not None:
            self._open_all(until_ns)
            self._ask(probe, until_ns)

    def _open_all(self, until_ns: int) -> None:
        """Open every port; one that is to appear is waited for where power was switched, for then it takes its time."""
        world = self._begun()
        while True:
            try:
                for wire in self._wires:
                    wire.open()
            except RigError:
                if self._switch is None or world.now_ns + LOOK_NS > until_ns:
                    raise
                world.run_until(world.now_ns + LOOK_NS)
            else:
                return

    def _ask(self, probe: Probe, until_ns: int) -> None:
        """Ask until the answer comes. Raises: RigError with what came instead."""
        world = self._begun()
        probe.send()
        while (left_ns := until_ns - world.now_ns) > 0:
            if probe.hears(left_ns):
                return
        raise RigError(f"{probe}")

    def _become(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._begun().record("power", "note", "note", text=f"{self.name} is {state}")

    def _begun(self) -> BenchWorld:
        assert self._world is not None, "a test has begun"
        return self._world


class BenchPower:
    """What the fixture `power` is."""

    def __init__(self, dut: BenchDut) -> None:
        self._dut = dut

    @property
    def is_on(self) -> bool:
        """Whether the board has power, as far as the rig knows."""
        return self._dut.state != "off"

    def on(self) -> None:
        """Switch on. Raises: RigError."""
        if not self.is_on:
            self._dut.switch(on=True)

    def off(self) -> None:
        """Switch off; its ports are closed. Raises: RigError."""
        self._dut.switch(on=False)


Fill = Callable[[str], str]


def _filled(text: str, options: Mapping[str, object]) -> str:
    """Return a text with {NAME} put in, where there is such an option; other braces stay."""
    for name, value in options.items():
        text = text.replace(f"{{{name}}}", str(value))
    return text
