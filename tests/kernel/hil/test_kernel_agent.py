"""A CAN bus of the guest's kernel as if it were on another machine, behind an agent in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import can
import pytest

from hil.rigs.base import Round
from hil.rigs.bench.rig import BenchRig
from hil.rigs.file import load

FAR = '[rig]\nname = "far"\n[target.a.resource.can0]\nprotocol = "can"\nport = "vcan0"\nfd = true\n'
NEAR = '[rig]\nname = "near"\n[target.a.resource.can0]\nprotocol = "can"\nagent = "{}"\n'
BURST = 50


@pytest.fixture
def agent(vcan, tmp_path):
    """The address of the agent of vcan0."""
    (tmp_path / "far.toml").write_text(FAR)
    words = [sys.executable, "-m", "gateway", "hil", "agent", "--rig", tmp_path / "far.toml", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        line = process.stderr.readline()
        assert line.startswith("serving a (can0) on "), line
        yield line.split(" on ")[1].split(",")[0]
        process.kill()


@pytest.fixture
def rig(agent, tmp_path):
    (tmp_path / "near.toml").write_text(NEAR.format(agent))
    made = BenchRig(load(tmp_path / "near.toml"), "a")
    made.begin(Round("t", 1, tmp_path), tmp_path / "1.trace")
    yield made
    made.close()


def test_frames_go_both_ways_and_each_has_the_stamp_of_the_kernel_there(rig):
    bus = rig.get("can0")
    with can.Bus("vcan0", "socketcan", fd=True) as board:
        bus.send(0x123, b"\x01\x02")
        bus.send(0x18FF1234, bytes(range(64)), extended=True, fd=True)
        heard = [board.recv(30), board.recv(30)]
        assert [(each.arbitration_id, bytes(each.data), each.is_fd) for each in heard] == [
            (0x123, b"\x01\x02", False),
            (0x18FF1234, bytes(range(64)), True),
        ]
        for number in range(BURST):
            board.send(can.Message(arbitration_id=0x200, data=[number], is_extended_id=False))
        frames = [bus.recv(timeout="30s") for _ in range(BURST)]
    assert [frame.data for frame in frames] == [bytes([number]) for number in range(BURST)]
    stamps = [frame.t_ns for frame in frames]
    assert stamps == sorted(stamps)
    assert len(set(stamps)) > BURST // 2  # a read takes many at once, and each has its own
    assert 0 < stamps[0] <= stamps[-1] <= rig.world.now_ns
