"""Whatever ends the rig ends its machines."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hil.kernel.firmware import build, missing_tools
from hil.kernel.host import start, stop

LIMIT_S = 60.0
RIG = """
import sys, time
from pathlib import Path
from hil.kernel.firmware import Microcontroller
with Microcontroller(Path(sys.argv[1])) as board:
    print(board._child.pid, flush=True)
    time.sleep(600)
"""


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for_end(pid):
    until_s = time.monotonic() + LIMIT_S
    while is_running(pid):
        assert time.monotonic() < until_s, f"process {pid} is left behind"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(bool(missing_tools()), reason=f"missing: {', '.join(missing_tools())}; see make rig")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_machine_does_not_outlive_a_rig_that_was_killed(number):
    rig = subprocess.Popen([sys.executable, "-c", RIG, str(build())], stdout=subprocess.PIPE, text=True)
    machine = int(rig.stdout.readline())
    assert is_running(machine)
    rig.send_signal(number)
    rig.wait(LIMIT_S)
    wait_for_end(machine)


@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv of util-linux")
def test_a_child_that_ignores_being_asked_is_killed_with_all_of_its_group(tmp_path):
    script = 'trap "" TERM; sleep 600 & echo $! >"$0"; while :; do sleep 1; done'
    child = start(["sh", "-c", script, tmp_path / "pid"], log=tmp_path / "log")
    until_s = time.monotonic() + LIMIT_S
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < until_s
        time.sleep(0.02)
    grandchild = int((tmp_path / "pid").read_text())
    stop(child)
    assert child.returncode == -signal.SIGKILL
    wait_for_end(grandchild)
