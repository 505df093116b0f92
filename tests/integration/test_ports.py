"""The whole gateway on real ports: a pseudo-terminal that is unplugged and comes back, and a virtual CAN bus."""

from __future__ import annotations

import asyncio
import os
import time
import tty
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from gateway.app import Gateway
from gateway.config import DeviceConfig, SiteConfig
from gateway.framing.cobs import stuff
from tests.runtime.kit import CAN, COBS, reading, state
from tests.waiting import first_met

OFF_CONNECTED_S = 1.0
BACK_S = 30.0


class FarEnd:
    """A device on a pseudo-terminal, reached by a link as udev would make it."""

    def __init__(self, link: Path) -> None:
        self.near, far = os.openpty()
        tty.setraw(self.near)
        tty.setraw(far)
        link.unlink(missing_ok=True)
        link.symlink_to(os.ttyname(far))
        self.far = far
        self.link = link

    def send(self, *bodies: bytes) -> None:
        os.write(self.near, b"".join(stuff(body) + b"\0" for body in bodies))

    def unplug(self) -> None:
        self.link.unlink(missing_ok=True)  # first: what it names may be another's device at once
        os.close(self.far)
        os.close(self.near)


def site(folder: Path, profile: str, **ports: str) -> Gateway:
    (folder / "p.toml").write_text(profile)
    devices = {name: DeviceConfig(profile="p.toml", port=port) for name, port in ports.items()}
    return Gateway(SiteConfig(devices=devices), folder / "data", folder=folder)


def during(gateway: Gateway, scenario: Callable[[], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        stop = asyncio.Event()
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(gateway.run(stop))
            try:
                return await scenario()
            finally:
                stop.set()

    return asyncio.run(run())


async def until(condition: Callable[[], bool], limit_s: float) -> float:
    """Return how long it took; fail beyond `limit_s`."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < limit_s, "not in time"
        await asyncio.sleep(0.01)
    return time.monotonic() - start


def of(gateway: Gateway, name: str) -> dict[str, Any]:
    device: dict[str, Any] = next(each for each in gateway.status()["devices"] if each["name"] == name)
    frames = device["frames"]
    assert frames["in"] == sum(frames[part] for part in ("delivered", "dropped", "refused", "pending"))
    return device


def test_a_device_that_is_unplugged_and_comes_back_under_another_name_goes_on(tmp_path: Path) -> None:
    numbers = count()

    def gone_after() -> float:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return unplugged_and_back(folder)

    assert first_met(gone_after, lambda gone_s: gone_s < OFF_CONNECTED_S) < OFF_CONNECTED_S


def unplugged_and_back(tmp_path: Path) -> float:
    """Return after how many seconds the device was known to be gone."""
    gateway = site(
        tmp_path, COBS.format(extra="", state=""), node=str(tmp_path / "node"), other=str(tmp_path / "other")
    )

    async def scenario() -> tuple[float, dict[tuple[str, str], dict[str, Any]]]:
        assert of(gateway, "node")["state"] != "CONNECTED"
        first, other = FarEnd(tmp_path / "node"), FarEnd(tmp_path / "other")
        await until(lambda: of(gateway, "node")["state"] == of(gateway, "other")["state"] == "CONNECTED", BACK_S)
        first.send(reading(1), state(2), b"\x09 unknown", state(3, const=0))
        await until(lambda: of(gateway, "node")["frames"]["in"] == 4, BACK_S)
        first.unplug()
        gone_s = await until(lambda: of(gateway, "node")["state"] != "CONNECTED", BACK_S)
        assert of(gateway, "other")["state"] == "CONNECTED"
        other.send(reading(9))
        await until(lambda: of(gateway, "other")["frames"]["delivered"] == 1, BACK_S)
        second = FarEnd(tmp_path / "node")
        await until(lambda: of(gateway, "node")["state"] == "CONNECTED", BACK_S)
        second.send(reading(5))
        await until(lambda: of(gateway, "node")["frames"]["delivered"] == 3, BACK_S)
        latest = {(entry["device"], entry["message"]): entry for entry in gateway.queries.latest()}
        second.unplug()
        other.unplug()
        return gone_s, latest

    gone_s, latest = during(gateway, scenario)
    assert of(gateway, "node")["frames"] == {"in": 5, "delivered": 3, "dropped": 0, "refused": 2, "pending": 0}
    assert latest["node", "reading"]["values"] == {"temperature": 2.5}
    assert latest["node", "reading"]["taints"] == ["delivery.reconnected"]
    assert latest["other", "reading"]["taints"] == []
    return float(gone_s)


def test_ten_thousand_frames_in_bursts_all_arrive(tmp_path: Path) -> None:
    gateway = site(tmp_path, COBS.format(extra="", state=""), node=str(tmp_path / "node"))

    async def scenario() -> None:
        far = FarEnd(tmp_path / "node")
        os.set_blocking(far.near, False)
        await until(lambda: of(gateway, "node")["state"] == "CONNECTED", BACK_S)
        sent, rest = 0, b""
        while sent < 10_000 or rest:
            if not rest:
                rest = b"".join(stuff(reading(number % 1000)) + b"\0" for number in range(sent, sent + 500))
                sent += 500
            try:
                rest = rest[os.write(far.near, rest) :]
            except BlockingIOError:
                await asyncio.sleep(0.001)
        await until(lambda: of(gateway, "node")["frames"]["delivered"] == 10_000, BACK_S)
        far.unplug()

    during(gateway, scenario)
    assert of(gateway, "node")["frames"]["in"] == 10_000


def test_frames_of_a_can_bus_reach_the_device_they_belong_to(tmp_path: Path) -> None:
    can = pytest.importorskip("can")
    (tmp_path / "a.toml").write_text(CAN.format(id=0x11))
    (tmp_path / "b.toml").write_text(CAN.format(id=0x22))
    channel = f"virtual:{tmp_path.name}"
    devices = {name: DeviceConfig(profile=f"{name}.toml", port=channel) for name in ("a", "b")}
    gateway = Gateway(SiteConfig(devices=devices), tmp_path / "data", folder=tmp_path)

    async def scenario() -> None:
        await until(lambda: of(gateway, "a")["state"] == "CONNECTED", BACK_S)
        with can.Bus(interface="virtual", channel=tmp_path.name) as bus:
            for can_id in (0x11, 0x22, 0x33, 0x11):
                bus.send(can.Message(arbitration_id=can_id, data=b"\x01\x02", is_extended_id=False))
            await until(lambda: of(gateway, "a")["frames"]["delivered"] == 2, 30)
            await until(lambda: of(gateway, "b")["frames"]["delivered"] == 1, 30)

    during(gateway, scenario)
    port = gateway.status()["ports"][0]
    assert (port["frames"], port["unknown"]) == (3, 0)  # the port leaves out what no device takes
    assert [of(gateway, name)["frames"]["in"] for name in ("a", "b")] == [2, 1]
