"""The SPI driver on the real py-spidev, whose kernel is umockdev: where Debian's parts for that are installed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEBIAN_PYTHON = Path("/usr/bin/python3")
PROBE = "import gi; gi.require_version('UMockdev', '1.0'); from gi.repository import UMockdev"


def has_umockdev():
    if not DEBIAN_PYTHON.exists():
        return False
    return subprocess.run([DEBIAN_PYTHON, "-c", PROBE], capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="module")
def seen():
    if importlib.util.find_spec("spidev") is None:
        pytest.skip("py-spidev is not installed: pip install 'tidegate[spi]'")
    if not has_umockdev():
        pytest.skip("umockdev is not installed: apt install python3-gi gir1.2-umockdev-1.0 umockdev")
    client = [sys.executable, str(Path(__file__).with_name("spi_client.py"))]
    done = subprocess.run(
        [DEBIAN_PYTHON, "-m", "hil.sim.spi.umockdev", "bme280", "w25q", "--", *client],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=False,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_spidev_reads_the_identity(seen):
    assert seen["identity"] == "ff60"


def test_spidev_hands_mode_speed_and_bits_to_the_kernel(seen):
    assert seen["settings"] == [3, 1_000_000, 8]


def test_spidev_writes_in_pieces_of_the_kernel_s_buffer(seen):
    assert seen["pieces"] == [4096, 4096, 1808]


def test_a_transfer_that_the_kernel_fails_is_typed(seen):
    assert "Input/output error" in seen["fault"]


def test_spidev_is_sampled(seen):
    assert seen["sampled"]
