"""The fixture `can_bus`: frames, times, arbitration, scripts, coming and going."""

from __future__ import annotations

import errno

import pytest

from hil import timing
from hil.can_frames import frame_of
from hil.rigs.base import RigLostError, TxFullError

BIT_NS = 2_000


def data_of(frames):
    return [frame.data for frame in frames]


def frames_of(rig, direction):
    return [record for record in rig.trace.records if record.bus == "can0" and record.dir == direction]


def test_nothing_to_receive_is_none_when_the_time_is_over(can_bus, clock):
    assert can_bus.recv(timeout="20ms") is None
    assert clock.monotonic_ns() == 20_000_000


def test_a_trace_has_each_frame_once_when_it_is_through(rig, can_bus):
    can_bus.send(0x123, b"\1\2")
    can_bus.peer.send(0x18DAF110, b"\3", extended=True)
    can_bus.settle()
    (sent,), (heard,) = frames_of(rig, "tx"), frames_of(rig, "rx")
    assert (sent.kind, sent.data, sent.id) == ("data", "0102", "123")
    assert (heard.kind, heard.data, heard.id) == ("data", "03", "18DAF110")
    assert 0 < sent.t_ns < heard.t_ns


def test_a_frame_takes_its_bits_and_the_next_waits_for_the_intermission(can_bus):
    for _ in range(3):
        can_bus.send(0x555, b"\x55" * 8)
    times = [frame.t_ns for frame in can_bus.peer.received]
    one_ns = times[0]
    assert 108 * BIT_NS <= one_ns <= 132 * BIT_NS
    assert times == [one_ns, 2 * one_ns + 3 * BIT_NS, 3 * one_ns + 6 * BIT_NS]


def test_the_data_phase_of_an_fd_frame_is_four_times_as_fast(can_bus):
    can_bus.send(0x1, b"\x55" * 64, fd=True, brs=False)
    can_bus.send(0x1, b"\x55" * 64, fd=True)
    slow, fast = can_bus.peer.received
    assert slow.t_ns > 3 * (fast.t_ns - slow.t_ns)


def test_the_lowest_id_goes_first_whoever_sends_it(can_bus):
    can_bus.send(0x200, b"host")
    can_bus.peer.send(0x100, b"device")
    assert can_bus.recv(timeout=1).t_ns < can_bus.peer.received[0].t_ns


def test_a_second_frame_waits_for_the_first_although_its_id_is_lower(can_bus):
    can_bus.send(0x200, b"1")
    can_bus.send(0x100, b"2")
    assert data_of(can_bus.peer.received) == [b"1", b"2"]


def test_one_id_in_both_directions_at_once_is_no_collision(can_bus):
    can_bus.send(0x123, b"a")
    can_bus.peer.send(0x123, b"b")
    assert can_bus.recv(timeout=1).data == b"b"
    assert data_of(can_bus.peer.received) == [b"a"]


def test_ten_thousand_frames_pass_in_order(can_bus):
    for number in range(10_000):
        can_bus.send(number & 0x7FF, number.to_bytes(4, "big"))
    assert data_of(can_bus.peer.received) == [number.to_bytes(4, "big") for number in range(10_000)]


# ---- the device's script


def test_a_request_gets_its_reply_when_it_is_due(can_bus):
    rule = can_bus.peer.on((0x7E0, b"\x02\x10"), (0x7E8, b"\x02\x50"), delay="5ms", ignore=1)
    can_bus.send(0x7E0, b"\x02\x10\x03")
    assert can_bus.recv(timeout="50ms") is None
    can_bus.send(0x7E0, b"\x02\x10\x03")
    reply = can_bus.recv(timeout=1)
    requests = [frame.t_ns for frame in can_bus.peer.received]
    assert (reply.id, reply.data) == (0x7E8, b"\x02\x50")
    assert rule.heard == 2
    timing.within(requests[1:], [reply.t_ns], limit="6ms")


@pytest.mark.parametrize(
    "request_", [0x10, b"\1", (0x10, b"\1\2"), frame_of(0x10, b"\1\2"), lambda frame: frame.id < 16]
)
def test_a_request_is_known_by_id_data_or_judgement(can_bus, request_):
    can_bus.peer.on(request_, (0x11, b"ok"))
    can_bus.send(0xF if callable(request_) else 0x10, b"\1\2")
    assert can_bus.recv(timeout="10ms").data == b"ok"


def test_a_reply_may_be_several_frames_or_made_from_the_request(can_bus):
    can_bus.peer.on(0x10, [(0x11, b"a"), (0x18FEF100, b"b"), b"c"])
    can_bus.peer.on(0x20, lambda frame: frame.data[::-1])
    can_bus.send(0x10, b"x")
    can_bus.send(0x20, b"xy")
    replies = [can_bus.recv(timeout="10ms") for _ in range(4)]
    assert sorted((frame.id, frame.data) for frame in replies) == [
        (0x10, b"c"),
        (0x11, b"a"),
        (0x20, b"yx"),
        (0x18FEF100, b"b"),
    ]


def test_a_script_goes_from_state_to_state_and_begins_anew_when_the_device_does(can_bus, power, clock):
    can_bus.peer.on((0x1, b"unlock"), b"opened", when="locked", then="open")
    can_bus.peer.on((0x1, b"read"), b"denied", when="locked")
    can_bus.peer.on((0x1, b"read"), b"secret", when="open")
    for request in (b"read", b"unlock", b"read"):
        can_bus.send(0x1, request)
    assert [can_bus.recv(timeout="10ms").data for _ in range(3)] == [b"denied", b"opened", b"secret"]
    assert can_bus.peer.state == "open"
    power.off()
    power.on()
    clock.sleep(1)
    assert can_bus.peer.state == "locked"


def test_a_device_sends_at_its_interval_until_it_is_stopped(can_bus, clock):
    stop = can_bus.peer.every("10ms", (0x80, b"beat"))
    clock.sleep("100.5ms")
    stop()
    clock.sleep(1)
    times = [can_bus.recv(timeout=0).t_ns for _ in range(10)]
    assert can_bus.recv(timeout=0) is None
    timing.period(times, "10ms", max="1us")


@pytest.mark.parametrize(
    ("give", "named"),
    [
        (lambda peer: peer.on("x", None), "request 'x'"),
        (lambda peer: peer.on(0x1, 5), "reply 5"),
        (lambda peer: peer.on(0x1, (0x1, bytes(65))), "64"),
        (lambda peer: peer.on(0x1, None, ignore=-1), "ignore"),
        (lambda peer: peer.every(0, (1, b"")), "no end"),
    ],
)
def test_a_script_that_cannot_be_is_refused(can_bus, give, named):
    with pytest.raises(ValueError, match=named):
        give(can_bus.peer)


# ---- power, plugs, restarts


def test_a_device_without_power_hears_nothing_and_acknowledges_nothing(can_bus, power, clock):
    power.off()
    can_bus.peer.send(0x1, b"unsaid")
    can_bus.send(0x2, b"x")
    assert can_bus.state == "passive"
    assert can_bus.peer.received == []
    power.on()
    clock.sleep("30ms")
    assert data_of(can_bus.peer.received) == [b"x"]


def test_a_device_that_loses_its_power_in_the_middle_of_a_frame_has_not_sent_it(can_bus, power, clock):
    can_bus.peer.send(0x1, bytes(8))
    clock.sleep("100us")
    power.off()
    frame = can_bus.recv(timeout="1ms")
    assert frame.error
    assert can_bus.recv(timeout="1ms") is None


def test_an_interface_that_is_unplugged_raises_and_works_again_when_it_is_back(can_bus, faults):
    heard, lost = [], []
    can_bus.peer.send(0x1, b"unread")
    can_bus.settle()
    can_bus.listen(heard.append, lost.append)
    fault = faults.add("unplug", bus="can0")
    with pytest.raises(RigLostError) as gone:
        can_bus.send(0x1, b"")
    assert gone.value.errno == errno.ENODEV
    with pytest.raises(RigLostError):
        can_bus.recv(timeout=1)
    assert (lost, can_bus.is_there) == (["unplug"], False)
    fault.remove()
    can_bus.send(0x1, b"again")
    assert data_of(can_bus.peer.received) == [b"again"]
    assert can_bus.recv(timeout=0) is None


def test_a_read_that_waits_is_told_that_the_interface_went_away(can_bus, faults, clock):
    faults.add("unplug", bus="can0", at="5ms")
    with pytest.raises(RigLostError, match="can0 is gone"):
        can_bus.recv(timeout=1)
    assert clock.monotonic_ns() == 5_000_000


def test_an_interface_that_is_enumerated_again_is_away_for_a_quarter_of_a_second(can_bus, faults, clock):
    faults.add("reenumerate", bus="can0")
    assert not can_bus.is_there
    clock.sleep("260ms")
    can_bus.send(0x1, b"x")
    assert data_of(can_bus.peer.received) == [b"x"]


def test_a_device_whose_frames_nobody_hears_keeps_the_newest_few(can_bus, faults):
    fault = faults.add("unplug", bus="can0")
    for number in range(10):
        can_bus.peer.send(0x1, bytes([number]))
    fault.remove()
    can_bus.settle()
    assert [can_bus.recv(timeout="1ms").data for _ in range(3)] == [b"\7", b"\x08", b"\x09"]


def test_a_gateway_and_the_test_hear_the_same(can_bus):
    heard, lost = [], []
    stop = can_bus.listen(heard.append, lost.append)
    can_bus.peer.send(0x1, b"a")
    frame = can_bus.recv(timeout=1)
    stop()
    can_bus.peer.send(0x1, b"b")
    can_bus.settle()
    assert (heard, lost) == ([frame], [])


def test_a_full_queue_is_an_error_that_says_so(can_bus, faults):
    fault = faults.add("tx_full")
    with pytest.raises(TxFullError, match="tx_full") as full:
        can_bus.send(0x1, b"")
    assert full.value.errno == errno.ENOBUFS
    fault.remove()
    can_bus.send(0x1, b"x")
    assert data_of(can_bus.peer.received) == [b"x"]


def test_each_frame_that_a_full_queue_refuses_is_a_hit_and_may_be_counted_out(can_bus, faults):
    fault = faults.add("tx_full", count=2)
    for _ in range(2):
        with pytest.raises(TxFullError):
            can_bus.send(0x1, b"x")
    can_bus.send(0x1, b"y")
    assert data_of(can_bus.peer.received) == [b"y"]
    assert fault.hits == 2


def test_a_queue_that_is_full_after_a_few_frames_counts_what_is_sent(can_bus, faults):
    fault = faults.add("tx_full", after=2)
    can_bus.send(0x1, b"1")
    can_bus.send(0x1, b"2")
    with pytest.raises(TxFullError):
        can_bus.send(0x1, b"3")
    assert fault.hits == 1
