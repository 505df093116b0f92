"""Ten Modbus meters on one line of 9,600 baud, asked as often as the line carries: how much of it is used."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from pathlib import Path

from gateway.app import Gateway
from gateway.config import DeviceConfig, PortConfig, SiteConfig
from gateway.framing.modbus_pdu import REQUEST_BYTES, Question, question_in, sealed
from tests.bench.rows import Row
from tests.bench.streams import pty_pair

METERS, REGISTERS, BAUD = 10, 32, 9600
SECONDS = 15.0
CHARACTER_S = 10 / BAUD  # start, eight bits, stop
SILENCE_S = 3.5 * 11 / BAUD  # Modbus over Serial Line V1.02, 2.5.1.1
TRANSACTION_S = (
    REQUEST_BYTES + 5 + 2 * REGISTERS
) * CHARACTER_S + 2 * SILENCE_S  # silence before and behind the answer
PROFILE = f"""
[profile]
id = "bench/meter@1.0.0"
[params]
unit = {{ type = "u8", default = 1 }}
[link]
bus = "uart"
baud = {BAUD}
[framing]
kind = "modbus-rtu"
[message.live]
ask = {{ input = 0, count = {REGISTERS} }}
every = "50ms"
fields = [{{ name = "voltage", register = 0, type = "f32be" }}, {{ name = "power", register = 0x0c, type = "f32be" }}]
"""


class _Meters(threading.Thread):
    """The far end: every byte takes its time on the line, every answer its silence."""

    def __init__(self, master: int) -> None:
        super().__init__(daemon=True)
        self._master = master

    def run(self) -> None:
        while True:
            try:
                request = os.read(self._master, 4096)
            except OSError:
                return
            came_s = time.monotonic()
            question = question_in(request)
            if not isinstance(question, Question):
                continue
            body = bytes([question.unit, question.function, question.answer_bytes]) + bytes(question.answer_bytes)
            over_s = came_s + (REQUEST_BYTES + question.frame_bytes) * CHARACTER_S + SILENCE_S
            time.sleep(max(0.0, over_s - time.monotonic()))
            with contextlib.suppress(OSError):  # the bench has ended
                os.write(self._master, sealed(body))


async def _answered(gateway: Gateway) -> float:
    """Return answers per second."""
    stop = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(gateway.run(stop))
        await asyncio.sleep(2)
        before = _count(gateway)
        start_s = time.monotonic()
        await asyncio.sleep(SECONDS)
        answered = (_count(gateway) - before) / (time.monotonic() - start_s)
        stop.set()
    each = [device["polls"]["answered"] for device in gateway.status()["devices"]]
    assert max(each) - min(each) <= 1, f"the meters did not take turns: {each}"
    assert not any(device["polls"]["timeouts"] for device in gateway.status()["devices"])
    return answered


def _count(gateway: Gateway) -> int:
    return sum(device["polls"]["answered"] for device in gateway.status()["devices"])


def polling_rows(folder: Path) -> list[Row]:
    """Return how much of the line's capacity reaches the latest-value table."""
    (folder / "meter.toml").write_text(PROFILE)
    with pty_pair() as (master, path):
        _Meters(master).start()
        devices = {
            f"meter-{unit}": DeviceConfig(profile="meter.toml", port="line", params={"unit": unit})
            for unit in range(1, METERS + 1)
        }
        site = SiteConfig(devices=devices, ports={"line": PortConfig(bus="uart", path=path)})
        answered = asyncio.run(_answered(Gateway(site, folder / "polling", folder=folder)))
    share = 100 * answered * TRANSACTION_S
    baseline = f"{1 / TRANSACTION_S:.1f} polls/s fit on the line"
    return [Row("modbus_line_percent", share, "% of the line", baseline, 95, at_least=True)]
