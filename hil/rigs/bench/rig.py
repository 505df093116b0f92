"""One target of a bench behind the fixtures of every rig."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from drivers._spi_device import SpiDev, py_spidev
from gateway.spelling import did_you_mean
from hil.faults.faults import Fault, Faults
from hil.lease.errors import LeaseError
from hil.lease.pool import current
from hil.rigs.base import BringUpError, RigError, Round
from hil.rigs.bench.ble import BenchBle
from hil.rigs.bench.canbus import BenchCan
from hil.rigs.bench.dut import BenchDut, BenchPower
from hil.rigs.bench.leased import LeasedSwitch
from hil.rigs.bench.power import Switch, switch_of
from hil.rigs.bench.spi import BenchSpi
from hil.rigs.bench.uart import BenchUart
from hil.rigs.bench.wire import Wire
from hil.rigs.bench.world import BenchClock, BenchWorld
from hil.rigs.disk import Disk
from hil.rigs.model import ResourceSpec, RigFile
from hil.trace.record import Header
from hil.trace.writer import TraceWriter

BROWN_OUT_NS: Final = 200_000_000  # long enough for the capacitors of a board

Handle = BenchUart | BenchCan | BenchBle | BenchSpi


class BenchRig:
    """`hil.rigs.base.Rig` on real ports."""

    clock: BenchClock
    faults: Faults
    disk: Disk
    trace: TraceWriter

    def __init__(self, file: RigFile, target: str, new_spi: Callable[[], SpiDev] = py_spidev) -> None:
        """Open nothing yet; `new_spi` makes an unopened py-spidev device."""
        spec = file.target[target]
        self.name = file.rig.name
        self.target = target
        self.seed = 0
        self.resources = {name: str(its.protocol) for name, its in spec.resource.items()}
        self._spec = spec
        self._handles: dict[str, Handle] = {
            name: self._make(name, its, new_spi) for name, its in spec.resource.items() if its.protocol != "power"
        }
        self._wires: list[Wire] = [wire for handle in self._handles.values() for wire in handle.wires]
        lease = current()
        for wire in self._wires:
            wire.lease = lease
        switches = [(name, its) for name, its in spec.resource.items() if its.protocol == "power"]
        self._switch: tuple[Switch, ResourceSpec] | None = None
        if switches:
            name, its = switches[0]
            switch = switch_of(f"{target}.{name}", its)
            self._switch = (switch if lease is None else LeasedSwitch(switch, lease), its)
        self.dut = BenchDut(target, spec, self._switch, self._wires, self._handles, lease=lease)
        self._power = BenchPower(self.dut)
        self._failure: BringUpError | None = None
        self.world: BenchWorld | None = None

    @property
    def firmware(self) -> str:
        """What runs on the board, as the rig file says."""
        return self.dut.firmware

    def begin(self, round_: Round, trace: Path | None) -> None:
        """Bring the board up as far as it goes, recording.

        Raises: BringUpError, at once where it failed before; LeaseLostError.
        """
        if self._failure is not None:
            raise BringUpError(f"not tried again after it failed before: {self._failure}")
        self.seed = round_.seed
        started = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        buses = {name: {"protocol": protocol} for name, protocol in self.resources.items()}
        self.trace = TraceWriter(trace, Header(trace=1, started=started, seed=round_.seed, buses=buses))
        self.world = world = BenchWorld(round_.seed, self.trace)
        self.clock = BenchClock(world)
        self.faults = Faults(world, only=round_.only)
        self.disk = Disk(round_.folder / "disk", self.faults)
        self._attach()
        for handle in self._handles.values():
            handle.begin(world, self.faults)
        self.dut.begin(world)
        try:
            self._bring_up()
        except (BringUpError, LeaseError) as error:
            self._failure = error if isinstance(error, BringUpError) else None
            self.end()
            raise

    def end(self) -> list[str]:
        """Bring everything to rest; ports stay open for the next test, the board stays as it is."""
        world, self.world = self.world, None
        if world is None:
            return []
        left = self._clear_faults()
        left += [f"{wire.name} went away: {wire.loss}" for wire in self._wires if wire.loss is not None]
        left += [each for handle in self._handles.values() for each in getattr(handle, "left_wrong", list)()]
        self.dut.end()
        world.end()
        for handle in self._handles.values():
            handle.end()
        self.trace.close()
        return left

    def get(self, name: str) -> Any:
        """Return the handle of a resource. Raises: ValueError naming the nearest."""
        if name not in self.resources:
            raise ValueError(f"{self.target} has no resource {name!r}{did_you_mean(name, self.resources)}")
        return self._handles.get(name, self._power)

    def record_note(self, text: str) -> None:
        """Write a note into the trace."""
        if self.world is not None:
            self.world.record("", "note", "note", text=text)

    def make_gateway(self) -> Any:
        """Return a gateway on the rig's ports."""
        return import_module("hil.rigs.bench.gateway").make(self)

    def restore(self) -> None:
        """End all faults, open what was lost, bring the board into its last state. Raises: BringUpError."""
        self.faults.clear()
        self._bring_up()

    def close(self) -> None:
        """Close all ports and give the switch back. Power is left as it is: a board may be in use by hand."""
        self.end()
        for wire in self._wires:
            wire.close()
        if self._switch is not None:
            self._switch[0].close()

    def _bring_up(self) -> None:
        self.dut.to(self._spec.states[-1])
        if self.dut.state != "off":
            for wire in self._wires:
                try:
                    wire.open()
                except RigError as error:
                    raise BringUpError(str(error)) from error

    def _make(self, name: str, spec: ResourceSpec, new_spi: Callable[[], SpiDev]) -> Handle:
        if spec.protocol == "spi":
            return BenchSpi(name, self.target, spec, new_spi)
        if spec.protocol == "ble":
            return BenchBle(name, self.target, spec)
        return BenchCan(name, self.target, spec) if spec.protocol == "can" else BenchUart(name, self.target, spec)

    def _attach(self) -> None:
        """Say which faults real hardware can have: what a switch does, and the clock of the rig itself."""
        self.faults.attach("clock", "", self._jump, _nothing)
        for name, protocol in self.resources.items():
            if protocol == "power":
                self.faults.attach(name, protocol, self._strike, _nothing, ("brown_out", "reset"))

    def _clear_faults(self) -> list[str]:
        """End all faults; return what did not end: a port that a fault took may not be to be had again by us."""
        try:
            self.faults.clear()
        except (RigError, LeaseError) as error:
            return [str(error)]
        return []

    def _strike(self, fault: Fault) -> None:
        assert self.world is not None
        self.dut.switch(on=False)
        self.world.run_until(self.world.now_ns + fault.lasts_ns(BROWN_OUT_NS))
        self.dut.switch(on=True)

    def _jump(self, fault: Fault) -> None:
        assert self.world is not None
        self.world.wall_offset_ns += fault.params["by"]


def _nothing(_fault: Fault) -> None:
    """Events do not end."""
