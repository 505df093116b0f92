"""What a test finds at a fixture is the same on a bench as in simulation, but for what is named here with a reason."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("serial")
pytest.importorskip("can")
pytest.importorskip("bleak")

from hil.rigs.base import Round
from hil.rigs.bench.rig import BenchRig
from hil.rigs.file import load
from hil.rigs.simulated.rig import SimulatedRig

FILE = """\
[rig]
name = "bench"
[target.a]
states = ["off"]
[target.a.resource.uart0]
protocol = "uart"
port = "/dev/board"
[target.a.resource.can0]
protocol = "can"
port = "virtual:board"
[target.a.resource.ble0]
protocol = "ble"
port = "hci0"
[target.a.resource.spi0]
protocol = "spi"
port = "/dev/spidev0.0"
[target.a.resource.power]
protocol = "power"
sim = true
"""
OF_THE_RIG = {
    "begin": "how a bench's rig begins a run of what it keeps open",
    "end": "how a bench's rig ends a run of what it keeps open",
    "close": "how the simulated rig ends a run",
    "left_wrong": "how a bench's rig asks what a test must not end with; a simulated bus says it when it closes",
    "wires": "the ports that a bench keeps open",
}
OF_GATEWAYS = {
    "listen": "the simulated gateway hears of a loss by it, that of a bench by its port",
    "host_send": "the simulated gateway sends by it, that of a bench by its port",
    "open": "the simulated gateway connects by it, that of a bench by BlueZ",
    "exchange": "the simulated gateway transfers by it, that of a bench by spidev",
    "suit": "the gateway of a bench has the bus set up by it as a profile says",
    "most_bytes": "the gateway of a bench asks how much a transfer may carry",
    "duration_ns": "how long the simulated gateway's transfer takes",
}
OF_SIMULATION = {
    "hear_device": "the simulated device sends by it",
    "peer_counters": "the simulated device's controller is asked by it",
    "watch": "a trace that is played waits by it for what the host sends",
    "air_ns": "how long the simulated device is on the air",
    "answer": "a trace that is played answers by it",
    "is_played": "a simulated link asks whether a trace answers",
    "written": "a simulated link tells the simulated device of a write",
    "carry": "the simulated device advertises by it",
    "notify": "the simulated device notifies by it",
    "live": "what the simulated device has",
    "seen": "what the simulated host believes that the device has",
    "world": "a simulated link lives in it",
    "faults": "a simulated link asks them",
    "mtu": "of the simulated radio; a test asks its link",
    "dropped": "no real controller tells which frames it lost off the bus",
    "restarts_itself": "of a real interface `ip link set can0 type can restart-ms` says that",
    "watchers": "simulated buses hear of the simulated board by them",
    "is_powered": "simulated buses ask the simulated board; a test asks `power.is_on`",
    "is_answering": "simulated buses ask the simulated board; a test asks `state`",
    "power_on": "the simulated switch",
    "power_off": "the simulated switch",
    "boot_again": "the simulated board's faults",
    "strike": "the simulated board's faults",
}
OF_A_BENCH = {
    "options": "texts of a rig file's states have them",
    "switch": "the switch of a bench's power",
    "down": "the switch of a bench's power",
    "heard": "BlueZ tells advertisements to it",
    "lost": "BlueZ tells the loss of the adapter to it",
    "passed": "what passes between two adapters of a bench",
    "going": "what passes between two adapters of a bench",
    "coming": "what passes between two adapters of a bench",
}
APART = {**OF_THE_RIG, **OF_GATEWAYS, **OF_SIMULATION, **OF_A_BENCH}
FIXTURES = ("uart0", "can0", "ble0", "spi0", "power", "dut", "clock", "rig", "gateway", "faults", "disk")


@pytest.fixture
def rigs(tmp_path: Path) -> Iterator[tuple[SimulatedRig, BenchRig]]:
    (tmp_path / "rig.toml").write_text(FILE)
    simulated, bench = SimulatedRig(), BenchRig(load(tmp_path / "rig.toml"), "a")
    for number, rig in enumerate((simulated, bench)):
        rig.begin(Round("t", 1, tmp_path / str(number)), None)
    yield simulated, bench
    for rig in (simulated, bench):
        rig.end()
        rig.close()


def fixture_of(rig: Any, name: str) -> Any:
    if name == "gateway":
        return rig.make_gateway()
    return rig if name == "rig" else rig.get(name) if name in rig.resources else getattr(rig, name)


def names_of(handle: Any) -> set[str]:
    return {name for name in (*dir(type(handle)), *vars(handle)) if not name.startswith("_")}


def words_of(handle: Any, name: str) -> list[str] | None:
    """Return the parameters of a method."""
    its = getattr(handle, name)
    return list(inspect.signature(its).parameters) if inspect.isroutine(its) else None


@pytest.mark.parametrize("name", FIXTURES)
def test_what_a_test_finds_is_the_same_on_a_bench(rigs: tuple[SimulatedRig, BenchRig], name: str) -> None:
    simulated, bench = (fixture_of(rig, name) for rig in rigs)
    try:
        allowed: set[str] = set() if name == "rig" else set(APART)
        ours, theirs = names_of(simulated), names_of(bench)
        assert ours - theirs - allowed == theirs - ours - allowed == set()
        told = {each: (words_of(simulated, each), words_of(bench, each)) for each in (ours & theirs) - {*APART, "peer"}}
        assert {each: both for each, both in told.items() if both[0] != both[1]} == {}
    finally:
        if name == "gateway":
            simulated.close()
            bench.close()


def test_each_exception_is_still_one(rigs: tuple[SimulatedRig, BenchRig]) -> None:
    apart: set[str] = set()
    for name in set(FIXTURES) - {"rig", "gateway"}:
        ours, theirs = (fixture_of(rig, name) for rig in rigs)
        apart |= names_of(ours) ^ names_of(theirs)
        apart |= names_of(ours) & names_of(theirs) & set(OF_GATEWAYS)
    assert set(APART) - apart == set()
