"""The fixture `spi` on a bench: whole transfers by spidev. A bus that hangs ends the transfer, not the test run.

Of the faults of `hil.faults.spi`, `mode` really sets the bus, and `stuck_miso` and `bit_slip` change what is read.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from drivers._spi_device import ChipSelect, SpiDev, node_of, open_chip_select, path_of, set_up, transfer_limit_bytes
from gateway.errors import PortError, PortLostError, PortNotFoundError
from gateway.profile.model import LinkSpec
from hil.data import bytes_of
from hil.faults import spi as physics
from hil.faults.faults import Fault, Faults
from hil.rigs.base import RigError
from hil.rigs.bench.wire import Wire, leased, no_peer
from hil.rigs.bench.world import BenchWorld
from hil.rigs.model import ResourceSpec

if TYPE_CHECKING:
    from hil.rigs.bench.agent_wire import AgentSpiWire

__tracebackhide__ = True  # pytest shows the line of the test instead

STALL_S: Final = 1.0  # beyond the time on the wire: the bus is stuck


class SpiWire(Wire):
    """One chip select."""

    def __init__(self, name: str, identity: str, link: LinkSpec, new_device: Callable[[], SpiDev]) -> None:
        super().__init__(name, identity)
        self._link = link
        self._new_device = new_device
        self._node = ""
        self._raw: SpiDev | None = None
        self._device: ChipSelect | None = None

    @property
    def most_bytes(self) -> int:
        """Of one transfer."""
        return transfer_limit_bytes()

    @leased
    def configure(self, link: LinkSpec) -> None:
        """Transfer otherwise from now on. Raises: RigLostError, RigError for what the controller cannot."""
        try:
            if self._raw is not None:
                set_up(self.identity, link, self._raw)
        except PortNotFoundError as error:
            self.lose(error.cause)
            self.check()
        except PortError as error:
            raise RigError(f"{self.name}: {error}") from error
        self._link = link

    @leased
    def transfer(self, tx: bytes) -> tuple[int, bytes]:
        """Return when it began and what was read while `tx` went out. Raises: RigLostError, RigError."""
        self.check()
        if not os.path.exists(self._node):  # noqa: PTH110 - one stat
            self.lose("its device node is gone")
            self.check()
        answer: list[Any] = []

        def carry_out() -> None:
            assert self._device is not None
            try:
                answer.append(self._device.exchange(tx))
            except PortError as error:
                answer.append(error)

        working = threading.Thread(target=carry_out, name=f"hil {self.name}", daemon=True)
        begun_ns = time.monotonic_ns()
        working.start()
        working.join(STALL_S + 16 * len(tx) / self._link.speed_hz)
        if not answer:
            self.lose(f"a transfer of {len(tx)} bytes hangs")
            self.check()
        if isinstance(answer[0], PortLostError):
            self.lose(answer[0].cause)
            self.check()
        if isinstance(answer[0], PortError):
            raise RigError(f"{self.name}: {answer[0]}") from answer[0]
        return begun_ns, bytes(answer[0])

    def _open(self) -> None:
        self._node, _ = node_of(self.identity, path_of(self.identity))
        self._raw = self._new_device()
        self._device = open_chip_select(self.identity, self._node, self._link, self._raw)

    def _close(self) -> None:
        device, self._device, self._raw = self._device, None, None
        if device is not None:
            device.close()


class BenchSpi:
    """The host's side of a chip select."""

    def __init__(self, name: str, target: str, spec: ResourceSpec, new_device: Callable[[], SpiDev]) -> None:
        self.name = name
        self._resource = spec
        self._wire = _wire_of(f"{target}.{name}", spec, new_device)
        self._spec = spec.link()  # as the rig file has it
        self._link = self._spec  # as a test has it
        self._clocked = self.mode  # as the wire has it
        self._faults: Faults | None = None
        self._kinds = ("unplug", "stuck_miso", "bit_slip", *(["mode"] if isinstance(self._wire, SpiWire) else []))
        self.wires: list[Wire] = [self._wire]

    @property
    def peer(self) -> Any:
        """Nobody: the device is real. Raises: RigError."""
        return no_peer(self._wire)

    @property
    def is_there(self) -> bool:
        """Whether it can be used."""
        return self._wire.is_open

    @property
    def most_bytes(self) -> int:
        """Of one transfer."""
        return self._wire.most_bytes

    def suit(self, link: LinkSpec) -> None:
        """Let what the rig file leaves open be as a profile says. Raises: ValueError for a contradiction, RigError."""
        told = {"mode": self._resource.mode, "bits": self._resource.bits}
        for key, value in told.items():
            wanted = getattr(link, key) or 0
            if value is not None and value != wanted:
                raise ValueError(f"the rig file says {key} = {value}, and the profile {wanted}; correct the wrong one")
        if isinstance(self._wire, SpiWire):
            speed_hz = self._resource.speed_hz or link.speed_hz
            self._set(msgspec.structs.replace(self._spec, mode=link.mode, bits=link.bits, speed_hz=speed_hz))

    @property
    def mode(self) -> int:
        """The host's SPI mode; may be set until the test is over, None: the rig file's. Raises: RigError."""
        return int(self._link.mode or 0)

    @mode.setter
    def mode(self, mode: int | None) -> None:
        self._configure(mode=self._spec.mode if mode is None else mode)

    @property
    def speed_hz(self) -> int:
        """Bits a second, as asked of the controller. May be set until the test is over. Raises: RigError."""
        return self._link.speed_hz

    @speed_hz.setter
    def speed_hz(self, speed_hz: int) -> None:
        self._configure(speed_hz=speed_hz)

    def transfer(self, tx: bytes | Iterable[int]) -> bytes:
        """Return what the device answers while `tx` goes out. Raises: ValueError, RigLostError, RigError."""
        tx = bytes_of(tx, least=1)
        if len(tx) > self._wire.most_bytes:
            raise ValueError(f"a transfer of {len(tx)} bytes; the kernel takes 1 to {self._wire.most_bytes} at once")
        world = self._wire.world
        assert world is not None, "a test has begun"
        assert self._faults is not None
        struck = self._faults.passing(self.name, tx, self._kinds)
        for text in physics.notes_of(struck, self.mode):
            world.record(self.name, "note", "note", text=text)
        between = physics.wires(len(tx), struck, self.mode, self.mode)
        self._clock_in(between.host_mode)
        begun_ns, rx = self._wire.transfer(tx)
        rx = physics.as_read(rx, between)
        world.record_at(world.since_start_ns(begun_ns), self.name, "tx", "transfer", tx, rx=rx.hex())
        return rx

    def begin(self, world: BenchWorld, faults: Faults) -> None:
        """Begin a run: nothing of the one before is left."""
        self._faults = faults
        if self._link != self._spec:
            self._set(self._spec)
        self._clock_in(self.mode)
        self._wire.world = world
        faults.attach(self.name, "spi", self._fault_begins, self._fault_ends, self._kinds)

    def end(self) -> None:
        """End a run."""
        self._wire.world = None

    def _configure(self, **changes: Any) -> None:
        self._wire.check()
        self._set(msgspec.structs.replace(self._link, **changes))

    def _set(self, link: LinkSpec) -> None:
        self._wire.configure(link)
        self._link, self._clocked = link, int(link.mode or 0)

    def _clock_in(self, mode: int) -> None:
        """Let the next transfers be in this mode: the host's, or the one that a fault has put it in."""
        if mode != self._clocked:
            self._wire.configure(msgspec.structs.replace(self._link, mode=mode))
            self._clocked = mode

    def _fault_begins(self, fault: Fault) -> None:
        if fault.kind == "unplug":
            self._wire.lose("unplugged by a fault")

    def _fault_ends(self, fault: Fault) -> None:
        if fault.kind == "unplug":
            self._wire.open()


def _wire_of(name: str, spec: ResourceSpec, new_device: Callable[[], SpiDev]) -> SpiWire | AgentSpiWire:
    if spec.agent is not None:
        from hil.rigs.bench.agent_wire import AgentSpiWire

        return AgentSpiWire(name, spec.agent)
    assert spec.port is not None
    return SpiWire(name, spec.port, spec.link(), new_device)
