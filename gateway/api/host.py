"""Layer 7: the machine that a gateway runs on, in the facts an operator asks for first."""

from __future__ import annotations

import os
import platform
import shutil
from pathlib import Path
from typing import Any

from gateway.runtime.timekeeping import clock_quality, machine_boot


def host_facts(data_dir: Path) -> dict[str, Any]:
    """Return the object of `/v1/host`: sizes in bytes, times in seconds; None where this machine does not say."""
    usage = shutil.disk_usage(data_dir if data_dir.exists() else "/")
    memory = _table("/proc/meminfo")
    process = _table("/proc/self/status")
    return {
        "name": platform.node(),
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "processors": os.cpu_count(),
        "load": [round(each, 2) for each in os.getloadavg()],
        "uptime_s": _uptime_s(),
        "boot": machine_boot(),
        "clock": clock_quality(),
        "memory": {"total": memory.get("MemTotal"), "available": memory.get("MemAvailable")},
        "disk": {"total": usage.total, "free": usage.free},
        "process": {"pid": os.getpid(), "memory": process.get("VmRSS"), "cpu_s": round(sum(os.times()[:2]), 3)},
    }


def _table(path: str) -> dict[str, int]:
    """Return the sizes in a table of the kernel, in bytes."""
    found: dict[str, int] = {}
    for line in _text(path).splitlines():
        name, _, rest = line.partition(":")
        parts = rest.split()
        if len(parts) == 2 and parts[1] == "kB" and parts[0].isdigit():
            found[name] = int(parts[0]) * 1024
    return found


def _uptime_s() -> float | None:
    parts = _text("/proc/uptime").split()
    return float(parts[0]) if parts else None


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
