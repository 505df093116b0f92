"""Every fault of a CAN bus, by what a test sees of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from drivers._can_errors import read_error
from hil.can_bits import bits_of
from hil.can_frames import ERROR_FLAG
from hil.rigs.base import Round
from hil.rigs.simulated.rig import SimulatedRig


def data_of(frames):
    return [frame.data for frame in frames]


def heard_by(can_bus):
    """Return what is there to be read."""
    can_bus.settle()
    return list(iter(lambda: can_bus.recv(timeout=0), None))


def kinds_of(frames):
    """Return what error frames say."""
    return [read_error(frame.id | ERROR_FLAG, frame.data).kinds for frame in frames if frame.error]


def states_of(frames):
    reports = [read_error(frame.id | ERROR_FLAG, frame.data) for frame in frames if frame.error]
    return [report.state for report in reports if report.state]


# ---- error_frame


def test_an_error_frame_on_the_quiet_bus_is_heard_and_counted(can_bus, faults):
    fault = faults.add("error_frame", count=3)
    frames = heard_by(can_bus)
    assert [frame.error for frame in frames] == [True] * 3
    assert kinds_of(frames) == [("stuff",)] * 3
    assert (can_bus.counters, can_bus.peer.counters) == ((0, 3), (0, 3))
    assert fault.hits == 3


def test_an_error_frame_destroys_what_is_sent_and_it_is_sent_again(can_bus, faults):
    faults.add("error_frame", after=1, count=1)
    can_bus.send(0x1, b"a")
    can_bus.send(0x1, b"b")
    assert data_of(can_bus.peer.received) == [b"a", b"b"]
    assert can_bus.counters == (7, 0)
    assert can_bus.peer.counters == (0, 0)
    assert kinds_of(heard_by(can_bus)) == [("bit",)]


def test_an_error_frame_at_a_time_strikes_the_frame_that_is_on_the_bus(can_bus, faults):
    faults.add("error_frame", at="100us")
    can_bus.peer.send(0x1, bytes(8))
    error, frame = heard_by(can_bus)
    assert (error.error, error.t_ns, frame.data) == (True, 100_000, bytes(8))


def test_an_error_frame_strikes_data_with_a_pattern(can_bus, faults):
    fault = faults.add("error_frame", pattern=b"bad", count=1)
    for data in (b"good", b"a bad1"):
        can_bus.peer.send(0x1, data)
    assert [frame.data for frame in heard_by(can_bus) if not frame.error] == [b"good", b"a bad1"]
    assert fault.hits == 1


@pytest.mark.parametrize(("count", "state"), [(11, "active"), (12, "active"), (13, "warning"), (17, "passive")])
def test_errors_in_a_frame_lead_from_state_to_state(can_bus, faults, count, state):
    faults.add("error_frame", probability=1.0, count=count)
    can_bus.send(0x1, b"x")
    assert can_bus.state == state  # the frame itself goes through at last, and takes one off
    assert data_of(can_bus.peer.received) == [b"x"]


def test_errors_without_end_take_the_host_off_the_bus_and_it_comes_back_when_they_end(can_bus, faults, clock):
    fault = faults.add("error_frame", probability=1.0)
    can_bus.send(0x1, b"lost")
    assert can_bus.state == "bus_off"
    clock.sleep(1)
    assert can_bus.state == "bus_off"
    fault.remove()
    clock.sleep("20ms")
    assert can_bus.state == "active"
    assert states_of(heard_by(can_bus)) == ["error-warning", "error-passive", "bus-off", "error-active"]
    can_bus.send(0x1, b"new")
    assert data_of(can_bus.peer.received) == [b"new"]
    assert can_bus.dropped == 1


# ---- error_passive, bus_off


def test_a_passive_controller_still_talks_and_stays_passive_until_the_end(can_bus, faults):
    fault = faults.add("error_passive")
    for _ in range(50):
        can_bus.send(0x1, b"x")
    assert can_bus.state == "passive"
    assert len(can_bus.peer.received) == 50
    fault.remove()
    assert can_bus.state == "active"


def test_a_controller_that_never_clears_its_passive_state_does_so_when_it_is_restarted(can_bus, faults):
    faults.add("error_passive")
    can_bus.restart()
    assert can_bus.state == "active"
    assert not faults.active


def test_a_passive_node_lets_others_go_first_after_it_has_sent(can_bus, faults):
    faults.add("error_passive")
    can_bus.send(0x1, b"x")
    can_bus.send(0x1, b"x")
    first, second = can_bus.peer.received
    assert second.t_ns - 2 * first.t_ns == (3 + 8) * 2_000


def test_off_the_bus_nothing_is_sent_or_heard_and_what_is_queued_is_lost(can_bus, faults, clock):
    faults.add("bus_off", at="1us", duration="50ms")
    can_bus.send(0x1, b"queued")
    clock.sleep("1ms")
    assert can_bus.state == "bus_off"
    can_bus.send(0x1, b"not sent")
    can_bus.peer.send(0x2, b"waits")
    assert can_bus.peer.received == []
    clock.sleep("60ms")
    assert can_bus.state == "active"
    assert can_bus.dropped == 2
    assert [frame.data for frame in heard_by(can_bus) if not frame.error] == [b"waits"]


def test_a_bus_off_without_end_ends_when_the_controller_is_restarted(can_bus, faults, clock):
    faults.add("bus_off")
    clock.sleep(10)
    assert can_bus.state == "bus_off"
    can_bus.restart()
    can_bus.send(0x1, b"x")
    assert data_of(can_bus.peer.received) == [b"x"]


def test_a_controller_that_does_not_restart_itself_stays_off(can_bus, faults, clock):
    can_bus.restarts_itself = False
    faults.add("error_frame", probability=1.0, count=32)
    can_bus.send(0x1, b"x")
    clock.sleep(10)
    assert can_bus.state == "bus_off"
    can_bus.restart()
    assert can_bus.state == "active"


def test_recovery_takes_128_times_11_bits_and_longer_on_a_busy_bus(can_bus, faults, clock):
    def back_ns():
        began_ns = clock.monotonic_ns()
        faults.add("error_frame", pattern=b"x", count=32)
        can_bus.send(0x1, b"x")
        assert can_bus.state == "bus_off"
        while can_bus.state == "bus_off":
            clock.sleep("10us")
        return clock.monotonic_ns() - began_ns

    quiet_ns = back_ns()
    can_bus.peer.every("500us", (0x2, bytes(8)))  # which nobody acknowledges, so that it is sent again and again
    assert quiet_ns + 10_000_000 < back_ns() < quiet_ns + 50_000_000


# ---- lost_ack


def test_a_lost_acknowledgement_has_the_frame_sent_again(can_bus, faults):
    fault = faults.add("lost_ack", count=2)
    can_bus.send(0x1, b"x")
    assert data_of(can_bus.peer.received) == [b"x"]
    assert fault.hits == 2
    assert can_bus.counters == (15, 0)
    assert kinds_of(heard_by(can_bus)) == [("ack",), ("ack",)]


def test_a_host_that_nobody_acknowledges_becomes_passive_and_stays_so(can_bus, faults, clock):
    fault = faults.add("lost_ack")
    can_bus.send(0x1, b"x")
    clock.sleep(1)
    assert (can_bus.state, can_bus.counters.tx) == ("passive", 128)
    fault.remove()
    clock.sleep("20ms")
    assert data_of(can_bus.peer.received) == [b"x"]


def test_what_the_device_sends_is_acknowledged_all_the_same(can_bus, faults):
    fault = faults.add("lost_ack")
    can_bus.peer.send(0x1, b"x")
    assert data_of(heard_by(can_bus)) == [b"x"]
    assert fault.hits == 0


# ---- babble


def share_of(can_bus, clock, number):
    """Return which part of a second frames of one id kept the bus."""
    heard_by(can_bus)
    clock.sleep(1)
    frames = [frame for frame in heard_by(can_bus) if frame.id == number]
    return sum(bits_of(frame).nominal + 3 for frame in frames) * 2_000 / 1e9


@pytest.mark.parametrize("load", [10, 50, 90])
def test_a_babbling_device_takes_its_share_of_the_bus(can_bus, faults, clock, load):
    faults.add("babble", id=0x10, load=load)
    assert share_of(can_bus, clock, 0x10) == pytest.approx(load / 100, rel=0.01)


def test_what_has_a_lower_priority_than_a_full_babble_starves_until_it_ends(can_bus, faults, clock):
    fault = faults.add("babble", id=0x100, load=100)
    can_bus.send(0x0FF, b"higher")
    can_bus.send(0x101, b"lower")
    clock.sleep(1)
    assert data_of(can_bus.peer.received) == [b"higher"]
    fault.remove()
    assert data_of(can_bus.peer.received) == [b"higher", b"lower"]


def test_a_heavy_babble_makes_others_late(can_bus, faults):
    can_bus.send(0x700, b"x")
    alone_ns = can_bus.peer.received[0].t_ns
    faults.add("babble", id=0x10, load=95)
    can_bus.send(0x700, b"x")
    late_ns = can_bus.peer.received[1].t_ns - alone_ns
    assert late_ns > 2 * alone_ns


def test_a_babble_stops_with_the_device(can_bus, faults, power, clock):
    faults.add("babble", id=0x10, load=50)
    power.off()
    heard_by(can_bus)
    clock.sleep(1)
    assert [frame for frame in heard_by(can_bus) if not frame.error] == []


def test_an_id_of_29_bits_is_babbled_in_extended_frames(can_bus, faults):
    faults.add("babble", id=0x18FEF100, load=1)
    assert can_bus.recv(timeout=1).extended


# ---- dlc, id_collision, bitrate


@pytest.mark.parametrize(("dlc", "data"), [(3, b"abc"), (0, b""), (8, b"abcde\0\0\0"), (12, b"abcde\0\0\0")])
def test_a_length_field_that_lies_changes_what_is_received(can_bus, faults, dlc, data):
    faults.add("dlc", dlc=dlc, count=1)
    can_bus.peer.send(0x1, b"abcde")
    can_bus.peer.send(0x1, b"abcde")
    first, second = heard_by(can_bus)
    assert (first.data, first.dlc, second.data) == (data, dlc, b"abcde")


def test_a_collision_is_an_error_for_both_and_the_host_sends_again(can_bus, faults):
    fault = faults.add("id_collision", count=3)
    can_bus.send(0x1, b"x")
    assert data_of(can_bus.peer.received) == [b"x"]
    assert (fault.hits, can_bus.counters, can_bus.peer.counters.tx) == (3, (23, 0), 24)


@pytest.mark.parametrize("data", [b"\xff" * 8, b"\1", bytes(3)])
def test_collisions_without_end_take_the_host_off_the_bus(can_bus, faults, clock, data):
    fault = faults.add("id_collision")
    can_bus.send(0x1, data)
    clock.sleep("100ms")
    assert can_bus.state == "bus_off"
    assert can_bus.peer.received == []
    fault.remove()
    clock.sleep("100ms")
    assert can_bus.state == "active"


@pytest.mark.parametrize(("factor", "state"), [(0.5, "bus_off"), (0.9, "bus_off"), (1.1, "passive"), (2, "passive")])
def test_at_another_bit_rate_the_host_that_sends_gets_nothing_through(can_bus, faults, clock, factor, state):
    fault = faults.add("bitrate", factor=factor)
    can_bus.send(0x1, b"x")
    clock.sleep(1)
    assert can_bus.state == state
    assert can_bus.peer.received == []
    fault.remove()
    clock.sleep("50ms")
    can_bus.send(0x1, b"y")
    assert can_bus.peer.received[-1].data == b"y"


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.1, 2])
def test_at_another_bit_rate_the_host_hears_errors_alone(can_bus, faults, clock, factor):
    faults.add("bitrate", factor=factor)
    can_bus.peer.send(0x1, b"x")
    clock.sleep(1)
    assert all(frame.error for frame in heard_by(can_bus))
    assert can_bus.state == "passive"


def test_a_bit_rate_that_receivers_tolerate_changes_nothing_and_the_trace_says_so(rig, can_bus, faults):
    faults.add("bitrate", factor=1.01)
    can_bus.send(0x1, b"x")
    assert data_of(can_bus.peer.received) == [b"x"]
    assert any("tolerate" in record.text for record in rig.trace.records if record.kind == "note")


# ---- all of them


def test_each_strike_is_a_record_and_an_error_frame_is_one_as_candump_writes_it(rig, can_bus, faults):
    fault = faults.add("lost_ack", count=2)
    can_bus.send(0x1, b"x")
    can_bus.settle()
    records = [record for record in rig.trace.records if record.bus == "can0"]
    assert sum(record.kind == "lost_ack" for record in records) == fault.hits == 2
    assert [record.id for record in records if record.kind == "error"] == ["20000220"] * 2


class Bus(RuleBasedStateMachine):
    """Any composition of faults: no frame comes twice, out of order or changed, and none is lost but what is told."""

    def __init__(self):
        super().__init__()
        self.rig = SimulatedRig()
        self.rig.begin(Round("any", 1, Path("unused")), None)
        self.bus = self.rig.get("can0")
        self.sent, self.said = [], []

    @rule(count=st.integers(1, 4), size=st.integers(1, 8))
    def send(self, count, size):
        for _ in range(count):
            self.sent.append(len(self.sent).to_bytes(size, "big"))
            self.bus.send(0x100 + size, self.sent[-1])

    @rule(count=st.integers(1, 4), number=st.integers(0, 0x7FF))
    def say(self, count, number):
        for _ in range(count):
            self.said.append(len(self.said).to_bytes(8, "big"))
            self.bus.peer.send(number, self.said[-1])

    @rule(
        kind=st.sampled_from(
            ("error_frame", "error_passive", "bus_off", "lost_ack", "id_collision", "bitrate", "babble")
        ),
        count=st.integers(1, 40),
        factor=st.sampled_from((0.5, 2.0)),
    )
    def fail(self, kind, count, factor):
        known = {"bitrate": {"factor": factor}, "babble": {"id": 0x50, "load": 80}}
        if kind in ("error_frame", "lost_ack", "id_collision"):
            self.rig.faults.add(kind, count=count, **({"probability": 0.5} if kind == "error_frame" else {}))
        elif not any(fault.kind in (kind, "error_passive", "bus_off") for fault in self.rig.faults.active):
            self.rig.faults.add(kind, **known.get(kind, {}))

    @rule()
    def end(self):
        self.rig.faults.clear()

    @rule(ms=st.integers(1, 30))
    def pass_time(self, ms):
        self.rig.clock.sleep(f"{ms}ms")

    @rule()
    def restart(self):
        self.bus.restart()

    @invariant()
    def device_has_what_was_sent_in_order(self):
        got = [frame.data for frame in self.bus.peer.received]
        left = iter(self.sent)
        assert all(data in left for data in got)

    def teardown(self):
        self.rig.faults.clear()
        self.rig.clock.sleep("200ms")
        got = [frame.data for frame in self.bus.peer.received]
        assert len(got) + self.bus.dropped == len(self.sent)
        records = self.rig.trace.records
        heard = [record.payload for record in records if record.dir == "rx" and record.kind == "data"]
        told = [data for data in heard if data in set(self.said)]
        dropped = sum(record.kind == "note" and "device drops" in record.text for record in records)
        left = iter(self.said)
        assert all(data in left for data in told)
        assert len(told) + dropped == len(self.said)
        assert self.bus.state != "bus_off"


TestBus = Bus.TestCase
TestBus.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)


def hash_of(seed):
    rig = SimulatedRig()
    rig.begin(Round("same", seed, Path("unused")), None)
    bus = rig.get("can0")
    bus.peer.every("3ms", (0x300, b"beat"))
    rig.faults.add("error_frame", probability=0.2)
    rig.faults.add("lost_ack", probability=0.1)
    rig.faults.add("babble", id=0x10, load=30)
    for number in range(50):
        bus.send(0x200, bytes([number]))
        rig.clock.sleep("1ms")
    rig.end()
    return rig.trace.hash


def test_the_same_seed_gives_the_same_trace_and_another_seed_another():
    assert hash_of(5) == hash_of(5)
    assert hash_of(5) != hash_of(6)
