"""Bluetooth: advertisements of BlueZ's own interface, through the real bleak, to the latest-value table.

The far end is a BlueZ of our own on a private bus, in the bench's process; the gateway under measurement is a child.
"""

from __future__ import annotations

import json
import struct
import time
from pathlib import Path

from hil.sim.bluez.bus import private_bus
from hil.sim.bluez.peripheral import Peripheral
from hil.sim.bluez.service import FakeBluez
from tests.bench.rows import Row
from tests.bench.streams import run_child

TAGS, HZ, SECONDS = 40, 2000, 10
ADVERTS = HZ * SECONDS
PROFILE = """
[profile]
id = "bench/beacon@1.0.0"
[link]
bus = "ble"
mode = "advertisement"
duplicates = "all"
[message.beacon]
when = { manufacturer = 0xffff }
order = "little"
fields = [
  { name = "counter", type = "u32" }, { name = "temperature", type = "s16", scale = 0.01 },
  { name = "humidity", type = "u16", scale = 0.01, invalid = 65535 },
  { name = "pressure", type = "u16", offset = 50000 },
]
"""


def ble_rows(folder: Path) -> list[Row]:
    """Return how much of a core 2,000 advertisements a second take, and how many were lost."""
    profile = folder / "beacon.toml"
    profile.write_text(PROFILE)
    order = {"kind": "ble", "profile": str(profile), "target": "hci0", "frames": ADVERTS}
    tags = [Peripheral(f"C0:00:00:00:00:{number:02X}", period_s=None) for number in range(TAGS)]
    with private_bus() as address, FakeBluez(address) as bluez:
        for tag in tags:
            tag.manufacturer = {0xFFFF: bytes(10)}
            bluez.add(tag)

        def feed() -> None:
            """Let every tag speak in turn, with something new each time."""
            while not bluez.is_discovering:
                time.sleep(0.05)
            due_s = time.monotonic()
            for counter in range(ADVERTS // TAGS):
                for tag in tags:
                    tag.manufacturer = {0xFFFF: struct.pack("<IhHH", counter, 2150, 4000, 51325)}
                bluez.storm(tags, 1)
                due_s += TAGS / HZ
                time.sleep(max(0.0, due_s - time.monotonic()))

        got = run_child("tests.bench.child", [json.dumps(order)], feed)
    rate = got["delivered"] / got["wall_s"]
    share = 100 * got["cpu_s"] / got["wall_s"] * HZ / rate
    baseline = f"{rate:,.0f} adverts/s of {TAGS} tags, D-Bus and bleak included"
    return [
        Row("ble_cpu_percent", share, "% at 2,000/s", baseline, 25),
        Row("ble_lost_adverts", ADVERTS - got["delivered"], "adverts", f"of {ADVERTS:,}", 0),
    ]
