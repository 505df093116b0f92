"""The fixture `spi` on a bench: whole transfers by spidev. A bus that hangs ends the transfer, not the test run."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, Final

from drivers._spi_device import ChipSelect, SpiDev, node_of, open_chip_select, path_of, transfer_limit_bytes
from gateway.errors import PortError, PortLostError
from gateway.profile.model import LinkSpec
from hil.faults.faults import Fault, Faults
from hil.rigs.base import RigError
from hil.rigs.bench.wire import Wire, leased, no_peer
from hil.rigs.bench.world import BenchWorld
from hil.rigs.model import ResourceSpec

__tracebackhide__ = True  # pytest shows the line of the test instead

STALL_S: Final = 1.0  # beyond the time on the wire: the bus is stuck


class SpiWire(Wire):
    """One chip select."""

    reads = False

    def __init__(self, name: str, identity: str, link: LinkSpec, new_device: Callable[[], SpiDev]) -> None:
        super().__init__(name, identity)
        self._link = link
        self._new_device = new_device
        self._node = ""
        self._device: ChipSelect | None = None

    @leased
    def transfer(self, tx: bytes) -> bytes:
        """Return what was read while `tx` went out. Raises: RigLostError, RigError."""
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
        return bytes(answer[0])

    def _open(self) -> None:
        self._node, _ = node_of(self.identity, path_of(self.identity))
        self._device = open_chip_select(self.identity, self._node, self._link, self._new_device())

    def _close(self) -> None:
        device, self._device = self._device, None
        if device is not None:
            device.close()


class BenchSpi:
    """The host's side of a chip select."""

    def __init__(self, name: str, target: str, spec: ResourceSpec, new_device: Callable[[], SpiDev]) -> None:
        assert spec.port is not None
        self._name = name
        self._wire = SpiWire(f"{target}.{name}", spec.port, spec.link(), new_device)
        self.wires: list[Wire] = [self._wire]

    @property
    def peer(self) -> Any:
        """Nobody: the device is real. Raises: RigError."""
        return no_peer(self._wire)

    def transfer(self, tx: bytes) -> bytes:
        """Return what the device answers while `tx` goes out. Raises: ValueError, RigLostError, RigError."""
        if not 0 < len(tx) <= transfer_limit_bytes():
            raise ValueError(f"a transfer of {len(tx)} bytes; the kernel takes 1 to {transfer_limit_bytes()} at once")
        world = self._wire.world
        assert world is not None, "a test has begun"
        stamp_ns = world.now_ns
        rx = self._wire.transfer(bytes(tx))
        world.record_at(stamp_ns, self._name, "tx", "transfer", bytes(tx), rx=rx.hex())
        return rx

    def begin(self, world: BenchWorld, faults: Faults) -> None:
        """Begin a run."""
        self._wire.world = world
        faults.attach(self._name, "spi", self._fault_begins, self._fault_ends, ("unplug",))

    def end(self) -> None:
        """End a run."""
        self._wire.world = None

    def _fault_begins(self, _fault: Fault) -> None:
        self._wire.lose("unplugged by a fault")

    def _fault_ends(self, _fault: Fault) -> None:
        self._wire.open()
