"""One simulated target: a world of its own for each run of a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from gateway.spelling import did_you_mean
from gateway.testing.clock import START_WALL_NS
from hil.faults.faults import Fault, Faults
from hil.rigs.base import Round
from hil.rigs.disk import Disk
from hil.rigs.simulated.dut import Power, SimulatedDut
from hil.rigs.simulated.setting import Setting
from hil.rigs.simulated.world import World, WorldClock
from hil.rigs.standard import SIMULATED, SIMULATED_RESOURCES, STATES
from hil.trace.record import Header
from hil.trace.writer import TraceWriter

STARTED: Final = datetime.fromtimestamp(START_WALL_NS / 1e9, UTC).isoformat().replace("+00:00", "Z")

RESTORE_NS: Final = 10_000_000_000

# A bus's module has `make(name, setting)`; a handle may have `close() -> list[str]`, which says what is left wrong.
_HOMES: Final[dict[str, str]] = {
    "ble": "hil.rigs.simulated.ble",
    "spi": "hil.rigs.simulated.spi",
    "uart": "hil.rigs.simulated.uart",
    "can": "hil.rigs.simulated.canbus",
}


class SimulatedRig:
    """`hil.rigs.base.Rig`, simulated."""

    clock: WorldClock
    dut: SimulatedDut
    faults: Faults
    disk: Disk
    trace: TraceWriter

    def __init__(
        self,
        name: str = SIMULATED,
        target: str = SIMULATED,
        resources: Mapping[str, str] | None = None,
        states: tuple[str, ...] = STATES,
    ) -> None:
        """Take what the rig file says, or be the rig that serves without one."""
        self.name = name
        self.target = target
        self.resources = dict(SIMULATED_RESOURCES if resources is None else resources)
        self.seed = 0
        self.firmware = SimulatedDut.firmware
        self._states = states
        self._handles: dict[str, Any] = {}
        self.world: World | None = None

    def begin(self, round_: Round, trace: Path | None) -> None:
        """Make a new world."""
        self.seed = round_.seed
        buses = {name: {"protocol": protocol} for name, protocol in self.resources.items()}
        self.trace = TraceWriter(trace, Header(trace=1, started=STARTED, seed=round_.seed, buses=buses))
        self.world = world = World(round_.seed, self.trace)
        self.clock = world.clock
        self.faults = Faults(world, only=round_.only)
        self.dut = SimulatedDut(self.target, self._states, world)
        self.disk = Disk(round_.folder / "disk", self.faults)
        self.faults.attach("clock", "", self._jump, _nothing)
        setting = Setting(world, self.faults, self.dut)
        self._handles = {
            name: self._make(name, protocol, setting)
            for name, protocol in self.resources.items()
            if protocol == "power" or protocol in _HOMES
        }

    def end(self) -> list[str]:
        """End the world; return what was left wrong."""
        self.faults.clear()
        closing = [getattr(handle, "close", list) for handle in self._handles.values()]
        left = [each for close in closing for each in close() or []]
        assert self.world is not None
        self.world.end()
        self.trace.close()
        return left

    def get(self, name: str) -> Any:
        """Return the handle of a resource. Raises: ValueError naming the nearest."""
        if name not in self._handles:
            raise ValueError(f"{self.target} has no resource {name!r}{did_you_mean(name, self._handles)}")
        return self._handles[name]

    def record_note(self, text: str) -> None:
        """Write a note into the trace."""
        assert self.world is not None
        self.world.record("", "note", "note", text=text)

    def make_gateway(self) -> Any:
        """Return a gateway on the rig's ports, in the rig's time."""
        return import_module("hil.rigs.simulated.gateway").make(self)

    def restore(self) -> None:
        """End all faults, bring the device into its last state, wait for ports that are on their way back."""
        self.faults.clear()
        self.dut.to(self._states[-1])
        assert self.world is not None
        handles = self._handles.values()
        self.world.wait_for(
            lambda: all(getattr(handle, "is_there", True) for handle in handles), self.world.now_ns + RESTORE_NS
        )

    def close(self) -> None:
        """Nothing is held between tests."""

    def _make(self, name: str, protocol: str, setting: Setting) -> Any:
        if protocol == "power":
            self.faults.attach(name, "power", self.dut.strike, _nothing)
            return Power(self.dut)
        make: Callable[[str, Setting], Any] = import_module(_HOMES[protocol]).make
        return make(name, setting)

    def _jump(self, fault: Fault) -> None:
        assert self.world is not None
        self.world.wall_offset_ns += fault.params["by"]


def _nothing(_fault: Fault) -> None:
    """Events do not end."""
