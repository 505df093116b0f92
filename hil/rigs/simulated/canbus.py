"""A simulated CAN bus in virtual time: the host's node, which is the fixture, and the device's as its `peer`.

500 kbit/s, and 2 Mbit/s in the data phase of FD frames that switch. Both nodes count errors and confine themselves as
ISO 11898-1 has it; what faults do is said in `hil.faults.can`, what happens on the wire in `can_wire`.

Of the host's controller:

- It is as SocketCAN with reports of bus errors switched on: an error frame for each error, and for each new state.
- Off the bus, it loses what waits in its queue, and what is sent then; nothing is raised by that, `dropped` counts it.
- It comes back by itself, `RESTART_NS` after it went off and then 128 times 11 recessive bits; but not as long as a
  fault is active that can take it there. `restarts_itself = False`: only by `restart()`, as without `restart-ms`.
- Unplugged, it is away with all that was not read: `send` and `recv` raise, also where they waited. Back, it begins
  anew, under its old name, as Linux gives an interface one.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from typing import Any, Final

from hil.can_bits import bits_of
from hil.can_confinement import Controller, Counters, State
from hil.can_frames import Frame, Report, error_frame, frame_of, given
from hil.durations import Timeout, timeout_ns
from hil.faults import can
from hil.faults.faults import Fault
from hil.peers.can import CanPeer
from hil.rigs.base import RigLostError
from hil.rigs.can_queue import need_room
from hil.rigs.simulated.can_wire import FAST_NS, NOMINAL_NS, Node, Verdict, Wire
from hil.rigs.simulated.setting import Setting

__tracebackhide__ = True  # pytest shows the line of the test instead

READ_TIMEOUT_S: Final = 1.0
RESTART_NS: Final = 10_000_000
AWAY_NS: Final = 250_000_000  # of an interface that comes back
STUCK_NS: Final = 10_000_000  # without a frame going through: what is under way does not arrive
MOST_UNREAD: Final = 1 << 17  # frames
MAILBOXES: Final = 3  # of the device, while nobody hears it
HOST: Final = "host"
DEVICE: Final = "device"


def make(name: str, setting: Setting) -> SimulatedCan:
    """Return the handle of a simulated CAN bus."""
    return SimulatedCan(name, setting)


class SimulatedCan:
    """The fixture `can_bus`."""

    def __init__(self, name: str, setting: Setting) -> None:
        self.name = name
        self.dropped = 0
        """How many frames it lost because it was off the bus."""
        self.restarts_itself = True
        self._world, self._faults, self._dut = setting
        self._unread: deque[Frame] = deque(maxlen=MOST_UNREAD)
        self._listeners: list[tuple[Callable[[Frame], None], Callable[[str], None]]] = []
        self._watchers: list[Callable[[Frame], object]] = []
        self._away: set[str] = set()
        self._losses = 0
        self._boots = self._dut.boots
        self._babblers: dict[Fault, Node] = {}
        self._wire = Wire(self._world, self._strike)
        self._host = Node(HOST, lambda: self.is_there, self._sent, self._heard, self._told, Controller(), deque())
        self.peer = CanPeer(self, self._world, self._dut)
        self._device = self._device_node(self.peer.hear)
        self._wire.nodes += [self._host, self._device]
        self._faults.attach(name, "can", self._begin, self._end, can.KINDS)

    # ---- what a test does

    def send(
        self,
        id: int,  # noqa: A002 - as python-can calls it, too
        data: bytes = b"",
        extended: bool = False,
        fd: bool = False,
        **more: Any,
    ) -> None:
        """Send a frame, behind those that wait; time does not pass by that. `more`: `remote brs esi dlc`.

        Raises: ValueError for what is no frame, RigLostError, TxFullError (ENOBUFS) under `tx_full`.
        """
        self._put(frame_of(id, data, extended, fd, **more))

    def recv(self, timeout: Timeout | None = READ_TIMEOUT_S) -> Frame | None:
        """Return the next frame, error frames among them; None where none comes in time. Raises: RigLostError."""
        losses = self._losses
        until_ns = self._world.now_ns + timeout_ns(READ_TIMEOUT_S if timeout is None else timeout)
        if not self._away:
            self._world.wait_for(lambda: bool(self._unread) or self._losses != losses, until_ns)
        if self._away or self._losses != losses:
            raise self._lost()
        return self._unread.popleft() if self._unread else None

    @property
    def state(self) -> State:
        """The state of the host's controller: active, warning, passive, bus_off; what is under way happens first."""
        self.settle()
        return self._host.controller.state

    @property
    def counters(self) -> Counters:
        """The error counters of the host's controller, `tx` and `rx`; what is under way happens first."""
        self.settle()
        return self._host.controller.counters

    def restart(self) -> None:
        """Take the host's interface down and up: its controller begins anew, and its queue is empty.

        This is what ends the faults `bus_off` and `error_passive`, as it does where a driver never clears them.
        """
        for kind in ("bus_off", "error_passive"):
            fault = self._faults.in_force(self.name, kind)
            if fault is not None:
                fault.remove()
        self._lose_queue()
        if self._host.controller.counters != (0, 0):
            self._wire.reset(self._host)

    def settle(self) -> None:
        """Let what is under way arrive, as long as it gets less."""
        left = self._wire.waiting + 1
        while self._wire.waiting < left:
            left = self._wire.waiting
            if self._world.wait_for(self._wire.is_quiet, self._world.now_ns + STUCK_NS):
                return

    @property
    def is_there(self) -> bool:
        """Whether the interface is plugged in."""
        return not self._away

    # ---- what a gateway does

    def listen(self, heard: Callable[[Frame], None], lost: Callable[[str], None]) -> Callable[[], None]:
        """Call `heard` with each frame, and `lost` once if the interface goes away; return what ends it.

        Raises: RigLostError.
        """
        if self._away:
            raise self._lost()
        listener = (heard, lost)
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def host_send(self, item: Any) -> None:
        """Send a frame, its data filled up to a length that FD has. Raises: as `send`."""
        self._put(given(item))

    # ---- what the device does

    def hear_device(self, frame: Frame) -> None:
        """Take what the device sends. While nobody hears it, its controller keeps the newest few."""
        self._look_at_power()
        waiting = self._device.queue
        if not self._host.can_hear() and len(waiting) >= MAILBOXES:
            self._note(f"the device drops {waiting.popleft()}: nobody hears it")
        self._wire.offer(self._device, frame)

    def watch(self, sent: Callable[[Frame], object]) -> Callable[[], None]:
        """Call `sent` with each frame of the host that went through; return what ends it."""
        self._watchers.append(sent)
        return lambda: self._watchers.remove(sent) if sent in self._watchers else None

    @staticmethod
    def duration_ns(frame: Frame) -> int:
        """Return how long a frame is on the bus."""
        return bits_of(frame).duration_ns(NOMINAL_NS, FAST_NS)

    def peer_counters(self) -> Counters:
        """Return the error counters of the device's controller."""
        self.settle()
        return self._device.controller.counters

    def close(self) -> list[str]:
        """Let what is under way arrive at the end of a test; return what a test must not end with."""
        self.settle()
        return self.peer.left_wrong()

    # ---- the host's node

    def _put(self, frame: Frame) -> None:
        if self._away:
            raise self._lost()
        need_room(self._faults, self.name, frame, self._note)
        if self._host.controller.is_off:
            self._drop([frame])
        else:
            self._wire.offer(self._host, frame)

    def _sent(self, frame: Frame) -> None:
        self._world.record(self.name, "tx", frame.kind, frame.data, **frame.facts())
        for sent in tuple(self._watchers):
            sent(frame)

    def _heard(self, frame: Frame) -> None:
        if self._away:
            return
        self._world.record(self.name, "rx", frame.kind, frame.data, **frame.facts())
        self._unread.append(frame)
        for heard, _ in tuple(self._listeners):
            heard(frame)

    def _told(self, report: Report) -> None:
        self._heard(error_frame(report, self._host.controller.counters)._replace(t_ns=self._world.now_ns))
        if report.state == "bus_off":
            self._lose_queue()
            self._world.after(RESTART_NS, self._come_back)

    def _come_back(self) -> None:
        """Begin to recover, or wait as long as a fault is active that can keep it off."""
        host = self._host
        if not host.controller.is_off or host.recovery is not None:
            return
        is_kept = any(fault.bus == self.name and fault.kind in can.KEEP_OFF for fault in self._faults.active)
        if is_kept or not self.restarts_itself:
            self._world.after(RESTART_NS, self._come_back)
        else:
            self._wire.recover(host)

    def _lose_queue(self) -> None:
        self._drop(list(self._host.queue))
        self._wire.withdraw(self._host)

    def _drop(self, frames: list[Frame]) -> None:
        self.dropped += len(frames)
        for frame in frames:
            self._note(f"{frame} is lost: the controller is {self._host.controller.state}")

    def _note(self, text: str) -> None:
        self._world.record(self.name, "note", "note", text=text)

    def _lost(self) -> RigLostError:
        error = RigLostError(f"{self.name} is gone: unplugged; end the fault, or let time pass until it is back")
        error.errno = errno.ENODEV
        return error

    # ---- the device's nodes

    def _device_node(self, heard: Callable[[Frame], None] | None, sent: Callable[[Frame], None] | None = None) -> Node:
        def told(report: Report) -> None:
            if report.state == "bus_off":
                self._wire.recover(node)  # as firmware has it: at once, and what waits is sent then

        node = Node(DEVICE, self._has_power, sent or _nothing, heard, told, Controller(), deque())
        return node

    def _has_power(self) -> bool:
        self._look_at_power()
        return self._dut.is_powered

    def _look_at_power(self) -> None:
        """A device that was without power has forgotten what it would send, and its errors."""
        if self._dut.boots != self._boots or not self._dut.is_powered:
            self._boots = self._dut.boots
            for node in (self._device, *self._babblers.values()):
                node.queue.clear()
                node.failures = node.not_before_ns = 0
                node.recovery = None
                node.controller.reset()
                node.state = "active"

    # ---- faults

    def _strike(self, node: Node, frame: Frame) -> Verdict:
        kinds = can.OF_THE_HOST if node is self._host else can.OF_THE_DEVICE
        struck = self._faults.passing(self.name, frame.data, kinds)
        if not struck:
            return Verdict(frame)
        rival = can.rival_of(frame, struck)
        is_rival_there = rival is not None and self._device.can_hear()
        return Verdict(
            can.as_told(frame, struck),
            can.has_ack(struck),
            (self._device, rival) if rival is not None and is_rival_there else None,
        )

    def _begin(self, fault: Fault) -> None:
        match fault.kind:
            case "error_frame":
                self._wire.disturb()
            case "error_passive":
                self._host.controller.hold_passive()
                self._host.note()
            case "bus_off":
                self._host.controller.go_off()
                self._host.note()
            case "babble":
                self._babble(fault)
            case "bitrate":
                self._set_rate()
            case "unplug":
                self._vanish("unplug")
            case "reenumerate":
                self._vanish("reenumerate")
                self._world.after(fault.lasts_ns(AWAY_NS), lambda: self._appear("reenumerate"))

    def _end(self, fault: Fault) -> None:
        match fault.kind:
            case "error_passive" | "bus_off":
                self._wire.reset(self._host)
            case "babble":
                self._wire.remove(self._babblers.pop(fault))
            case "bitrate":
                self._set_rate()
                self._come_back()
            case "unplug":
                self._appear("unplug")

    def _set_rate(self) -> None:
        fault = self._faults.in_force(self.name, "bitrate")
        factor = 1.0 if fault is None else float(fault.params["factor"])
        self._wire.peer_rate = 1.0 if can.is_understood(factor) else factor
        if factor != 1.0 and can.is_understood(factor):
            self._note(f"a bit rate of {factor:g} times the nominal changes nothing: receivers tolerate it")

    def _babble(self, fault: Fault) -> None:
        load = Fraction(str(fault.params["load"])) / 100

        def sent(_: Frame) -> None:
            if load >= 1:
                self._wire.offer(node, can.babbled(fault))

        def tick() -> None:
            if self._babblers.get(fault) is not node:
                return
            frame = can.babbled(fault)
            if not node.queue and self._dut.is_powered:
                self._wire.offer(node, frame)
            self._world.after(can.babble_interval_ns(fault, frame, NOMINAL_NS), tick)

        node = self._device_node(None, sent)
        self._babblers[fault] = node
        self._wire.nodes.append(node)
        tick()

    # ---- coming and going

    def _vanish(self, why: str) -> None:
        was_there = self.is_there
        self._away.add(why)
        if not was_there:
            return
        self._losses += 1
        self._wire.withdraw(self._host)
        self._host.controller.reset()
        self._host.state = "active"
        self._host.recovery = None
        self._unread.clear()
        listeners, self._listeners = self._listeners, []
        for _, lost in listeners:
            lost(why)

    def _appear(self, why: str) -> None:
        self._away.discard(why)
        if not self.is_there:
            return
        self._note(f"{self.name} is there")
        for kind in ("bus_off", "error_passive"):
            fault = self._faults.in_force(self.name, kind)
            if fault is not None:
                self._begin(fault)


def _nothing(_: Frame) -> None:
    """Nobody has to know."""
