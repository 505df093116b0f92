from __future__ import annotations

import socket
import struct
import time

import pytest

from drivers._can_receive import Receiver

MOST = 64


def classic(can_id, data):
    return struct.pack("=IB3x8s", can_id, len(data), data)


def flexible(can_id, data, flags=5):
    return struct.pack("=IBB2x64s", can_id, len(data), flags, data)


@pytest.fixture
def pair():
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    near.setblocking(False)
    yield Receiver(near, MOST), far
    near.close()
    far.close()


@pytest.fixture
def lossy():
    """UDP on the loopback: it drops for want of room and counts that, as CAN does, on any kernel."""
    near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    near.bind(("127.0.0.1", 0))
    near.setblocking(False)
    far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far.connect(near.getsockname())
    yield Receiver(near, MOST), far
    near.close()
    far.close()


def test_nothing_there_is_none(pair):
    receiver, _ = pair
    assert receiver.take() is None


def test_records_come_in_order_up_to_the_bound(pair):
    receiver, far = pair
    for number in range(MOST + 10):
        far.send(classic(number, bytes([number])))
    first, second = receiver.take(), receiver.take()

    assert first.addresses + second.addresses == list(range(MOST + 10))
    assert len(first.addresses) == MOST
    assert second.payloads[-1] == bytes([MOST + 9])


def test_each_record_has_the_time_at_which_it_was_sent(pair):
    receiver, far = pair
    times = [time.time_ns()]
    for number in range(3):
        far.send(classic(number, b""))
        times.append(time.time_ns())
    stamps = receiver.take().stamps_ns

    assert [before <= stamp <= after for before, stamp, after in zip(times, stamps, times[1:], strict=False)] == [
        True
    ] * 3


def test_classic_and_fd_records_may_be_mixed(pair):
    receiver, far = pair
    far.send(classic(1, b"12345678"))
    far.send(flexible(2, bytes(range(64))))
    far.send(classic(3, b"ab"))
    taken = receiver.take()

    assert taken.payloads == [b"12345678", bytes(range(64)), b"ab"]
    assert len(taken.stamps_ns) == 3


def test_a_record_never_shows_what_an_earlier_one_left_behind(pair):
    receiver, far = pair
    far.send(flexible(1, b"\xee" * 64))
    receiver.take()
    far.send(struct.pack("=IB3x8s", 2, 64, b"12345678"))
    far.send(struct.pack("=IB3x4s", 3, 64, b"1234"))

    assert receiver.take().payloads == [b"12345678", b"1234"]


def test_records_that_are_none_are_counted_and_the_others_given(pair):
    receiver, far = pair
    far.send(b"\x01")
    far.send(classic(1, b"ok"))
    far.send(b"\x01\x02\x03")
    taken = receiver.take()

    assert (taken.malformed, taken.payloads, len(taken.stamps_ns)) == (2, [b"ok"], 1)


def test_the_flags_of_all_ids_are_seen_together(pair):
    receiver, far = pair
    far.send(classic(0x20000004, bytes(8)))
    far.send(classic(0x80000001, b""))
    assert receiver.take().seen == 0xA0000005


def test_frames_of_senders_in_trouble_are_counted(pair):
    receiver, far = pair
    far.send(flexible(1, bytes(12), flags=0x07))
    far.send(flexible(1, bytes(12), flags=0x05))
    assert receiver.take().error_states == 1


def test_the_end_comes_behind_the_last_record(pair):
    receiver, far = pair
    far.send(classic(1, b"last"))
    far.close()
    taken = receiver.take()

    assert (taken.payloads, taken.has_ended) == ([b"last"], True)


def test_an_error_of_the_socket_is_raised(pair):
    receiver, _far = pair
    receiver._socket.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        receiver.take()


def test_every_record_without_room_is_counted(lossy):
    receiver, far = lossy
    received = dropped = 0
    for _ in range(3):
        for number in range(100):
            far.send(classic(number, b"12345678"))
        while (taken := receiver.take()) is not None:
            received += len(taken.payloads)
            dropped += taken.dropped
        dropped += receiver.overflow()

    assert dropped > 0
    assert received + dropped == 300


def test_what_is_lost_behind_the_last_record_is_known_before_another_comes(lossy):
    receiver, far = lossy
    for number in range(100):
        far.send(classic(number, b"12345678"))
    first = receiver.take()

    assert first.dropped == 0
    assert receiver.overflow() == 100 - len(first.payloads)
    assert receiver.overflow() == 0


@pytest.mark.parametrize(
    ("readings", "moved"),
    [
        ([5, 5, 7], [5, 0, 2]),
        ([0xFFFFFFFE, 3], [0, 3]),  # never told so much at once: taken for an older reading
        ([0x7FFFFFFF, 0xFFFFFFFE, 3], [0x7FFFFFFF, 0x7FFFFFFF, 5]),  # it wraps
        ([9, 4, 10], [9, 0, 1]),  # a frame tells what was so when it was queued
    ],
)
def test_the_counter_wraps_and_never_goes_back(pair, readings, moved):
    receiver, _ = pair
    assert [receiver._advance(reading) for reading in readings] == moved
