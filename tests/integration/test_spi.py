"""The SPI driver in a whole runtime, chip models on py-spidev's fake at the other end of the bus."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from drivers._spi_bus import Buses
from drivers.spi import SpiPort
from gateway.clock import Clock, SystemClock
from gateway.config import read_site
from gateway.port import Port
from gateway.profile.model import LinkSpec
from gateway.runtime.device import Device
from gateway.runtime.scheduler import Scheduler
from gateway.runtime.supervisor import Keeper, Supervisor
from hil.sim.spi.analog import Max31855, Mcp3008
from hil.sim.spi.bosch import Bme280, Bmp280
from hil.sim.spi.fake import FakeBus
from hil.sim.spi.line import Line
from hil.sim.spi.model import SpiModel
from tests.runtime.wired import wired as fitted

NODE = "spidev0.0"


class Rig:
    """One chip, its profile, and the runtime between them."""

    def __init__(self, folder: Path, profile: str, model: SpiModel) -> None:
        self.bus, self._buses = FakeBus(folder), Buses()
        self.line: Line = self.bus.plug(NODE, model)
        self._path = str(self.bus.path(NODE))
        text = f'[device.chip]\nprofile = "{profile}"\nport = "{self._path}"\n'
        self.keepers: list[Keeper] = fitted(
            read_site("site.toml", text.encode()), folder, SystemClock(), self._driver_for
        )
        self.device: Device = self.keepers[0].devices[0]

    def _driver_for(self, _target: str, _bus: str) -> Rig:
        return self

    name = "fake"

    def make(self, target: str, link: LinkSpec, clock: Clock) -> Port:
        return SpiPort(target, link, clock, self._buses, self.bus.device)

    def claims(self, _target: str, _bus: str) -> bool:
        return True

    def play(self, scenario: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            supervisor = Supervisor(Scheduler(SystemClock()), self.keepers)
            running = asyncio.get_running_loop().create_task(supervisor.run())
            try:
                async with asyncio.timeout(30):
                    await scenario()
            finally:
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await running

        asyncio.run(run())
        frames = self.device.frames()
        assert frames.frames_in == sum(frames[1:])

    @property
    def state(self) -> str:
        return str(self.device.lifecycle.state)

    def values(self, message: str) -> dict[str, object]:
        found = self.device.messages[message]
        return dict(zip(found.plan.names, found.row or (), strict=False))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - looked at from outside; play() sets the limit
        await asyncio.sleep(0.01)


def test_a_bme280_is_identified_calibrated_and_measured(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "bme280", Bme280())

    async def scenario() -> None:
        await until(lambda: rig.values("sample").get("temperature") is not None)

    rig.play(scenario)
    sample = rig.values("sample")
    assert rig.keepers[0].counts.garbage == 0
    assert sample["temperature"] == pytest.approx(25.08, abs=0.011)  # BST-BME280-DS002, 4.2.3, as for the BMP280
    assert isinstance(sample["pressure"], float)
    assert isinstance(sample["humidity"], float)


def test_another_chip_on_the_chip_select_is_named_and_gives_no_value(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "bme280", Bmp280())

    async def scenario() -> None:
        await until(lambda: rig.state == "BACKING_OFF")

    rig.play(scenario)
    assert "wrong identity: 0x58, expected 0x60" in rig.device.lifecycle.reason
    assert rig.device.messages["sample"].row is None


def test_a_chip_that_is_unplugged_and_put_back_is_set_up_again(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "bme280", Bme280())

    async def scenario() -> None:
        await until(lambda: rig.device.messages["sample"].sequence > 0)
        rig.bus.unplug(NODE)
        await until(lambda: rig.state in {"DISCONNECTED", "ABSENT"})
        before = rig.device.messages["sample"].sequence
        rig.bus.replug(NODE)
        await until(lambda: rig.device.messages["sample"].sequence > before)
        assert rig.state == "CONNECTED"

    rig.play(scenario)


def test_a_bus_that_hangs_is_told_and_recovers(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "mcp3008", Mcp3008())

    async def scenario() -> None:
        await until(lambda: rig.device.messages["channel_0"].sequence > 0)
        rig.line.hang()
        await until(lambda: rig.state == "DISCONNECTED")
        assert "a transfer has been hanging" in rig.device.lifecycle.reason
        rig.line.release()
        before = rig.device.messages["channel_0"].sequence
        await until(lambda: rig.device.messages["channel_0"].sequence > before)

    rig.play(scenario)


def test_all_channels_of_a_converter_are_sampled(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "mcp3008", Mcp3008())

    async def scenario() -> None:
        await until(lambda: all(rig.device.messages[f"channel_{number}"].sequence for number in range(8)))

    rig.play(scenario)
    assert rig.device.polls.timeouts == 0


def test_a_thermocouple_converter_needs_no_set_up(tmp_path: Path) -> None:
    rig = Rig(tmp_path, "max31855", Max31855())

    async def scenario() -> None:
        await until(lambda: rig.device.all_messages()[0].sequence > 0)

    rig.play(scenario)
    assert rig.state == "CONNECTED"
