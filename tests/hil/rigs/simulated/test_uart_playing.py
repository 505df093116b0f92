"""A trace as the device of a simulated UART."""

from __future__ import annotations

import pytest

from hil.rigs.base import Round
from hil.rigs.simulated.rig import SimulatedRig


def rig_with(tmp_path, prepare):
    rig = SimulatedRig()
    rig.begin(Round("played", 1, tmp_path), tmp_path / f"{prepare.__name__}.trace")
    return rig, prepare(rig.get("uart0").peer)


def scripted(peer):
    peer.on(b"V?", b"24.1", delay="7ms")
    peer.on(b"A?", b"1.5", delay="3ms")
    peer.every("40ms", b"tick")


def talk(rig, *requests):
    uart = rig.get("uart0")
    for request in requests:
        uart.write(request)
        uart.read(4, timeout="20ms")
    rig.end()
    return rig.trace


@pytest.fixture
def recorded(tmp_path):
    rig, _ = rig_with(tmp_path, scripted)
    return talk(rig, b"V?", b"A?", b"V?")


def traffic(trace):
    return [(each.t_ns, each.dir, each.data) for each in trace.records if each.bus == "uart0"]


def test_a_device_that_was_recorded_does_it_all_again_to_the_nanosecond(tmp_path, recorded):
    def played(peer):
        return peer.play(tmp_path / "scripted.trace")

    rig, player = rig_with(tmp_path, played)
    again = talk(rig, b"V?", b"A?", b"V?")
    assert player.diverged is None
    assert traffic(again) == traffic(recorded)


def test_who_asks_otherwise_is_told_where(tmp_path, recorded):
    def played(peer):
        return peer.play(str(tmp_path / "scripted.trace"))

    rig, player = rig_with(tmp_path, played)
    talk(rig, b"V?", b"B?")
    assert player.diverged.expected.payload == b"A?"
    assert player.diverged.got.payload == b"B?"


def test_matched_requests_come_in_any_order(tmp_path, recorded):
    def played(peer):
        return peer.play(tmp_path / "scripted.trace", order="matched")

    rig, player = rig_with(tmp_path, played)
    talk(rig, b"A?", b"V?", b"V?")
    assert player.diverged is None


@pytest.mark.parametrize(("params", "named"), [({"bus": "uart1"}, "uart0"), ({"order": "any"}, "matched")])
def test_what_cannot_be_played_is_refused_by_name(tmp_path, recorded, uart, params, named):
    with pytest.raises(ValueError, match=named):
        uart.peer.play(tmp_path / "scripted.trace", **params)
