"""A decode of ours that breaks: it stays with its device, is tried ever more seldom, and never for the last time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.lifecycle import State
from gateway.runtime.device import Device
from gateway.runtime.intensity import MOST_FAULTS, MOST_S, WINDOW_S
from gateway.runtime.scheduler import Scheduler
from gateway.runtime.supervisor import Supervisor
from gateway.testing import FakeClock
from tests.runtime.kit import Rig, cobs_profile, conserves, reading, rig, wire_bytes

GOOD = wire_bytes([reading(1)])
ERROR = "ZeroDivisionError: bug"


def talking(seconds: int, every_s: float = 1.0) -> list[Any]:
    """Return a session in which the device says the same every so often."""
    return [each for _ in range(round(seconds / every_s)) for each in (GOOD, every_s)]


def breaks(device: Device, is_broken: Callable[[], bool]) -> list[int]:
    """Let the decode raise while `is_broken`; return the times at which it was called, in nanoseconds."""
    real, calls = device.messages["reading"].decode, []

    def decode(body: bytes) -> Any:
        calls.append(device._clock.monotonic_ns())
        if is_broken():
            raise ZeroDivisionError("bug")
        return real(body)

    device.messages["reading"].decode = decode
    return calls


def test_a_few_faults_leave_the_device_connected_and_are_counted() -> None:
    runtime, device = rig(cobs_profile(), [talking(MOST_FAULTS)])
    breaks(device, lambda: True)
    runtime.play_for(MOST_FAULTS - 0.5)
    assert device.lifecycle.state is State.CONNECTED
    assert (device.health.faults, device.last_error, device.fault) == (MOST_FAULTS, ERROR, ERROR)


def test_more_faults_within_a_window_than_allowed_make_the_device_failed_with_a_time_to_try_again() -> None:
    runtime, device = rig(cobs_profile(), [talking(60)])
    breaks(device, lambda: True)
    runtime.play_for(MOST_FAULTS + 0.5)
    assert (device.lifecycle.state, device.lifecycle.reason, device.first_error) == (State.FAILED, ERROR, ERROR)
    assert device.retry_ns is not None
    assert conserves(device)


def test_faults_that_are_far_apart_never_fail_a_device() -> None:
    runtime, device = rig(cobs_profile(), [talking(3600, every_s=WINDOW_S / MOST_FAULTS + 1)])
    breaks(device, lambda: True)
    runtime.play_for(3500)
    assert device.lifecycle.state is State.CONNECTED


def test_a_failed_device_is_tried_with_one_frame_ever_more_seldom_and_no_more_than_a_minute_apart() -> None:
    runtime, device = rig(cobs_profile(), [talking(600, every_s=0.1)])
    calls = breaks(device, lambda: True)
    runtime.play_for(600)
    pauses_s = [(later - earlier) / 1e9 for earlier, later in pairwise(calls[MOST_FAULTS:])]
    assert pauses_s[:5] == pytest.approx([1, 2, 4, 8, 16], abs=0.2)
    assert max(pauses_s) <= MOST_S + 0.2
    assert len(calls) < 30
    assert conserves(device)


def test_a_device_whose_fault_is_gone_is_connected_again_and_shows_the_first_error_until_then() -> None:
    runtime, device = rig(cobs_profile(), [talking(300)])
    broken = [True]
    breaks(device, lambda: broken[0])

    async def scenario() -> None:
        await asyncio.sleep(100)
        assert device.lifecycle.state is State.FAILED
        assert device.first_error == ERROR
        broken[0] = False
        await asyncio.sleep(MOST_S + 2)
        assert device.lifecycle.state is State.CONNECTED
        assert (device.first_error, device.last_error) == (None, ERROR)

    runtime.play(scenario)
    assert conserves(device)


def test_a_failed_device_that_says_nothing_any_more_is_believed_to_work() -> None:
    runtime, device = rig(cobs_profile(), [talking(MOST_FAULTS + 1)])
    breaks(device, lambda: True)
    runtime.play_for(MOST_FAULTS + 20)
    assert device.lifecycle.state is State.CONNECTED


def test_a_failed_device_that_is_quiesced_is_left_alone() -> None:
    runtime, device = rig(cobs_profile(), [talking(60)])
    breaks(device, lambda: True)

    async def scenario() -> None:
        await asyncio.sleep(MOST_FAULTS + 0.5)
        runtime.keeper.lead(device, "quiesce")
        await asyncio.sleep(30)

    runtime.play(scenario)
    assert device.lifecycle.state is State.QUIESCED


def test_a_flood_into_a_broken_decode_is_one_traceback(caplog: pytest.LogCaptureFixture) -> None:
    flood = wire_bytes([reading(1)] * 1000)
    runtime, device = rig(cobs_profile(), [[each for _ in range(200) for each in (flood, 0.05)]])
    breaks(device, lambda: True)
    with caplog.at_level(logging.DEBUG, logger="gateway.runtime.restarts"):
        runtime.play_for(10)
    faults = [record for record in caplog.records if record.name == "gateway.runtime.restarts"]
    assert [record.exc_info is not None for record in faults] == [True]
    assert device.frames().refused > 100_000
    assert conserves(device)


def test_other_devices_notice_nothing() -> None:
    clock = FakeClock()
    scheduler = Scheduler(clock)
    broken = Rig([Device("broken", cobs_profile(), clock)], [talking(60)], clock)
    healthy = Rig([Device("healthy", cobs_profile(), clock)], [talking(60)], clock)
    breaks(broken.devices[0], lambda: True)
    healthy.supervisor = Supervisor(scheduler, [broken.keeper, healthy.keeper])
    healthy.play_for(30)
    assert broken.devices[0].lifecycle.state is State.FAILED
    assert healthy.devices[0].lifecycle.state is State.CONNECTED
    assert healthy.devices[0].frames().delivered == 30


@settings(max_examples=25, deadline=None)
@given(outages=st.lists(st.tuples(st.integers(1, 120), st.integers(1, 120)), min_size=1, max_size=4))
def test_however_often_it_broke_it_comes_back_and_is_never_tried_faster_than_its_backoff(
    outages: list[tuple[int, int]],
) -> None:
    runtime, device = rig(cobs_profile(), [talking(1200)])
    broken = [False]
    calls = breaks(device, lambda: broken[0])
    states: list[tuple[int, State]] = []
    device.listeners.append(
        lambda _before, _event: states.append((device._clock.monotonic_ns(), device.lifecycle.state))
    )

    async def scenario() -> None:
        for fine_s, broken_s in outages:
            await asyncio.sleep(fine_s)
            broken[0] = True
            await asyncio.sleep(broken_s)
            broken[0] = False
        await asyncio.sleep(MOST_S + 3)

    runtime.play(scenario)
    assert device.lifecycle.state is State.CONNECTED
    failed_ns = [at for at, state in states if state is State.FAILED]
    for since in failed_ns:
        assert not [at for at in calls if since < at < since + 0.9e9]
