"""From a caller's `set` on the socket to the first byte of the order on the wire, beside what the machine itself takes.

The gateway is the shipped `tidegate run`, with a ledger in a folder on the disk. After every set the same way is gone
through a bare process, which writes and syncs one page in the same folder and then one byte on a pty, and one page is
synced by the bench itself. So all three distributions are of the same minutes, under the same load. What is held
against the limit is how much later than fdatasync's own p99 a set is. What the bare process takes is told beside it:
on a busy machine it waits for the processors too, which is no doing of the gateway.

Under load three things happen beside: 200,000 frames a second come in on another port; four readers of the socket have
subscribed to everything and take nothing (the only sink there is that can hang); and `tidegate ledger verify --deep`
runs over and over, on a ledger that was filled before. Gateway, verify, generator and bench share the machine, which
two processors fill: so how many frames came in is told with the figure, and for how much of the time the gateway's
threads stood in line for a processor.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import quantiles
from typing import Any, Final, Self

import msgspec

from gateway.ledger import Ledger
from gateway.ledger.settings import LedgerConfig
from gateway.runtime.doorway import connect
from gateway.runtime.peer import own_principal
from tests.bench.process import cpu_s, running, tidegate
from tests.bench.streams import profile_in, pty_pair

FLOOD_HZ: Final = 200_000
WATCHERS: Final = 4
FILLED_RECORDS: Final = 200_000
SETTLE_S: Final = 3.0
ANSWER_S: Final = 10.0
VALVE: Final = "valve/valve/position"
PROFILE: Final = """
[profile]
id = "bench/valve@1.0.0"
[link]
bus = "uart"
baud = 115200
[framing]
kind = "cobs"
check = { kind = "crc-16-ibm-3740" }
[message.valve]
direction = "both"
order = "little"
fields = [{ name = "position", type = "u16", scale = 0.5, maximum = 100 }]
[setpoint.position]
write = "valve.position"
confirm = "none"
"""
SITE: Final = """
[ledger]
ring = "32MiB"
segment = "1MiB"
budget_per_day = "0"
[device.valve]
profile = "{valve}"
port = "{valve_port}"
[device.flood]
profile = "{flood}"
port = "{flood_port}"
[grant.bench]
principal = "{principal}"
routes = "**"
verbs = ["write"]
"""


class Measured(msgspec.Struct, frozen=True):
    """What one run gave."""

    sets_ms: list[float]
    bare_ms: list[float]  # of a process that only syncs and writes
    syncs_ms: list[float]  # of fdatasync, from the call to its return
    frames_per_s: float  # decoded by the gateway
    dropped: int
    verified: int
    gateway_cpu: float  # of one core
    gateway_waited: float  # seconds a second that its threads stood in line for a processor

    @property
    def later_ms(self) -> float:
        """Return by how much the p99 of sets is behind fdatasync's own."""
        return p99(self.sets_ms) - p99(self.syncs_ms)

    def told(self) -> str:
        """Return all distributions in a few words."""
        return (
            f"than fdatasync's own p99 of {p99(self.syncs_ms):.1f} ms; a bare process that syncs and writes takes "
            f"{p99(self.bare_ms):.1f}; the first took {self.sets_ms[0]:.1f} ms"
        )


def p99(spans: list[float]) -> float:
    """Return the 99th percentile."""
    return quantiles(spans, n=100)[98]


def measure(folder: Path, sets: int, *, is_loaded: bool) -> Measured:
    """Run a gateway in a new folder and set a value so many times."""
    with contextlib.ExitStack() as undo:
        folder.mkdir(parents=True)
        valve, valve_port = undo.enter_context(pty_pair())
        flood, flood_port = undo.enter_context(pty_pair())
        _fill(folder / "data" / "ledger")
        gateway = undo.enter_context(running(_site_in(folder, valve_port, flood_port), folder / "data", _all_connected))
        verifying = None
        if is_loaded:
            generator = [sys.executable, "-m", "tests.bench.generator", str(flood), str(FLOOD_HZ)]
            undo.enter_context(_ended(subprocess.Popen(generator, pass_fds=(flood,))))
            for _ in range(WATCHERS):
                undo.enter_context(_hung_reader(folder / "data"))
            verifying = undo.enter_context(_Verifying(folder / "data"))
        caller = undo.enter_context(connect(folder / "data"))
        caller.settimeout(ANSWER_S)
        time.sleep(SETTLE_S)
        before, begun_s, used_s = _flood_of(caller), time.monotonic(), cpu_s(gateway.pid)
        waited_s = _waited_s(gateway.pid)
        checked = verifying.done if verifying is not None else 0
        spans = _alternate(caller, valve, folder / "data", sets)
        after, took_s = _flood_of(caller), time.monotonic() - begun_s
        return Measured(
            *spans,
            (after["delivered"] - before["delivered"]) / took_s,
            after["dropped"] - before["dropped"],
            verifying.done - checked if verifying is not None else 0,
            (cpu_s(gateway.pid) - used_s) / took_s,
            (_waited_s(gateway.pid) - waited_s) / took_s,
        )


def _alternate(caller: socket.socket, wire: int, folder: Path, sets: int) -> tuple[list[float], ...]:
    """Return milliseconds of sets, of bare answers and of syncs, one after the other in turn."""
    spans: tuple[list[float], ...] = ([], [], [])
    lines = caller.makefile("rb")
    with _bare(folder / "page-bare") as bare, _page(folder / "page") as sync:
        for number in range(sets):
            request = {"request": "set", "args": {"route": VALVE, "value": (number % 200) / 2}}
            line = json.dumps(request).encode() + b"\n"
            spans[0].append(_ms(lambda: (caller.sendall(line), os.read(wire, 4096))))  # noqa: B023 - called at once
            answer = json.loads(lines.readline())
            if answer.get("ok", {}).get("outcome") != "unknown":  # nothing confirms this setpoint
                raise AssertionError(f"the set was answered with {answer}")
            spans[1].append(_ms(bare))
            spans[2].append(_ms(sync))
    return spans


def _ms(work: Callable[[], object]) -> float:
    begun_ns = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - begun_ns) / 1e6


@contextlib.contextmanager
def _bare(page: Path) -> Iterator[Callable[[], object]]:
    """Give one question and answer of `tests.bench.bare`."""
    ours, theirs = socket.socketpair()
    with ours, pty_pair() as (wire, port):
        slave = os.open(port, os.O_RDWR | os.O_NOCTTY)
        command = [sys.executable, "-m", "tests.bench.bare", str(theirs.fileno()), str(slave), str(page)]
        with _ended(subprocess.Popen(command, pass_fds=(theirs.fileno(), slave))):
            theirs.close()
            os.close(slave)

            def ask() -> object:
                ours.sendall(b"set\n")
                return os.read(wire, 4096)

            ask()  # it has started
            yield ask


@contextlib.contextmanager
def _page(path: Path) -> Iterator[Callable[[], object]]:
    """Give one page written and synced."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    data = os.urandom(4096)

    def sync() -> object:
        os.pwrite(descriptor, data, 0)
        return os.fdatasync(descriptor)

    try:
        sync()
        yield sync
    finally:
        os.close(descriptor)


def _site_in(folder: Path, valve_port: str, flood_port: str) -> Path:
    valve = folder / "valve.toml"
    valve.write_text(PROFILE)
    flood = profile_in(folder, "uart")
    site = folder / "site.toml"
    site.write_text(
        SITE.format(valve=valve, valve_port=valve_port, flood=flood, flood_port=flood_port, principal=own_principal())
    )
    return site


def _fill(folder: Path) -> None:
    """Make a ledger that a verify works on for a while."""
    options = LedgerConfig(ring="32MiB", segment="1MiB", budget_per_day="0").options()
    folder.mkdir(parents=True)
    with Ledger.open(folder, options=options) as ledger:
        for _ in range(FILLED_RECORDS // 1_000):
            ledger.append_many([("reading", "flood/bench/bench@frame", os.urandom(8)) for _ in range(1_000)])


def _all_connected(status: Any) -> bool:
    return all(each["state"] == "CONNECTED" for each in status["devices"])


@contextlib.contextmanager
def _ended(child: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(timeout=10)


@contextlib.contextmanager
def _hung_reader(data: Path) -> Iterator[None]:
    """Subscribe to everything and never read again."""
    with connect(data) as visitor:
        visitor.sendall(b'{"request":"watch","pattern":"*"}\n')
        yield


class _Verifying:
    """`tidegate ledger verify --deep`, over and over."""

    def __init__(self, data: Path) -> None:
        self.done = 0
        self._command = [tidegate(), "ledger", "verify", "--deep", "--json", "--dir", str(data / "ledger")]
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._is_over.is_set():
            done = subprocess.run(self._command, capture_output=True, text=True, check=False)
            if done.returncode > 1:
                raise AssertionError(f"verify said {done.stdout} {done.stderr}")
            self.done += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._is_over.set()
        self._thread.join()


def _waited_s(pid: int) -> float:
    """Return for how long the threads of a process stood in line for a processor (schedstat of proc_pid_task)."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(each.read_text().split()[1]) for each in tasks) / 1e9


def _flood_of(caller: socket.socket) -> dict[str, int]:
    devices = _asked(caller, "status")["devices"]
    frames: dict[str, int] = next(each for each in devices if each["name"] == "flood")["frames"]
    return frames


def _asked(caller: socket.socket, request: str) -> Any:
    caller.sendall(json.dumps({"request": request}).encode() + b"\n")
    answer = b""
    while not answer.endswith(b"\n"):
        answer += caller.recv(1 << 20)
    return json.loads(answer)["ok"]
