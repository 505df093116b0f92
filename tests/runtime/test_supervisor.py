from __future__ import annotations

import asyncio
import logging
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import (
    DriverError,
    PortBusyError,
    PortLostError,
    PortNotFoundError,
    PortOptionError,
    PortPermissionError,
)
from gateway.lifecycle import State
from gateway.runtime.device import Device
from gateway.runtime.scheduler import Scheduler
from gateway.runtime.supervisor import Supervisor
from gateway.testing import FakeClock
from gateway.testing.ports import Session
from tests.runtime.kit import Rig, cobs_profile, reading, rig, wire_bytes

GOOD = wire_bytes([reading(1)])
LOST = PortLostError("wire", "unplugged")
MISSING = PortNotFoundError("wire", "no such file")


def test_a_device_on_an_open_port_is_connected() -> None:
    runtime, device = rig(cobs_profile(), [[GOOD]])
    runtime.play_for(1)
    assert device.lifecycle.state is State.CONNECTED


def test_a_lost_port_is_off_connected_at_once_and_back_when_it_returns() -> None:
    runtime, device = rig(cobs_profile(), [[GOOD, 1.0, LOST], *[MISSING] * 5, [GOOD]])

    async def scenario() -> list[State]:
        seen = []
        for _ in range(40):
            await asyncio.sleep(0.4)
            seen.append(device.lifecycle.state)
        return seen

    seen = runtime.play(scenario)
    assert seen[0] is State.CONNECTED
    assert seen[3] is not State.CONNECTED  # 0.6 s after the loss
    assert seen[-1] is State.CONNECTED
    assert device.frames() == (2, 2, 0, 0, 0)


def test_a_port_that_returns_after_a_long_absence_is_open_again_within_fifteen_seconds() -> None:
    runtime, device = rig(cobs_profile(), [*[MISSING] * 200, [GOOD]])

    attempts_ns: list[int] = []
    real_open = runtime.port.open

    async def noted_open() -> None:
        attempts_ns.append(runtime.clock.monotonic_ns())
        await real_open()

    runtime.port.open = noted_open
    runtime.play_for(600)
    assert device.lifecycle.state is State.CONNECTED
    assert max(later - earlier for earlier, later in pairwise(attempts_ns)) < 15e9


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MISSING, State.ABSENT),
        (PortBusyError("wire", "modem manager"), State.BACKING_OFF),
        (PortPermissionError("wire", "not yours"), State.BACKING_OFF),
        (PortOptionError("wire", "no such baud"), State.FAILED),
    ],
)
def test_what_hinders_the_opening_is_told_by_state_and_reason(error: Session, expected: State) -> None:
    runtime, device = rig(cobs_profile(), [error] * 100)
    runtime.play_for(3)
    assert device.lifecycle.state is expected
    assert device.lifecycle.reason == str(error)
    assert device.first_error == str(error)
    assert runtime.keeper.error == str(error)


def test_even_a_failed_port_is_tried_again() -> None:
    runtime, device = rig(cobs_profile(), [*[PortOptionError("wire", "x")] * 8, [GOOD]])
    runtime.play_for(600)
    assert device.lifecycle.state is State.CONNECTED


def test_the_end_of_a_recording_is_no_error_and_is_not_tried_again() -> None:
    runtime, device = rig(cobs_profile(), [[GOOD, EOFError("the log has ended")], [GOOD]])
    runtime.play_for(60)
    assert (device.lifecycle.state, device.lifecycle.reason) == (State.DISCONNECTED, "the log has ended")
    assert device.first_error is None
    assert runtime.port.opened == 1


def test_a_driver_that_breaks_stops_no_other_port() -> None:
    clock = FakeClock()
    scheduler = Scheduler(clock)
    broken = Rig([Device("broken", cobs_profile(), clock)], [[ZeroDivisionError("driver bug")]] * 99, clock)
    healthy = Rig([Device("healthy", cobs_profile(), clock)], [[GOOD, 3.0, GOOD]], clock)
    healthy.supervisor = Supervisor(scheduler, [broken.keeper, healthy.keeper])
    healthy.play_for(5)
    assert healthy.devices[0].frames().delivered == 2
    assert broken.devices[0].lifecycle.state is not State.CONNECTED
    assert broken.devices[0].fault == "ZeroDivisionError: driver bug"


def test_a_decode_that_breaks_is_counted_and_the_device_goes_on() -> None:
    runtime, device = rig(cobs_profile(), [[GOOD, 1.0, GOOD]])
    real = device.messages["reading"].decode
    calls: list[int] = []

    def breaks_once(body: bytes) -> tuple[object, ...]:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError("bug")
        return real(body)

    device.messages["reading"].decode = breaks_once
    runtime.play_for(3)
    assert device.frames() == (2, 1, 0, 1, 0)
    assert device.fault == "ZeroDivisionError: bug"
    assert device.lifecycle.state is State.CONNECTED


def test_a_port_that_hangs_in_open_does_not_stand_connecting_for_ever() -> None:
    runtime, device = rig(cobs_profile(), [])

    async def hang() -> None:
        await asyncio.Event().wait()

    runtime.port.open = hang
    runtime.play_for(10.5)
    assert device.lifecycle.state is State.BACKING_OFF


def test_a_missing_driver_is_a_failed_device_with_the_install_command() -> None:
    clock = FakeClock()
    device = Device("node", cobs_profile(), clock)
    runtime = Rig([device], [], clock)
    runtime.keeper.port = DriverError("serial is not installed; run: pip install 'tidegate[uart]'")
    runtime.play_for(1)
    assert device.lifecycle.state is State.FAILED
    assert "pip install" in device.lifecycle.reason


@pytest.mark.parametrize("error", [MISSING, PortBusyError("wire", "modem manager")])
def test_a_port_that_fails_while_it_is_open_leaves_no_device_connected(error: Session) -> None:
    runtime, device = rig(cobs_profile(), [[GOOD, 1.0, error], *[error] * 100])
    runtime.play_for(1.1)
    assert device.lifecycle.state is not State.CONNECTED
    assert device.is_stale(runtime.clock.monotonic_ns())


def test_a_driver_that_breaks_again_and_again_is_one_traceback_and_is_tried_ever_more_seldom(
    caplog: pytest.LogCaptureFixture,
) -> None:
    runtime, device = rig(cobs_profile(), [[7.0, ZeroDivisionError("driver bug")]] * 999)
    with caplog.at_level(logging.ERROR):
        runtime.play_for(600)
    assert [record.exc_info is not None for record in caplog.records] == [True]
    assert runtime.port.opened < 20
    assert device.health.faults == runtime.port.opened - device.is_up


HINDRANCES = [
    MISSING, PortBusyError("wire", "busy"), PortOptionError("wire", "no such baud"), ZeroDivisionError("bug"),
    TimeoutError(), [GOOD, 0.5, LOST], [7.0, ZeroDivisionError("bug")], [GOOD, 2.0, PortBusyError("wire", "busy")],
]  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(HINDRANCES), max_size=30))
def test_whatever_hindered_it_a_device_that_is_there_again_is_connected_within_a_minute_and_no_attempt_is_hurried(
    hindrances: list[Session],
) -> None:
    runtime, device = rig(cobs_profile(), [*hindrances, [GOOD, 600.0]])
    tried_ns: list[int] = []
    real_open = runtime.port.open

    async def noted_open() -> None:
        tried_ns.append(runtime.clock.monotonic_ns())
        await real_open()

    runtime.port.open = noted_open

    async def scenario() -> None:
        while len(tried_ns) <= len(hindrances):  # noqa: ASYNC110 - fake time, watched from outside
            await asyncio.sleep(1)

    runtime.play(scenario)
    assert device.lifecycle.state is State.CONNECTED
    assert device.first_error is None
    pauses_s = [(later - earlier) / 1e9 for earlier, later in pairwise(tried_ns)]
    assert all(0.4 <= pause <= 72 + 7 for pause in pauses_s)


def test_a_state_is_logged_once_however_often_it_is_met_again(caplog: pytest.LogCaptureFixture) -> None:
    runtime, _ = rig(cobs_profile(), [[GOOD, 1.0, LOST], *[MISSING] * 20, [GOOD]])
    with caplog.at_level(logging.INFO):
        runtime.play_for(60)
    states = [record.getMessage().split()[1] for record in caplog.records if record.name.startswith("gateway")]
    assert states == ["CONNECTED", "DISCONNECTED", "ABSENT", "CONNECTED"]
