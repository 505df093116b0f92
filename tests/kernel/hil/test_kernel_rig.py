"""The kernel rig behind the fixtures: the bench rig on vcan, hilspi, a serial line and an adapter of the guest."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import hil.rigs.kernel
from hil.rigs.base import RigLostError, Round
from hil.rigs.bench.rig import BenchRig
from hil.rigs.file import load

RIG = Path(hil.rigs.kernel.__file__).with_name("buses.toml")


@pytest.fixture
def rig(vcan, flash, line, adapter, tmp_path):
    made = BenchRig(load(RIG), "guest")
    made.begin(Round("t", 1, tmp_path), tmp_path / "1.trace")
    yield made
    made.close()


def test_the_doctor_finds_every_resource(vcan, flash, line, adapter):
    words = [sys.executable, "-m", "gateway", "hil", "doctor", "--json", RIG]
    told = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert {each["resource"]: each["works"] for each in told["resources"]} == dict.fromkeys(
        ("uart0", "uart0 peer", "can0", "can0 peer", "ble0", "spi0", "power"), True
    )


def test_a_transfer_reaches_the_device_behind_the_kernels_spidev(rig):
    assert rig.get("spi0").transfer(bytes.fromhex("9f000000"))[1:2] == b"\xef"  # Winbond


def test_a_device_that_is_unbound_is_a_lost_board(rig):
    unbind = Path("/sys/bus/spi/drivers/spidev/unbind")
    unbind.write_text("spi0.0")
    with pytest.raises(RigLostError, match=r"guest\.spi0 \(/dev/spidev0\.0\) went away"):
        rig.get("spi0").transfer(b"\x9f")


def test_frames_are_stamped_by_the_kernel_in_order(rig):
    bus = rig.get("can0")
    for number in range(50):
        bus.peer.send(0x100 + number, bytes([number]))
    frames = [bus.recv(timeout="10s") for _ in range(50)]
    assert [frame.id for frame in frames] == [0x100 + number for number in range(50)]
    stamps = [record.t_ns for record in rig.trace.records if record.kind == "data" and record.dir == "rx"]
    assert stamps == sorted(stamps)


def test_an_fd_frame_goes_whole(rig):
    bus = rig.get("can0")
    bus.peer.send(0x123, bytes(64), fd=True)
    frame = bus.recv(timeout="10s")
    assert (frame.fd, len(frame.data)) == (True, 64)


def test_an_interface_that_goes_down_is_a_lost_board(rig):
    subprocess.run(["ip", "link", "set", "vcan0", "down"], check=True)
    assert rig.world.wait_for(lambda: rig.get("can0").wires[0].loss, rig.world.now_ns + 20_000_000_000)
    with pytest.raises(RigLostError, match=r"guest\.can0 \(vcan0\) went away"):
        rig.get("can0").send(1, b"")
