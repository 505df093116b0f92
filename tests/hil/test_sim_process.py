"""Simulated devices in a process of their own, as a test of a whole gateway uses them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.config import load_site


@pytest.fixture
def devices(tmp_path):
    command = [sys.executable, "-m", "hil.sim", str(tmp_path / "devices")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as process:
        process.site = Path(process.stdout.readline().strip())
        yield process
        process.kill()


def told(devices, line):
    devices.stdin.write(line + "\n")
    return devices.stdout.readline().strip()


def test_the_first_line_is_a_site_file_that_can_be_run(devices):
    site = load_site(devices.site)
    assert set(site.devices) == {"node", "gps", "pump", "tag", "room"}


def test_each_line_is_an_order_with_one_answer(devices):
    assert told(devices, "node behave slow_s=1") == "ok"
    assert told(devices, "node behave slow_s=x").startswith("error: slow_s is 'x'")
    assert told(devices, "room restart") == "ok"


def test_it_ends_with_its_input_and_tidies_up(devices):
    devices.stdin.close()
    assert devices.wait(20) == 0
    assert not devices.site.parent.exists()


def test_a_signal_ends_it_and_it_tidies_up(devices):
    devices.send_signal(signal.SIGTERM)
    assert devices.wait(20) == 0
    assert not devices.site.parent.exists()


def test_without_an_input_that_can_be_waited_for_it_lives_until_a_signal(tmp_path):
    command = [sys.executable, "-m", "hil.sim", str(tmp_path / "devices")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline().strip() == str(tmp_path / "devices" / "site.toml")
        assert process.poll() is None
        process.terminate()
        assert process.wait(20) == 0
