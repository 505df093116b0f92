"""One connection: what its errors, its silence and its returns leave behind."""

from __future__ import annotations

import pytest

from gateway.lifecycle import Event, State
from gateway.runtime.connection import Connection
from gateway.runtime.device import Device
from gateway.testing import FakeClock
from tests.runtime.kit import cobs_profile, parcel, reading

STALE_S = 2
NS = 1_000_000_000


def connected() -> tuple[Connection, FakeClock]:
    clock = FakeClock()
    connection = Connection("node", clock, STALE_S * NS)
    connection.happened(Event.ATTEMPT)
    connection.happened(Event.OPENED)
    return connection, clock


def availability(connection: Connection, clock: FakeClock) -> float | None:
    share: float | None = connection.health_json(clock.monotonic_ns())["availability"]
    return share


@pytest.mark.parametrize("event", [Event.LOST, Event.MISSING, Event.REFUSED, Event.BROKEN, Event.CLOSED, Event.QUIESCE])
def test_whatever_ends_a_connection_makes_it_stale_at_once_and_is_counted(event: Event) -> None:
    connection, clock = connected()
    connection.heard(clock.monotonic_ns())
    connection.happened(event, "why")
    assert connection.is_stale(clock.monotonic_ns())
    assert connection.health.losses == 1


@pytest.mark.parametrize("event", [Event.LOST, Event.MISSING, Event.REFUSED, Event.BROKEN])
def test_the_first_error_stays_until_it_is_connected_and_the_last_one_longer(event: Event) -> None:
    connection, _ = connected()
    connection.happened(event, "the cause")
    for _ in range(3):
        connection.happened(Event.ATTEMPT)
        connection.happened(Event.REFUSED, "a consequence")
    assert (connection.first_error, connection.last_error) == ("the cause", "a consequence")
    connection.happened(Event.ATTEMPT)
    connection.happened(Event.OPENED)
    assert (connection.first_error, connection.last_error) == (None, "a consequence")


def test_every_attempt_but_the_first_is_a_retry() -> None:
    connection, _ = connected()
    connection.happened(Event.LOST, "unplugged")
    for _ in range(4):
        connection.happened(Event.ATTEMPT)
        connection.happened(Event.REFUSED, "busy")
    assert (connection.health.retries.count, connection.health.errors.count) == (3, 5)


def test_a_silence_that_is_too_long_is_no_availability_though_nobody_looked_meanwhile() -> None:
    connection, clock = connected()
    clock.advance(STALE_S + 6)  # fresh for 2 s, then silent for 6
    connection.heard(clock.monotonic_ns())
    clock.advance(STALE_S)
    assert availability(connection, clock) == pytest.approx(0.4)


def test_frames_in_time_are_availability_however_rarely_somebody_looks() -> None:
    connection, clock = connected()
    for _ in range(100):
        clock.advance(STALE_S)
        connection.heard(clock.monotonic_ns())
    assert availability(connection, clock) == 1.0


def test_time_away_is_no_availability() -> None:
    connection, clock = connected()
    clock.advance(1)
    connection.happened(Event.LOST, "unplugged")
    clock.advance(3)
    assert availability(connection, clock) == pytest.approx(0.25)


def test_a_value_from_before_a_loss_stays_stale_after_the_return_until_the_device_speaks() -> None:
    clock = FakeClock()
    device = Device("node", cobs_profile(), clock)
    message = device.messages["reading"]

    def hears() -> None:
        for _, each in device.parcels([reading(1)], ["reading"], parcel(at=clock.monotonic_ns())):
            device.in_hand -= len(each.items)
            device.serve(each)

    device.happened(Event.OPENED)
    clock.advance(1)
    hears()
    assert not message.latest(clock.monotonic_ns())["stale"]
    device.happened(Event.LOST, "unplugged")
    assert message.latest(clock.monotonic_ns())["stale"]
    device.happened(Event.OPENED)
    assert device.lifecycle.state is State.CONNECTED
    assert message.latest(clock.monotonic_ns())["stale"]
    clock.advance(0.1)
    hears()
    assert not message.latest(clock.monotonic_ns())["stale"]
