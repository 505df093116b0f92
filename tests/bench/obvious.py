"""The same work done the obvious way, as the baseline of the stream rows.

UART: pyserial `read_until`, the `cobs` package, CRC by fastcrc, construct, asyncio.Queue, a dict.
CAN: a python-can bus and its AsyncBufferedReader, construct, asyncio.Queue, a dict.
Each runs as a child process of the bench and prints one JSON line: frames, CPU seconds, wall seconds.
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import time
from typing import Any

import can
import fastcrc
import serial
from cobs import cobs

from tests.bench.decode import CONSTRUCTS


def report(frames: int, cpu_start: float, wall_start: float) -> None:
    print(
        json.dumps(
            {"frames": frames, "cpu_s": time.process_time() - cpu_start, "wall_s": time.monotonic() - wall_start}
        )
    )


async def uart(path: str, frames: int) -> None:
    """Read `frames` COBS frames with a CRC-16 from a serial port, decode and keep the latest value."""
    port = serial.Serial(path, 115200, timeout=5)
    layout = CONSTRUCTS["can8"]
    queue: asyncio.Queue[bytes] = asyncio.Queue(256)
    latest: dict[str, Any] = {}
    print("ready", flush=True)
    cpu, wall = time.process_time(), time.monotonic()
    loop = asyncio.get_running_loop()

    async def produce() -> None:
        for _ in range(frames):
            await queue.put(await loop.run_in_executor(None, port.read_until, b"\0"))

    async def consume() -> None:
        for _ in range(frames):
            frame = cobs.decode((await queue.get())[:-1])
            if fastcrc.crc16.ibm_3740(frame[:-2]) == int.from_bytes(frame[-2:], "big"):
                latest["node"] = layout.parse(frame[:-2])

    async with asyncio.TaskGroup() as group:
        group.create_task(produce())
        group.create_task(consume())
    report(frames, cpu, wall)


class SocketBus(can.BusABC):
    """A python-can interface over a socket that carries struct can_frame records."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(channel="bench")
        self._socket = socket.socket(fileno=descriptor)

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        self._socket.settimeout(timeout)
        try:
            record = self._socket.recv(16)
        except TimeoutError:
            return None, False
        can_id, length = struct.unpack_from("=IB", record)
        message = can.Message(
            timestamp=time.time(),
            arbitration_id=can_id & 0x1FFFFFFF,
            is_extended_id=bool(can_id & 0x80000000),
            dlc=length,
            data=record[8 : 8 + length],
        )
        return message, False

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        raise NotImplementedError  # a receiver only

    def fileno(self) -> int:
        return self._socket.fileno()


async def can_bus(descriptor: int, frames: int) -> None:
    """Read `frames` CAN frames through python-can, decode and keep the latest value per id."""
    layout = CONSTRUCTS["can8"]
    reader = can.AsyncBufferedReader()
    queue: asyncio.Queue[can.Message] = asyncio.Queue(256)
    latest: dict[int, Any] = {}
    print("ready", flush=True)
    cpu, wall = time.process_time(), time.monotonic()
    bus = SocketBus(descriptor)
    notifier = can.Notifier(bus, [reader], loop=asyncio.get_running_loop())

    async def produce() -> None:
        for _ in range(frames):
            await queue.put(await reader.get_message())

    async def consume() -> None:
        for _ in range(frames):
            message = await queue.get()
            latest[message.arbitration_id] = layout.parse(bytes(message.data))

    async with asyncio.TaskGroup() as group:
        group.create_task(produce())
        group.create_task(consume())
    report(frames, cpu, wall)
    notifier.stop(0.1)
    bus.shutdown()


if __name__ == "__main__":
    kind, target, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    asyncio.run(uart(target, count) if kind == "uart" else can_bus(int(target), count))
