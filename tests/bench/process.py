"""What whole commands cost: memory and idle time of `tidegate run`, the answer of `tidegate decode --hex`."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

from hil.sim.gnss import seconds
from tests.bench.rows import Row
from tests.bench.streams import pty_pair, write_all

PMS5003 = "424d001c00000008000800000008000800d20046002d001e00000000970002c5"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
IDLE_S = 6.0


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


def decode_rows(folder: Path) -> list[Row]:
    """Return the wall time of one `tidegate decode --hex`, the median of nine."""
    taken = []
    for _ in range(10):
        start = time.monotonic()
        done = subprocess.run(
            [tidegate(), "decode", "pms5003", "--hex", PMS5003],
            env={**os.environ, "TIDEGATE_DATA": str(folder / "decode")},
            capture_output=True,
            text=True,
            check=True,
        )
        taken.append((time.monotonic() - start) * 1e3)
        if '"pm2_5":8' not in done.stdout:
            raise AssertionError(f"decode said {done.stdout!r}")
    return [Row("decode_hex_ms", statistics.median(taken[1:]), "ms", "from its start, plan cached", 200)]
