"""What is told of the wall clock: where it stands at start, when it is set, and whom it is set by."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from gateway.runtime.timekeeping import SPACING_NS, STEP_NS, Timekeeper, clock_quality

SECOND = 1_000_000_000
WALL = 1_767_225_600 * SECOND


def test_the_first_look_is_told() -> None:
    assert Timekeeper().look(WALL, 5, "rtc") == {
        "reason": "start", "wall_ns": WALL, "monotonic_ns": 5, "quality": "rtc", "step_ns": 0,
    }  # fmt: skip


def test_a_clock_that_runs_is_not_told_again() -> None:
    keeper = Timekeeper()
    keeper.look(WALL, 0, "none")
    assert all(keeper.look(WALL + t * SECOND, t * SECOND, "none") is None for t in range(1, 100))


def test_a_step_is_told_with_its_size_and_once() -> None:
    keeper = Timekeeper()
    keeper.look(0, 0, "none")
    at_ns = 20 * SECOND
    told = keeper.look(WALL + at_ns, at_ns, "ntp")
    assert told is not None
    assert (told["reason"], told["step_ns"], told["quality"]) == ("step", WALL, "ntp")
    assert keeper.look(WALL + 40 * SECOND, 40 * SECOND, "ntp") is None


def test_a_clock_that_is_disciplined_slowly_takes_no_step_however_far_it_comes() -> None:
    keeper = Timekeeper()
    keeper.look(WALL, 0, "ntp")
    drifting = [keeper.look(WALL + t * SECOND + t * STEP_NS // 2, t * SECOND, "ntp") for t in range(1, 200)]
    assert drifting == [None] * 199


def test_that_the_network_sets_the_clock_from_now_on_is_told_though_it_was_right() -> None:
    keeper = Timekeeper()
    keeper.look(WALL, 0, "rtc")
    told = keeper.look(WALL + SPACING_NS, SPACING_NS, "ntp")
    assert told is not None
    assert told["reason"] == "quality"


@given(st.lists(st.integers(-5, 5), max_size=60))
def test_however_often_it_is_set_it_is_told_seldom_and_all_steps_add_up(steps: list[int]) -> None:
    keeper = Timekeeper()
    keeper.look(WALL, 0, "none")
    told_at, total, offset = [0], 0, 0
    for second, step in enumerate([*steps, *[0] * 11], start=1):
        offset += step * SECOND
        told = keeper.look(WALL + offset + second * SECOND, second * SECOND, "none")
        if told is not None:
            told_at.append(second * SECOND)
            total += told["step_ns"]
    assert all(later - earlier >= SPACING_NS for earlier, later in pairwise(told_at))
    assert total == offset


def test_the_quality_is_read_from_what_the_system_leaves_behind(tmp_path: Path) -> None:
    assert clock_quality(tmp_path) == "none"
    (tmp_path / "sys/class/rtc/rtc0").mkdir(parents=True)
    assert clock_quality(tmp_path) == "rtc"
    (tmp_path / "run/systemd/timesync").mkdir(parents=True)
    (tmp_path / "run/systemd/timesync/synchronized").touch()
    assert clock_quality(tmp_path) == "ntp"
