"""What commands cost: from a caller's set to bytes on the wire, and what a thousand devices with shadows take."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import quantiles
from unittest.mock import patch

import msgspec

from gateway.app import Gateway
from gateway.authority.decision import Caller
from gateway.authority.settings import GrantConfig
from gateway.clock import SystemClock
from gateway.config import DeviceConfig, SiteConfig
from gateway.ledger.fold import Latest, State
from gateway.ledger.settings import LedgerConfig
from gateway.runtime import outlet
from gateway.runtime.resuming import Resumer
from hil.sim.rig import Rig
from tests.bench.child import resident_mb
from tests.bench.rows import Row

SETS = 300
DEVICES = 1_000
LATER_MS = 3.0  # than the medium's own p99, at most
SHADOWS_MB = 60.0
RESTORE_MS = 500.0
NODE_VALVE = "node/node/valve@desired"
ME = Caller(principal="user:bench", is_local=True)
GRANT = {"bench": GrantConfig(principal="user:bench", routes="**", verbs=["write"])}


def command_rows(folder: Path) -> list[Row]:
    """Measure sets on an idle gateway, and a thousand devices."""
    late_ms, sync_ms = _latency_ms(folder / "commands")
    told = subprocess.run([sys.executable, "-m", "tests.bench.commands"], capture_output=True, text=True, check=True)
    used_mb, restore_ms = json.loads(told.stdout)
    return [
        Row("set_to_wire_p99_later_ms", late_ms - sync_ms, "ms", f"than fdatasync's p99 of {sync_ms:.2f} ms", LATER_MS),
        Row("shadows_1000_devices_mb", used_mb, "MB", "resident memory that 1,000 devices add", SHADOWS_MB),
        Row("shadows_1000_restored_ms", restore_ms, "ms", "from the folded state of a ledger", RESTORE_MS),
    ]


def _latency_ms(folder: Path) -> tuple[float, float]:
    """Return p99 from call to written, and of fdatasync of one page in the same folder, both in the same minute."""
    spans: list[float] = []
    syncs: list[float] = []
    real = outlet.send
    written = asyncio.Event()

    async def sent(*args: object, **more: object) -> None:
        await real(*args, **more)  # type: ignore[arg-type]
        written.set()

    async def run() -> None:
        with Rig(folder / "devices") as rig, _page(folder) as page:
            site = msgspec.structs.replace(rig.site(), grants=GRANT, ledger=LedgerConfig(ring="2MiB", segment="256KiB"))
            gateway = Gateway(site, folder / "data")
            dispatch, stop = gateway._dispatch, asyncio.Event()
            async with asyncio.TaskGroup() as group:
                running = group.create_task(gateway.run(stop))
                devices = group.create_task(rig.run())
                twin = dispatch.twins["node"]
                while twin.moment().is_silent:  # noqa: ASYNC110 - a device has no event for this
                    await asyncio.sleep(0.1)
                await asyncio.sleep(1.0)
                for number in range(SETS):
                    written.clear()
                    begun = time.perf_counter()
                    asked = group.create_task(dispatch.set(ME, NODE_VALVE, (number % 100) / 2, wait_s=1.0))
                    await written.wait()
                    spans.append(time.perf_counter() - begun)
                    await asked
                    syncs.append(page())
                stop.set()
                await running
                devices.cancel()

    with patch.object(outlet, "send", sent):
        asyncio.run(run())
    return _p99_ms(spans), _p99_ms(syncs)


@contextlib.contextmanager
def _page(folder: Path) -> Iterator[object]:
    descriptor = os.open(folder / "page", os.O_RDWR | os.O_CREAT, 0o600)
    os.pwrite(descriptor, bytes(4096), 0)

    def measure() -> float:
        begun = time.perf_counter()
        os.pwrite(descriptor, os.urandom(4096), 0)
        os.fdatasync(descriptor)
        return time.perf_counter() - begun

    try:
        yield measure
    finally:
        os.close(descriptor)


def _p99_ms(spans: list[float]) -> float:
    return quantiles(spans, n=100)[98] * 1e3


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
    Resumer(gateway._dispatch, SystemClock(), is_clock_trusted=lambda: True).resume(state)
    restore_ms = (time.perf_counter() - begun) * 1e3
    assert gateway._dispatch.twins["node-7"].view()["state"]["desired"] == {"valve": 40.0}
    return resident_mb() - before, restore_ms


if __name__ == "__main__":
    print(json.dumps(_thousand()))
