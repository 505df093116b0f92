"""The fixture `uart` on a bench.

The faults of `hil.faults.uart` change what is read on its way from the port to the test, a read of the port being a
unit; those that need both units or the line itself (`merge`, `break`, `flow_stall`) are not to be had here.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from gateway.profile.model import LinkSpec
from hil.data import bytes_of
from hil.durations import Timeout, timeout_ns
from hil.faults.faults import Fault, Faults
from hil.faults.uart import Arrival, received, sent_as, strike
from hil.rigs.bench.serial_wire import SerialWire, format_of
from hil.rigs.bench.uart_peer import BenchUartPeer
from hil.rigs.bench.wire import SEEN_NS, Wire, no_peer
from hil.rigs.bench.world import BenchWorld
from hil.rigs.model import ResourceSpec
from hil.uart_bits import byte_format

__tracebackhide__ = True  # pytest shows the line of the test instead

SETTLE_NS: Final = 1_000_000_000
QUIET_NS: Final = 50_000_000  # in which what was sent has passed both adapters
PASSING: Final = (
    *("bit_flip", "drop", "duplicate", "insert", "truncate", "delay", "jitter", "reorder", "split", "noise"),
    *("baud", "parity", "stop"),
)

if TYPE_CHECKING:
    from hil.rigs.bench.agent_wire import AgentUartWire


class BenchUart:
    """The host's side of a serial line: all that comes is recorded, read or not."""

    def __init__(self, name: str, target: str, spec: ResourceSpec) -> None:
        self.name = name
        self._wire = self._wire_of(f"{target}.{name}", spec)
        self._peer = BenchUartPeer(f"{target}.{name} peer", spec, self) if spec.peer is not None else None
        self._link = spec.link()
        self._format = format_of(self._link)
        self._formats: tuple[str | None, str | None] = (None, None)  # that a test gave to the host and to the device
        self._last_ns = -QUIET_NS  # when something passed last
        self._faults: Faults | None = None
        self._chunks: deque[bytes] = deque()
        self._due_ns = 0  # of what was delayed last: nothing overtakes it
        self._errors: Counter[str] = Counter()
        self._listeners: list[Callable[[bytes], None]] = []
        self.wires: list[Wire] = [self._wire] if self._peer is None else [self._wire, self._peer.wire]

    def _wire_of(self, name: str, spec: ResourceSpec) -> SerialWire | AgentUartWire:
        if spec.agent is not None:
            from hil.rigs.bench.agent_wire import AgentUartWire

            return AgentUartWire(name, spec.agent, self._received)
        assert spec.port is not None
        return SerialWire(name, spec.port, spec.link(), self._received)

    @property
    def node(self) -> str:
        """The device node that the line is on now."""
        return self._wire.node

    @property
    def is_there(self) -> bool:
        """Whether the port is plugged in."""
        return self._wire.is_open

    @property
    def format(self) -> str:
        """How the host sends and reads characters: as the rig file says, until it is configured otherwise."""
        return str(self._format)

    def configure(self, host: str | None = None, device: str | None = None) -> None:
        """Set the format of the host's port, of the second adapter, or of both, until the test is over.

        Raises: ValueError; RigError for what a port cannot, and where there is no second adapter.
        """
        if host is not None:
            self._wire.configure(link_of(host, self._link))
            self._format = byte_format(host)
        if device is not None:
            self.peer.wire.configure(link_of(device, self._link))
        self._formats = (host or self._formats[0], device or self._formats[1])

    def settle(self) -> None:
        """Let what is on the wire arrive: until nothing passed for a moment, or a second. Raises: LeaseLostError."""
        self._wire.need_lease()
        world = self._world()
        until_ns = world.now_ns + SETTLE_NS
        while (next_ns := min(max(self._last_ns + QUIET_NS, self._due_ns), until_ns)) > world.now_ns:
            world.run_until(next_ns)

    def passed(self) -> None:
        """Learn that something is under way on the wire. From any thread."""
        world = self._wire.world
        if world is not None:
            self._last_ns = world.now_ns

    @property
    def errors(self) -> Counter[str]:
        """What the receiver counted in this test: `framing`, `parity`, `break`, `overrun`."""
        self.settle()
        return Counter(self._errors)

    @property
    def peer(self) -> BenchUartPeer:
        """The board's side, where a second adapter is wired to it. Raises: RigError where there is none."""
        return no_peer(self._wire) if self._peer is None else self._peer

    def write(self, data: bytes) -> int:
        """Send to the board; return how many bytes. Raises: RigLostError, RigError."""
        raw = bytes_of(data)
        self._wire.check()
        world = self._world()
        self.passed()
        self._wire.write(raw, lambda at_ns: world.record_at(world.since_start_ns(at_ns), self.name, "tx", "bytes", raw))
        return len(raw)

    def read(self, n: int, timeout: Timeout | None = None) -> bytes:
        """Return the next `n` bytes, or what came of them in time. Raises: RigLostError."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise ValueError(f"read({n!r}): how many bytes, 0 or more")
        self._wire.take(lambda: sum(map(len, self._chunks)) >= n, _limit_ns(timeout))
        taken = bytearray()
        while self._chunks and len(taken) < n:
            chunk = self._chunks.popleft()
            wanted = n - len(taken)
            taken += chunk[:wanted]
            if len(chunk) > wanted:
                self._chunks.appendleft(chunk[wanted:])
        return bytes(taken)

    def read_some(self, timeout: Timeout | None = None) -> bytes:
        """Return what came at once, waiting for the first of it; b"" if nothing comes. Raises: RigLostError."""
        self._wire.take(lambda: bool(self._chunks), _limit_ns(timeout))
        return self._chunks.popleft() if self._chunks else b""

    def listen(self, heard: Callable[[bytes], None]) -> Callable[[], None]:
        """Call `heard` with each read, in a thread, until what this returns is called."""
        self._listeners.append(heard)
        return lambda: self._listeners.remove(heard) if heard in self._listeners else None

    def begin(self, world: BenchWorld, faults: Faults) -> None:
        """Begin a run: nothing of the one before is left."""
        self._wire.forget()
        self._chunks.clear()
        self._errors.clear()
        self._due_ns, self._last_ns = 0, -QUIET_NS
        self._faults = faults
        self._configure_back()
        faults.attach(self.name, "uart", self._fault_begins, self._fault_ends, (*PASSING, "unplug"))
        for wire in self.wires:
            wire.world = world

    def end(self) -> None:
        """End a run."""
        if self._peer is not None:
            self._peer.end()
        for wire in self.wires:
            wire.world = None

    def _configure_back(self) -> None:
        """Set the ports as the rig file says, where the test before set them otherwise."""
        given, self._formats = self._formats, (None, None)
        self._format = format_of(self._link)
        for wire, has_other in zip([self._wire, *([self._peer.wire] if self._peer else [])], given, strict=False):
            if has_other is not None:
                wire.configure(self._link)

    def left_wrong(self) -> list[str]:
        """Return what a test must not end with."""
        return [] if self._peer is None else self._peer.left_wrong()

    def _world(self) -> BenchWorld:
        assert self._wire.world is not None, "a test has begun"
        return self._wire.world

    def _received(self, data: bytes, stamp_ns: int, errors: tuple[str, ...]) -> None:
        world, faults = self._wire.hearing(), self._faults
        if world is None or faults is None:
            return
        now_ns = world.since_start_ns(stamp_ns)
        struck = faults.passing(self.name, data, PASSING)
        if not struck and now_ns >= self._due_ns:
            self._hear(world, now_ns, data, errors)
            return
        arrival = received(data, sent_as(self._format, struck), self._format)
        arrival = strike(arrival._replace(errors=(*arrival.errors, *errors)), struck, self._format)
        self._due_ns = max(self._due_ns, now_ns + arrival.late_ns)
        if self._due_ns <= now_ns:
            self._arrive(world, arrival)
        else:
            world.at(self._due_ns, lambda: self._arrive(world, arrival))

    def _arrive(self, world: BenchWorld, arrival: Arrival) -> None:
        if self._wire.hearing() is not world:
            return
        errors = arrival.errors
        for read in arrival.reads():
            self._hear(world, world.now_ns, read, errors)
            errors = ()

    def _hear(self, world: BenchWorld, t_ns: int, data: bytes, errors: tuple[str, ...]) -> None:
        if not data and not errors:
            return
        self._errors.update(errors)
        self.passed()
        extra: dict[str, Any] = {"errors": sorted(errors)} if errors else {}
        world.record_at(t_ns, self.name, "rx", "bytes", data, **extra)
        if data:
            self._chunks.append(data)
            for heard in tuple(self._listeners):
                heard(data)
        world.wake()

    def _fault_begins(self, fault: Fault) -> None:
        if fault.kind == "unplug":
            self._chunks.clear()
            self._wire.lose("unplugged by a fault")

    def _fault_ends(self, fault: Fault) -> None:
        if fault.kind == "unplug":
            self._wire.open()


def link_of(text: str, link: LinkSpec) -> LinkSpec:
    """Return a port's settings with another format of characters. Raises: ValueError."""
    form = byte_format(text)
    parity = {"n": "none", "e": "even", "o": "odd"}[form.parity]
    changes = {"baud": int(form.baud), "data_bits": form.bits, "parity": parity, "stop_bits": float(form.stop)}
    return msgspec.structs.replace(link, **changes)


def _limit_ns(timeout: Timeout | None) -> int:
    return SEEN_NS if timeout is None else timeout_ns(timeout)
