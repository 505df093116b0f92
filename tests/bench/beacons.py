"""What ten thousand beacons cost that are heard once and remembered: a gateway with its ledger, in its own process.

The whole gateway, wired as `tidegate run` does it; only the adapter is ours, and time runs faster, so that what passes
by in hours takes seconds.
"""

from __future__ import annotations

import asyncio
import json
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from gateway import app
from gateway.authority.decision import Caller
from gateway.clock import Clock, SystemClock
from gateway.config import DiscoverConfig, SiteConfig
from gateway.frame import Batch, Element
from gateway.ledger.settings import LedgerConfig
from gateway.port import Port
from gateway.profile.model import LinkSpec
from gateway.testing import AnsweringPort
from tests.bench.bluetooth import PROFILE
from tests.bench.child import resident_mb
from tests.bench.rows import Row

BEACONS: Final = 10_000
FLOOD: Final = 100_000
LIMIT: Final = 500
HURRY: Final = 100
AT_ONCE: Final = 20  # beacons heard before the clock is looked at again
REMEMBERED_MB: Final = 100.0
FLOOD_US: Final = 100.0
ME: Final = Caller(principal="user:bench", is_local=True)


class HurriedClock:
    """Time that runs so many times as fast."""

    def __init__(self, times: int) -> None:
        self._real = SystemClock()
        self._times = times
        self._started_ns, self._wall_ns = self._real.monotonic_ns(), self._real.wall_ns()

    def monotonic_ns(self) -> int:
        """Return nanoseconds."""
        return self._started_ns + (self._real.monotonic_ns() - self._started_ns) * self._times

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970."""
        return self._wall_ns + (self._real.monotonic_ns() - self._started_ns) * self._times


class Air(AnsweringPort):
    """An adapter that gives what it heard meanwhile in one read, as a busy one does."""

    async def read(self) -> Batch:
        """Return all that was heard."""
        batch = await super().read()
        while not self._heard.empty():
            more = await super().read()
            batch.payloads.extend(more.payloads)
            (batch.addresses or []).extend(more.addresses or [])
        return batch


class OneAdapter:
    """Gives the port that the bench speaks through."""

    name = "bench"

    def __init__(self, port: Port) -> None:
        self._port = port

    def __call__(self, _target: str, _bus: str) -> OneAdapter:
        return self

    def make(self, _target: str, _link: LinkSpec, _clock: Clock) -> Port:
        return self._port

    def claims(self, _target: str, _bus: str) -> bool:
        return True


def beacon_rows(folder: Path) -> list[Row]:
    """Return the memory of a gateway that remembers 10,000 beacons, and whether they have their values back."""
    got: dict[str, float] = {}
    for part in PARTS:
        command = [sys.executable, "-m", "tests.bench.beacons", part, str(folder)]
        got |= json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return [
        Row("beacons_remembered", got["remembered"], "beacons", f"of {BEACONS:,} heard once", BEACONS, at_least=True),
        Row("beacons_10000_mb", got["memory_mb"], "MB", "resident at most, ledger and all", REMEMBERED_MB),
        Row("beacons_restart_mb", got["start_mb"], "MB", "resident at most, when they come back", REMEMBERED_MB),
        Row("beacons_values_of_100", got["told"], "values", "read from the ledger after a restart", 100, at_least=True),
        Row("beacons_back_of_100", got["returned"], "beacons", "heard again, numbers go on", 100, at_least=True),
        Row("beacons_flood_us", got["flood_us"], "us/address", f"{FLOOD:,} addresses, each once", FLOOD_US),
        Row("beacons_flood_mb", got["flood_mb"], "MB", "resident at most, in that flood", REMEMBERED_MB),
    ]


class Run:
    """One run of the gateway over the folder."""

    def __init__(self, folder: Path, hurry: int = HURRY) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "beacon.toml").write_text(PROFILE)
        self.clock = HurriedClock(hurry)
        self.port = Air("hci0", lambda _request, _address: [], self.clock)
        site = SiteConfig(
            discover={"tag": DiscoverConfig(profile="beacon.toml", port="hci0", limit=LIMIT)},
            ledger=LedgerConfig(ring="8MiB", segment="1MiB", budget_per_day="0"),
        )
        with patch.object(app, "driver_for", OneAdapter(self.port)):
            self.gateway = app.Gateway(site, folder / "data", clock=self.clock, folder=folder)
        self.most_mb = 0.0

    @property
    def told(self) -> dict[str, Any]:
        """Return what `status --json` tells of the discovery."""
        found: dict[str, Any] = self.gateway.status()["ports"][0]["discovered"][0]
        return found

    def say(self, number: int, counter: int) -> None:
        """Let one beacon speak."""
        address = f"C0:00:{number >> 24 & 255:02X}:{number >> 16 & 255:02X}:{number >> 8 & 255:02X}:{number & 255:02X}"
        payload = struct.pack("<IhHH", counter, 2150, 4000, 51325)
        self.port.say(payload, Element(address, -60, manufacturer=0xFFFF))

    async def hear(self, numbers: range, pace_s: float) -> None:
        """Let each beacon speak once, so many seconds of the gateway's time from one to the next."""
        for number in numbers:
            self.say(number, number)
            if number % AT_ONCE == 0:
                await asyncio.sleep(AT_ONCE * pace_s / HURRY)
                self.most_mb = max(self.most_mb, resident_mb())
        await self.until(self.port._heard.empty)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something is so."""
        while not condition():
            await asyncio.sleep(0.02)
            self.most_mb = max(self.most_mb, resident_mb())

    async def play(self, scenario: Callable[[], Any]) -> None:
        """Run the gateway while a scenario runs."""
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            running = group.create_task(self.gateway.run(stop))
            await self.until(lambda: self.port._is_open)
            await scenario()
            stop.set()
            await running


async def remember(folder: Path) -> dict[str, float]:
    """Let all beacons pass by."""
    run = Run(folder / "beacons")

    async def pass_by() -> None:
        await run.hear(range(BEACONS), 60 / LIMIT * 1.1)
        await run.until(lambda: run.told["devices"] == 0)

    await run.play(pass_by)
    return {"remembered": run.told["remembered"], "memory_mb": run.most_mb}


async def come_back(folder: Path) -> dict[str, float]:
    """Start again, ask for the values of some, and let them be heard again."""
    run = Run(folder / "beacons")
    numbers = range(0, BEACONS, BEACONS // 100)
    got = {"told": 0, "returned": 0}

    async def ask() -> None:
        await run.until(lambda: run.told["remembered"] == BEACONS)
        for number in numbers:
            told = await run.gateway.asks.answer("get", {"route": f"tag-{number:04x}/beacon/counter"}, ME)
            got["told"] += (told["value"], told["stale"], told["seq"]) == (number, True, 1)
        for number in numbers:
            run.say(number, number + 1)
        await run.until(lambda: run.told["returned"] == len(numbers))
        for number in numbers:
            told = await run.gateway.asks.answer("get", {"route": f"tag-{number:04x}/beacon/counter"}, ME)
            got["returned"] += (told["value"], told["stale"], told["seq"]) == (number + 1, False, 2)

    await run.play(ask)
    return got | {"start_mb": run.most_mb}


async def rush(folder: Path) -> dict[str, float]:
    """Let a flood of addresses come that are heard once, as fast as they are taken."""
    run = Run(folder / "flood", hurry=1)
    spent: list[float] = []

    async def flood() -> None:
        begun = time.process_time()
        await run.hear(range(FLOOD), 0)
        spent.append(time.process_time() - begun)

    await run.play(flood)
    return {"flood_us": spent[0] / FLOOD * 1e6, "flood_mb": run.most_mb}


PARTS: Final = {"remember": remember, "come_back": come_back, "rush": rush}

if __name__ == "__main__":
    print(json.dumps(asyncio.run(PARTS[sys.argv[1]](Path(sys.argv[2])))))
