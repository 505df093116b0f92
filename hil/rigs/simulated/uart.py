"""A simulated UART in virtual time: the host's side, which is the fixture, and the device's as its `peer`.

What the device sends at once arrives as one read when its last bit has; see `hil.faults.uart` for what faults make of
it. Beside those of that module: `break` holds the line low for one character; while `flow_stall` lasts neither side
sends, and what waits goes out after it; `unplug` takes the port with all that was on the wire or not yet read, until
it ends; `reenumerate` does so for a quarter of a second, and the port has its new node from the beginning of that on.
While it is away `read`, `read_some` and `write` raise, also those that waited; then they work again as before. With a
`duration` a break and a renumbering take so long.
"""

from __future__ import annotations

import errno
from collections import Counter, deque
from collections.abc import Callable, Sequence
from typing import Final
from weakref import WeakKeyDictionary

from hil.data import bytes_of
from hil.durations import Timeout, timeout_ns
from hil.faults.catalogue import KINDS
from hil.faults.faults import Fault
from hil.faults.uart import Arrival, Wait, received, sent_as, strike
from hil.peers.uart import UartPeer
from hil.rigs.base import RigError, RigLostError
from hil.rigs.simulated.setting import Setting
from hil.rigs.simulated.uart_receiver import Piece, Receiver
from hil.rigs.simulated.uart_wire import Wire
from hil.rigs.simulated.world import World
from hil.uart_bits import BREAK, FRAMING, Format, byte_format

__tracebackhide__ = True  # pytest shows the line of the test instead

STANDARD: Final = "115200-8n1"
READ_TIMEOUT_S: Final = 1.0
WRITE_TIMEOUT_NS: Final = 1_000_000_000  # without a byte going out
ONE_READ_BYTES: Final = 4096  # as Linux hands over at most
RX_CAPACITY_BYTES: Final = 65_536
TX_CAPACITY_BYTES: Final = 65_536
DEVICE_CAPACITY_BYTES: Final = 1 << 20  # of what waits for the wire
AWAY_NS: Final = 250_000_000  # of a port that comes back under another name
SETTLE_NS: Final = 1_000_000_000

_NODES: Final[WeakKeyDictionary[World, set[int]]] = WeakKeyDictionary()  # numbers of /dev/ttyUSB* in use


class WriteStalledError(RigError, TimeoutError):
    """The other side did not take what was written."""


def make(name: str, setting: Setting) -> SimulatedUart:
    """Return the handle of a simulated UART."""
    return SimulatedUart(name, setting)


class SimulatedUart:
    """The fixture `uart`."""

    def __init__(self, name: str, setting: Setting) -> None:
        self.name = name
        self._world, self._faults, self._dut = setting
        self._format = Format.parse(STANDARD)
        self._device_format = self._format
        self._errors: Counter[str] = Counter()
        self._unread: deque[bytes] = deque()
        self._unread_bytes = 0
        self._listeners: list[tuple[Callable[[bytes], None], Callable[[str], None]]] = []
        self._watchers: list[Callable[[bytes], object]] = []
        self._to_device: Wire[bytes] = Wire(self._world, self._left, self._reached_device)
        self._to_host: Wire[Piece] = Wire(self._world, lambda _: None, self._reached_host)
        self._receiver = Receiver(self._world, self._hear)
        self._away: set[str] = set()
        self._losses = 0
        self._node = _take_node(self._world)
        self.peer = UartPeer(self, self._world, self._dut)
        kinds = [kind.name for kind in KINDS.values() if "uart" in kind.protocols]
        self._faults.attach(name, "uart", self._begin, self._end, kinds)

    # ---- what a test does

    @property
    def node(self) -> str:
        """The name of the port in the system, such as /dev/ttyUSB0."""
        return f"/dev/ttyUSB{self._node}"

    @property
    def is_there(self) -> bool:
        """Whether it is plugged in."""
        return not self._away

    @property
    def errors(self) -> Counter[str]:
        """How often the receiver saw `framing`, `parity`, `break`, `overrun`; what is on the wire arrives first."""
        self.settle()
        return self._errors

    @property
    def format(self) -> str:
        """How the host sends and reads characters: 115200-8n1, until it is configured otherwise."""
        return str(self._format)

    def configure(self, host: str | None = None, device: str | None = None) -> None:
        """Set the format of the host, of the device, or of both: `configure("9600-8n1")`. Raises: ValueError."""
        self._format = self._format if host is None else byte_format(host)
        self._device_format = self._device_format if device is None else byte_format(device)

    def write(self, data: bytes) -> int:
        """Send; return how many bytes. It waits only for room in the port's buffer.

        Raises: RigLostError, WriteStalledError when nothing goes out for a second.
        """
        raw = bytes_of(data)
        losses = self._losses
        left = self._to_device.waiting_bytes
        until_ns = self._world.now_ns + WRITE_TIMEOUT_NS
        while not self._world.wait_for(lambda: self._has_room(len(raw)) or self._losses != losses, until_ns):
            if self._to_device.waiting_bytes == left:
                break
            left, until_ns = self._to_device.waiting_bytes, self._world.now_ns + WRITE_TIMEOUT_NS
        self._check_there(losses)
        self.host_send(raw)
        return len(raw)

    def read(self, n: int, timeout: Timeout | None = READ_TIMEOUT_S) -> bytes:
        """Return the next `n` bytes, or fewer that came within the time, b"" for none. Raises: RigLostError."""
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise ValueError(f"read({n!r}): how many bytes, 0 or more")
        found = bytearray()

        def is_enough() -> bool:
            while self._unread and len(found) < n:
                found.extend(self._take(n - len(found)))
            return len(found) >= n

        self._wait(is_enough, timeout)
        return bytes(found)

    def read_some(self, timeout: Timeout | None = READ_TIMEOUT_S) -> bytes:
        """Return what one read gives, as it came, b"" for nothing within the time. Raises: RigLostError."""
        self._wait(lambda: bool(self._unread), timeout)
        return self._take(ONE_READ_BYTES) if self._unread else b""

    def settle(self) -> None:
        """Let what is on the wire arrive, or a second pass."""
        self._world.wait_for(self._is_quiet, self._world.now_ns + SETTLE_NS)

    # ---- what a gateway does

    def listen(self, heard: Callable[[bytes], None], lost: Callable[[str], None]) -> Callable[[], None]:
        """Call `heard` with each read, and `lost` once if the port goes away; return what ends it. Raises: OSError."""
        if not self.is_there:
            raise _lost(self.node)
        listener = (heard, lost)
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    def host_send(self, data: bytes) -> None:
        """Send without waiting. Raises: RigLostError (ENODEV), WriteStalledError when the buffer has no room."""
        if not self.is_there:
            raise _lost(self.node)
        if not self._has_room(len(data)):
            raise WriteStalledError(f"{self.node}: {len(data)} bytes do not go out; is its flow control stalled?")
        for piece in _cut(data):
            self._to_device.put(piece, len(piece), _on_line_ns(piece, self._format))

    # ---- what the device does

    def watch(self, left: Callable[[bytes], object]) -> Callable[[], None]:
        """Call `left` with what the host sends, when its first bit leaves; return what ends it."""
        self._watchers.append(left)
        return lambda: self._watchers.remove(left) if left in self._watchers else None

    def hear_device(self, data: bytes, errors: tuple[str, ...], *, is_recorded: bool = False) -> None:
        """Take what the device sends at once; `is_recorded`: it has been on the wire already."""
        if not self.is_there:
            return
        waiting = self._to_host.waiting_bytes
        if waiting and waiting + len(data) > DEVICE_CAPACITY_BYTES:
            self._world.record(self.name, "note", "note", text=f"the device has no room for {len(data)} bytes more")
            return
        losses = self._losses
        struck = self._faults.passing(self.name, data) if data else []
        if self._losses != losses:
            return  # one that struck has unplugged it
        sender = sent_as(self._device_format, struck)
        read = received(data, sender, self._format)
        arrival = strike(read._replace(errors=(*read.errors, *errors)), struck, self._format)
        for piece in self._pieces(arrival):
            self._to_host.put(piece, len(piece.data), 0 if is_recorded else _on_line_ns(piece.data, sender))

    def close(self) -> list[str]:
        """Let what is under way arrive at the end of a test; return what a test must not end with."""
        self._world.wait_for(self._is_still, self._world.now_ns + SETTLE_NS)
        return self.peer.left_wrong()

    # ---- on the way to the device

    def _has_room(self, size: int) -> bool:
        waiting = self._to_device.waiting_bytes
        return not waiting or waiting + size <= TX_CAPACITY_BYTES

    def _left(self, data: bytes) -> None:
        self._world.record(self.name, "tx", "bytes", data)
        for left in tuple(self._watchers):
            left(data)

    def _reached_device(self, data: bytes) -> None:
        self.peer.hear(received(data, self._format, self._device_format).data)

    # ---- on the way to the host

    def _pieces(self, arrival: Arrival) -> Sequence[Piece]:
        """Return the reads of a unit: its errors are in the first, and the last waits."""
        reads = [each for read in arrival.reads() for each in _cut(read)] or [b""]
        found = [Piece(read, (), arrival.late_ns, Wait.NO, self._dut.boots) for read in reads]
        found[0] = found[0]._replace(errors=arrival.errors)
        found[-1] = found[-1]._replace(wait=arrival.wait)
        return [piece for piece in found if piece.data or piece.errors]

    def _reached_host(self, piece: Piece) -> None:
        if piece.boots not in (None, self._dut.boots) or (piece.boots is not None and not self._dut.is_powered):
            return  # the device lost its power in the middle of it
        self._receiver.take(piece)

    def _hear(self, data: bytes, errors: tuple[str, ...]) -> None:
        kept = data if self._listeners else data[: RX_CAPACITY_BYTES - self._unread_bytes]
        facts: dict[str, object] = {}
        if len(kept) < len(data):
            errors = (*errors, "overrun")
            facts["lost"] = len(data) - len(kept)
        if errors:
            facts["errors"] = sorted(errors)
        self._errors.update(errors)
        self._world.record(self.name, "rx", "bytes", kept, **facts)
        if not kept:
            return
        self._unread.append(kept)
        self._unread_bytes += len(kept)
        while self._unread_bytes > RX_CAPACITY_BYTES:  # somebody else hears it all
            self._unread_bytes -= len(self._unread.popleft())
        for heard, _ in tuple(self._listeners):
            heard(kept)

    def _is_quiet(self) -> bool:
        return self._to_device.is_quiet and self._to_host.is_quiet

    def _is_still(self) -> bool:
        return self._is_quiet() and self._receiver.is_still

    # ---- reading

    def _take(self, most: int) -> bytes:
        first = self._unread.popleft()
        if len(first) > most:
            self._unread.appendleft(first[most:])
        taken = first[:most]
        self._unread_bytes -= len(taken)
        return taken

    def _wait(self, condition: Callable[[], bool], timeout: Timeout | None) -> None:
        losses = self._losses
        until_ns = self._world.now_ns + timeout_ns(READ_TIMEOUT_S if timeout is None else timeout)
        self._check_there(losses)
        self._world.wait_for(lambda: self._losses != losses or condition(), until_ns)
        self._check_there(losses)

    def _check_there(self, losses: int) -> None:
        if self._away or self._losses != losses:
            raise _lost(self.node)

    # ---- faults that are no changes of a unit

    def _begin(self, fault: Fault) -> None:
        match fault.kind:
            case "break":
                low = Piece(b"\0", (BREAK, FRAMING))
                self._to_host.put(low, 1, fault.lasts_ns(_on_line_ns(low.data, self._format)))
            case "flow_stall":
                self._to_device.stall("flow")
                self._to_host.stall("flow")
            case "unplug":
                self._vanish("unplug")
            case "reenumerate":
                self._node = _take_node(self._world, instead_of=self._node)
                self._vanish("reenumerate")
                self._world.after(fault.lasts_ns(AWAY_NS), lambda: self._come_back("reenumerate"))

    def _end(self, fault: Fault) -> None:
        if fault.kind == "flow_stall":
            self._to_device.resume("flow")
            self._to_host.resume("flow")
        elif fault.kind == "unplug":
            self._come_back("unplug")

    def _vanish(self, why: str) -> None:
        was_there = self.is_there
        self._away.add(why)
        if not was_there:
            return
        self._losses += 1
        self._to_device.cut()
        self._to_host.cut()
        self._receiver.cut()
        self._unread.clear()
        self._unread_bytes = 0
        listeners, self._listeners = self._listeners, []
        for _, lost in listeners:
            lost(why)

    def _come_back(self, why: str) -> None:
        self._away.discard(why)
        if self.is_there:
            self._world.record(self.name, "note", "note", text=f"{self.node} is there")


def _on_line_ns(data: bytes, form: Format) -> int:
    return -(-len(data) * form.character_ns.numerator // form.character_ns.denominator)


def _cut(data: bytes) -> list[bytes]:
    return [data[begin : begin + ONE_READ_BYTES] for begin in range(0, len(data), ONE_READ_BYTES)]


def _lost(node: str) -> RigLostError:
    error = RigLostError(f"{node} is gone: unplugged; end the fault, or let time pass until it is back")
    error.errno = errno.ENODEV
    return error


def _take_node(world: World, instead_of: int | None = None) -> int:
    """Return the lowest number that is free, as Linux gives it; the old one is free only then."""
    used = _NODES.setdefault(world, set())
    number = next(number for number in range(len(used) + 1) if number not in used)
    used.add(number)
    used.discard(-1 if instead_of is None else instead_of)
    return number
