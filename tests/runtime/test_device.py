from __future__ import annotations

import pytest

from gateway.errors import ConfigError
from gateway.lifecycle import Event, State
from gateway.route import RoutePattern
from gateway.runtime.device import Device
from gateway.runtime.parcel import Parcel
from gateway.runtime.watch import Watcher
from gateway.taint import DELIVERY_DROPPED, DELIVERY_GARBAGE, DELIVERY_RECONNECTED, ORDER_REPLAYED
from gateway.testing import FakeClock
from tests.runtime.kit import cobs_profile, conserves, reading, state

STAMP = Parcel([], None, received_ns=5_000_000_000, wall_ns=1_700_000_000_000_000_000)


def made(extra: str = "", message: str = "", **options: object) -> Device:
    return Device("node", cobs_profile(extra, message), FakeClock(5_000_000_000), **options)


def offer(device: Device, bodies: list[bytes], stamp: Parcel = STAMP) -> None:
    names = [device.profile.match(body, None) for body in bodies]
    for mailbox, parcel in device.parcels(bodies, names, stamp):
        device.in_hand -= len(parcel)
        mailbox.put_nowait(parcel)


def serve(device: Device) -> None:
    for mailbox in device.mailboxes.values():
        for parcel in mailbox.drain():
            device.serve(parcel)


def watched(device: Device, pattern: str = "*") -> Watcher:
    watcher = Watcher(RoutePattern(pattern), FakeClock())
    device.watchers.append(watcher)
    return watcher


def rows_of(watcher: Watcher) -> list[tuple[str, int, tuple[object, ...]]]:
    return [(message.name, number, row) for parcel in watcher.mailbox.drain() for message, number, row in parcel.items]


def test_the_latest_row_of_each_message_is_kept_with_its_number_and_time() -> None:
    device = made()
    offer(device, [reading(10), state(50), reading(20)])
    serve(device)
    latest = {message.name: message for message in device.all_messages()}
    assert (latest["reading"].row, latest["reading"].sequence) == ((10.0, 0), 2)
    assert (latest["state"].row, latest["state"].sequence) == ((50, 0), 1)
    assert latest["reading"].wall_ns == STAMP.wall_ns
    assert device.frames() == (3, 3, 0, 0, 0)


def test_frames_are_conserved_while_they_wait() -> None:
    device = made()
    offer(device, [reading(1), reading(2)])
    assert device.frames() == (2, 0, 0, 0, 2)
    serve(device)
    assert device.frames() == (2, 2, 0, 0, 0)


def test_a_refused_frame_is_counted_and_marks_the_next_of_its_message() -> None:
    device = made()
    watcher = watched(device)
    offer(device, [state(1), state(2, const=9), reading(1), state(3), state(4)])
    serve(device)
    assert device.frames() == (5, 4, 0, 1, 0)
    assert rows_of(watcher) == [
        ("state", 1, (1, 0)),
        ("reading", 1, (0.5, 0)),
        ("state", 2, (3, DELIVERY_GARBAGE)),
        ("state", 3, (4, 0)),
    ]


def test_the_mark_of_a_refused_frame_waits_for_the_next_parcel_if_it_must() -> None:
    device = made()
    watcher = watched(device)
    offer(device, [state(2, const=9)])
    serve(device)
    offer(device, [state(3)])
    serve(device)
    assert rows_of(watcher) == [("state", 1, (3, DELIVERY_GARBAGE))]
    assert conserves(device)


def test_what_came_before_as_garbage_or_was_dropped_marks_the_next_frame() -> None:
    device = made()
    watcher = watched(device)
    device.refuse(2)
    device.lose(3)
    offer(device, [reading(1), reading(2)])
    serve(device)
    assert [row[-1] for _, _, row in rows_of(watcher)] == [DELIVERY_GARBAGE | DELIVERY_DROPPED, 0]
    assert device.frames() == (7, 2, 3, 2, 0)


def test_a_full_mailbox_drops_and_the_next_frame_of_that_message_says_so() -> None:
    device = made("[queue]\ncapacity = 2")
    watcher = watched(device)
    offer(device, [reading(1), state(1), reading(2), reading(3)])
    serve(device)
    assert device.frames() == (4, 2, 2, 0, 0)
    assert rows_of(watcher) == [("reading", 1, (1.0, DELIVERY_DROPPED)), ("reading", 2, (1.5, 0))]


def test_a_message_with_its_own_lane_has_its_own_mailbox() -> None:
    device = made(message='lane = "control"')
    offer(device, [reading(1), state(1), reading(2)])
    assert {lane: len(mailbox) for lane, mailbox in device.mailboxes.items()} == {"control": 1, "telemetry": 2}
    serve(device)
    assert device.frames() == (3, 3, 0, 0, 0)


def test_what_the_site_adjusts_is_changed_after_decoding_and_tainted() -> None:
    device = made(adjust={"temperature": (2.0, 1.0)})
    watcher = watched(device)
    offer(device, [reading(10)])
    serve(device)
    ((message, places),) = [
        (message, message.record(n, row, 0, 0, None)) for message, n, row in watcher.mailbox.drain()[0].items
    ]
    assert message.name == "reading"
    assert places["values"] == {"temperature": 11.0}
    assert places["taints"] == ["trust.adjusted"]


def test_values_from_a_log_say_so() -> None:
    device = made()
    offer(device, [reading(10)], STAMP.tainted(ORDER_REPLAYED))
    serve(device)
    assert device.messages["reading"].latest(STAMP.received_ns)["taints"] == ["order.replayed"]


def test_the_time_of_a_log_is_the_time_of_its_value() -> None:
    device = made()
    offer(device, [reading(1), state(2), reading(3)], Parcel([], None, 1, 2, stamps_ns=[100, 200, 300]))
    serve(device)
    assert (device.messages["reading"].wall_ns, device.messages["state"].wall_ns) == (300, 200)


def test_after_a_reconnection_the_first_value_of_each_message_says_so() -> None:
    device = made()
    device.happened(Event.ATTEMPT)
    device.happened(Event.OPENED)
    offer(device, [reading(1)])
    serve(device)
    watcher = watched(device)
    device.happened(Event.LOST, "unplugged")
    device.happened(Event.ATTEMPT)
    device.happened(Event.OPENED)
    offer(device, [reading(2), state(1), reading(3)])
    serve(device)
    assert [(name, row[-1]) for name, _, row in rows_of(watcher)] == [
        ("reading", DELIVERY_RECONNECTED),
        ("state", DELIVERY_RECONNECTED),
        ("reading", 0),
    ]


def test_a_fault_of_our_own_counts_its_frames_as_refused_and_stays_visible() -> None:
    device = made()

    def broken(_body: bytes) -> tuple[object, ...]:
        raise ZeroDivisionError

    device.messages["reading"].decode = broken
    offer(device, [reading(1), reading(2)])
    with pytest.raises(ZeroDivisionError):
        serve(device)
    device.broke("ZeroDivisionError")
    assert device.frames() == (2, 0, 0, 2, 0)
    assert device.fault == "ZeroDivisionError"


def test_the_first_error_stays_visible_until_the_device_is_connected_again() -> None:
    device = made()
    device.happened(Event.REFUSED, "the cause")
    device.happened(Event.REFUSED, "a consequence")
    assert device.first_error == "the cause"
    device.happened(Event.OPENED)
    assert device.first_error is None


def test_a_silent_device_is_stale_and_still_connected() -> None:
    device = made()
    device.happened(Event.OPENED)
    offer(device, [reading(1)])
    assert not device.is_stale(STAMP.received_ns + 1_900_000_000)
    assert device.is_stale(STAMP.received_ns + 2_100_000_000)
    assert device.lifecycle.state is State.CONNECTED


def test_a_queue_that_needs_the_ledger_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match="needs the ledger"):
        made('[queue]\nwhen_full = "spill_to_store"')
