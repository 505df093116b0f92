"""Frames from a wire to the latest-value table: at full speed, paced, and in a flood that never ends."""

from __future__ import annotations

import json
import os
import pty
import socket
import struct
import subprocess
import sys
import threading
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from gateway.framing.build import build_framer
from gateway.framing.spec import CheckSpec, Cobs
from tests.bench.decode import CAN8_DBC, bodies_of
from tests.bench.rows import Row

UART_FRAMES = 3_000_000
CAN_FRAMES = 1_500_000
RECORDED_FRAMES = 2_000_000
FLOOD_FRAMES = 10_000_000
OBVIOUS_UART_FRAMES, OBVIOUS_CAN_FRAMES = 10_000, 60_000
PACED_HZ, PACED_FRAMES, PACED_ROUNDS = 3_500, 7_000, 5
CPU_OF_BARE, LATE_OF_BARE = 1.7, 3.0  # measured on a busy machine: 1.4 to 1.55, and 0.9 to 1.9

HEAD = '[profile]\nid = "bench/{name}@1.0.0"\n[link]\nbus = "uart"\nbaud = 115200\n'
FRAMING = '[framing]\nkind = "cobs"\ncheck = { kind = "crc-16-ibm-3740" }\n'
CAN8_FIELDS = """[message.bench]
order = "little"
fields = [
  { name = "speed", type = "u16", scale = 0.25 }, { name = "torque", type = "s16", scale = 0.1, offset = -100 },
  { name = "temperature", type = "u8", scale = 0.5, offset = -40 }, { name = "load", type = "u8", scale = 0.4 },
  { name = "voltage", type = "u8", scale = 0.1 }, { name = "current", type = "s8", scale = 0.5 },
]
"""
STAMPED_FIELDS = """[message.bench]
order = "little"
fields = [
  { name = "sent", type = "u64", units = "ns" }, { name = "temperature", type = "s16", scale = 0.01 },
  { name = "humidity", type = "u16", scale = 0.01, invalid = 65535, maximum = 100 }, { name = "counter", type = "u32" },
]
"""
CAN_RECORD = struct.Struct("=IB3x8s")  # linux/can.h struct can_frame


def profile_in(folder: Path, name: str) -> Path:
    """Write one of the bench's profiles and return its path."""
    if name == "can":
        path = folder / "bench.dbc"
        path.write_text(CAN8_DBC)
        return path
    path = folder / f"{name}.toml"
    fields = STAMPED_FIELDS if name == "stamped" else CAN8_FIELDS
    record = '[record]\nat_most = "0s"\n' if name == "recorded" else ""
    path.write_text(HEAD.format(name=name) + record + FRAMING + fields)
    return path


@contextmanager
def pty_pair() -> Iterator[tuple[int, str]]:
    """Give a pty's master descriptor and its slave's path, raw."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    try:
        yield master, os.ttyname(slave)
    finally:
        os.close(slave)
        os.close(master)


def run_child(
    module: str, arguments: list[str], feed: Callable[[], None], keep: tuple[int, ...] = ()
) -> dict[str, Any]:
    """Start a measured process, feed it once it is ready, and return the JSON line that it ends with."""
    child = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, text=True, pass_fds=keep
    )
    assert child.stdout is not None
    feeder = threading.Thread(target=feed, daemon=True)
    line = child.stdout.readline()
    if line.strip() != "ready":
        raise RuntimeError(f"{module} said {line!r} and not ready")
    time.sleep(0.3)  # its port opens
    feeder.start()
    answer = child.stdout.readline()
    child.wait(timeout=30)
    feeder.join(timeout=5)
    result: dict[str, Any] = json.loads(answer)
    return result


def uart_frames() -> list[bytes]:
    """Return whole COBS frames on the wire around the ordinary can8 bodies."""
    framer = build_framer(Cobs(check=CheckSpec(kind="crc-16-ibm-3740")))
    return [framer.encode(body) for body in bodies_of("can8")]


def write_frames(master: int, frames: int) -> Callable[[], None]:
    """Return a feeder that writes so many frames as fast as the pty takes them."""
    block = uart_frames() * 16
    joined, whole = b"".join(block), frames // len(block)

    def feed() -> None:
        for _ in range(whole):
            write_all(master, joined)
        write_all(master, b"".join(block[: frames - whole * len(block)]))

    return feed


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything, however little the descriptor takes at once."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def send_frames(sender: socket.socket, frames: int) -> Callable[[], None]:
    """Return a feeder that sends CAN records as fast as the socket takes them."""
    records = [CAN_RECORD.pack(256, 8, body) for body in bodies_of("can8")]

    def feed() -> None:
        send = sender.send
        for _ in range(frames // len(records)):
            for record in records:
                send(record)
        for record in records[: frames % len(records)]:
            send(record)

    return feed


def uart_rows(folder: Path) -> list[Row]:
    """Return throughput, loss and the ratio to the obvious way for a pty."""
    profile = str(profile_in(folder, "uart"))
    with pty_pair() as (master, path):
        order = {"kind": "uart", "profile": profile, "target": path, "frames": UART_FRAMES}
        ours = run_child("tests.bench.child", [json.dumps(order)], write_frames(master, UART_FRAMES))
    with pty_pair() as (master, path):
        arguments = ["uart", path, str(OBVIOUS_UART_FRAMES)]
        obvious = run_child("tests.bench.obvious", arguments, write_frames(master, OBVIOUS_UART_FRAMES))
    return _throughput("uart", ours, obvious, UART_FRAMES, "pyserial + construct + asyncio.Queue")


def recorded_rows(folder: Path) -> list[Row]:
    """Return the throughput of the same pipeline when every frame is kept in a ledger, and what was not."""
    profile = str(profile_in(folder, "recorded"))
    with pty_pair() as (master, path):
        order = {
            "kind": "uart", "profile": profile, "target": path, "frames": RECORDED_FRAMES,
            "ledger": str(folder / "recorded"),
        }  # fmt: skip
        ours = run_child("tests.bench.child", [json.dumps(order)], write_frames(master, RECORDED_FRAMES))
    if ours["recorded"] + ours["shed"] != ours["delivered"]:
        raise AssertionError(f"readings are not accounted for: {ours}")
    rate = ours["delivered"] / ours["cpu_s"]
    told = f"{ours['shed']:,} of {ours['delivered']:,} shed; archiving took {ours['children_cpu_s']:.1f} s beside it"
    return [Row("recorded_frames_per_s", rate, "frames/s per core", told, 200_000, at_least=True)]


def can_rows(folder: Path) -> list[Row]:
    """Return the same for CAN records from a socket that stands in for the kernel's."""
    profile = str(profile_in(folder, "can"))
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    order = {"kind": "can", "profile": profile, "target": str(receiver.fileno()), "frames": CAN_FRAMES}
    ours = run_child("tests.bench.child", [json.dumps(order)], send_frames(sender, CAN_FRAMES), (receiver.fileno(),))
    sender.close()
    receiver.close()
    sender, receiver = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    arguments = ["can", str(receiver.fileno()), str(OBVIOUS_CAN_FRAMES)]
    feed = send_frames(sender, OBVIOUS_CAN_FRAMES)
    obvious = run_child("tests.bench.obvious", arguments, feed, (receiver.fileno(),))
    sender.close()
    receiver.close()
    return _throughput("can", ours, obvious, CAN_FRAMES, "python-can + construct + asyncio.Queue")


def _throughput(bus: str, ours: dict[str, Any], obvious: dict[str, Any], sent: int, baseline: str) -> list[Row]:
    rate, obvious_rate = ours["delivered"] / ours["cpu_s"], obvious["frames"] / obvious["cpu_s"]
    return [
        Row(
            f"{bus}_frames_per_s", rate, "frames/s per core", f"{baseline}: {obvious_rate:,.0f}", 300_000, at_least=True
        ),
        Row(f"{bus}_vs_obvious", rate / obvious_rate, "x", baseline, 5, at_least=True),
        Row(f"{bus}_lost_frames", sent - ours["delivered"], "frames", f"of {sent:,}", 0),
    ]


def paced_feeder(master: int, frames: int, hz: int) -> Callable[[], None]:
    """Return a feeder of stamped frames, one at a time, `hz` of them a second."""
    framer = build_framer(Cobs(check=CheckSpec(kind="crc-16-ibm-3740")))

    def feed() -> None:
        due_ns = time.monotonic_ns()
        for counter in range(frames):
            due_ns += 1_000_000_000 // hz
            while (left_ns := due_ns - time.monotonic_ns()) > 0:
                time.sleep(left_ns / 1e9)
            body = struct.pack("<QhHI", time.monotonic_ns(), 2150, 4000, counter)
            write_all(master, framer.encode(body))

    return feed


def paced_rows(folder: Path) -> list[Row]:
    """Return CPU per frame and latency at 3,500 frames/s, with coalescing and without, against a bare reader's.

    Single frames cost mostly wake-ups, and those cost up to four times as much where others use the processors: so the
    limits of 12 us and 1.5 ms, which are for a quiet machine, move with what a bare reader of the same wire takes in
    the same run. They never get lower than they are.
    """
    profile = str(profile_in(folder, "stamped"))
    coalescing = [_paced_round(profile, 0.002) for _ in range(PACED_ROUNDS)]
    eager = [_paced_round(profile, 0.0) for _ in range(PACED_ROUNDS)]
    cpu, bare_cpu = (median(each[side]["cpu_s"] for each in coalescing) / PACED_FRAMES * 1e6 for side in (0, 1))
    late, bare_late = (median(each[side]["p99_ms"] for each in eager) for side in (0, 1))
    p99 = median(ours["p99_ms"] for ours, _ in coalescing)
    rate = f"{PACED_HZ} frames/s"
    cpu_limit, late_limit = max(12.0, CPU_OF_BARE * bare_cpu), max(1.5, LATE_OF_BARE * bare_late)
    told = f"{cpu / bare_cpu:.2f} times the {bare_cpu:.1f} us of a bare reader"
    late_told = f"coalescing off; {late / bare_late:.2f} times the {bare_late:.2f} ms of a bare reader"
    return [
        Row("paced_cpu_us_per_frame", cpu, "us", f"{rate}; {told}", cpu_limit),
        Row("paced_p99_ms", p99, "ms", f"{rate}, coalescing 2 ms", 10),
        Row("low_latency_p99_ms", late, "ms", f"{rate}, {late_told}", late_limit),
    ]


def _paced_round(profile: str, coalesce_s: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the gateway and what a bare reader took for the same frames, one directly after the other."""
    with pty_pair() as (master, path):
        order = {"kind": "uart", "profile": profile, "target": path, "frames": PACED_FRAMES, "latency": True}
        feed = paced_feeder(master, PACED_FRAMES, PACED_HZ)
        ours = run_child("tests.bench.child", [json.dumps(order | {"coalesce_s": coalesce_s})], feed)
    if ours["delivered"] != PACED_FRAMES:
        raise AssertionError(f"paced frames were lost: {ours}")
    with pty_pair() as (master, path):
        arguments = [path, str(PACED_FRAMES), str(coalesce_s)]
        return ours, run_child("tests.bench.reader", arguments, paced_feeder(master, PACED_FRAMES, PACED_HZ))


def flood_rows(folder: Path) -> list[Row]:
    """Return by how much memory grew while ten million frames went through."""
    profile = str(profile_in(folder, "uart"))
    with pty_pair() as (master, path):
        order = {"kind": "uart", "profile": profile, "target": path, "frames": FLOOD_FRAMES}
        flood = run_child("tests.bench.child", [json.dumps(order)], write_frames(master, FLOOD_FRAMES))
    if flood["delivered"] + flood["dropped"] != FLOOD_FRAMES:
        raise AssertionError(f"the flood is not accounted for: {flood}")
    return [Row("flood_rss_growth_mb", flood["rss_growth_mb"], "MB", f"{FLOOD_FRAMES:,} frames", 4)]
