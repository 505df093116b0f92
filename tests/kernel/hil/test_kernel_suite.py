"""The suite of every rig in the guest. Its own file: the plugin `real_air` plugs in the adapter that it wants."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import hil.rigs.kernel

ROOT = Path(__file__).parents[3]
RIG = Path(hil.rigs.kernel.__file__).with_name("buses.toml")
SUITES = [ROOT / f"tests/hil/rigs/suite/{name}.py" for name in ("any_rig", "can_bus", "ble")]
TESTS = 67
INNER_S = 300.0  # an emulated processor


def test_the_suite_of_every_rig_runs_in_the_guest(vcan, flash, line, bluetoothd, tmp_path):
    words = [sys.executable, "-m", "pytest", "-q", "-n", "0", "--durations=5", "-p", "tests.kernel.hil.real_air"]
    words += [word for plugin in ("cacheprovider", "anyio", "hypothesispytest") for word in ("-p", f"no:{plugin}")]
    words += [*SUITES, "--hil-rig", RIG, "--hil-strict", "--hil-record", tmp_path]
    done = subprocess.run(words, capture_output=True, text=True, timeout=INNER_S, check=False, cwd=ROOT)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.rglob("*.trace"))) == TESTS
