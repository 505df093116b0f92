"""What is asked next on one wire: decided from the clock alone."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.runtime.polls import NS, SLOWEST_NS, Ask, Poll, PollPlan, Wait

TIMEOUT_NS = NS // 2
TAKES_NS = NS // 50  # of an answered request


def poll(device: str = "a", message: str = "live", every_s: float | None = 1, attempts: int = 2) -> Poll:
    return Poll(device, message, None if every_s is None else round(every_s * NS), TIMEOUT_NS, attempts)


def play(plan: PollPlan, until_s: float, silent: set[str] = frozenset(), start_ns: int = 0) -> list[tuple[float, str]]:  # type: ignore[assignment] # frozenset: never written
    """Ask whatever is due until then; devices in `silent` let every request time out."""
    now_ns, asked = start_ns, []
    while now_ns < until_s * NS:
        step = plan.next(now_ns)
        if isinstance(step, Wait):
            now_ns = round(until_s * NS) if step.until_ns is None else step.until_ns
            continue
        asked.append((now_ns / NS, f"{step.poll.device}/{step.poll.message}"))
        if step.poll.device in silent:
            now_ns += TIMEOUT_NS
            plan.silent(step.poll, now_ns)
        else:
            now_ns += TAKES_NS
            plan.answered(step.poll, now_ns)
    return asked


def test_due_times_do_not_drift_however_long_answers_take():
    assert [float(second) for second in range(100)] == [at for at, _ in play(PollPlan([poll()], 0), 100)]


def test_what_was_missed_is_not_made_up_for():
    plan = PollPlan([poll()], 0)
    step = plan.next(0)
    assert isinstance(step, Ask)
    plan.answered(step.poll, 7 * NS + 1)
    assert Wait(8 * NS) == plan.next(7 * NS + 1)


def test_a_message_asked_on_connecting_is_asked_once():
    asked = play(PollPlan([poll(every_s=None)], 0), 100)
    assert asked == [(0.0, "a/live")]


def test_a_wire_without_polls_has_nothing_due():
    assert Wait(None) == PollPlan([], 0).next(0)


def test_a_second_attempt_waits_until_no_late_answer_can_be_taken_for_it():
    plan = PollPlan([poll(every_s=60)], 0)
    plan.silent(poll(every_s=60), TIMEOUT_NS)
    assert Wait(2 * TIMEOUT_NS) == plan.next(TIMEOUT_NS)
    assert Ask(poll(every_s=60)) == plan.next(2 * TIMEOUT_NS)


def test_a_silent_device_is_asked_ever_more_seldom_and_no_more_than_a_minute_apart():
    times = [at for at, _ in play(PollPlan([poll()], 0), 600, silent={"a"})]
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert pauses == sorted(pauses)
    assert SLOWEST_NS / NS <= pauses[-1] <= SLOWEST_NS / NS + 2 * TIMEOUT_NS / NS


def test_a_device_that_answers_again_is_back_on_its_grid_at_once():
    plan = PollPlan([poll(), poll(message="energy", every_s=10)], 0)
    play(plan, 100, silent={"a"})
    assert plan.failures("a") > 3
    after = play(plan, 300, start_ns=100 * NS)
    first = after[0][0]
    assert first <= 100 + SLOWEST_NS / NS
    live = [at for at, name in after if name == "a/live" and at > first + 1]
    assert [1.0] * (len(live) - 1) == [round(b - a, 1) for a, b in itertools.pairwise(live)]
    assert plan.failures("a") == 0


def test_a_message_that_is_refused_slows_down_alone():
    plan = PollPlan([poll(), poll(message="odd")], 0)
    asked, now_ns = {"live": 0, "odd": 0}, 0
    while now_ns < 60 * NS:
        step = plan.next(now_ns)
        if isinstance(step, Wait):
            now_ns = step.until_ns or 0
            continue
        asked[step.poll.message] += 1
        now_ns += TAKES_NS
        (plan.refused if step.poll.message == "odd" else plan.answered)(step.poll, now_ns)
    assert asked["live"] == 60
    assert asked["odd"] <= 6


@pytest.mark.parametrize("every_s", [1, None])
def test_a_message_that_is_ignored_slows_down_alone(every_s):
    plan = PollPlan([poll(), poll(message="odd", every_s=every_s)], 0)
    asked, now_ns = {"live": 0, "odd": 0}, 0
    while now_ns < 600 * NS:
        step = plan.next(now_ns)
        if isinstance(step, Wait):
            now_ns = step.until_ns or 0
            continue
        asked[step.poll.message] += 1
        if step.poll.message == "odd":
            now_ns += TIMEOUT_NS
            plan.silent(step.poll, now_ns)
        else:
            now_ns += TAKES_NS
            plan.answered(step.poll, now_ns)
    assert asked["live"] > 540
    assert asked["odd"] <= 2 * 16


def test_devices_on_a_full_wire_take_turns():
    plan = PollPlan([poll(name, every_s=TAKES_NS / NS) for name in "abc"], 0)
    names = [name for _, name in play(plan, 6)]
    assert len(names) == 300
    assert {names.count(f"{name}/live") for name in "abc"} == {100}


def test_a_silent_device_takes_little_of_the_others_time():
    plan = PollPlan([poll("a"), poll("b")], 0)
    names = [name for _, name in play(plan, 600, silent={"b"})]
    assert names.count("a/live") > 580


@given(st.lists(st.sampled_from(["answered", "silent", "refused"]), max_size=60), st.integers(1, 5))
def test_whatever_happens_something_is_due_within_a_minute(outcomes, attempts):
    polls = [poll("a", attempts=attempts), poll("a", "energy", 10, attempts=attempts), poll("b", attempts=attempts)]
    plan, now_ns = PollPlan(polls, 0), 0
    for outcome in outcomes:
        step = plan.next(now_ns)
        if isinstance(step, Wait):
            assert step.until_ns is not None
            assert now_ns < step.until_ns <= now_ns + SLOWEST_NS
            now_ns = step.until_ns
            continue
        now_ns += TIMEOUT_NS
        getattr(plan, outcome)(step.poll, now_ns)
