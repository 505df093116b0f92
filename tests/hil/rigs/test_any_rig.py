"""One suite, every rig: the same file runs on the simulated rig and on a bench; in a guest by tests/kernel/hil."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hil.sim.null_modem import NullModem

ROOT = Path(__file__).parents[3]
SUITES = [Path(__file__).with_name("suite") / f"{name}.py" for name in ("any_rig", "can_bus", "ble")]
TESTS = 47
SIMULATED = """\
[rig]
name = "simulated"
[target.s.resource.uart0]
protocol = "uart"
sim = true
[target.s.resource.can0]
protocol = "can"
sim = true
[target.s.resource.ble0]
protocol = "ble"
sim = true
[target.s.resource.power]
protocol = "power"
sim = true
"""
BENCH = """\
[rig]
name = "bench"
[target.a.resource.uart0]
protocol = "uart"
port = "{folder}/uart0"
peer = "{folder}/uart0-peer"
[target.a.resource.can0]
protocol = "can"
port = "virtual:{name}"
peer = "virtual:{name}"
shared = true
fd = true
[target.a.resource.ble0]
protocol = "ble"
port = "hci0"
[target.a.resource.power]
protocol = "power"
command_on = "true"
command_off = "true"
"""


def run(*options: str | Path) -> tuple[int, str]:
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "0", *SUITES, *options]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, cwd=ROOT)
    return done.returncode, done.stdout + done.stderr


def traces(folder: Path) -> int:
    return len(list(folder.rglob("*.trace")))


def test_the_suite_runs_on_the_simulated_rig(tmp_path: Path) -> None:
    rig = tmp_path / "rig.toml"
    rig.write_text(SIMULATED)
    code, told = run("--hil-rig", rig, "--hil-strict", "--hil-record", tmp_path / "runs")
    assert code == 0, told
    assert traces(tmp_path / "runs") == TESTS


def test_the_suite_runs_on_a_bench(tmp_path: Path) -> None:
    pytest.importorskip("serial")
    pytest.importorskip("can")
    pytest.importorskip("bleak")
    if shutil.which("dbus-daemon") is None:
        pytest.skip("dbus-daemon is not installed")
    rig = tmp_path / "rig.toml"
    rig.write_text(BENCH.format(folder=tmp_path, name=tmp_path.name))
    with NullModem(tmp_path):
        code, told = run(
            "-p", "tests.hil.rigs.suite.fake_air", "--hil-rig", rig, "--hil-strict", "--hil-record", tmp_path / "runs"
        )
    assert code == 0, told
    assert traces(tmp_path / "runs") == TESTS
