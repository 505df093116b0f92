"""What the MQTT tests share: a real broker, somebody in the middle who misbehaves, a subscriber, and a gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Self

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from gateway.app import Gateway
from gateway.authority.settings import GrantConfig
from gateway.clock import Clock
from gateway.config import DeviceConfig, GatewayConfig, MqttConfig, SiteConfig
from tests.runtime.kit import COBS

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="no mosquitto: sudo apt install mosquitto")

EVERYTHING = COBS.format(extra='[record]\nat_most = "0s"', state="")
GRANTS = {"mqtt": GrantConfig(principal="service:mqtt", routes="**", verbs=["read", "write"])}
ROOT = "tidegate/gw"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


class Broker:
    """mosquitto on a port of its own, which may be killed."""

    def __init__(self, folder: Path, *lines: str) -> None:
        self.port = free_port()
        self.file = folder / "mosquitto.conf"
        told = lines or (f"listener {self.port} 127.0.0.1", "allow_anonymous true")
        self.file.write_text("\n".join((*told, "max_queued_messages 0", "max_inflight_messages 0", "")))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert MOSQUITTO is not None
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self.file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.01)
        raise AssertionError("the broker does not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


class Subscriber:
    """Somebody who hears everything and may say something."""

    def __init__(self, port: int) -> None:
        self.heard: list[tuple[str, bytes, bool]] = []
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.on_message = lambda _c, _u, message: self.heard.append(
            (message.topic, message.payload, message.retain)
        )
        self.client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def say(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        self.client.publish(f"{ROOT}/{topic}", payload, qos=1, retain=retain)

    def on(self, topic: str) -> list[Any]:
        """Return what was told on a topic below the gateway's, decoded."""
        return [_decoded(payload) for name, payload, _ in self.heard if name == f"{ROOT}/{topic}"]

    def items(self) -> list[dict[str, Any]]:
        """Return every value of every batch, in the order in which they came."""
        return [item for told in self.on("batch") for item in told["items"]]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def _decoded(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode()


Judge = Callable[[str, int, int], str]  # "out" or "in", packet type, its number in the connection -> what to do


class Middle:
    """Stands between gateway and broker, sees every packet, and may drop, repeat or cut."""

    def __init__(self, broker: int) -> None:
        self.port = 0
        self.judge: Judge = lambda _way, _kind, _number: "pass"
        self.acknowledged: list[tuple[str, bytes]] = []  # what the broker took, as the gateway was told
        self.connections = 0
        self._broker = broker
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()

    def cut(self) -> None:
        for writer in self._open:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._broker)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, far_writer}
        waiting: dict[int, tuple[str, bytes]] = {}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass("out", reader, far_writer, waiting))
                group.create_task(self._pass("in", far_reader, writer, waiting))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            for each in (writer, far_writer):
                self._open.discard(each)
                each.transport.abort()

    async def _pass(
        self,
        way: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        waiting: dict[int, tuple[str, bytes]],
    ) -> None:
        number = 0
        while True:
            head, body = await packet(reader)
            number += 1
            kind = head[0] >> 4
            verdict = self.judge(way, kind, number)
            if verdict == "cut":
                raise ConnectionError
            if way == "out" and kind == 3 and head[0] & 6:
                size = int.from_bytes(body[:2], "big")
                mid = int.from_bytes(body[2 + size : 4 + size], "big")
                waiting[mid] = (body[2 : 2 + size].decode(), body[4 + size :])
            if way == "in" and kind == 4 and verdict != "drop":
                told = waiting.pop(int.from_bytes(body[:2], "big"), None)
                if told is not None:
                    self.acknowledged.append(told)
            for _ in range({"pass": 1, "twice": 2}.get(verdict, 0)):
                writer.write(head + body)
            await writer.drain()


async def packet(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """Return one MQTT packet: its fixed header and the rest."""
    head = await reader.readexactly(1)
    size = shift = 0
    while True:
        byte = await reader.readexactly(1)
        head += byte
        size |= (byte[0] & 127) << shift
        shift += 7
        if not byte[0] & 128:
            return head, await reader.readexactly(size)


def gateway_at(
    folder: Path, port: int, far: str, profile: str = EVERYTHING, clock: Clock | None = None, **changes: Any
) -> Gateway:
    (folder / "p.toml").write_text(profile)
    mqtt = MqttConfig(host="127.0.0.1", port=port, **changes)
    devices = {"node": DeviceConfig(profile="p.toml", port=far)}
    site = SiteConfig(gateway=GatewayConfig(name="gw"), devices=devices, mqtt=mqtt, grants=GRANTS)
    return Gateway(site, folder / "data", clock, folder=folder)


def during(gateway: Gateway, scenario: Callable[[], Awaitable[Any]], limit_s: float = 90) -> Any:
    async def run() -> Any:
        stop = asyncio.Event()
        async with asyncio.timeout(limit_s), asyncio.TaskGroup() as group:
            group.create_task(gateway.run(stop))
            try:
                return await scenario()
            finally:
                stop.set()

    return asyncio.run(run())


async def until(condition: Callable[[], Any], limit_s: float = 30) -> None:
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < limit_s, "not in time"
        await asyncio.sleep(0.01)


def sink(gateway: Gateway) -> dict[str, Any]:
    (told,) = gateway.status()["sinks"]
    return dict(told)


def all_told(gateway: Gateway) -> bool:
    """Whether all that was handed to the ledger has its number, and the broker all that has one."""
    status = gateway.status()
    (told,) = status["sinks"]
    is_numbered = status["ledger"].get("queue", {}).get("records", 0) == 0
    return is_numbered and told["state"] == "connected" and told["lag"] == 0
