"""A bench on real USB serial drivers: boards by serial number, pulled out in mid-test, never confused."""

from __future__ import annotations

import os

import pytest

from hil.kernel.usb import NODE, WIRE
from hil.rigs.base import RigLostError, Round
from hil.rigs.bench.rig import BenchRig
from hil.rigs.file import load
from tests.kernel.usb.hands import link_of

FILE = f"""\
[rig]
name = "kernel"
[target.wire.resource.uart0]
protocol = "uart"
port = "usb:0403:6001:{WIRE}"
baud = 115200
"""


@pytest.fixture
def rig(tmp_path):
    (tmp_path / "rig.toml").write_text(FILE)
    made = BenchRig(load(tmp_path / "rig.toml"), "wire")
    yield made
    made.close()


def begin(rig, tmp_path):
    rig.begin(Round("t", 1, tmp_path), None)
    return rig.get("uart0")


def test_bytes_go_both_ways_through_the_kernels_driver(far_end, rig, tmp_path):
    uart = begin(rig, tmp_path)
    far_end.send(b"to the host")
    assert uart.read(11, timeout="20s") == b"to the host"
    uart.write(b"to the board")
    got = b""
    while len(got) < 12:
        got += far_end.receive()
    assert got == b"to the board"


@pytest.mark.parametrize("order", [(NODE, WIRE), (WIRE, NODE)], ids=["first", "second"])
def test_of_two_equal_boards_the_named_one_is_used_however_they_were_plugged(hands, rig, tmp_path, order):
    for serial in order:
        hands.plug(serial)
    assert begin(rig, tmp_path).node == os.path.realpath(link_of(WIRE))


def test_a_board_that_is_pulled_out_is_lost_and_the_next_test_has_it_again(far_end, rig, tmp_path):
    uart = begin(rig, tmp_path)
    far_end.unplug()
    with pytest.raises(RigLostError, match=rf"wire\.uart0 \(usb:0403:6001:{WIRE}\) went away"):
        uart.read(1, timeout="30s")
    rig.end()
    far_end.plug()
    uart = begin(rig, tmp_path)
    far_end.send(b"back")
    assert uart.read(4, timeout="20s") == b"back"
