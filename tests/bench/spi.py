"""An SPI sensor model sampled at 1 kHz: how late transfers begin, and what that costs."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from drivers._spi_bus import Buses
from drivers.spi import SpiPort
from gateway.clock import SystemClock
from gateway.port import Sample
from gateway.profile.model import LinkSpec
from hil.sim.spi.bosch import Bme280
from hil.sim.spi.fake import FakeBus
from tests.bench.rows import Row

EVERY_NS = 1_000_000
SAMPLES = 5_000
READING = b"\xf7" + bytes(8)  # the three readings of a BME280


async def _sampled(folder: Path) -> tuple[dict[str, float], int, float]:
    """Return the jitter, the points missed and the processor's share."""
    bus = FakeBus(folder)
    bus.plug("spidev0.0", Bme280())
    port = SpiPort(str(bus.path("spidev0.0")), LinkSpec(bus="spi"), SystemClock(), Buses(), bus.device)
    await port.open()
    cpu_s, wall_s, came = time.process_time(), time.monotonic(), 0
    port.sample([Sample(READING, EVERY_NS)])
    while came < SAMPLES:
        batch = await port.read()
        assert not batch.dropped
        came += len(batch)
    share = (time.process_time() - cpu_s) / (time.monotonic() - wall_s)
    health = port.health()
    await port.close()
    return health["jitter_us"], health["missed"], share


def spi_rows(folder: Path) -> list[Row]:
    """Return how well five seconds at 1 kHz keep their grid."""
    place = folder / "spi"
    place.mkdir()
    jitter, missed, share = asyncio.run(_sampled(place))
    baseline = f"{SAMPLES} samples at 1 kHz, start of the transfer behind its point; worst {jitter['max'] / 1e3:.1f} ms"
    return [
        Row("spi_1khz_p50_us", jitter["p50"], "us", baseline, 300),
        Row("spi_1khz_p99_us", jitter["p99"], "us", baseline, 1000),
        Row("spi_1khz_missed", missed, "points", f"of {SAMPLES}; 1 %", SAMPLES / 100),
        Row("spi_1khz_cpu_percent", 100 * share, "%", "model, thread, hand-over and reading", 40),
    ]
