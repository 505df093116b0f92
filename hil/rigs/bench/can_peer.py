"""Another node of a CAN bus, played by a second adapter."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

from hil.can_confinement import Counters
from hil.can_frames import Frame
from hil.peers.can import CanPeer
from hil.peers.can_script import CanRule
from hil.rigs.base import RigError
from hil.rigs.bench.can_wire import CanWire
from hil.rigs.bench.peer_times import PeerTimes, PlayedBoard, ThreadedPeer
from hil.rigs.model import ResourceSpec


class Way(Protocol):
    """One direction between the two adapters."""

    def sending(self, frame: Frame) -> AbstractContextManager[object]:
        """Know of a frame before it is sent."""

    def heard(self, frame: Frame) -> None:
        """Know that it has arrived."""


class Host(Protocol):
    """The host's node."""

    name: str
    coming: Way
    going: Way

    def settle(self) -> None:
        """Let what is under way arrive."""


class BenchCanPeer(ThreadedPeer[CanRule, Frame], CanPeer):
    """Answers what it was told to answer, and speaks when a test lets it: as the simulated one, on a real bus."""

    def __init__(self, name: str, spec: ResourceSpec, host: Host) -> None:
        assert spec.peer is not None
        self.wire = CanWire(name, spec.peer, spec.link(), self._came)
        self._host = host
        self.thread_times = PeerTimes(self.wire)
        self._node = _Node(host, self.wire)
        super().__init__(self._node, self.thread_times, PlayedBoard())

    def reset(self) -> None:
        """Forget everything that a test has told it, and what it heard."""
        super().reset()
        self._node.watchers.clear()

    def _came(self, frame: Frame, stamp_ns: int) -> None:
        world = self.wire.hearing()
        if world is None or frame.error:
            return
        with self.thread_times.lock:
            for sent in tuple(self._node.watchers):
                sent(frame)
            self.hear(frame._replace(t_ns=world.since_start_ns(stamp_ns)))
        self._host.going.heard(frame)
        world.wake()


class _Node:
    """The adapter as `hil.peers.can.Bus`."""

    def __init__(self, host: Host, wire: CanWire) -> None:
        self.name = host.name
        self.watchers: list[Callable[[Frame], object]] = []
        self._host = host
        self._wire = wire

    def settle(self) -> None:
        """Let what is under way arrive. Raises: LeaseLostError."""
        self._host.settle()

    def hear_device(self, frame: Frame) -> None:
        """Send. Raises: RigLostError, TxFullError, LeaseLostError."""
        with self._host.coming.sending(frame):
            self._wire.send(frame)

    def watch(self, sent: Callable[[Frame], object]) -> Callable[[], None]:
        """Call `sent` with each frame of the host, as it arrives; return what ends it."""
        self.watchers.append(sent)
        return lambda: self.watchers.remove(sent) if sent in self.watchers else None

    @staticmethod
    def duration_ns(frame: Frame) -> int:
        """Return 0: a real bus has a time of its own."""
        del frame
        return 0

    def peer_counters(self) -> Counters:
        """Raise RigError: adapters tell them to their own node alone."""
        raise RigError(f"{self._wire.name}: the adapter that plays the board does not tell its error counters")
