"""The board's side of a serial line, played by a second adapter that is wired to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from hil.peers.uart import UartPeer
from hil.peers.uart_script import UartRule
from hil.rigs.base import RigError
from hil.rigs.bench.peer_times import PeerTimes, PlayedBoard, ThreadedPeer
from hil.rigs.bench.serial_wire import SerialWire
from hil.rigs.model import ResourceSpec

__tracebackhide__ = True  # pytest shows the line of the test instead


class Line(Protocol):
    """The line that it is wired to."""

    def passed(self) -> None:
        """Learn that something is under way on it."""

    def settle(self) -> None:
        """Let what is under way arrive. Raises: LeaseLostError."""


class BenchUartPeer(ThreadedPeer[UartRule, bytes], UartPeer):
    """Answers what it was told to answer, and speaks when a test lets it: as the simulated one, on a real line."""

    def __init__(self, name: str, spec: ResourceSpec, line: Line) -> None:
        assert spec.peer is not None
        self.wire = SerialWire(name, spec.peer, spec.link(), self._came)
        self.thread_times = PeerTimes(self.wire)
        self._line = _Way(name, self.wire, line)
        super().__init__(self._line, self.thread_times, PlayedBoard())

    @property
    def received(self) -> bytes:
        """As `UartPeer.received` says. Raises: LeaseLostError."""
        self._line.settle()  # without the lock: what arrives is heard under it
        with self.thread_times.lock:
            return bytes(self._received)

    def reset(self) -> None:
        """Forget everything that a test has told it, and what it heard."""
        super().reset()
        self._line.watchers.clear()

    def _came(self, data: bytes, _stamp_ns: int, _errors: tuple[str, ...]) -> None:
        world = self.wire.hearing()
        if world is None:
            return
        self._line.passed()
        with self.thread_times.lock:
            for left in tuple(self._line.watchers):
                left(data)
            self.hear(data)
        world.wake()


class _Way:
    """The line as `hil.peers.uart.Port`."""

    def __init__(self, name: str, wire: SerialWire, line: Line) -> None:
        """Take `target.bus peer`."""
        self.name = name.rpartition(".")[2].removesuffix(" peer")
        self.watchers: list[Callable[[bytes], object]] = []
        self._wire = wire
        self.settle = line.settle
        self.passed = line.passed

    def hear_device(self, data: bytes, errors: tuple[str, ...], *, is_recorded: bool = False) -> None:
        """Send. Raises: ValueError for errors but `break`, which no adapter sends; RigLostError, LeaseLostError."""
        del is_recorded
        strange = [flag for flag in errors if flag != "break"]
        if strange:
            raise ValueError(f"an adapter cannot send {', '.join(strange)} errors; on a bench only 'break'")
        try:
            self._wire.write(data)
            if errors:
                self._wire.send_break()
            self.passed()
        except RigError as error:
            self._wire.lose(str(error))
            raise

    def watch(self, left: Callable[[bytes], object]) -> Callable[[], None]:
        """Call `left` with what the host sends, as it arrives; return what ends it."""
        self.watchers.append(left)
        return lambda: self.watchers.remove(left) if left in self.watchers else None
