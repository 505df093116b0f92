"""What commands cost: from a caller's set to bytes on the wire, and what a thousand devices with shadows take."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import msgspec

from gateway.app import Gateway
from gateway.config import DeviceConfig, SiteConfig
from gateway.ledger.fold import Latest, State
from gateway.ledger.settings import LedgerConfig
from gateway.runtime.resuming import Resumer
from tests.bench.child import resident_mb
from tests.bench.rows import Row
from tests.bench.setting import FLOOD_HZ, Measured, measure

IDLE_SETS, LOADED_SETS = 300, 500
DEVICES = 1_000
IDLE_LATER_MS = 3.0  # than what the machine takes for itself, at most
LOADED_LATER_MS = 15.0
SHADOWS_MB = 60.0
RESTORE_MS = 500.0


def command_rows(folder: Path) -> list[Row]:
    """Measure sets on an idle gateway and on one that is kept busy, and a thousand devices."""
    idle = measure(folder / "idle", IDLE_SETS, is_loaded=False)
    loaded = measure(folder / "loaded", LOADED_SETS, is_loaded=True)
    told = subprocess.run([sys.executable, "-m", "tests.bench.commands"], capture_output=True, text=True, check=True)
    used_mb, restore_ms = json.loads(told.stdout)
    return [
        Row("set_idle_p99_later_ms", idle.later_ms, "ms", idle.told(), IDLE_LATER_MS),
        Row("set_loaded_p99_later_ms", loaded.later_ms, "ms", f"{loaded.told()}; {_load(loaded)}", LOADED_LATER_MS),
        Row("shadows_1000_devices_mb", used_mb, "MB", "resident memory that 1,000 devices add", SHADOWS_MB),
        Row("shadows_1000_restored_ms", restore_ms, "ms", "from the folded state of a ledger", RESTORE_MS),
    ]


def _load(loaded: Measured) -> str:
    """Return what the gateway had to do meanwhile."""
    return (
        f"{loaded.frames_per_s:,.0f} of {FLOOD_HZ:,} frames/s decoded, {loaded.dropped:,} dropped, "
        f"{100 * loaded.gateway_cpu:.0f} % of a core, in line for one "
        f"{100 * loaded.gateway_waited:.0f} % of the time, {loaded.verified} ledgers verified"
    )


def _thousand() -> tuple[float, float]:
    """Return the memory of a thousand devices with shadows, in MB, and how long their restoring takes, in ms."""
    before = resident_mb()
    devices = {
        f"node-{number}": DeviceConfig(profile="cobs-node", port=f"/dev/none-{number}") for number in range(DEVICES)
    }
    gateway = Gateway(SiteConfig(devices=devices, ledger=LedgerConfig(enabled=False)), Path("/nonexistent"))
    state = State(boots=1)
    body = {"value": 40.0, "boot": 1, "seq": 5, "wall_ns": 1, "version": 1, "command": "a"}
    for kind in ("desired", "effective"):
        state.registers[kind] = {
            f"{name}/node/valve@desired": Latest(5, 1, 1, msgspec.json.encode(body), is_json=True) for name in devices
        }
    begun = time.perf_counter()
    Resumer(gateway._dispatch).resume(state)
    restore_ms = (time.perf_counter() - begun) * 1e3
    assert gateway._dispatch.twins["node-7"].view()["state"]["desired"] == {"valve": 40.0}
    return resident_mb() - before, restore_ms


if __name__ == "__main__":
    print(json.dumps(_thousand()))
