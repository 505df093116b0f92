"""Guest side: the hilspi controller loaded, models behind it in a process of their own, spidev bound to both."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest

from drivers._spi_bus import Buses
from drivers._spi_device import py_spidev
from drivers.spi import SpiPort
from gateway.clock import SystemClock
from gateway.profile.model import LinkSpec
from hil.sim.spi.station import Remote, python_command

MODULE = "TIDEGATE_HILSPI"  # path of hilspi.ko, set by the kernel rig
BOUND = Path("/sys/bus/spi/drivers/spidev")
TIMEOUT_MS = Path("/sys/module/hilspi/parameters/timeout_ms")
LINK = LinkSpec(bus="spi", mode=0, speed_hz=1_000_000)


class Guest:
    """The bus of the guest: what is on it, and the plug of its devices."""

    def __init__(self, remote):
        self.remote = remote
        self.buses = Buses()

    def put(self, model, at=0):
        """Have another device on a chip select, without faults."""
        self.remote.do("model", at, name=model)

    def port(self, at=0, link=LINK):
        return SpiPort(f"/dev/spidev0.{at}", link, SystemClock(), self.buses, py_spidev)

    @staticmethod
    def unplug(at=0):
        (BOUND / "unbind").write_text(f"spi0.{at}")

    @staticmethod
    def plug(at=0):
        if not (BOUND / f"spi0.{at}").exists():
            (BOUND / "bind").write_text(f"spi0.{at}")

    @staticmethod
    def wait_ms(milliseconds):
        """Say how long the controller waits for a device before the kernel's ETIMEDOUT."""
        TIMEOUT_MS.write_text(str(milliseconds))


@pytest.fixture(scope="session")
def controller():
    module = os.environ.get(MODULE)
    if module is None:
        pytest.skip(f"{MODULE} names no hilspi.ko: this runs in a guest of the kernel rig (make rig)")
    if not Path("/dev/hilspi").exists():
        subprocess.run(["insmod", module], check=True)
    pytest.importorskip("spidev", reason="py-spidev is not installed: pip install 'tidegate[spi]'")
    for at in range(2):
        Guest.plug(at)


@pytest.fixture(scope="session")
def remote(controller):
    with Remote(python_command("hilspi", "bme280", "mailbag")) as remote:
        yield remote


@pytest.fixture
def guest(remote):
    guest = Guest(remote)
    guest.put("bme280", 0)
    guest.put("mailbag", 1)
    guest.wait_ms(300)
    yield guest
    for at in range(2):
        with contextlib.suppress(ChildProcessError):
            remote.do("release", at)
        guest.plug(at)
