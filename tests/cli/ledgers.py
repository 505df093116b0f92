"""Ledgers that tests of the command line look at, and the command line itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from gateway.ledger import Ledger
from gateway.ledger.base import LedgerLike, Options
from gateway.ledger.reading import Reading, encode_reading
from gateway.profile.build import CompiledProfile
from gateway.profile.load import load_profile
from gateway.profile.recorded import Schema, layout_of, schema_of

TIDEGATE: Final = [sys.executable, "-m", "gateway"]
SMALL: Final = Options(ring_bytes=1 << 20, segment_bytes=1 << 18)
NS: Final = 1_000_000_000
NOON_NS: Final = 1_795_867_200 * NS  # 2026-11-28T12:00:00Z
SENSOR: Final = """
[profile]
id     = "me/my-sensor@{version}"
family = "climate"
[link]
bus  = "uart"
[framing]
kind = "cobs"
max  = 64
[message.air]
fields = [
  {{ name = "temperature", type = "s16be", scale = {scale}, units = "Cel", invalid = -32768 }},
  {{ name = "humidity",    type = "u8",    units = "%", maximum = 100 }},
]
"""


def tidegate(*arguments: object, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run the command line to its end."""
    command = [*TIDEGATE, *map(str, arguments)]
    return subprocess.run(command, input=stdin or b"", capture_output=True, timeout=120, check=False)


def said(done: subprocess.CompletedProcess[bytes]) -> tuple[int, str]:
    """Return exit code and standard output; a traceback is nobody's answer."""
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, done.stdout.decode()


def make(folder: Path, *records: tuple[Any, ...]) -> Path:
    """Make a small ledger of these records."""
    with Ledger.open(folder, options=SMALL) as ledger:
        if records:
            ledger.append_many(list(records))
    return folder


class Sensor:
    """A thermometer whose readings are recorded as a gateway records them."""

    def __init__(self, folder: Path, *, scale: float = 0.01, version: str = "1.0.0") -> None:
        """Write its profile in a folder."""
        path = folder / f"sensor-{version}.toml"
        path.write_text(SENSOR.format(scale=scale, version=version))
        self._profile = load_profile(path)
        self._count = 0

    def schema(self, adjust: dict[str, tuple[float, float]] | None = None) -> Schema:
        """Return its layout."""
        plan = CompiledProfile(self._profile).messages["air"]
        layout = layout_of("air", self._profile.message, adjust)
        return schema_of(layout, plan, self._profile.profile.id)

    def tell(self, ledger: LedgerLike, adjust: dict[str, tuple[float, float]] | None = None) -> int:
        """Record its layout; return the number of the record."""
        (body,) = self.schema(adjust).bodies
        return ledger.append("schema", "therm-1/climate/air@frame", body, "state")

    def say(self, ledger: LedgerLike, payload: str, at_s: float = 0, *, taints: int = 0) -> int:
        """Record what came `at_s` seconds after noon; return the number of the record."""
        self._count += 1
        reading = Reading(
            self.schema().key, self._count, NOON_NS + int(at_s * NS), bytes.fromhex(payload), taints=taints
        )
        return ledger.append("reading", "therm-1/climate/air@frame", encode_reading(reading), "telemetry")
