"""What `hil/rigs/kernel/buses.toml` names: a CAN bus, a serial line, an SPI device and an adapter of the guest."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hil.sim.null_modem import NullModem
from hil.sim.spi.station import Remote, python_command
from tests.kernel.ble.conftest import Air

LINES = Path("/run/tidegate-hil")
MODULE = "TIDEGATE_HILSPI"  # path of hilspi.ko, set by the kernel rig


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def vcan():
    run("modprobe", "-a", "vcan", "can_raw")
    subprocess.run(["ip", "link", "del", "vcan0"], check=False, capture_output=True)
    run("ip", "link", "add", "vcan0", "type", "vcan")
    run("ip", "link", "set", "vcan0", "mtu", "72")
    run("ip", "link", "set", "vcan0", "up")
    yield
    subprocess.run(["ip", "link", "del", "vcan0"], check=False, capture_output=True)


@pytest.fixture
def flash():
    """Put a flash chip on the first chip select."""
    if not Path("/dev/hilspi").exists():
        run("insmod", os.environ[MODULE])
    bound = Path("/sys/bus/spi/drivers/spidev")
    if not (bound / "spi0.0").exists():
        (bound / "bind").write_text("spi0.0")
    with Remote(python_command("hilspi", "w25q", "mailbag")) as remote:
        yield remote


@pytest.fixture
def line():
    with NullModem(LINES) as modem:
        yield modem


@pytest.fixture(scope="module")
def adapter(bluetoothd):
    """Plug a Bluetooth adapter in."""
    air = Air()
    air.plug()
    yield
    air.unplug()
