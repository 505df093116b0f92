"""Runs under libumockdev-preload: the SPI driver on the real py-spidev; prints what it saw as one line of JSON."""

from __future__ import annotations

import asyncio
import json
import os

from drivers.spi import DRIVER
from gateway.clock import SystemClock
from gateway.errors import PortTimeoutError
from gateway.port import Sample
from gateway.profile.model import LinkSpec

ID = b"\xd0\x00"
LINK = LinkSpec(bus="spi", mode=3, speed_hz=1_000_000)


class Station:
    """The models, told what to do."""

    def __init__(self):
        answers, orders = (int(number) for number in os.environ["TIDEGATE_STATION"].split(","))
        self._orders, self._answers = os.fdopen(orders, "w", buffering=1), os.fdopen(answers)

    def do(self, what, at=0, **facts):
        self._orders.write(json.dumps({"do": what, "at": at, **facts}) + "\n")
        return json.loads(self._answers.readline())


async def main():
    station, seen = Station(), {}
    sensor, flash = (DRIVER.make(f"/dev/spidev0.{number}", LINK, SystemClock()) for number in range(2))
    await sensor.open()
    await flash.open()
    await sensor.ask(ID)
    batch = await sensor.read()
    seen["identity"] = batch.payloads[0].hex()
    seen["settings"] = station.do("transfers")["transfers"][-1][1:]
    await flash.write(bytes(10_000))
    seen["pieces"] = [len(tx) // 2 for tx, *_ in station.do("transfers", 1)["transfers"]]
    station.do("error", errno=5)
    try:
        await sensor.ask(ID)
    except PortTimeoutError as error:
        seen["fault"] = error.cause
    station.do("error", errno=None)
    sensor.sample([Sample(ID, 5_000_000)])
    count = 0
    while count < 50:
        count += len(await sensor.read())
    seen["sampled"] = sensor.health()["samples"] >= 50
    await sensor.close()
    await flash.close()
    print(json.dumps(seen))


asyncio.run(main())
