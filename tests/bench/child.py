"""The gateway under measurement, in a process of its own: `python -m tests.bench.child '{...}'`.

The same parts that `tidegate run` is made of, wired by the same function; only the CAN socket comes from outside.
Prints `ready`, then one JSON line when all frames have come or none came for a while.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from drivers._can_socket import SocketCanPort
from gateway.cli.run import SWITCH_S
from gateway.clock import Clock, SystemClock
from gateway.config import site_of_arguments
from gateway.ledger import Ledger
from gateway.ledger.settings import LedgerConfig
from gateway.port import Port
from gateway.profile.model import LinkSpec
from gateway.registry import driver_for
from gateway.runtime.blueprint import blueprint
from gateway.runtime.device import Device
from gateway.runtime.recorder import Recorder
from gateway.runtime.scheduler import Scheduler
from gateway.runtime.supervisor import Supervisor
from gateway.runtime.wiring import Fitter, wire

SILENCE_S = 3.0
LOOK_S = 0.1  # seldom enough that looking costs nothing beside the frames


class InheritedSocket:
    """A CAN driver whose target is a descriptor that the bench opened: one end of a socket pair."""

    name = "inherited"

    def make(self, target: str, link: LinkSpec, clock: Clock) -> Port:
        return SocketCanPort(target, partial(socket.socket, fileno=int(target)), clock, fd=link.fd)

    def claims(self, target: str, bus: str) -> bool:
        return bus == "can" and target.isdigit()


class Latency:
    """Looks on like any watcher: nanoseconds from the time a frame carries to the moment its row is there."""

    def __init__(self) -> None:
        self.taken_ns: list[int] = []

    def wants(self, _message: Any) -> bool:
        return True

    def offer(self, rows: list[Any], _parcel: Any, _messages: Any) -> None:
        now_ns = time.monotonic_ns()
        self.taken_ns += [now_ns - row[0] for _, _, row in rows]


def resident_mb() -> float:
    """Return this process's resident memory in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


async def measure(device: Device, frames: int, samples: list[float]) -> tuple[float, float]:
    """Return CPU and wall seconds from the first frame to the last."""
    while device.frames().frames_in == 0:  # noqa: ASYNC110 - looked at from outside, as a user's `status` would
        await asyncio.sleep(0.002)
    cpu, wall = time.process_time(), time.monotonic()
    seen, moved = 0, wall
    while True:
        await asyncio.sleep(LOOK_S)
        account = device.frames()
        now = time.monotonic()
        if account.frames_in != account.delivered + account.dropped + account.refused + account.pending:
            raise AssertionError(f"frames are not conserved: {account}")
        done = account.delivered + account.dropped + account.refused
        if done != seen:
            seen, moved = done, now
        samples.append(resident_mb())
        if done >= frames or now - moved > SILENCE_S:
            return time.process_time() - cpu, moved - wall


async def recording(folder: str, device: Device, clock: Clock) -> Recorder:
    """Record every frame that the device's profile wants kept, as `tidegate run` does."""
    options = LedgerConfig(window="1s", budget_per_day="0").options()
    recorder = Recorder(lambda: Ledger.open(folder, options=options), clock, boot={"boot": "bench"})
    recorder.attach(device)
    await recorder.start()
    return recorder


async def main(order: dict[str, Any]) -> None:
    sys.setswitchinterval(SWITCH_S)
    clock = SystemClock()
    site = site_of_arguments([f"bench={order['profile']}@{order['target']}"])
    make = (lambda _target, _bus: InheritedSocket()) if order["kind"] == "can" else driver_for
    scheduler = Scheduler(clock)
    fitter = Fitter(clock, make, order.get("coalesce_s", 0.002))
    keepers = [keeper for _, keeper in wire(blueprint(site, None, has_store=False), fitter)]
    device = keepers[0].devices[0]
    latency = Latency()
    if order.get("latency"):
        device.watchers.append(latency)  # type: ignore[arg-type] # the two methods that are called are there
    samples: list[float] = []
    recorder = await recording(order["ledger"], device, clock) if "ledger" in order else None
    running = asyncio.create_task(Supervisor(scheduler, keepers).run())  # noqa: TID251 - the bench is its own edge
    print("ready", flush=True)
    cpu_s, wall_s = await measure(device, order["frames"], samples)
    running.cancel()
    account = device.frames()
    told = {}
    if recorder is not None:
        await recorder.stop()
        told = {"recorded": recorder.recorded, "shed": sum(recorder.shed.values()), "ledger": recorder.status()}
        told["children_cpu_s"] = sum(os.times()[2:4])
    late = sorted(latency.taken_ns)
    settled = samples[len(samples) // 10 :]
    print(
        json.dumps(
            {
                **account.as_json(),
                **told,
                "cpu_s": cpu_s,
                "wall_s": wall_s,
                "p50_ms": late[len(late) // 2] / 1e6 if late else None,
                "p99_ms": late[len(late) * 99 // 100] / 1e6 if late else None,
                "rss_growth_mb": max(settled) - settled[0] if settled else 0.0,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
