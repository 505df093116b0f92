"""The board's side on a bench, played by second adapters: its functions may fail, and nothing of it outlives a test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hil.rigs.base import RigError, Round
from hil.rigs.bench.rig import BenchRig
from hil.rigs.file import load
from hil.sim.null_modem import NullModem

WITHIN_NS = 30_000_000_000
FILE = """
[rig]
name = "bench"
[target.a]
states = ["answering"]
[target.a.resource.uart0]
protocol = "uart"
port = "{folder}/uart0"
peer = "{folder}/uart0-peer"
[target.a.resource.can0]
protocol = "can"
port = "virtual:{name}"
peer = "virtual:{name}"
shared = true
"""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[BenchRig]:
    file = tmp_path / "rig.toml"
    file.write_text(FILE.format(folder=tmp_path, name=tmp_path.name))
    with NullModem(tmp_path):
        made = BenchRig(load(file), "a")
        begin(made, tmp_path)
        yield made
        made.close()


def begin(rig: BenchRig, folder: Path) -> None:
    rig.begin(Round("t", 1, folder), folder / "1.trace")


def wait(rig: BenchRig, condition: Any) -> None:
    assert rig.world is not None
    assert rig.world.wait_for(condition, rig.world.now_ns + WITHIN_NS)


def say(rig: BenchRig, bus: str, letters: bytes) -> None:
    handle = rig.get(bus)
    if bus == "uart0":
        handle.write(letters)
    else:
        handle.send(0x10, letters)


BUSES = pytest.mark.parametrize("bus", ["uart0", "can0"])


@BUSES
def test_a_function_that_fails_is_told_in_the_end_and_the_port_stays(rig: BenchRig, bus: str) -> None:
    peer = rig.get(bus).peer
    peer.on(b"ask", lambda _: 1 / 0)
    two = peer.on(b"two", b"ans")
    say(rig, bus, b"ask")
    wait(rig, lambda: peer.failures)
    say(rig, bus, b"two")
    wait(rig, lambda: two.heard)
    [left] = rig.end()
    assert left.startswith(f"{bus}: the peer's reply to b'ask' failed at test_bench_peers.py:")
    assert left.endswith("ZeroDivisionError: division by zero")


@BUSES
def test_what_a_peer_was_told_is_forgotten_with_its_test(rig: BenchRig, bus: str, tmp_path: Path) -> None:
    peer = rig.get(bus).peer
    rule = peer.on(b"ask", b"ans", when="first")
    beats: list[int] = []
    peer.every("1ms", lambda: beats.append(1) or (b"." if bus == "uart0" else (1, b".")))
    wait(rig, lambda: beats)
    assert rig.end() == []
    begin(rig, tmp_path)
    count = len(beats)
    say(rig, bus, b"ask")
    wait(rig, lambda: peer.received)
    assert (peer.state, rule.heard, len(beats)) == ("", 0, count)


def test_a_device_of_a_profile_is_played_by_a_second_adapter(rig: BenchRig) -> None:
    simulated = rig.get("uart0").peer.simulate("cobs-node", period="20ms")
    assert rig.get("uart0").read(8, timeout="30s")
    assert simulated.said
    simulated.stop()


def test_counters_of_the_other_adapter_are_not_to_be_had(rig: BenchRig) -> None:
    with pytest.raises(RigError, match=r"a\.can0 peer"):
        _ = rig.get("can0").peer.counters
