from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.sim.behaviour import GOOD, Behaviour
from hil.sim.obedience import REPORTS, WAITING, Actuator, Answers, Echo

DELAYS = st.floats(0, 60, allow_nan=False)


def test_an_order_acts_at_once_and_stays():
    valve = Actuator(10.0)
    valve.order(40.0, GOOD, 1.0)
    assert [valve.target(GOOD, now_s) for now_s in (1.0, 100.0)] == [40.0, 40.0]


def test_a_slow_order_acts_later_and_is_the_last_one_at_once():
    slow = Behaviour(slow_s=2.0)
    valve = Actuator(10.0)
    valve.order(40.0, slow, 1.0)
    assert valve.ordered == 40.0
    assert [valve.target(slow, now_s) for now_s in (2.9, 3.0)] == [10.0, 40.0]


def test_a_prompt_order_is_not_undone_by_a_slow_one_before_it():
    valve = Actuator(10.0)
    valve.order(40.0, Behaviour(slow_s=2.0), 1.0)
    valve.order(60.0, GOOD, 1.5)
    assert valve.target(GOOD, 9.0) == 60.0


def test_a_clamp_holds_back_numbers_of_both_kinds_and_nothing_else():
    clamp = Behaviour(clamp=(2, 5))
    found = []
    for value in (9, 1, 3, 9.5, True, "high"):
        actuator = Actuator(value)
        actuator.order(value, clamp, 0.0)
        found.append(actuator.target(clamp, 0.0))
    assert found == [5, 2, 3, 5.0, True, "high"]
    assert list(map(type, found)) == [int, int, int, float, bool, str]


def test_drift_goes_on_from_when_it_began_until_the_next_order():
    drift = Behaviour(drift_per_s=0.5)
    valve = Actuator(10.0)
    valve.order(40.0, GOOD, 0.0)
    valve.target(GOOD, 100.0)
    assert valve.target(drift, 102.0) == 41.0
    assert valve.target(GOOD, 200.0) == 41.0
    valve.order(40.0, drift, 200.0)
    assert valve.target(drift, 201.0) == 40.5


def test_drift_of_a_whole_number_stays_whole_and_a_label_does_not_drift():
    drift = Behaviour(drift_per_s=0.4)
    level, mode = Actuator(10), Actuator("low")
    assert [(level.target(drift, now_s), mode.target(drift, now_s)) for now_s in (0.0, 1.0, 2.0)] == [
        (10, "low"),
        (10, "low"),
        (11, "low"),
    ]


def test_an_echo_without_lag_is_the_truth():
    echo = Echo()
    assert [echo.told(value, GOOD, value) for value in range(5)] == [0, 1, 2, 3, 4]


@given(lag_s=st.integers(1, 20), length=st.integers(1, 60))
def test_an_echo_tells_the_newest_truth_that_is_as_old_as_the_lag(lag_s, length):
    echo, lag = Echo(), Behaviour(lag_s=lag_s)
    told = [echo.told(now_s, lag, now_s) for now_s in range(length)]
    assert told == [max(0, now_s - lag_s) for now_s in range(length)]


def test_an_echo_whose_lag_has_ended_is_the_truth_again():
    echo = Echo()
    echo.told("old", Behaviour(lag_s=60), 0.0)
    assert echo.told("new", GOOD, 1.0) == "new"


@given(st.lists(st.tuples(DELAYS, st.one_of(st.none(), DELAYS)), max_size=WAITING))
def test_every_answer_comes_once_in_order_never_early_or_never(given_answers):
    answers, now_s, out, wanted = Answers(), 0.0, [], []
    for number, (pause_s, late_s) in enumerate(given_answers):
        now_s += pause_s
        out += [(now_s, answer) for answer in answers.due(now_s)]
        due_s = now_s + (late_s or 0.0)
        prompt = answers.give((number, due_s), Behaviour(ack_after_s=late_s), now_s)
        assert prompt == ([(number, due_s)] if late_s == 0 else [])
        wanted += [number] if late_s else []
    out += [(now_s + 61, answer) for answer in answers.due(now_s + 61)]
    assert [number for _, (number, _) in out] == wanted
    assert all(at_s >= due_s for at_s, (_, due_s) in out)


def test_answers_that_are_held_are_forgotten_by_a_restart():
    answers = Answers()
    answers.give("ack", Behaviour(ack_after_s=1), 0.0)
    answers.forget()
    assert answers.due(9.0) == []


@pytest.mark.parametrize("store", ["orders", "answers", "reports"])
def test_what_waits_in_a_device_is_bounded(store):
    behaviour = Behaviour(slow_s=60, ack_after_s=60, lag_s=60)
    actuator, answers, echo = Actuator(0), Answers(), Echo()
    for number in range(10_000):
        actuator.order(number, behaviour, 0.0)
        answers.give(number, behaviour, 0.0)
        echo.told(number, behaviour, 0.0)
    sizes = {"orders": actuator._waiting, "answers": answers._held, "reports": echo._said}
    assert len(sizes[store]) <= {"orders": WAITING, "answers": WAITING, "reports": REPORTS}[store]
