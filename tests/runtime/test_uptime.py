from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.runtime.uptime import Uptime
from gateway.schema.plan import Row

PLANS = CompiledProfile(load_profile(find_profile("cobs-node"))).messages
SECOND_NS = 1_000_000_000
SPAN_MS = 1 << 32


def status(uptime_s: int | None) -> Row:
    """Return a row of the node's status in which only its uptime matters."""
    plan = PLANS["status"]
    return (*(uptime_s if name == "uptime" else 0 for name in plan.names), 0)


def measured(uptime_ms: int) -> Row:
    plan = PLANS["measurement"]
    return (*(uptime_ms if name == "uptime" else 0 for name in plan.names), 0)


def of(message: str) -> Uptime:
    found = Uptime.of(PLANS[message])
    assert found is not None
    return found


def test_a_message_without_a_time_that_only_rises_tells_of_no_restart() -> None:
    assert Uptime.of(PLANS["orders"]) is None  # it only rises, and is no time
    assert Uptime.of(PLANS["set_valve"]) is None  # its ramp is a time, and no running one


def test_the_first_row_tells_nothing() -> None:
    assert of("status").went_back(status(0), 0) == ""


@given(st.lists(st.integers(0, 1000), min_size=1))
def test_a_device_that_runs_on_has_not_restarted(steps: list[int]) -> None:
    uptime, now_s = of("status"), 0
    for step in steps:
        now_s += step
        assert uptime.went_back(status(now_s), now_s * SECOND_NS) == ""


@given(before_s=st.integers(1, 1 << 31), data=st.data())
def test_a_device_whose_running_time_goes_back_has_restarted(before_s: int, data: st.DataObject) -> None:
    uptime = of("status")
    uptime.went_back(status(before_s), 0)
    after_s = data.draw(st.integers(0, before_s - 1))
    told = uptime.went_back(status(after_s), SECOND_NS)
    assert told == f"uptime went back from {before_s:g} s to {after_s:g} s"
    assert uptime.went_back(status(after_s + 1), 2 * SECOND_NS) == ""


@pytest.mark.parametrize(
    ("before_ms", "after_ms", "passed_s", "is_restart"),
    [
        (SPAN_MS - 50, 50, 0.1, False),  # 49.7 days are over
        (SPAN_MS - 50, 5_000, 0.1, False),  # its clock and ours need not agree
        (SPAN_MS - 3_600_000, 0, 3_600, False),  # nothing was heard for an hour
        (SPAN_MS - 3_600_000, 0, 0.1, True),
        (SPAN_MS // 2, 0, 0.1, True),
    ],
)
def test_a_running_time_that_comes_to_the_end_of_its_type_is_no_restart(
    before_ms: int, after_ms: int, passed_s: float, is_restart: bool
) -> None:
    uptime = of("measurement")
    uptime.went_back(measured(before_ms), 0)
    assert bool(uptime.went_back(measured(after_ms), int(passed_s * SECOND_NS))) is is_restart


def test_a_value_that_is_missing_tells_nothing_and_hides_nothing() -> None:
    uptime = of("status")
    uptime.went_back(status(100), 0)
    assert uptime.went_back(status(None), 0) == ""
    assert uptime.went_back(status(5), 0)


def test_what_was_forgotten_is_compared_with_no_more() -> None:
    uptime = of("status")
    uptime.went_back(status(100), 0)
    uptime.forget()
    assert uptime.went_back(status(5), 0) == ""
