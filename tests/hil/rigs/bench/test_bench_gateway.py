"""A whole gateway on the ports of a bench."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("serial")
pytest.importorskip("can")

import can

from hil.rigs.base import Round
from hil.rigs.bench.bridge import CanBridge
from hil.rigs.bench.rig import BenchRig
from hil.rigs.file import load
from hil.rigs.waiting import NotCameError
from hil.sim.pty import Cable
from tests.waiting import WITHIN_S

RMC = b"$GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W*6A\r\n"
FILE = """\
[rig]
name = "bench"
[target.a.resource.uart0]
protocol = "uart"
port = "{cable}"
[target.a.resource.can0]
protocol = "can"
port = "virtual:{name}"
peer = "virtual:{name}"
shared = true
"""


class Bench:
    def __init__(self, tmp_path: Path) -> None:
        self.cable = Cable(tmp_path / "board")
        self.cable.plug()
        (tmp_path / "rig.toml").write_text(FILE.format(cable=self.cable.path, name=tmp_path.name))
        self.rig = BenchRig(load(tmp_path / "rig.toml"), "a")
        self.rig.begin(Round("t", 1, tmp_path / "data"), tmp_path / "1.trace")
        self.gateway: Any = self.rig.make_gateway()

    def close(self) -> None:
        self.gateway.close()
        self.rig.close()
        self.cable.unplug()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def test_a_value_of_the_board_reaches_the_gateway_and_its_bytes_the_trace(bench: Bench) -> None:
    bench.gateway.add("gps", profile="nmea-gnss", port="uart0")
    until_s = time.monotonic() + WITHIN_S
    reading = None
    while reading is None and time.monotonic() < until_s:  # what comes before the gateway is up is nobody's
        bench.cable.send(RMC)
        try:
            reading = bench.gateway.wait("gps/position/latitude", timeout=0.2)
        except NotCameError:
            continue
    assert reading is not None
    assert reading.value == pytest.approx(48.1173, abs=1e-4)
    assert "position/latitude" in bench.gateway.covered["gps"]["values"]["exercised"]
    assert any(record.kind == "bytes" and RMC[:10].hex() in record.data for record in bench.rig.trace.records)


def test_a_gateway_whose_device_is_silent_says_how_it_stands(bench: Bench) -> None:
    bench.gateway.add("gps", profile="nmea-gnss", port="uart0")
    with pytest.raises(NotCameError, match=r"gps/position/latitude: no new value in 0\.05 s; it never came; gps is "):
        bench.gateway.wait("gps/position/latitude", timeout="50ms")


def test_a_route_that_it_has_not_is_told_with_the_nearest(bench: Bench) -> None:
    bench.gateway.add("gps", profile="nmea-gnss", port="uart0")
    with pytest.raises(ValueError, match="no value 'gps/position/latitud'; did you mean 'gps/position/latitude'"):
        bench.gateway.wait("gps/position/latitud", timeout="50ms")


def test_a_device_that_was_not_added_is_told_with_the_nearest(bench: Bench) -> None:
    bench.gateway.add("gps", profile="nmea-gnss", port="uart0")
    with pytest.raises(ValueError, match="no device 'gsp'; did you mean 'gps'"):
        bench.gateway.wait("gsp/position/latitude", timeout="50ms")


def test_a_port_that_is_none_of_the_rig_is_told_with_the_nearest(bench: Bench) -> None:
    with pytest.raises(ValueError, match="a has no resource 'uart1'; did you mean 'uart0'"):
        bench.gateway.add("gps", profile="nmea-gnss", port="uart1")


def test_frames_pass_between_the_gateways_bus_and_the_boards(bench: Bench) -> None:
    bus = bench.rig.get("can0")
    bridge = CanBridge(bus, "t")
    with can.Bus(bridge.port.partition(":")[2], "virtual", ignore_config=True) as host:
        bus.peer.send(0x181, b"\x05")
        heard = host.recv(WITHIN_S)
        host.send(can.Message(arbitration_id=0x201, data=b"\x06", is_extended_id=False))
        assert bench.rig.world is not None
        assert bench.rig.world.wait_for(lambda: bus.peer.received, int(WITHIN_S * 1e9))[0].id == 0x201
    bridge.close()
    assert heard is not None
    assert (heard.arbitration_id, bytes(heard.data)) == (0x181, b"\x05")
