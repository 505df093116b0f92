"""The fixture `can_bus` on a bench: any interface of python-can, stamped by the adapter where it stamps."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from drivers._can_errors import BUS_OFF, ERROR_ACTIVE, ERROR_PASSIVE, ERROR_WARNING, read_error
from drivers._can_python import KERNEL_ERRORS, split_target
from drivers._usb_identity import can_interface_of
from gateway.errors import PortNotFoundError, PortOptionError
from gateway.frame import CAN_ERROR
from gateway.profile.model import LinkSpec
from gateway.registry import require
from hil.durations import Timeout, timeout_ns
from hil.faults.faults import Fault, Faults
from hil.rigs.base import RigError
from hil.rigs.bench.wire import POLL_S, SEEN_NS, GoneError, Wire, leased, no_peer
from hil.rigs.bench.world import BenchWorld
from hil.rigs.model import ResourceSpec

__tracebackhide__ = True  # pytest shows the line of the test instead

SEND_S: Final = 1.0
MOST_STANDARD_ID: Final = 0x7FF
BELIEVABLE_NS: Final = 5_000_000_000  # an adapter's stamp that is older, or of the future, is of another clock
STATES: Final = {ERROR_ACTIVE: "active", ERROR_WARNING: "warning", ERROR_PASSIVE: "passive", BUS_OFF: "bus_off"}


class CanFrame(NamedTuple):
    """One frame."""

    id: int
    data: bytes
    extended: bool = False
    error: bool = False
    fd: bool = False
    remote: bool = False


class CanWire(Wire):
    """One bus by python-can."""

    def __init__(self, name: str, identity: str, link: LinkSpec, receive: Callable[[Any, int], None]) -> None:
        super().__init__(name, identity)
        self._link = link
        self._receive = receive
        self._bus: Any = None
        self.interface = ""

    @property
    def has_kernel_errors(self) -> bool:
        """Whether its error frames are those of linux/can/error.h."""
        return self.interface == "socketcan" or self.interface in KERNEL_ERRORS

    @leased
    def send(self, id: int, data: bytes, *, extended: bool | None, fd: bool | None) -> CanFrame:  # noqa: A002 - CAN's word
        """Send one frame. Raises: ValueError for what no frame can be; RigError, RigLostError."""
        can = require("can", "can")
        is_fd = len(data) > 8 if fd is None else fd
        is_extended = id > MOST_STANDARD_ID if extended is None else extended
        self.check()
        frame = CanFrame(id, data, is_extended, fd=is_fd)
        message = message_of(frame)
        try:
            self._bus.send(message, SEND_S)
        except (can.CanError, OSError) as error:
            self.check()
            raise RigError(f"{self.name} ({self.identity}) did not send: {error}") from error
        return frame

    def _open(self) -> None:
        can = require("can", "can")
        interface, channel, options = self._place()
        self.interface = interface
        if self._link.bitrate is not None:
            options.setdefault("bitrate", self._link.bitrate)
        if self._link.fd:
            options.setdefault("fd", True)
        if self._link.data_bitrate is not None:
            options.setdefault("data_bitrate", self._link.data_bitrate)
        try:
            self._bus = can.Bus(channel, interface, ignore_config=True, **options)
        except can.CanInterfaceNotImplementedError as error:
            raise PortOptionError(self.identity, str(error)) from error
        except (can.CanError, OSError) as error:
            raise PortNotFoundError(self.identity, str(error)) from error
        except (ValueError, TypeError, ImportError, AttributeError, NotImplementedError) as error:
            raise PortOptionError(self.identity, str(error)) from error

    def _place(self) -> tuple[str, str | None, dict[str, Any]]:
        if self.identity.startswith("usb:"):
            return "socketcan", can_interface_of(self.identity), {}
        if ":" in self.identity:
            return split_target(self.identity)
        return "socketcan", self.identity, {}

    def _read_some(self) -> None:
        can = require("can", "can")
        try:
            message = self._bus.recv(POLL_S)
        except (can.CanError, OSError) as error:
            raise GoneError(str(error)) from error
        except (ValueError, TypeError, IndexError, KeyError):  # python-can on a damaged line
            return
        if message is not None:
            self._receive(message, _stamp_of(message))

    def _close(self) -> None:
        bus, self._bus = self._bus, None
        if bus is not None:
            bus.shutdown()


class BenchCan:
    """The host's node on a bus: all that passes is recorded."""

    def __init__(self, name: str, target: str, spec: ResourceSpec) -> None:
        assert spec.port is not None
        self._name = name
        self._wire = CanWire(f"{target}.{name}", spec.port, spec.link(), self._received)
        self._peer = BenchCanPeer(f"{target}.{name} peer", spec) if spec.peer is not None else None
        self._frames: deque[CanFrame] = deque()
        self._state = "active"
        self._listeners: list[Callable[[CanFrame], None]] = []
        self.wires: list[Wire] = [self._wire] if self._peer is None else [self._wire, self._peer.wire]

    @property
    def state(self) -> str:
        """`active`, `warning`, `passive` or `bus_off`, as error frames told."""
        return self._state

    @property
    def peer(self) -> BenchCanPeer:
        """Another node, where a second adapter is on the bus. Raises: RigError where there is none."""
        return no_peer(self._wire) if self._peer is None else self._peer

    def send(self, id: int, data: bytes = b"", extended: bool | None = None, fd: bool | None = None) -> None:  # noqa: A002 - CAN's word
        """Send one frame. Raises: ValueError for what no frame can be; RigError, RigLostError."""
        world = self._wire.world
        assert world is not None, "a test has begun"
        stamp_ns = world.now_ns
        frame = self._wire.send(id, bytes(data), extended=extended, fd=fd)
        kind, sent, facts = _parts(frame)
        world.record_at(stamp_ns, self._name, "tx", kind, sent, **facts)

    def recv(self, timeout: Timeout | None = None) -> CanFrame | None:
        """Return the next frame, None where none comes in time. Raises: RigLostError."""
        self._wire.take(lambda: bool(self._frames), SEEN_NS if timeout is None else timeout_ns(timeout))
        return self._frames.popleft() if self._frames else None

    def listen(self, heard: Callable[[CanFrame], None]) -> Callable[[], None]:
        """Call `heard` with each frame, in a thread, until what this returns is called."""
        self._listeners.append(heard)
        return lambda: self._listeners.remove(heard) if heard in self._listeners else None

    def begin(self, world: BenchWorld, faults: Faults) -> None:
        """Begin a run: nothing of the one before is left."""
        for wire in self.wires:
            wire.world = None
        self._frames.clear()
        self._state = "active"
        if self._peer is not None:
            self._peer.received.clear()
        for wire in self.wires:
            wire.world = world
        faults.attach(self._name, "can", self._fault_begins, self._fault_ends, ("unplug",))

    def end(self) -> None:
        """End a run."""
        for wire in self.wires:
            wire.world = None

    def _fault_begins(self, _fault: Fault) -> None:
        self._wire.lose("unplugged by a fault")

    def _fault_ends(self, _fault: Fault) -> None:
        self._wire.open()

    def _received(self, message: Any, stamp_ns: int) -> None:
        world = self._wire.world
        if world is None:
            return
        frame = frame_of(message)
        if frame.error and self._wire.has_kernel_errors:
            told = read_error(frame.id, frame.data).state
            self._state = self._state if told is None else STATES[told]
        extra: dict[str, Any] = {"esi": True} if message.error_state_indicator else {}
        kind, data, facts = _parts(frame)
        world.record_at(world.since_start_ns(stamp_ns), self._name, "rx", kind, data, **facts, **extra)
        self._frames.append(frame)
        for heard in tuple(self._listeners):
            heard(frame)
        world.wake()


class BenchCanPeer:
    """Another node of the bus, played by a second adapter."""

    def __init__(self, name: str, spec: ResourceSpec) -> None:
        assert spec.peer is not None
        self.wire = CanWire(name, spec.peer, spec.link(), self._received)
        self.received: list[CanFrame] = []

    def send(self, id: int, data: bytes = b"", extended: bool | None = None, fd: bool | None = None) -> None:  # noqa: A002 - CAN's word
        """Send as the board. Raises: ValueError for what no frame can be; RigError, RigLostError."""
        self.wire.send(id, bytes(data), extended=extended, fd=fd)

    def _received(self, message: Any, _stamp_ns: int) -> None:
        world = self.wire.world
        if world is not None:
            self.received.append(frame_of(message))
            world.wake()


def frame_of(message: Any) -> CanFrame:
    """Return a message of python-can as a frame."""
    return CanFrame(
        int(message.arbitration_id),
        b"" if message.is_remote_frame else bytes(message.data),
        bool(message.is_extended_id),
        bool(message.is_error_frame),
        bool(message.is_fd),
        bool(message.is_remote_frame),
    )


def message_of(frame: CanFrame) -> Any:
    """Return a frame as a message of python-can. Raises: ValueError for what no frame can be."""
    return require("can", "can").Message(
        arbitration_id=frame.id,
        data=None if frame.remote else frame.data,
        is_extended_id=frame.extended,
        is_fd=frame.fd,
        bitrate_switch=frame.fd,
        is_error_frame=frame.error,
        is_remote_frame=frame.remote,
        check=True,
    )


def _parts(frame: CanFrame) -> tuple[str, bytes, dict[str, Any]]:
    """Return a frame as the trace has it; its id as candump writes it."""
    kind = "error" if frame.error else "remote" if frame.remote else "fd" if frame.fd else "data"
    number = frame.id | (CAN_ERROR if frame.error else 0)
    facts: dict[str, Any] = {"id": f"{number:08X}" if frame.extended or frame.error else f"{number:03X}"}
    if frame.fd:
        facts["brs"] = True
    return kind, frame.data, facts


def _stamp_of(message: Any) -> int:
    """Return a message's time on the monotonic clock: its own stamp where that can be of this clock's."""
    age_ns = time.time_ns() - int(message.timestamp * 1e9)
    return time.monotonic_ns() - (age_ns if 0 <= age_ns < BELIEVABLE_NS else 0)
