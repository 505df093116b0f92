"""SPI on a bench: the shipped spidev without hardware."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hil.rigs.base import RigError, RigLostError, Round
from hil.rigs.bench import spi
from hil.rigs.bench.rig import BenchRig
from hil.rigs.file import load
from hil.sim.spi.fake import FakeBus
from hil.sim.spi.line import Line
from hil.sim.spi.w25q import W25q

RIG = '[rig]\nname = "bench"\n[target.a.resource.spi0]\nprotocol = "spi"\nspeed_hz = 1000000\nport = "{}"\n'
READ_ID = bytes.fromhex("9f000000")


@pytest.fixture
def bus(tmp_path: Path) -> FakeBus:
    return FakeBus(tmp_path)


@pytest.fixture
def line(bus: FakeBus) -> Line:
    return bus.plug("spidev0.0", W25q())


@pytest.fixture
def rig(bus: FakeBus, line: Line, tmp_path: Path) -> Iterator[BenchRig]:
    del line
    (tmp_path / "rig.toml").write_text(RIG.format(bus.path("spidev0.0")))
    made = BenchRig(load(tmp_path / "rig.toml"), "a", bus.device)
    made.begin(Round("t", 1, tmp_path), tmp_path / "1.trace")
    yield made
    made.close()


def test_a_transfer_gives_what_the_device_says_and_is_one_record(rig: BenchRig, tmp_path: Path) -> None:
    rx = rig.get("spi0").transfer(READ_ID)
    assert rx[1:2] == b"\xef"  # Winbond
    record = rig.trace.records[-1]
    assert (record.bus, record.dir, record.kind, record.data, record.get("rx")) == (
        "spi0",
        "tx",
        "transfer",
        READ_ID.hex(),
        rx.hex(),
    )


def test_a_node_that_is_gone_is_a_lost_board(rig: BenchRig, bus: FakeBus) -> None:
    bus.unplug("spidev0.0")
    with pytest.raises(RigLostError, match=r"a\.spi0 \(.*spidev0\.0\) went away: its device node is gone"):
        rig.get("spi0").transfer(READ_ID)


def test_a_bus_that_hangs_ends_the_transfer(rig: BenchRig, line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spi, "STALL_S", 0.1)
    line.hang()
    with pytest.raises(RigLostError, match="a transfer of 4 bytes hangs"):
        rig.get("spi0").transfer(READ_ID)
    line.release()


def test_an_empty_transfer_is_none(rig: BenchRig) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        rig.get("spi0").transfer(b"")


def test_the_device_is_real_and_nobody_plays_it(rig: BenchRig) -> None:
    with pytest.raises(RigError, match="has the real board at its other end"):
        _ = rig.get("spi0").peer


def test_a_transfer_that_the_kernel_does_not_take_at_once_is_none(rig: BenchRig) -> None:
    with pytest.raises(ValueError, match=r"a transfer of 70000 bytes; the kernel takes 1 to \d+ at once"):
        rig.get("spi0").transfer(bytes(70_000))


def test_bytes_may_be_given_by_their_numbers(rig: BenchRig) -> None:
    assert rig.get("spi0").transfer([0x9F, 0, 0, 0])[1:2] == b"\xef"


def test_mode_and_speed_are_set_on_the_bus_until_the_test_is_over(rig: BenchRig, line: Line, tmp_path: Path) -> None:
    spi = rig.get("spi0")
    spi.mode, spi.speed_hz = 3, 2_000_000
    spi.transfer(READ_ID)
    spi.mode = None
    spi.transfer(READ_ID)
    spi.mode = 3
    rig.end()
    rig.begin(Round("t", 1, tmp_path), tmp_path / "2.trace")
    spi.transfer(READ_ID)
    assert [(each.mode, each.speed_hz) for each in line.transfers][-3:] == [
        (3, 2_000_000),
        (0, 2_000_000),
        (0, 1_000_000),
    ]
    with pytest.raises(RigError, match="the controller refuses speed_hz"):
        spi.speed_hz = 4_000_000_000
    assert spi.speed_hz == 1_000_000


def test_a_stuck_input_and_a_slipped_bit_change_what_is_read_and_recorded(rig: BenchRig, line: Line) -> None:
    spi = rig.get("spi0")
    whole = spi.transfer(READ_ID)
    slip = rig.faults.add("bit_slip", bits=1, count=1)
    slipped = spi.transfer(READ_ID)
    assert int.from_bytes(slipped, "big") == (1 << 31) | int.from_bytes(whole, "big") >> 1
    stuck = rig.faults.add("stuck_miso", value=0x00)
    assert spi.transfer(READ_ID) == bytes(4)
    stuck.remove()
    assert (spi.transfer(READ_ID), slip.hits, stuck.hits) == (whole, 1, 1)
    assert [each.tx for each in line.transfers] == [READ_ID] * 4  # the device was really asked
    told = [record for record in rig.trace.records if record.kind != "note"]
    assert [(record.dir, record.kind) for record in told] == [
        ("tx", "transfer"),
        ("fault", "bit_slip"),
        ("tx", "transfer"),
        ("fault", "stuck_miso"),
        ("tx", "transfer"),
        ("tx", "transfer"),
    ]
    assert [record["rx"] for record in told if record.kind == "transfer"] == [
        whole.hex(),
        slipped.hex(),
        "00000000",
        whole.hex(),
    ]


def test_a_wrong_mode_is_really_set_and_ends_with_the_fault(rig: BenchRig, line: Line) -> None:
    spi = rig.get("spi0")
    fault = rig.faults.add("mode", mode=1)
    spi.transfer(READ_ID)
    spi.speed_hz = 2_000_000
    spi.transfer(READ_ID)
    fault.remove()
    spi.transfer(READ_ID)
    assert [each.mode for each in line.transfers] == [1, 1, 0]


def test_a_mode_that_samples_alike_says_so_in_the_trace(rig: BenchRig) -> None:
    rig.faults.add("mode", mode=3, count=2)
    for _ in range(2):
        rig.get("spi0").transfer(b"\x9f")
    texts = [record["text"] for record in rig.trace.records if record.kind == "note"]
    assert texts.count("mode 3 samples as the device's mode 0 does: nothing changes") == 1


def test_what_only_a_simulated_bus_can_is_refused_with_who_can(rig: BenchRig) -> None:
    with pytest.raises(ValueError, match=r"cannot do 'cs_glitch' on spi0, the simulated rig can; here there are bit_"):
        rig.faults.add("cs_glitch")
