"""A whole gateway on the kernel's own CAN: every frame in the latest-value table, or counted where it was lost."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time

import pytest

from drivers import _can_raw
from gateway.app import Gateway
from gateway.config import DeviceConfig, SiteConfig

pytestmark = pytest.mark.kernel

WHEEL = """
[profile]
id = "test/wheel@1.0.0"
[link]
bus = "can"
[message.speed]
when = { can_id = 0x123 }
fields = [{ name = "counter", type = "u32be" }, { name = "speed", type = "u16be" }]
"""
FRAMES = 4000
LIMIT_S = 60.0


def gateway_for(folder, profile, **params):
    (folder / "wheel.toml").write_text(WHEEL)
    device = DeviceConfig(profile=profile, port="vcan0", params=params)
    return Gateway(SiteConfig(devices={"it": device}), folder / "data", folder=folder)


def play(gateway, scenario):
    async def run():
        stop = asyncio.Event()
        async with asyncio.timeout(LIMIT_S), asyncio.TaskGroup() as group:
            group.create_task(gateway.run(stop))
            try:
                await until(lambda: status(gateway)["state"] == "CONNECTED")
                return await scenario()
            finally:
                stop.set()

    return asyncio.run(run())


async def until(condition):
    while not condition():  # noqa: ASYNC110 - a gateway is watched from outside; play() sets the limit
        await asyncio.sleep(0.02)


def status(gateway):
    return gateway.status()["devices"][0]


def settled(gateway):
    frames = status(gateway)["frames"]
    assert frames["in"] == frames["delivered"] + frames["dropped"] + frames["refused"] + frames["pending"]
    return frames["delivered"] + frames["dropped"]


def drive(vcan, bus, *, burst, pause_s):
    """Send all frames from another node, with one that nobody wants between any two."""
    with contextlib.closing(vcan.socket()) as node:
        node.setblocking(True)
        for number in range(FRAMES):
            node.send(bus.classic(0x123, struct.pack(">IH", number, number % 1000)))
            node.send(bus.classic(0x321, b"noise"))
            if pause_s and number % burst == 0:
                time.sleep(pause_s)


def test_can_every_frame_reaches_the_latest_table_at_the_machine_s_rate(vcan, bus, tmp_path):
    gateway = gateway_for(tmp_path, "wheel.toml")

    async def scenario():
        await asyncio.to_thread(drive, vcan, bus, burst=20, pause_s=0.005)
        await until(lambda: settled(gateway) == FRAMES)

    play(gateway, scenario)
    assert status(gateway)["frames"] == {"in": FRAMES, "delivered": FRAMES, "dropped": 0, "refused": 0, "pending": 0}
    assert gateway.queries.latest()[0]["values"]["counter"] == FRAMES - 1
    assert gateway.status()["ports"][0]["link"]["kernel_dropped"] == 0
    assert gateway.status()["ports"][0]["unknown"] == 0  # the kernel left out what nobody wants


def test_can_what_an_overloaded_gateway_loses_is_what_the_kernel_says_it_dropped(vcan, bus, tmp_path, monkeypatch):
    monkeypatch.setattr(_can_raw, "RECEIVE_BUFFER_BYTES", 16384)
    gateway = gateway_for(tmp_path, "wheel.toml")

    async def scenario():
        sender = threading.Thread(target=drive, args=(vcan, bus), kwargs={"burst": 1, "pause_s": 0.0})
        sender.start()
        while sender.is_alive():
            time.sleep(0.2)  # the loop is held up: nobody reads  # noqa: ASYNC251
            await asyncio.sleep(0)
        await until(lambda: settled(gateway) == FRAMES)

    play(gateway, scenario)
    dropped = status(gateway)["frames"]["dropped"]
    assert dropped > 0
    assert gateway.status()["ports"][0]["link"]["kernel_dropped"] == dropped
    assert gateway.queries.latest()[0]["values"]["counter"] < FRAMES


def test_isotp_a_car_answers_the_gateway_through_the_kernel_s_own_transport(vcan, tmp_path):
    gateway = gateway_for(tmp_path, "obd2", request=0x7E0)
    answers = {
        b"\x01\x0c\x0d\x05\x04\x11\x0f": bytes.fromhex("41 0c 1a f8 0d 32 05 7b 04 80 11 40 0f 46"),
        b"\x09\x02": b"\x49\x02\x01WDB12345678901234",
        b"\x03": bytes.fromhex("43 01 01 33"),
        b"\x07": bytes.fromhex("47 00"),
    }
    with contextlib.closing(socket.socket(socket.AF_CAN, socket.SOCK_DGRAM, socket.CAN_ISOTP)) as ecu:
        ecu.bind((vcan.name, 0x7E0, 0x7E8))

        def answer():
            with contextlib.suppress(OSError):
                while True:
                    ecu.send(answers[ecu.recv(4096)])

        threading.Thread(target=answer, daemon=True).start()

        def values():
            return {
                name: value
                for each in gateway.queries.latest()
                for name, value in each["values"].items()
                if each["seq"]
            }

        async def scenario():
            await until(lambda: "engine_speed" in values() and "vin" in str(values()).lower())

        play(gateway, scenario)
        assert values()["engine_speed"] == 1726.0
        assert "WDB12345678901234" in values().values()
        assert gateway.status()["ports"][0]["garbage"] == 0
