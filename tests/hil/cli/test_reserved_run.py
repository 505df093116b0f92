"""A whole pytest run under a lease that somebody takes away in mid-test: real processes, a real line."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
import tty
from pathlib import Path

import pytest

import hil.trace

LIMIT_S = 60.0
RESERVE = [sys.executable, "-m", "gateway", "hil", "reserve"]
RIG = """
[rig]
name = "desk"
[target.board.resource.uart0]
protocol = "uart"
port = "{port}"
"""
TEST = """
import os, subprocess, sys, time
from pathlib import Path

def test_it_talks(uart):
    child = subprocess.Popen(["sleep", "1000"])
    uart.write(b"begun")
    Path("child.tmp").write_text(str(child.pid))
    os.replace("child.tmp", "child")
    while True:
        try:
            uart.write(b"x")
            time.sleep(0.001)
        except BaseException:
            if {stubborn}:
                continue
            raise
"""


@pytest.fixture
def line():
    """Give the board's end of a line, and the name of the other."""
    ours, theirs = os.openpty()
    tty.setraw(ours)
    tty.setraw(theirs)
    yield ours, os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def heard(board: int, for_s: float) -> bytes:
    """Return what the board hears from now on until it hears nothing for so long."""
    said = b""
    while select.select([board], [], [], for_s)[0]:
        said += os.read(board, 4096)
    return said


def until(condition, board: int) -> None:
    """Wait for something, while the board listens."""
    end_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end_s
        if select.select([board], [], [], 0.02)[0]:
            os.read(board, 4096)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("stubborn", [False, True], ids=["that ends when told to", "that will not end"])
def test_a_run_that_is_kicked_in_mid_test_is_gone_at_once_and_leaves_its_trace_and_the_board(tmp_path, line, stubborn):
    board, port = line
    (tmp_path / "rig.toml").write_text(RIG.format(port=port))
    (tmp_path / "test_board.py").write_text(TEST.replace("{stubborn}", str(stubborn)))
    pool = ["--pool", str(tmp_path / "pool")]
    subprocess.run([*RESERVE, "put", *pool, "board"], check=True, capture_output=True, timeout=LIMIT_S)
    words = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:schemathesis", "--hil-rig=rig.toml", "--hil-record=run"]
    run = subprocess.Popen(
        [*RESERVE, "take", *pool, "name=board", "--", sys.executable, "-m", "pytest", *words],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        until((tmp_path / "child").exists, board)
        kicking = subprocess.Popen([*RESERVE, "kick", *pool, "board"])
        until(lambda: kicking.poll() is not None, board)
        kicked_s = time.monotonic()
        until(lambda: run.poll() is not None, board)
        assert kicking.returncode == 0
        assert time.monotonic() - kicked_s < 3  # it returns when the run is gone, or a second later
        assert "lease 1 of board is lost: kicked by" in run.stderr.read()
        assert run.returncode != 0
        assert not is_running(int((tmp_path / "child").read_text()))
        heard(board, 0.1)
        command = [*RESERVE, "take", *pool, "name=board", "--", "sh", "-c", "echo $TIDEGATE_TOKEN"]
        after = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LIMIT_S)
        assert after.stdout == "2\n"
        assert heard(board, 0.3) == b""
    finally:
        run.kill()
        run.communicate()
    [path] = (tmp_path / "run").rglob("*.trace")
    said = b"".join(record.payload for record in hil.trace.read(path).records if record.kind == "bytes")
    assert said.startswith(b"begunx")
