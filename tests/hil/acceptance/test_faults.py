"""Every kind of fault under every common parameter: it strikes, is counted and recorded, ends, and leaves no harm."""

from __future__ import annotations

import contextlib
from typing import Any, Final

import pytest

OWN: Final[dict[str, dict[str, dict[str, Any]]]] = {
    "uart0": {
        "bit_flip": {}, "drop": {}, "duplicate": {}, "insert": {"data": b"\xff"}, "truncate": {"keep": 1},
        "delay": {"by": "5ms"}, "jitter": {"by": "0ms..9ms"}, "reorder": {}, "split": {"at_byte": 1}, "merge": {},
        "noise": {}, "break": {}, "baud": {"factor": 1.1}, "parity": {"send": "e"}, "stop": {"send": 2},
        "flow_stall": {}, "unplug": {}, "reenumerate": {},
    },
    "can0": {
        "error_frame": {}, "error_passive": {}, "bus_off": {}, "lost_ack": {}, "babble": {"id": 0, "load": 50},
        "dlc": {"dlc": 4}, "id_collision": {}, "bitrate": {"factor": 1.1}, "tx_full": {}, "unplug": {},
        "reenumerate": {},
    },
    "spi0": {"stuck_miso": {"value": 0}, "cs_glitch": {}, "bit_slip": {"bits": 1}, "mode": {"mode": 1}, "unplug": {}},
}  # fmt: skip
SCHEDULES: Final[list[dict[str, Any]]] = [
    {}, {"at": "10ms"}, {"after": 1}, {"probability": 1.0}, {"pattern": b"ab"}, {"count": 1}, {"duration": "1s"},
]  # fmt: skip
EACH: Final = [(bus, kind, params) for bus, kinds in OWN.items() for kind, params in kinds.items()]


@pytest.fixture
def exchange(uart, can_bus, spi, clock):
    """Let something pass on a bus, both ways; what a fault refuses is refused."""
    spi.peer.on(b"ab", b"cd")
    steps = {
        "uart0": [lambda: uart.peer.send(b"abcd"), lambda: clock.sleep("20ms"), lambda: uart.read_some(timeout="10ms")],
        "can0": [
            lambda: can_bus.send(5, b"abcd"), lambda: can_bus.peer.send(6, b"abcd"), lambda: clock.sleep("20ms"),
            lambda: can_bus.recv(timeout="10ms"),
        ],
        "spi0": [lambda: spi.transfer(b"ab"), lambda: clock.sleep("20ms")],
    }  # fmt: skip

    def exchange(bus):
        for step in steps[bus]:
            with contextlib.suppress(OSError):
                step()

    return exchange


@pytest.fixture
def is_well(uart, can_bus, spi, clock):
    """Say whether a bus works as ever."""

    def of_uart():
        while uart.read_some(timeout="10ms"):
            pass
        uart.peer.send(b"fine")
        return uart.read(4, timeout=1) == b"fine"

    def of_can():
        while can_bus.recv(timeout="10ms"):
            pass
        can_bus.send(8, b"fine")
        can_bus.peer.send(7, b"fine")
        came = can_bus.recv(timeout=1)
        return (came.id, came.data, can_bus.peer.received[-1].data) == (7, b"fine", b"fine")

    def is_well(bus):
        clock.sleep("3s")
        return {"uart0": of_uart, "can0": of_can, "spi0": lambda: spi.transfer(b"ab") == b"cd"}[bus]()

    return is_well


@pytest.mark.parametrize(("bus", "kind", "params"), EACH)
def test_a_fault_of_any_kind_strikes_is_recorded_and_leaves_nothing(rig, faults, exchange, is_well, bus, kind, params):
    for schedule in SCHEDULES:
        if "at" in schedule:
            schedule = {"at": rig.clock.monotonic_ns() + 10_000_000}  # noqa: PLW2901 - on the trace's time
        before = sum(record.dir == "fault" for record in rig.trace.records)
        fault = faults.add(kind, bus=bus, **params, **schedule)
        for _ in range(4):
            exchange(bus)
        records = [record for record in rig.trace.records if record.dir == "fault"][before:]
        assert fault.hits == len(records) > 0, schedule
        assert {(record.bus, record.kind) for record in records} == {(bus, kind)}, schedule
        fault.remove()
        assert (faults.active, is_well(bus)) == ([], True), schedule


@pytest.mark.parametrize(
    ("kind", "params", "named"),
    [
        ("dropp", {}, "did you mean 'drop'"), ("drop", {"bus": "uart00"}, "uart0"), ("drop", {"bus": "can0"}, "uart"),
        ("drop", {"probabilty": 0.5}, "probability"), ("drop", {"probability": 1.5}, "probability"),
        ("drop", {"count": -1}, "count"), ("truncate", {}, "keep"), ("insert", {}, "data"), ("mtu_shrink", {}, "mtu"),
        ("clock_jump", {"by": "soon"}, "by"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_named(faults, kind, params, named):
    with pytest.raises(ValueError, match=named):
        faults.add(kind, **params)
    assert faults.active == []


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
@pytest.mark.parametrize("kind", ["reset", "brown_out"])
def test_a_fault_of_power_can_wait_for_what_passes(rig, faults, dut, uart, clock, kind, schedule):
    fault = faults.add(kind, **schedule, **({} if "count" in schedule else {"count": 1}))
    for _ in range(4):
        uart.peer.send(b"abcd")
        clock.sleep("2s")
    assert (fault.hits, dut.boots, dut.state, faults.active) == (1, 2, "answering", [])
    assert [(record.bus, record.kind) for record in rig.trace.records if record.dir == "fault"] == [("power", kind)]
