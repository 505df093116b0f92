"""The whole gateway with its ledger, on real pseudo-terminals: what is kept, what comes back, what goes wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.app import Gateway
from gateway.config import DeviceConfig, SiteConfig
from gateway.ledger import Ledger, Record
from gateway.ledger.reading import decode_reading
from gateway.ledger.settings import LedgerConfig
from tests.integration.test_ports import BACK_S, FarEnd, during, of, until
from tests.runtime.kit import COBS, reading, state

EVERYTHING = '[record]\nat_most = "0s"\n'
SMALL = LedgerConfig(footprint="small", window="100ms")


def site(folder: Path, *, extra: str = EVERYTHING, ledger: LedgerConfig = SMALL, profile: str | None = None) -> Gateway:
    (folder / "p.toml").write_text(profile or COBS.format(extra=extra, state=""))
    devices = {"node": DeviceConfig(profile="p.toml", port=str(folder / "node"))}
    return Gateway(SiteConfig(devices=devices, ledger=ledger), folder / "data", folder=folder)


def kept(folder: Path, kind: str = "reading") -> list[Record]:
    with Ledger.open(folder / "data" / "ledger", read_only=True) as ledger:
        return [item for item in ledger.read() if isinstance(item, Record) and item.kind == kind]


def payloads(folder: Path) -> list[bytes]:
    return [decode_reading(record.raw).payload for record in kept(folder)]


def latest(gateway: Gateway, message: str = "reading") -> dict[str, Any]:
    return next(entry for entry in gateway.queries.latest() if entry["message"] == message)


def heard(gateway: Gateway, folder: Path, *bodies: bytes) -> None:
    """Run the gateway until it has heard frames, and end it in order."""

    async def scenario() -> None:
        far = FarEnd(folder / "node")
        await until(lambda: of(gateway, "node")["state"] == "CONNECTED", BACK_S)
        far.send(*bodies)
        await until(lambda: of(gateway, "node")["frames"]["in"] == len(bodies), 30)
        far.unplug()

    during(gateway, scenario)


def test_every_frame_that_the_profile_wants_kept_is_in_the_ledger_as_it_came(tmp_path: Path) -> None:
    heard(site(tmp_path), tmp_path, reading(1), reading(1), reading(2))
    assert payloads(tmp_path) == [reading(1), reading(1), reading(2)]


def test_a_value_that_hardly_moves_is_kept_once(tmp_path: Path) -> None:
    profile = COBS.format(extra='[record]\nat_most = "0s"\n', state="").replace(
        'units = "Cel"', 'units = "Cel", deadband = 2'
    )
    heard(site(tmp_path, profile=profile), tmp_path, reading(10), reading(11), reading(12), reading(30))
    assert payloads(tmp_path) == [reading(10), reading(30)]


def test_what_the_profile_wants_not_kept_is_not(tmp_path: Path) -> None:
    profile = COBS.format(extra="", state='record = { class = "none" }')
    heard(site(tmp_path, profile=profile), tmp_path, state(5), reading(1))
    assert payloads(tmp_path) == [reading(1)]


def test_the_ledger_tells_the_run_from_start_to_stop(tmp_path: Path) -> None:
    heard(site(tmp_path), tmp_path, reading(1))
    boot, *_ = kept(tmp_path, "boot")
    states = [record.body["state"] for record in kept(tmp_path, "lifecycle")]
    assert boot.body["unclean"] is False
    assert states[-1] == "STOPPED"
    assert "CONNECTED" in states


def test_the_last_value_is_there_before_any_port_is_open_and_stale_until_the_device_speaks(tmp_path: Path) -> None:
    first = site(tmp_path)
    heard(first, tmp_path, reading(42))
    told = latest(first)
    second = site(tmp_path)

    async def scenario() -> None:
        await until(lambda: second.status()["ledger"]["mode"] == "recording", 30)
        back = latest(second)
        assert (back["values"], back["t"], back["stale"]) == (told["values"], told["t"], True)
        assert "coherence.stale" in back["taints"]
        far = FarEnd(tmp_path / "node")
        await until(lambda: of(second, "node")["state"] == "CONNECTED", BACK_S)
        far.send(reading(7))
        await until(lambda: latest(second)["values"] == {"temperature": 3.5}, 30)
        assert latest(second)["stale"] is False
        assert latest(second)["seq"] == told["seq"] + 1
        far.unplug()

    during(second, scenario)


def test_what_was_dropped_is_declared(tmp_path: Path) -> None:
    gateway = site(tmp_path)

    async def scenario() -> None:
        far = FarEnd(tmp_path / "node")
        await until(lambda: of(gateway, "node")["state"] == "CONNECTED", BACK_S)
        device = next(iter(gateway._devices()))
        device.lose(3)
        far.send(reading(1))
        await until(lambda: of(gateway, "node")["frames"]["delivered"] == 1, 30)
        far.unplug()

    during(gateway, scenario)
    assert sum(record.body["dropped"] for record in kept(tmp_path, "gap")) == 3


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    (folder / "p.toml").write_text(COBS.format(extra=EVERYTHING, state=""))
    (folder / "site.toml").write_text(
        f'[gateway]\ndata = "{folder}/data"\n[ledger]\nfootprint = "small"\nwindow = "50ms"\n'
        f'[device.node]\nprofile = "p.toml"\nport = "{folder}/node"\n'
    )
    child = subprocess.Popen(
        [sys.executable, "-m", "gateway", "run", str(folder / "site.toml")], stderr=subprocess.PIPE
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def test_a_killed_gateway_loses_no_more_than_its_window_and_says_that_it_was_killed(tmp_path: Path) -> None:
    far = FarEnd(tmp_path / "node")
    with running(tmp_path) as child:
        limit_s = time.monotonic() + 30
        count = 0
        while time.monotonic() < limit_s and len(safely_kept(tmp_path)) < 5:
            count += 1
            far.send(reading(count % 100))
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
        child.wait()
    before = payloads(tmp_path)
    assert len(before) >= 5
    second = site(tmp_path)

    async def scenario() -> None:
        await until(lambda: second.status()["ledger"]["mode"] == "recording", 30)

    during(second, scenario)
    assert payloads(tmp_path)[: len(before)] == before
    assert kept(tmp_path, "boot")[-1].body["unclean"] is True
    with Ledger.open(tmp_path / "data" / "ledger", read_only=True) as ledger:
        assert ledger.verify(deep=True).verdict == "intact"
    far.unplug()


def safely_kept(folder: Path) -> list[Record]:
    return kept(folder) if (folder / "data" / "ledger" / "META.b").exists() else []


def test_a_second_gateway_on_the_same_ledger_goes_on_in_memory_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    gateway = site(tmp_path)
    with Ledger.open(tmp_path / "data" / "ledger", options=SMALL.options()):

        async def scenario() -> dict[str, Any]:
            far = FarEnd(tmp_path / "node")
            await until(lambda: of(gateway, "node")["state"] == "CONNECTED", BACK_S)
            far.send(reading(1))
            await until(lambda: of(gateway, "node")["frames"]["delivered"] == 1, 30)
            far.unplug()
            told: dict[str, Any] = gateway.status()["ledger"]
            return told

        told = during(gateway, scenario)
    assert told["mode"] == "memory"
    assert f"process {os.getpid()}" in told["reason"]
    assert told["shed"] == {"no ledger": 1}


def test_a_ledger_of_another_gateway_s_parts_stops_nothing_but_the_recording(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for name in ("one", "two"):
        with Ledger.open(tmp_path / name, options=SMALL.options()) as ledger:
            ledger.append("note", None, name, "state")
    (tmp_path / "one").rename(tmp_path / "data" / "ledger")
    segment = (tmp_path / "two" / "hot" / "00.seg").read_bytes()
    (tmp_path / "data" / "ledger" / "hot" / "00.seg").write_bytes(segment)
    gateway = site(tmp_path)

    async def scenario() -> dict[str, Any]:
        await until(lambda: gateway.status()["ledger"]["mode"] == "memory", 30)
        told: dict[str, Any] = gateway.status()["ledger"]
        return told

    told = during(gateway, scenario)
    assert "belongs to another ledger" in told["reason"]
    assert (tmp_path / "data" / "ledger" / "hot" / "00.seg").read_bytes() == segment


def test_without_a_ledger_everything_else_works(tmp_path: Path) -> None:
    gateway = site(tmp_path, ledger=LedgerConfig(enabled=False))
    heard(gateway, tmp_path, reading(1))
    assert gateway.status()["ledger"] == {"mode": "off"}
    assert not (tmp_path / "data" / "ledger").exists()


@pytest.mark.parametrize("backend", ["ldg1", "sqlite"])
def test_frames_that_find_no_room_wait_in_the_ledger_and_come_in_order(tmp_path: Path, backend: str) -> None:
    queue = '[record]\nat_most = "0s"\n[queue]\ncapacity = 4\nwhen_full = "spill_to_store"\n'
    config = LedgerConfig(window="100ms") if backend == "sqlite" else SMALL
    config = msgspec.structs.replace(config, backend=backend, footprint="normal" if backend == "sqlite" else "small")
    gateway = site(tmp_path, extra=queue, ledger=config)
    seen: list[float] = []

    async def scenario() -> None:
        far = FarEnd(tmp_path / "node")
        await until(lambda: of(gateway, "node")["state"] == "CONNECTED", BACK_S)
        await until(lambda: gateway.status()["ledger"]["mode"] == "recording", 30)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(watch())
            await asyncio.sleep(0)
            for start in range(0, 200, 20):
                far.send(*(reading(number) for number in range(start, start + 20)))
                await asyncio.sleep(0)
            await until(lambda: of(gateway, "node")["frames"]["delivered"] == 200, 30)
            await until(lambda: len(seen) == 200, 30)
            watching.cancel()
        far.unplug()

    async def watch() -> None:
        async for record in gateway.queries.watch("node"):
            seen.extend(record["values"].values())

    during(gateway, scenario)
    assert seen == [number / 2 for number in range(200)]
    assert sorted(payloads(tmp_path)) == sorted(reading(number) for number in range(200))


def test_a_file_in_the_place_of_the_ledger_stops_nothing_but_the_recording(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ledger").write_text("mine")
    gateway = site(tmp_path)
    heard(gateway, tmp_path, reading(1))
    assert latest(gateway)["values"] == {"temperature": 0.5}
    assert gateway.status()["ledger"]["mode"] == "memory"
    assert (tmp_path / "data" / "ledger").read_text() == "mine"


@pytest.fixture
def medium(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own where the ledger will lie."""
    folder = tmp_path / "data" / "ledger"
    folder.mkdir(parents=True)
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", folder], check=False, capture_output=True
    )
    if made.returncode:
        pytest.skip("mounting needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


async def heard_while(gateway: Gateway, far: FarEnd, number: int, mode: str) -> None:
    """Wait for a mode, and see that values come whatever it is."""
    await until(lambda: gateway.status()["ledger"]["mode"] == mode, 30)
    before = of(gateway, "node")["frames"]["delivered"]
    far.send(reading(number))
    await until(lambda: of(gateway, "node")["frames"]["delivered"] == before + 1, 30)
    assert latest(gateway)["values"] == {"temperature": number / 2}


def test_a_full_medium_is_told_and_the_recording_begins_without_a_restart_when_there_is_room(
    tmp_path: Path, medium: Path
) -> None:
    gateway = site(tmp_path)

    async def scenario() -> None:
        far = FarEnd(tmp_path / "node")
        await until(lambda: of(gateway, "node")["state"] == "CONNECTED", BACK_S)
        await heard_while(gateway, far, 1, "memory")
        assert "No space left on device" in gateway.status()["ledger"]["reason"]
        remount(medium, "size=16m")
        await heard_while(gateway, far, 2, "recording")
        far.unplug()

    during(gateway, scenario)
    assert payloads(tmp_path) == [reading(2)]
    assert {"dropped": 1, "reason": "no ledger"} in [record.body for record in kept(tmp_path, "gap")]


def test_a_medium_that_becomes_read_only_stops_nothing_but_the_recording(tmp_path: Path, medium: Path) -> None:
    remount(medium, "size=16m")
    heard(site(tmp_path), tmp_path, reading(1))
    remount(medium, "ro")
    gateway = site(tmp_path)

    async def scenario() -> None:
        await until(lambda: latest(gateway)["values"] == {"temperature": 0.5}, 30)
        assert latest(gateway)["stale"]
        far = FarEnd(tmp_path / "node")
        await until(lambda: of(gateway, "node")["state"] == "CONNECTED", BACK_S)
        await heard_while(gateway, far, 2, "memory")
        assert "Read-only file system" in gateway.status()["ledger"]["reason"]
        remount(medium, "rw")
        await heard_while(gateway, far, 3, "recording")
        far.unplug()

    during(gateway, scenario)
    assert payloads(tmp_path) == [reading(1), reading(3)]
