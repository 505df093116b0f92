"""What `can_bus` is on every rig: simulated, bench, kernel. Collected only by those who name this file."""

from __future__ import annotations

import errno

import pytest

from hil.can_frames import frame_of
from hil.rigs.base import RigLostError

pytestmark = pytest.mark.hil(needs=["can"])
SOON = "10s"


def data_of(frames):
    return [frame.data for frame in frames]


def passed(rig, direction):
    """Return what the trace says of frames in that direction, without times."""
    found = [record for record in rig.trace.records if (record.bus, record.dir) == ("can0", direction)]
    return [{key: value for key, value in record.items() if key not in {"t_ns", "bus", "dir"}} for record in found]


def test_what_is_sent_arrives_as_it_was(can_bus):
    can_bus.send(0x123, b"\1\2")
    can_bus.send(0x18DAF110, b"", extended=True)
    can_bus.send(0x7, bytes(64), fd=True)
    can_bus.send(0x8, remote=True, dlc=4)
    first, second, third, fourth = can_bus.peer.received
    assert (first.id, first.data, first.extended, first.error) == (0x123, b"\1\2", False, False)
    assert (second.id, second.extended, second.dlc) == (0x18DAF110, True, 0)
    assert (third.data, third.fd, third.brs, third.esi) == (bytes(64), True, True, False)
    assert (fourth.remote, fourth.data, fourth.dlc) == (True, b"", 4)


def test_what_the_device_sends_is_received_in_turn(can_bus):
    for number in range(3):
        can_bus.peer.send(0x300, bytes([number]))
    frames = [can_bus.recv(timeout=SOON) for _ in range(3)]
    assert data_of(frames) == [b"\0", b"\1", b"\2"]
    assert [(frame.dlc, frame.brs, frame.esi, frame.fd, frame.remote) for frame in frames] == [
        (1, False, False, False, False)
    ] * 3


def test_frames_have_their_times(can_bus, rig):
    for number in range(3):
        can_bus.peer.send(0x300, bytes([number]))
    times = [can_bus.recv(timeout=SOON).t_ns for _ in range(3)]
    assert times == sorted(times)
    assert times == [record.t_ns for record in rig.trace.records if record.dir == "rx"]
    assert times[0] > 0


def test_an_fd_frame_says_how_it_came(can_bus):
    can_bus.peer.send(0x1, bytes(12), fd=True, brs=False)
    can_bus.peer.send(0x2, bytes(16), fd=True, esi=True)
    slow, passive = (can_bus.recv(timeout=SOON) for _ in range(2))
    assert (slow.fd, slow.brs, slow.esi, slow.dlc) == (True, False, False, 12)
    assert (passive.fd, passive.brs, passive.esi, passive.dlc) == (True, True, True, 16)


def test_nothing_to_receive_is_none_when_the_time_is_over(can_bus, clock):
    began_ns = clock.monotonic_ns()
    assert can_bus.recv(timeout="20ms") is None
    assert clock.monotonic_ns() - began_ns >= 20_000_000


def test_a_trace_has_each_frame_once_with_all_that_it_is(rig, can_bus):
    can_bus.send(0x123, b"\1\2")
    can_bus.send(0x7, bytes(2), fd=True, brs=False)
    can_bus.send(0x8, remote=True, dlc=4)
    can_bus.peer.send(0x18DAF110, b"\3", extended=True)
    can_bus.settle()
    assert passed(rig, "tx") == [
        {"kind": "data", "data": "0102", "id": "123"},
        {"kind": "fd", "data": "0000", "brs": False, "esi": False, "id": "007"},
        {"kind": "remote", "data": "", "dlc": 4, "id": "008"},
    ]
    assert passed(rig, "rx") == [{"kind": "data", "data": "03", "id": "18DAF110"}]


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"id": 1 << 30}, "id 0x40000000: from 0 to 0x1fffffff"),
        ({"id": 0x800}, "id 0x800: a standard one ends at 0x7ff; write extended=True"),
        ({"id": "1"}, "id '1': a whole number such as 0x123"),
        ({"id": 1, "data": bytes(9)}, "9 bytes do not fit a frame of 8; fd=True allows 64"),
        ({"id": 1, "data": bytes(9), "fd": True}, "an FD frame has no length of 9 bytes; fill it up to 12"),
        ({"id": 1, "data": "ab"}, "'ab' is no bytes; give bytes: b'...'"),
        ({"id": 1, "brs": True}, "brs and esi are of FD frames"),
        ({"id": 1, "data": b"a", "remote": True}, "a remote frame is never FD and carries no data"),
        ({"id": 1, "data": b"a", "dlc": 8}, r"faults\.add\('dlc', dlc=\.\.\.\) lets a frame lie"),
    ],
)
def test_what_is_no_frame_is_refused_in_either_direction(rig, can_bus, given, named):
    for send in (can_bus.send, can_bus.peer.send):
        with pytest.raises(ValueError, match=named):
            send(**given)
    assert passed(rig, "tx") == []


def test_a_gateway_may_send_fd_data_of_any_length(can_bus):
    can_bus.host_send(frame_of(0x1, b"", fd=True)._replace(data=b"a" * 9))
    assert data_of(can_bus.peer.received) == [b"a" * 9 + bytes(3)]


def test_a_bus_without_trouble_is_active_and_has_counted_no_errors(can_bus):
    can_bus.send(0x1, b"x")
    assert (can_bus.state, can_bus.counters, can_bus.is_there) == ("active", (0, 0), True)


def test_a_controller_that_is_started_anew_goes_on(can_bus):
    can_bus.restart()
    can_bus.peer.send(0x1, b"x")
    assert (can_bus.recv(timeout=SOON).data, can_bus.state) == (b"x", "active")


def test_an_interface_that_is_unplugged_raises_and_works_again_when_it_is_back(can_bus, faults):
    fault = faults.add("unplug", bus="can0")
    with pytest.raises(RigLostError) as gone:
        can_bus.send(0x1, b"")
    assert gone.value.errno == errno.ENODEV
    with pytest.raises(RigLostError):
        can_bus.recv(timeout=1)
    assert not can_bus.is_there
    fault.remove()
    can_bus.send(0x1, b"again")
    assert data_of(can_bus.peer.received) == [b"again"]


def test_a_read_that_waits_is_told_that_the_interface_went_away(can_bus, faults):
    faults.add("unplug", bus="can0", at="100ms")
    with pytest.raises(RigLostError, match="can0"):
        can_bus.recv(timeout="60s")
