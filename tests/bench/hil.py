"""The HIL package: a trace that is played, a day on the virtual clock, what a fixture costs, traces on the disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from hil.trace import Header, TraceWriter, make
from hil.trace import read as read_trace
from tests.bench.process import tidegate
from tests.bench.rows import Row
from tests.bench.streams import pty_pair

ROUNDS: Final = 3
REPLAYED: Final = 3_000  # frames, one a millisecond
TESTS: Final = 200
RECORDS: Final = 50_000
WRITE_OF_PLAIN, READ_OF_PLAIN = 0.3, 0.3
HEADER: Final = Header(1, "2026-01-01T00:00:00Z", 1, {"uart0": {"protocol": "uart"}})
# What `hil replay` does without all that it knows: sleep until each frame is due, write it, tell the median error.
BARE_REPLAY: Final = """
import os, statistics, sys, time
port, count = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY), int(sys.argv[2])
start, late = time.monotonic_ns(), []
for number in range(count):
    due = start + number * 1_000_000
    if (left := due - time.monotonic_ns()) > 0:
        time.sleep(left / 1e9)
    os.write(port, b"%04d" % (number % 10_000))
    late.append(time.monotonic_ns() - due)
print(statistics.median(abs(b - a) for a, b in zip(late, late[1:])) / 1000)
"""
PROFILE: Final = """
[profile]
id = "bench/thermometer@1.0.0"
family = "climate"
[link]
bus = "uart"
baud = 115200
[framing]
kind = "line"
[message.reading]
stale_after = "3s"
fields = [{ name = "temperature", type = "s16be", scale = 0.5 }]
"""
LIFE: Final = """
import json, time
from pathlib import Path

def test_life(request):
    begun = time.process_time()
    gateway, uart = request.getfixturevalue("gateway"), request.getfixturevalue("uart")
    gateway.add("node", profile=Path(__file__).with_name("thermometer.toml"), port="uart0")
    up_s = time.process_time() - begun
    clock, faults = request.getfixturevalue("clock"), request.getfixturevalue("faults")
    uart.peer.every("1s", b"\\x00+\\n")
    begun, begun_wall, states = time.process_time(), time.monotonic(), []
    for hour in range(24):
        faults.add("unplug", bus="uart0", at=f"{60 * hour + 30}m", duration="2m")
        clock.sleep("31m")
        states.append(gateway.device("node").state)
        clock.sleep("29m")
        states.append(gateway.device("node").state)
    assert states == ["ABSENT", "CONNECTED"] * 24
    took = [up_s, time.process_time() - begun, time.monotonic() - begun_wall]
    Path(__file__).with_name("took.json").write_text(json.dumps(took))
"""


def hil_rows(folder: Path) -> list[Row]:
    """Return all rows of the package."""
    folder = folder / "hil"
    folder.mkdir()
    return [*_replay_rows(folder), *_life_rows(folder), _fixture_row(folder), *_trace_rows(folder)]


def _replay_rows(folder: Path) -> list[Row]:
    """Return how a trace of 1 kHz keeps its times, beside a bare loop that sleeps to each."""
    path = folder / "replay.trace"
    writer = TraceWriter(path, HEADER, keeps=False)
    for number in range(REPLAYED):
        writer.write(make(number * 1_000_000, "uart0", "rx", "bytes", b"%04d" % (number % 10_000)))
    writer.close()
    errors, drifts, bare = [], [], []
    for _ in range(ROUNDS):
        with _drained() as port:
            told = json.loads(_said([tidegate(), "hil", "replay", str(path), "--to", f"uart0={port}", "--json"]))
        errors.append(told["timing"]["median_error_us"])
        drifts.append(abs(told["timing"]["drift_percent"]))
        with _drained() as port:
            bare.append(float(_said([sys.executable, "-c", BARE_REPLAY, port, str(REPLAYED)])))
    told_bare = f"median between two frames of a pty; a bare loop that sleeps to each: {median(bare):.1f} us"
    return [
        Row("replay_1khz_error_us", median(errors), "us", told_bare, 1000),
        Row("replay_1khz_drift_percent", median(drifts), "%", f"over {REPLAYED / 1000:g} s", 0.5),
    ]


def _life_rows(folder: Path) -> list[Row]:
    """Return how long a day of a device takes on the virtual clock, and until a rig with its gateway stands.

    Both wait for nothing, so they are told in CPU seconds: on a quiet machine those are the seconds that pass.
    """
    (folder / "thermometer.toml").write_text(PROFILE)
    (folder / "test_life.py").write_text(LIFE)
    _pytest_s(folder, "test_life.py")
    up_s, day_s, passed_s = json.loads((folder / "took.json").read_text())
    told = f"86,400 values, 24 unplugs; {passed_s:.1f} s passed, where the day itself takes 86,400"
    (folder / "test_empty.py").write_text("def test_empty(): pass\n")
    empty_s = _pytest_s(folder, "test_empty.py")
    return [
        Row("hil_day_s", day_s, "CPU s", told, 30),
        Row(
            "hil_rig_up_s",
            up_s,
            "CPU s",
            f"simulated, with a gateway; pytest with one empty test: {empty_s:.2f} s",
            1.0,
        ),
    ]


def _fixture_row(folder: Path) -> Row:
    """Return what a test with a port costs more than one without."""
    head = f"import pytest\n@pytest.mark.parametrize('n', range({TESTS}))\n"
    (folder / "test_with.py").write_text(f"{head}def test_with(uart, n): uart.write(b'x')\n")
    (folder / "test_plain.py").write_text(f"{head}def test_plain(n): pass\n")
    taken: dict[str, list[float]] = {"test_with.py": [], "test_plain.py": []}
    for _ in range(ROUNDS):
        for name, spans in taken.items():
            spans.append(_pytest_s(folder, name))
    ours, plain = (median(spans) * 1e3 / TESTS for spans in taken.values())
    return Row("hil_fixture_ms", ours - plain, "ms/test", f"more than the {plain:.1f} ms of a plain pytest test", 50)


def _trace_rows(folder: Path) -> list[Row]:
    """Return how many records a second are written and read, beside the same as plain lines of JSON."""
    ours, plain = folder / "ours.trace", folder / "plain.jsonl"
    data = bytes(range(16))

    def write() -> None:
        writer = TraceWriter(ours, HEADER, keeps=False)
        for number in range(RECORDS):
            writer.write(make(number * 1000, "uart0", "rx", "bytes", data))
        writer.close()

    def write_plain() -> None:
        with plain.open("wb", buffering=0) as file:  # a crash loses none of its lines either
            for number in range(RECORDS):
                row = {"t_ns": number * 1000, "bus": "uart0", "dir": "rx", "kind": "bytes", "data": data.hex()}
                file.write(json.dumps(row, separators=(",", ":")).encode() + b"\n")

    def read() -> None:
        if len(read_trace(ours).records) != RECORDS:
            raise AssertionError("records are missing")

    def read_plain() -> None:
        with plain.open("rb") as file:
            if len([json.loads(line) for line in file]) != RECORDS:
                raise AssertionError("lines are missing")

    rows = []
    for name, our, theirs, limit in (
        ("trace_write", write, write_plain, WRITE_OF_PLAIN),
        ("trace_read", read, read_plain, READ_OF_PLAIN),
    ):
        spans = [(_cpu_s(our), _cpu_s(theirs)) for _ in range(ROUNDS)]
        mine, plainly = (RECORDS / median(each) for each in zip(*spans, strict=True))
        told = f"of the {plainly:,.0f} plain JSON lines per CPU second; {mine:,.0f} records"
        rows.append(Row(f"{name}_vs_json", mine / plainly, "x", told, limit, at_least=True))
    return rows


def _cpu_s(work: Callable[[], None]) -> float:
    begun_s = time.process_time()
    work()
    return time.process_time() - begun_s


def _said(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    if done.returncode != 0:
        raise AssertionError(f"{command[:3]} ended with {done.returncode}: {done.stderr}")
    return done.stdout


def _pytest_s(folder: Path, name: str) -> float:
    """Return the wall time of one file's tests."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:schemathesis", name]
    begun_s = time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        raise AssertionError(f"pytest {name}: {done.stdout}")
    return time.monotonic() - begun_s


@contextmanager
def _drained() -> Iterator[str]:
    """Give a port at whose other end somebody reads all that is written."""
    with pty_pair() as (master, port):
        ended = threading.Event()

        def drain() -> None:
            while b"end" not in os.read(master, 4096):
                pass
            ended.set()

        reader = threading.Thread(target=drain, daemon=True)
        reader.start()
        yield port
        end = os.open(port, os.O_WRONLY | os.O_NOCTTY)
        os.write(end, b"end")
        ended.wait(10)
        os.close(end)
