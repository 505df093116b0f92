"""What leaves the gateway over MQTT: readings per second of its own processor time, and how late they are."""

from __future__ import annotations

import contextlib
import json
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from gateway.framing.build import build_framer
from gateway.framing.spec import CheckSpec, Cobs
from tests.bench import mob
from tests.bench.process import cpu_s, running
from tests.bench.rows import Row
from tests.bench.streams import pty_pair, write_all
from tests.bench.subscriber import Taker
from tests.sinks.mqtt.kit import Broker, free_port

BATCH_READINGS, PLAIN_READINGS, BARE_MESSAGES = 600_000, 200_000, 20_000
UNDER_WAY = {"batch": 8_192, "plain": 2_048}  # between the wire and the subscriber: the feed waits for them
PACED_HZ, PACED_READINGS = 3_500, 14_000
HOSTILE_READINGS = 7_000
LIMIT_S = 120.0

ONE_VALUE = """[profile]
id = "bench/one@1.0.0"
[link]
bus = "uart"
baud = 115200
[record]
at_most = "0s"
[framing]
kind = "cobs"
check = { kind = "crc-16-ibm-3740" }
[message.bench]
order = "little"
fields = [{ name = "counter", type = "u32" }]
"""
SITE = """[gateway]
name = "gw"
[mqtt]
host = "127.0.0.1"
port = {port}
format = "{format}"
[ledger]
budget_per_day = "0"
[device.node]
profile = "{profile}"
port = "{path}"
"""
ROUTE = "node/bench/counter"


class Passed(NamedTuple):
    """What one run of readings through the gateway took."""

    messages: int
    cpu_s: float
    late_ms: list[float]


def mqtt_rows(folder: Path) -> list[Row]:
    """Return readings a CPU second in both formats, and the delay from the wire to a subscriber."""
    bare = _bare(folder)
    batch = _through(folder / "batch", "batch", BATCH_READINGS)
    plain = _through(folder / "plain", "plain", PLAIN_READINGS)
    paced = _through(folder / "paced", "plain", PACED_READINGS, hz=PACED_HZ)
    batch_rate, plain_rate = BATCH_READINGS / batch.cpu_s, PLAIN_READINGS / plain.cpu_s
    late = statistics.quantiles(paced.late_ms, n=100)
    whole = "each in its turn, none missing"
    paho = f"a bare loop of paho, which only publishes: {bare:,.0f}"
    return [
        Row(
            "mqtt_batch_readings_per_cpu_s", batch_rate, "readings/CPU s",
            f"{BATCH_READINGS:,} in {batch.messages:,} documents, {whole}; {paho}", 100_000, at_least=True,
        ),
        Row(
            "mqtt_plain_messages_per_cpu_s", plain_rate, "messages/CPU s", f"{PLAIN_READINGS:,}, {whole}; {paho}",
            33_000, at_least=True,
        ),
        Row("mqtt_p99_ms", late[98], "ms", f"wire to subscriber at {PACED_HZ:,} frames/s, median {late[49]:.1f}", 15),
    ]  # fmt: skip


def hostile_rows(folder: Path) -> list[Row]:
    """Return how much later readings come where a client of the HTTP door means no good, whatever it does."""
    port = free_port()
    http = f'[http]\nlisten = "127.0.0.1:{port}"\n'

    def late_ms(name: str) -> float:
        return _p99(_through(folder / name.replace(" ", "-"), "plain", HOSTILE_READINGS, hz=PACED_HZ, more=http))

    alone = [late_ms("alone")]
    bothered = {}
    for way in mob.WAYS:
        with _bothering(port, way):
            bothered[way] = late_ms(way)
    alone.append(late_ms("alone at the end"))
    worst = max(bothered, key=bothered.__getitem__)
    told = f"one that {worst}: p99 {bothered[worst]:.1f} ms from wire to subscriber, without it {max(alone):.1f} ms"
    return [Row("http_hostile_later_ms", bothered[worst] - max(alone), "ms", told, 10)]


@contextlib.contextmanager
def _bothering(port: int, way: str) -> Iterator[None]:
    child = subprocess.Popen([sys.executable, "-m", "tests.bench.mob", str(port), way])
    try:
        yield
    finally:
        child.kill()
        child.wait()


def _p99(passed: Passed) -> float:
    return statistics.quantiles(passed.late_ms, n=100)[98]


def _through(folder: Path, kind: str, readings: int, hz: int = 0, more: str = "") -> Passed:
    """Send readings through a gateway to a subscriber; as fast as they come out again, or so many a second."""
    folder.mkdir()
    (folder / "one.toml").write_text(ONE_VALUE)
    with Broker(folder) as broker, pty_pair() as (master, path):
        site = folder / "site.toml"
        site.write_text(SITE.format(port=broker.port, format=kind, profile=folder / "one.toml", path=path) + more)
        with running(site, folder / "data", _is_connected) as child:
            taker = Taker(broker.port, "tidegate/gw/batch" if kind == "batch" else f"tidegate/gw/{ROUTE}")
            came = _Came(kind, readings)
            sent_ns: list[int] = []
            feed = _paced(master, readings, hz, sent_ns) if hz else _fed(master, readings, came, UNDER_WAY[kind])
            begun = cpu_s(child.pid)
            threading.Thread(target=feed, daemon=True).start()
            with contextlib.closing(taker):
                came.take(taker)
            time.sleep(0.5)  # what is left to do for them: cursors, commits
            taken_s = cpu_s(child.pid) - begun
    came.check()
    late_ms = [(at_ns - sent) / 1e6 for sent, at_ns in zip(sent_ns, came.times_ns, strict=bool(hz))]
    return Passed(len(came.payloads), taken_s, late_ms)


class _Came:
    """What came to the subscriber, counted as it comes and looked at afterwards."""

    def __init__(self, kind: str, readings: int) -> None:
        self.count = 0
        self.payloads: list[bytes] = []
        self.times_ns: list[int] = []
        self._is_batch = kind == "batch"
        self._readings = readings

    def take(self, taker: Taker) -> None:
        """Take messages until all readings came."""
        mark = f'"route":"{ROUTE}"'.encode()
        until_s = time.monotonic() + LIMIT_S
        for _, payload, at_ns in taker.messages():
            if payload:
                self.payloads.append(payload)
                self.times_ns.append(at_ns)
                self.count += payload.count(mark) if self._is_batch else 1
            if self.count >= self._readings:
                return
            if time.monotonic() > until_s:
                raise AssertionError(f"{self.count:,} of {self._readings:,} readings came within {LIMIT_S:g} s")

    def check(self) -> None:
        """Raises: AssertionError unless every reading came, in order."""
        told = map(json.loads, self.payloads)
        if self._is_batch:
            values = [item["v"] for each in told for item in each["items"] if item.get("route") == ROUTE]
        else:
            values = [each["v"] for each in told]
        if values != list(range(self._readings)):
            raise AssertionError(f"{len(values):,} of {self._readings:,} readings came, or in another order")


def _frames(readings: int) -> list[bytes]:
    framer = build_framer(Cobs(check=CheckSpec(kind="crc-16-ibm-3740")))
    return [framer.encode(struct.pack("<I", number)) for number in range(readings)]


def _fed(master: int, readings: int, came: _Came, under_way: int) -> Callable[[], None]:
    """Return a feed that never has more than so many readings between the wire and the subscriber."""
    frames = _frames(readings)

    def feed() -> None:
        at = 0
        while at < readings:
            if at - came.count > under_way:
                time.sleep(0.000_5)
                continue
            write_all(master, b"".join(frames[at : at + 256]))
            at += 256

    return feed


def _paced(master: int, readings: int, hz: int, sent_ns: list[int]) -> Callable[[], None]:
    frames = _frames(readings)

    def feed() -> None:
        due_ns = time.monotonic_ns()
        for frame in frames:
            due_ns += 1_000_000_000 // hz
            while (left_ns := due_ns - time.monotonic_ns()) > 0:
                time.sleep(left_ns / 1e9)
            sent_ns.append(time.monotonic_ns())
            write_all(master, frame)

    return feed


def _is_connected(status: dict[str, Any]) -> bool:
    return status["sinks"][0]["state"] == "connected" and status["devices"][0]["state"] == "CONNECTED"


def _bare(folder: Path) -> float:
    """Return messages a CPU second of paho alone, with acknowledgements and a window as wide as ours."""
    (folder / "bare").mkdir()
    body = b'{"v":1234,"u":"1","t":1795800000.123456,"seq":123456,"inc":1,"q":"good","taints":[]}'
    with Broker(folder / "bare") as broker, _paho(broker.port) as client:
        begun_s = time.process_time()
        for _ in range(BARE_MESSAGES):
            client.publish(f"tidegate/gw/{ROUTE}", body, qos=1)
            while client._out_messages and len(client._out_messages) >= UNDER_WAY["plain"]:
                client.loop(0.01)
        while client._out_messages:
            client.loop(0.01)
        return BARE_MESSAGES / (time.process_time() - begun_s)


@contextlib.contextmanager
def _paho(port: int) -> Iterator[Client]:
    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages = 0
    client.connect("127.0.0.1", port)
    while not client.is_connected():
        client.loop(0.01)
    yield client
    client.disconnect()
