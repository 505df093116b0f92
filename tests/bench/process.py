"""What whole commands cost: memory and idle time of `tidegate run`, the answer of `tidegate decode --hex`."""

from __future__ import annotations

import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gateway.cli.client import ask
from gateway.errors import GatewayUnreachableError
from hil.sim.gnss import seconds
from hil.sim.rig import Rig
from tests.bench.rows import Row
from tests.bench.streams import pty_pair, write_all

PMS5003 = "424d001c00000008000800000008000800d20046002d001e00000000970002c5"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
IDLE_S = 6.0
START_ROUNDS = 7
START_OF_BARE = 4.0
DECODE_OF_BARE = 3.2  # measured on a busy machine: 2.1 to 3.3


def tidegate() -> str:
    """Return the command that belongs to this interpreter."""
    return str(Path(sys.executable).parent / "tidegate")


def cpu_s(pid: int) -> float:
    """Return user and system seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def rss_mb(pid: int) -> float:
    """Return resident memory in MB (10^6 bytes)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024 / 1e6


def run_rows(folder: Path) -> list[Row]:
    """Return idle CPU and memory of a gateway with a serial receiver that spoke and a CAN bus."""
    with pty_pair() as (master, path):
        devices = [f"gps=nmea-gnss@{path}", "pump=motor@virtual:bench"]
        child = subprocess.Popen(
            [tidegate(), "run", *devices, "--data", str(folder / "run")], stderr=subprocess.DEVNULL
        )
        try:
            time.sleep(2.0)
            write_all(master, next(seconds()))
            time.sleep(1.0)
            start, wall = cpu_s(child.pid), time.monotonic()
            time.sleep(IDLE_S)
            idle = (cpu_s(child.pid) - start) / (time.monotonic() - wall) * 100
            memory = rss_mb(child.pid)
        finally:
            child.send_signal(signal.SIGTERM)
            code = child.wait(timeout=10)
    if code != 0:
        raise AssertionError(f"tidegate run ended with {code}")
    return [
        Row("idle_cpu_percent", idle, "%", f"{IDLE_S:g} s without frames", 1.0),
        Row("run_rss_mb", memory, "MB", "serial and python-can virtual", 45),
    ]


def start_rows(folder: Path) -> list[Row]:
    """Return what a newcomer waits for: an answer of `decode`, and ports open after `run`."""
    return decode_rows(folder) + run_start_rows(folder)


def run_start_rows(folder: Path) -> list[Row]:
    """Return the wall time from starting `tidegate run` with the demo's devices until all stand CONNECTED.

    How long a start takes is the machine's before it is ours: so it is held against the interpreter with the libraries
    that such a gateway cannot do without, started in turn with it.
    """
    with Rig(folder / "start-devices") as rig:
        devices = [f"{name}={each.profile}@{each.port}" for name, each in rig.site().devices.items() if name != "tag"]
        data = folder / "start"
        command = [tidegate(), "run", *devices, "--data", str(data)]
        bare = [sys.executable, "-c", "import asyncio, click, msgspec, fastcrc, serial, can"]
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(START_ROUNDS):
            taken[0].append(until(command, lambda: _all_connected(data)))
            taken[1].append(until(bare))
    ours, theirs = (statistics.median(each) * 1e3 for each in taken)
    told = f"{ours:.0f} ms; the interpreter with asyncio, click, msgspec, pyserial and python-can: {theirs:.0f} ms"
    return [Row("run_start_vs_interpreter", ours / theirs, "x", told, START_OF_BARE)]


@contextlib.contextmanager
def running(site: Path, data: Path, is_up: Callable[[Any], bool]) -> Iterator[subprocess.Popen[bytes]]:
    """Give `tidegate run` of a site, once its `status` says that it is up."""
    child = subprocess.Popen([tidegate(), "run", str(site), "--data", str(data)], stderr=subprocess.DEVNULL)
    try:
        while True:
            with contextlib.suppress(GatewayUnreachableError):
                if is_up(ask(str(data), None, "status")):
                    break
            if child.poll() is not None:
                raise AssertionError(f"tidegate run ended with {child.returncode}")
            time.sleep(0.02)
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(timeout=10)


def until(command: list[str], is_reached: Callable[[], bool] | None = None) -> float:
    """Return seconds from starting a command until something is reached, or its end; then it is ended."""
    begun_s = time.monotonic()
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while child.poll() is None and is_reached is not None and not is_reached():
            time.sleep(0.005)
        if is_reached is None:
            child.wait(timeout=30)
        elif child.poll() is not None:
            raise AssertionError(f"{command[:2]} ended with {child.returncode}")
        return time.monotonic() - begun_s
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(timeout=10)


def _all_connected(data: Path) -> bool:
    with contextlib.suppress(GatewayUnreachableError):
        return all(each["lifecycle"] == "CONNECTED" for each in ask(str(data), None, "devices"))
    return False


def decode_rows(folder: Path) -> list[Row]:
    """Return the wall time of one `tidegate decode --hex`, the median of nine.

    200 ms are for a quiet machine; on another the limit moves with the bare interpreter's, started in turn with it.
    """
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(10):
        start = time.monotonic()
        done = subprocess.run(
            [tidegate(), "decode", "pms5003", "--hex", PMS5003],
            env={**os.environ, "TIDEGATE_DATA": str(folder / "decode")},
            capture_output=True,
            text=True,
            check=True,
        )
        taken[0].append((time.monotonic() - start) * 1e3)
        if '"pm2_5":8' not in done.stdout:
            raise AssertionError(f"decode said {done.stdout!r}")
        taken[1].append(until([sys.executable, "-c", "import click, msgspec, fastcrc"]) * 1e3)
    ours, bare = (statistics.median(each[1:]) for each in taken)
    told = f"from its start, plan cached; {ours / bare:.2f} times the {bare:.0f} ms of the interpreter with libraries"
    return [Row("decode_hex_ms", ours, "ms", told, max(200.0, DECODE_OF_BARE * bare))]
