"""The fixture `can_bus` on a bench: any interface of python-can, stamped by the adapter where it stamps.

What the simulated one knows of its wire, this one is told: state and counters by the controller's error frames.
Of the faults of `hil.faults.can`, `dlc` changes what is received, `tx_full` refuses what is sent, and `babble` is a
node that really sends, where an interface takes a second socket; `unplug` closes the port.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from drivers._can_errors import BUS_OFF, ERROR_ACTIVE, ERROR_PASSIVE, ERROR_WARNING, read_error
from hil.can_confinement import Counters, State
from hil.can_frames import Frame, frame_of, given
from hil.durations import Timeout, timeout_ns
from hil.faults import can
from hil.faults.faults import Fault, Faults
from hil.rigs.bench.babbler import Babbler
from hil.rigs.bench.can_peer import BenchCanPeer
from hil.rigs.bench.can_wire import CanWire, UnderWay
from hil.rigs.bench.wire import SEEN_NS, Wire, no_peer
from hil.rigs.bench.world import BenchWorld
from hil.rigs.can_queue import need_room
from hil.rigs.model import ResourceSpec

if TYPE_CHECKING:
    from hil.rigs.bench.agent_can import AgentCanWire

__tracebackhide__ = True  # pytest shows the line of the test instead

MOST_UNREAD: Final = 1 << 17  # frames
MOST_RECEIVED: Final = 1 << 17
STATES: Final[dict[str, State]] = {
    ERROR_ACTIVE: "active",
    ERROR_WARNING: "warning",
    ERROR_PASSIVE: "passive",
    BUS_OFF: "bus_off",
}


class BenchCan:
    """The host's node on a bus: all that passes is recorded."""

    def __init__(self, name: str, target: str, spec: ResourceSpec) -> None:
        self.name = name
        self._wire = self._wire_of(f"{target}.{name}", spec)
        self._peer = BenchCanPeer(f"{target}.{name} peer", spec, self) if spec.peer is not None else None
        self._unread: deque[Frame] = deque(maxlen=MOST_UNREAD)
        self._state: State = "active"
        self._counters = Counters(0, 0)
        self._faults: Faults | None = None
        self._babblers: dict[Fault, Babbler] = {}
        self._listeners: list[Callable[[Frame], None]] = []
        self.coming = UnderWay()  # from the other adapter
        self.going = UnderWay()  # to it
        self.wires: list[Wire] = [self._wire] if self._peer is None else [self._wire, self._peer.wire]

    def _wire_of(self, name: str, spec: ResourceSpec) -> CanWire | AgentCanWire:
        if spec.agent is not None:
            from hil.rigs.bench.agent_can import AgentCanWire

            return AgentCanWire(name, spec.agent, self._received)
        assert spec.port is not None
        return CanWire(name, spec.port, spec.link(), self._received)

    # ---- what a test does

    @property
    def peer(self) -> BenchCanPeer:
        """Another node, where a second adapter is on the bus. Raises: RigError where there is none."""
        return cast("BenchCanPeer", no_peer(self._wire)) if self._peer is None else self._peer

    def send(
        self,
        id: int,  # noqa: A002 - as python-can calls it, too
        data: bytes = b"",
        extended: bool = False,
        fd: bool = False,
        **more: Any,
    ) -> None:
        """Send a frame. `more`: `remote brs esi dlc`.

        Raises: ValueError for what is no frame, RigLostError, TxFullError (ENOBUFS) where the queue stays full.
        """
        self._put(frame_of(id, data, extended, fd, **more))

    def recv(self, timeout: Timeout | None = None) -> Frame | None:
        """Return the next frame, error frames among them; None where none comes in time. Raises: RigLostError."""
        self._wire.take(lambda: bool(self._unread), SEEN_NS if timeout is None else timeout_ns(timeout))
        return self._unread.popleft() if self._unread else None

    @property
    def state(self) -> State:
        """`active`, `warning`, `passive` or `bus_off`, as error frames told; what is under way happens first."""
        self.settle()
        return self._state

    @property
    def counters(self) -> Counters:
        """The error counters of the controller, `tx` and `rx`, as error frames told last."""
        self.settle()
        return self._counters

    def restart(self) -> None:
        """Let the controller begin anew: by the kernel where it is off the bus, else its port is closed and opened.

        Raises: RigLostError; RigError where the kernel does not let this user do so.
        """
        self._wire.restart(is_off=self._state == "bus_off")
        self._state, self._counters = "active", Counters(0, 0)

    def settle(self) -> None:
        """Let what is under way between two adapters arrive, as long as it gets less. Raises: LeaseLostError."""
        self._wire.need_lease()
        world = self._wire.world
        assert world is not None, "a test has begun"
        for way in (self.going, self.coming):
            way.settle(world)

    @property
    def is_there(self) -> bool:
        """Whether the interface is plugged in."""
        return self._wire.is_open

    # ---- what a gateway does

    def listen(self, heard: Callable[[Frame], None]) -> Callable[[], None]:
        """Call `heard` with each frame, in a thread, until what this returns is called."""
        self._listeners.append(heard)
        return lambda: self._listeners.remove(heard) if heard in self._listeners else None

    def host_send(self, item: Any) -> None:
        """Send a frame, its data filled up to a length that FD has. Raises: as `send`."""
        self._put(given(item))

    # ---- what the rig does

    def begin(self, world: BenchWorld, faults: Faults) -> None:
        """Begin a run: nothing of the one before is left."""
        for wire in self.wires:
            wire.world = None
        self._unread.clear()
        self._state, self._counters = "active", Counters(0, 0)
        self.coming.clear()
        self.going.clear()
        if self._peer is not None:
            self._peer.end()
        for wire in self.wires:
            wire.world = world
        self._faults = faults
        can_babble = isinstance(self._wire, CanWire) and self._wire.is_shared
        kinds = ("unplug", "dlc", "tx_full", *(["babble"] if can_babble else []))
        faults.attach(self.name, "can", self._fault_begins, self._fault_ends, kinds)

    def end(self) -> None:
        """End a run."""
        if self._peer is not None:
            self._peer.end()
        for wire in self.wires:
            wire.world = None

    def left_wrong(self) -> list[str]:
        """Return what a test must not end with."""
        return [] if self._peer is None else self._peer.left_wrong()

    def _put(self, frame: Frame) -> None:
        world = self._wire.world
        assert world is not None, "a test has begun"
        self._wire.check()
        assert self._faults is not None
        need_room(self._faults, self.name, frame, lambda text: world.record(self.name, "note", "note", text=text))

        def sent(at_ns: int) -> None:
            world.record_at(world.since_start_ns(at_ns), self.name, "tx", frame.kind, frame.data, **frame.facts())

        with contextlib.nullcontext() if self._peer is None else self.going.sending(frame):
            self._wire.send(frame, sent)

    def _fault_begins(self, fault: Fault) -> None:
        if fault.kind == "unplug":
            self._unread.clear()
            self._wire.lose("unplugged by a fault")
        elif fault.kind == "babble" and isinstance(self._wire, CanWire):
            self._wire.check()
            self._babblers[fault] = Babbler(self._wire, fault)

    def _fault_ends(self, fault: Fault) -> None:
        if fault.kind == "unplug":
            self._wire.open()
        elif fault in self._babblers:
            self._babblers.pop(fault).stop()

    def _received(self, frame: Frame, stamp_ns: int) -> None:
        world, faults = self._wire.hearing(), self._faults
        if world is None or faults is None:
            return
        raw = frame
        if not frame.error:
            frame = can.as_told(frame, faults.passing(self.name, frame.data, ("dlc", "unplug")))
            if not self._wire.is_open:
                return
        if frame.error and self._wire.has_kernel_errors:
            self._told(frame)
        t_ns = world.since_start_ns(stamp_ns)
        world.record_at(t_ns, self.name, "rx", frame.kind, frame.data, **frame.facts())
        heard = frame._replace(t_ns=t_ns)
        self._unread.append(heard)
        for listener in tuple(self._listeners):
            listener(heard)
        self.coming.heard(raw)
        world.wake()

    def _told(self, frame: Frame) -> None:
        report = read_error(frame.id, frame.data)
        if report.state is not None:
            self._state = STATES[report.state]
        if report.counters is not None:
            self._counters = Counters(*report.counters)
        elif report.restarted:
            self._counters = Counters(0, 0)
