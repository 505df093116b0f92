"""The HTTP door: what a GET costs, what two hundred who look on cost, and what a gateway with every door takes."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import statistics
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from gateway.framing.build import build_framer
from gateway.framing.spec import CheckSpec, Cobs
from tests.bench.north import ONE_VALUE, ROUTE, SITE
from tests.bench.process import cpu_s, rss_mb, running, until
from tests.bench.rows import Row
from tests.bench.streams import pty_pair, write_all
from tests.sinks.mqtt.kit import Broker, free_port

GETS, GETTERS = 10_000, 8
WATCHERS, UPDATES_HZ, WATCHED_S = 200, 10, 6
READY_ROUNDS = 5
HTTP = '[http]\nlisten = "127.0.0.1:{port}"\n'
READY_OF_BARE = 1.5
LIBRARIES = (
    "import asyncio, click, msgspec, fastcrc, serial, uvicorn, h11, starlette.requests, websockets, paho.mqtt.client"
)
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, 1.3


def web_rows(folder: Path) -> list[Row]:
    """Return the figures of the HTTP door, and of a gateway with HTTP and MQTT."""
    with _gateway(folder) as (child, port, say, _):
        say(1)
        _until_told(port)
        get_s = _get(child.pid, port)
        percent, heard = _watched(child.pid, port, say)
        memory = rss_mb(child.pid)
    both = 2_000 * get_s * 100 + percent
    told = f"{WATCHERS} WebSockets, {UPDATES_HZ} updates/s, {heard:,} messages; with 2,000 GET/s beside: {both:.0f} %"
    return [
        Row("http_get_per_s", 1 / get_s, "GET/CPU s", f"/v1/values/{ROUTE}, {GETTERS} connections", 2_000, True),
        Row("ws_200x10_cpu_percent", percent, "%", told, 100),
        Row("run_http_mqtt_rss_mb", memory, "MB", "after all that", 70),
        *_ready_rows(folder),
    ]


@contextlib.contextmanager
def _gateway(folder: Path) -> Iterator[tuple[Any, int, Callable[[int], None], float]]:
    """Give a running gateway with every door, its HTTP port, what sends a reading, and after how long it was ready."""
    framer = build_framer(Cobs(check=CheckSpec(kind="crc-16-ibm-3740")))
    place = folder / f"web-{time.monotonic_ns()}"
    place.mkdir()
    (place / "one.toml").write_text(ONE_VALUE)
    with Broker(place) as broker, pty_pair() as (master, path):
        port = free_port()
        site = place / "site.toml"
        text = SITE.format(port=broker.port, format="plain", profile=place / "one.toml", path=path)
        site.write_text(text + HTTP.format(port=port))
        begun_s = time.monotonic()
        with running(site, place / "data", _is_ready) as child:
            ready_s = time.monotonic() - begun_s
            yield child, port, lambda number: write_all(master, framer.encode(struct.pack("<I", number))), ready_s


def _is_ready(status: dict[str, Any]) -> bool:
    devices, sinks = status["devices"], status["sinks"]
    is_up = devices[0]["state"] == "CONNECTED" and sinks[0]["state"] == "connected"
    return bool(is_up and status["http"]["is_open"])


def _request(path: str, *more: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: localhost", *more, "", "")).encode()


def _answer(client: socket.socket) -> bytes:
    """Return the body of one answer. Raises: AssertionError unless it is 200."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += client.recv(65_536)
    head, _, body = data.partition(b"\r\n\r\n")
    assert b" 200 " in head.split(b"\r\n")[0], head
    size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < size:
        body += client.recv(65_536)
    return body


def _until_told(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as client:
        while True:
            client.sendall(_request("/v1/values"))
            if json.loads(_answer(client))["values"][0]["value"] is not None:
                return
            time.sleep(0.05)


def _get(pid: int, port: int) -> float:
    """Return CPU seconds of the gateway for one GET of a value."""
    with contextlib.ExitStack() as undo:
        clients = [undo.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(GETTERS)]
        request = _request(f"/v1/values/{ROUTE}")
        begun = cpu_s(pid)
        for _ in range(GETS // GETTERS):
            for client in clients:
                client.sendall(request)
            for client in clients:
                if json.loads(_answer(client))["value"] != 1:
                    raise AssertionError("another value")
        return (cpu_s(pid) - begun) / GETS


def _watched(pid: int, port: int, say: Callable[[int], None]) -> tuple[float, int]:
    """Return how many percent of one processor the gateway takes for everybody who looks on, and what they heard."""
    upgrade = _request(
        f"/v1/watch?pattern={ROUTE}", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
    )  # fmt: skip
    heard = [0] * WATCHERS
    is_over = threading.Event()
    with contextlib.ExitStack() as undo, selectors.DefaultSelector() as waiting:
        for number in range(WATCHERS):
            client = undo.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(upgrade)
            if not client.recv(65_536).startswith(b"HTTP/1.1 101"):
                raise AssertionError("no WebSocket")
            waiting.register(client, selectors.EVENT_READ, number)

        def listen() -> None:
            while not is_over.is_set():
                for key, _ in waiting.select(0.2):
                    heard[key.data] += key.fileobj.recv(65_536).count(b'"route":')  # type: ignore[union-attr]

        listener = threading.Thread(target=listen)
        listener.start()
        begun, begun_s = cpu_s(pid), time.monotonic()
        for number in range(WATCHED_S * UPDATES_HZ):
            time.sleep(max(0.0, begun_s + number / UPDATES_HZ - time.monotonic()))
            say(number + 2)
        time.sleep(1 / UPDATES_HZ)
        percent = (cpu_s(pid) - begun) / (time.monotonic() - begun_s) * 100
        time.sleep(0.5)
        is_over.set()
        listener.join()
    if set(heard) != {WATCHED_S * UPDATES_HZ}:
        raise AssertionError(f"of {WATCHED_S * UPDATES_HZ} updates somebody heard {min(heard)}, somebody {max(heard)}")
    return percent, sum(heard)


def _ready_rows(folder: Path) -> list[Row]:
    """Return the time from the start of `tidegate run` until every door is open and every device is there.

    600 ms are for a quiet machine; on another the limit moves with the interpreter's that loads the same libraries.
    """
    taken_ms: list[float] = []
    bare_ms: list[float] = []
    for _ in range(READY_ROUNDS):
        with _gateway(folder) as (_, _, _, ready_s):
            taken_ms.append(ready_s * 1e3)
        bare_ms.append(until([sys.executable, "-c", LIBRARIES]) * 1e3)
    ours, bare = statistics.median(taken_ms), statistics.median(bare_ms)
    told = f"{ours / bare:.2f} times the {bare:.0f} ms of the interpreter with the same libraries"
    return [Row("run_http_mqtt_ready_ms", ours, "ms", told, max(600.0, READY_OF_BARE * bare))]
