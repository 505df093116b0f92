"""The simulated SPI bus: scripted devices, device models, faults."""

from __future__ import annotations

import errno
import re

import pytest

from hil.rigs.base import RigLostError
from hil.rigs.simulated.rig import SimulatedRig
from hil.trace import read

IDENTITY = b"\x80\x00"


def transfers(rig):
    return [record for record in rig.trace.records if record.kind == "transfer"]


def test_a_scripted_device_answers_byte_for_byte(spi, rig, clock):
    spi.peer.on(IDENTITY, b"\x00\xe5")
    assert spi.transfer(IDENTITY) == b"\x00\xe5"
    [record] = transfers(rig)
    assert (record.t_ns, record.dir, record.payload, record.extra) == (0, "tx", IDENTITY, {"rx": "00e5"})
    assert clock.monotonic_ns() == 16_000


def test_what_nobody_answers_reads_as_the_line_idles(spi):
    assert spi.transfer(b"\x00\x01\x02") == b"\xff\xff\xff"
    spi.peer.on(b"\x00\x01\x02", b"\x05")
    assert spi.transfer([0, 1, 2]) == b"\x05\xff\xff"


def test_a_longer_answer_serves_each_transfer_that_begins_so(spi):
    rule = spi.peer.on(b"\x9f", b"\xff\xef\x40\x14")
    assert spi.transfer(b"\x9f\0\0\0\0") == b"\xff\xef\x40\x14\xff"
    assert spi.transfer(b"\x9f\0") == b"\xff\xef"
    assert rule.heard == 2
    spi.peer.forget(rule)
    assert spi.transfer(b"\x9f\0") == b"\xff\xff"


def test_a_pattern_and_a_function_answer_too(spi):
    spi.peer.on(re.compile(rb"\x03(.)\x00", re.DOTALL), lambda found: b"\0\0" + found[1])
    spi.peer.on(b"\x01", lambda tx: bytes(byte + 1 for byte in tx))
    assert spi.transfer(b"\x03\x2a\x00") == b"\x00\x00\x2a"
    assert spi.transfer(b"\x01") == b"\x02"


def test_the_whole_request_comes_before_the_begin_of_another(spi):
    spi.peer.on(b"\x80", b"\x01")
    spi.peer.on(b"\x80\x00", b"\x00\xe5")
    assert spi.transfer(b"\x80") == b"\x01"


@pytest.mark.parametrize("tx", [b"", "80", 3, [256], None])
def test_what_is_no_bytes_is_refused(spi, tx):
    with pytest.raises(ValueError, match="give bytes"):
        spi.transfer(tx)
    with pytest.raises(ValueError, match="give bytes"):
        spi.peer.on(tx, b"\x00")


def test_what_is_no_peer_is_refused_by_name(spi):
    with pytest.raises(ValueError, match="adxl345"):
        spi.peer.model("adxl354")
    with pytest.raises(ValueError, match="0 to 3"):
        spi.peer.model("adxl345", mode=4)
    with pytest.raises(ValueError, match="rb'"):
        spi.peer.on(re.compile("text"), b"")


def test_a_model_loses_what_it_was_told_when_it_loses_power(spi, power, dut):
    sensor = spi.peer.model("adxl345", mode=3)
    sensor.counts = (1, -2, 256)
    spi.transfer(b"\x2d\x08")
    assert spi.transfer(b"\xf2" + bytes(6))[1:] == bytes.fromhex("0100feff0001")
    power.off()
    assert spi.transfer(IDENTITY) == b"\xff\xff"
    dut.to("configured")
    assert spi.transfer(IDENTITY)[1] == 0xE5
    assert spi.transfer(b"\xf2" + bytes(6))[1:] == bytes(6)


def test_a_stuck_line_ends_with_its_fault(spi, faults):
    spi.peer.on(IDENTITY, b"\x00\xe5")
    with_it = faults.add("stuck_miso", value=0x00)
    assert spi.transfer(IDENTITY) == b"\x00\x00"
    with_it.remove()
    assert spi.transfer(IDENTITY) == b"\x00\xe5"


@pytest.mark.parametrize(("kind", "params"), [("stuck_miso", {"value": 0x5A}), ("mode", {"mode": 1})])
def test_each_transfer_that_a_line_spoils_is_a_hit_and_may_be_counted_out(spi, faults, rig, kind, params):
    spi.peer.on(IDENTITY, b"\x00\xe5")
    spoiling = faults.add(kind, after=1, count=2, **params)
    read = [spi.transfer(IDENTITY) for _ in range(5)]
    assert [rx == b"\x00\xe5" for rx in read] == [True, False, False, True, True]
    assert spoiling.hits == 2 == sum(record.kind == kind for record in rig.trace.records)
    assert not faults.active


def test_a_glitch_of_the_select_breaks_a_command_in_two(spi, faults):
    spi.peer.on(b"\x80\x01\x02\x03", b"\x00\x11\x22\x33")
    glitch = faults.add("cs_glitch", count=1)
    broken = spi.transfer(b"\x80\x01\x02\x03")
    assert broken != b"\x00\x11\x22\x33"
    assert len(spi.peer.received) == 2
    assert b"".join(spi.peer.received) == b"\x80\x01\x02\x03"
    assert glitch.hits == 1
    assert spi.transfer(b"\x80\x01\x02\x03") == b"\x00\x11\x22\x33"


def test_slipped_bits_come_late(spi, faults):
    spi.peer.on(IDENTITY, b"\x00\xe5")
    first = faults.add("bit_slip", bits=1)
    assert spi.transfer(IDENTITY) == b"\x80\x72"
    first.remove()
    faults.add("bit_slip", bits=4, pattern=b"\x80")
    assert spi.transfer(IDENTITY) == b"\xf0\x0e"
    assert spi.transfer(b"\x01\x02") == b"\xff\xff"


def test_a_wrong_mode_shifts_and_a_like_one_says_that_it_changes_nothing(spi, faults, rig):
    spi.peer.on(IDENTITY, b"\x00\xe5")
    wrong = faults.add("mode", mode=2)
    assert spi.transfer(IDENTITY) == b"\x00\x72"
    wrong.remove()
    faults.add("mode", mode=3)
    assert spi.transfer(IDENTITY) == b"\x00\xe5"
    assert "nothing changes" in rig.trace.records[-2].extra["text"]


def test_a_host_in_a_wrong_mode_needs_no_fault(spi):
    sensor = spi.peer.model("adxl345", mode=3)
    spi.mode = 0
    assert spi.transfer(IDENTITY)[1] == sensor.registers[0]
    spi.mode = 1
    assert spi.transfer(IDENTITY)[1] != sensor.registers[0]


def test_unplugged_it_is_lost_at_once_and_back_with_the_end_of_the_fault(spi, faults):
    lost = []
    spi.listen(lost.append, lost.append)
    stop = spi.listen(lost.append, lost.append)
    stop()
    stop()
    fault = faults.add("unplug", bus="spi0", after=1)
    spi.transfer(IDENTITY)
    with pytest.raises(RigLostError, match="spi0") as raised:
        spi.transfer(IDENTITY)
    assert (raised.value.errno, lost, spi.is_there) == (errno.ENODEV, ["unplug"], False)
    with pytest.raises(OSError, match="unplugged"):
        spi.listen(lost.append, lost.append)
    fault.remove()
    assert spi.is_there
    assert spi.transfer(IDENTITY) == b"\xff\xff"


def run_with_faults(new_round, seed, tmp_path):
    rig = SimulatedRig()
    rig.begin(new_round(seed), tmp_path / f"{seed}.trace")
    spi = rig.get("spi0")
    spi.peer.model("w25q")
    for kind, params in (("cs_glitch", {}), ("bit_slip", {"bits": 2}), ("mode", {"mode": 1})):
        rig.faults.add(kind, probability=0.3, **params)
    for _ in range(50):
        spi.transfer(b"\x9f\x00\x00\x00")
    rig.end()
    assert read(tmp_path / f"{seed}.trace").hash == rig.trace.hash
    return rig.trace.hash


def test_the_same_seed_gives_the_same_trace(new_round, tmp_path):
    first = run_with_faults(new_round, 7, tmp_path)
    assert run_with_faults(new_round, 7, tmp_path) == first
    assert run_with_faults(new_round, 8, tmp_path) != first
