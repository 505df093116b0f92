"""The fixture `uart` on a bench."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Sequence
from typing import NoReturn

from hil.durations import Duration, Timeout, ns, timeout_ns
from hil.rigs.base import RigError
from hil.rigs.bench.script import Script
from hil.rigs.bench.serial_wire import SerialWire
from hil.rigs.bench.wire import SEEN_NS, Wire
from hil.rigs.bench.world import BenchWorld
from hil.rigs.model import ResourceSpec


class BenchUart:
    """The host's side of a serial line: all that comes is recorded, read or not."""

    def __init__(self, name: str, target: str, spec: ResourceSpec) -> None:
        assert spec.port is not None
        self._name = name
        self._wire = SerialWire(f"{target}.{name}", spec.port, spec.link(), self._received)
        self._peer = BenchUartPeer(f"{target}.{name} peer", spec) if spec.peer is not None else None
        self._chunks: deque[bytes] = deque()
        self._errors: Counter[str] = Counter()
        self.wires: list[Wire] = [self._wire] if self._peer is None else [self._wire, self._peer.wire]

    @property
    def node(self) -> str:
        """The device node that the line is on now."""
        return self._wire.node

    @property
    def errors(self) -> Counter[str]:
        """What the receiver counted in this test: `framing`, `parity`, `break`, `overrun`, `lost`."""
        return Counter(self._errors)

    @property
    def peer(self) -> BenchUartPeer:
        """The board's side, where a second adapter is wired to it. Raises: RigError where there is none."""
        return no_peer(self._wire) if self._peer is None else self._peer

    def write(self, data: bytes) -> None:
        """Send to the board. Raises: RigLostError, RigError."""
        self._wire.check()
        self._world().record(self._name, "tx", "bytes", bytes(data))
        self._wire.write(bytes(data))

    def read(self, n: int, timeout: Timeout | None = None) -> bytes:
        """Return the next `n` bytes, or what came of them in time. Raises: RigLostError."""
        limit_ns = SEEN_NS if timeout is None else timeout_ns(timeout)
        self._wire.take(lambda: sum(map(len, self._chunks)) >= n, limit_ns)
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
        self._wire.take(lambda: bool(self._chunks), SEEN_NS if timeout is None else timeout_ns(timeout))
        return self._chunks.popleft() if self._chunks else b""

    def begin(self, world: BenchWorld) -> None:
        """Begin a run: nothing of the one before is left."""
        for wire in self.wires:
            wire.world = None
        self._wire.forget()
        self._chunks.clear()
        self._errors.clear()
        for wire in self.wires:
            wire.world = world

    def end(self) -> None:
        """End a run."""
        if self._peer is not None:
            self._peer.end()
        for wire in self.wires:
            wire.world = None

    def _world(self) -> BenchWorld:
        assert self._wire.world is not None, "a test has begun"
        return self._wire.world

    def _received(self, data: bytes, stamp_ns: int, errors: dict[str, int]) -> None:
        world = self._wire.world
        if world is None:
            return  # between two tests
        self._errors.update(errors)
        extra = {"errors": errors} if errors else {}
        world.record_at(world.since_start_ns(stamp_ns), self._name, "rx", "bytes", data, **extra)
        self._chunks.append(data)
        world.wake()


class BenchUartPeer:
    """The board's side of the line, played by a second adapter."""

    def __init__(self, name: str, spec: ResourceSpec) -> None:
        assert spec.peer is not None
        self.wire = SerialWire(name, spec.peer, spec.link(), self._received)
        self._script = Script()
        self._lock = threading.Lock()
        self._timers: list[threading.Timer] = []

    def send(self, data: bytes, errors: Sequence[str] = ()) -> None:
        """Speak as the board. Raises: ValueError for line errors but `break`, which no adapter sends; RigLostError."""
        strange = [error for error in errors if error != "break"]
        if strange:
            raise ValueError(f"an adapter cannot send {', '.join(strange)} errors; on a bench only 'break'")
        self.wire.write(bytes(data))
        if errors:
            self.wire.send_break()

    def on(self, request: bytes, reply: bytes, delay: Duration = 0, ignore: int = 0) -> None:
        """Answer each `request` from now on, but for the first `ignore`. Raises: ValueError."""
        with self._lock:
            self._script.on(bytes(request), bytes(reply), ns(delay), ignore)

    def end(self) -> None:
        """Forget what to answer."""
        with self._lock:
            self._script.clear()
            for timer in self._timers:
                timer.cancel()
            self._timers.clear()

    def _received(self, data: bytes, _stamp_ns: int, _errors: dict[str, int]) -> None:
        with self._lock:
            for said in self._script.hear(data):
                if said.delay_ns:
                    timer = threading.Timer(said.delay_ns / 1e9, self._say, (said.reply,))
                    timer.daemon = True
                    self._timers.append(timer)
                    timer.start()
                else:
                    self._say(said.reply)

    def _say(self, reply: bytes) -> None:
        try:
            self.wire.write(reply)
        except RigError as error:
            self.wire.lose(str(error))


def no_peer(wire: Wire) -> NoReturn:
    """Raise what says that there is nobody to play the board."""
    raise RigError(
        f"{wire.name} ({wire.identity}) has the real board at its other end, which no test can play; wire a second "
        "adapter to it and name that with `peer` in the rig file, or mark the test for simulated rigs"
    )
