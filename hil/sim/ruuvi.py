"""Advertisements of RuuviTags as a recording for `replay:`, their bodies encoded by `profiles/ble/ruuvitag-df5`."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from gateway.profile.build import CompiledProfile

PERIOD_S: Final = 1.285  # what the tag's firmware uses in RAWv2 mode
RUUVI_COMPANY: Final = 0x0499


def adverts(
    profile: CompiledProfile, length_s: float, *, seed: int = 5, mac: str = "CB:B8:33:4C:88:4F"
) -> Iterator[dict[str, Any]]:
    """Give advertisement lines with their time `t` in seconds; the values end where they began, so that it can loop."""
    random_ = random.Random(seed)  # noqa: S311 - measurement noise
    count = max(int(length_s / PERIOD_S), 1)
    plan = profile.messages["df5"]
    for number in range(count):
        turn = math.tau * number / count
        body = plan.encode(
            {
                "temperature": round((21.5 + 1.8 * math.sin(turn) + random_.gauss(0, 0.01)) / 0.005) * 0.005,
                "humidity": 44 - 5 * math.sin(turn),
                "pressure": round(101_180 + 60 * math.cos(turn)),
                "acceleration_x": 0.012 + random_.gauss(0, 0.002),
                "acceleration_y": -0.031 + random_.gauss(0, 0.002),
                "acceleration_z": 1.003 + random_.gauss(0, 0.002),
                "battery_voltage": 2.981,
                "tx_power": 4,
                "movements": 12,
                "sequence": 4000 + number,
                "mac": mac.replace(":", "").lower(),
            }
        )
        yield {
            "t": round(number * PERIOD_S, 3),
            "address": mac,
            "rssi": round(-63 + 4 * math.sin(turn * 3) + random_.gauss(0, 1)),
            "name": f"Ruuvi {mac[-5:].replace(':', '')}",
            "manufacturer_data": {str(RUUVI_COMPANY): body.hex()},
            "service_data": {},
            "service_uuids": [],
        }


def write_recording(path: Path, profile: CompiledProfile, length_s: float = 120.0, *, seed: int = 5) -> None:
    """Write a recording as JSON lines."""
    path.write_text(
        "".join(json.dumps(line) + "\n" for line in adverts(profile, length_s, seed=seed)), encoding="utf-8"
    )
