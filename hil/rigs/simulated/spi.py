"""The simulated SPI bus with one device on it: the host's side is the fixture `spi`, the device's is its `peer`.

A transfer takes its bits at `speed_hz`. Nothing but the device drives the host's input, which is pulled up: what nobody
answers reads 0xFF.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from hil.data import bytes_of
from hil.faults import spi as physics
from hil.faults.catalogue import KINDS
from hil.faults.faults import Fault
from hil.peers.spi import SpiPeer
from hil.rigs.simulated.setting import Setting, gone

__tracebackhide__ = True  # pytest shows the line of the test instead

STANDARD_SPEED_HZ: Final = 1_000_000
_NS: Final = 1_000_000_000
_KINDS: Final = frozenset(kind.name for kind in KINDS.values() if "spi" in kind.protocols)


class SimulatedSpi:
    """The host: `transfer(tx) -> rx`."""

    def __init__(self, name: str, setting: Setting) -> None:
        self.name = name
        self._world, self._faults, dut = setting
        self._lost: dict[object, Callable[[str], None]] = {}
        self.speed_hz = STANDARD_SPEED_HZ
        self.mode: int | None = None  # the host's SPI mode; None: the one that the device needs
        self.peer = SpiPeer(name, self._world, dut, dut.watchers)
        self._faults.attach(name, "spi", self._begin, _nothing, _KINDS)

    @property
    def is_there(self) -> bool:
        """Whether it is plugged in."""
        return self._faults.in_force(self.name, "unplug") is None

    def transfer(self, tx: bytes | Iterable[int]) -> bytes:
        """Return what is read while `tx` is sent, when that is over. Raises: ValueError, RigLostError."""
        sent = bytes_of(tx, least=1)
        end_ns = self._world.now_ns + self.duration_ns(sent)
        rx = self.exchange(sent)
        self._world.run_until(end_ns)
        return rx

    def exchange(self, tx: bytes) -> bytes:
        """Do the same, and let no time pass: for who waits in another way. Raises: RigLostError."""
        self._need_plugged()
        struck = self._faults.passing(self.name, tx, _KINDS)
        self._need_plugged()
        for text in physics.notes_of(struck, self.peer.mode):
            self._world.record(self.name, "note", "note", text=text)
        host_mode = self.peer.mode if self.mode is None else self.mode
        wires = physics.wires(len(tx), struck, host_mode, self.peer.mode)
        rx = physics.transfer(tx, wires, self.peer.exchange)
        self._world.record(self.name, "tx", "transfer", tx, rx=rx.hex())
        return rx

    def close(self) -> list[str]:
        """Return what a test must not end with."""
        return self.peer.left_wrong()

    def duration_ns(self, tx: bytes) -> int:
        """Return how long a transfer takes."""
        return 8 * len(tx) * _NS // self.speed_hz

    def listen(self, heard: Callable[[Any], None], lost: Callable[[str], None]) -> Callable[[], object]:
        """Call `lost` once if it goes away, and `heard` never, as nothing comes unasked; return what ends it.

        Raises: RigLostError.
        """
        del heard
        self._need_plugged()
        listener = object()
        self._lost[listener] = lost
        return lambda: self._lost.pop(listener, None)

    def _need_plugged(self) -> None:
        if not self.is_there:
            raise gone(self.name)

    def _begin(self, fault: Fault) -> None:
        if fault.kind == "unplug":
            lost, self._lost = self._lost, {}
            for each in lost.values():
                each("unplug")


def make(name: str, setting: Setting) -> SimulatedSpi:
    """Return the bus."""
    return SimulatedSpi(name, setting)


def _nothing(_fault: Fault) -> None:
    """States are looked up where they matter."""
