"""When a fault strikes."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.faults.catalogue import kind_of
from hil.faults.schedule import Schedule, Trigger

DROP = kind_of("drop")


def trigger(now_ns=0, seed=1, **params):
    return Trigger(Schedule.of(DROP, params, now_ns), DROP, random.Random(seed), now_ns)


def struck(the_trigger, times_ns=range(10), data=b"data"):
    return [t_ns for t_ns in times_ns if the_trigger.strikes(t_ns, data)]


def test_a_fault_without_a_schedule_strikes_all():
    assert list(range(10)) == struck(trigger())


def test_it_waits_for_its_time():
    assert struck(trigger(at=5)) == [5, 6, 7, 8, 9]


def test_it_lets_so_many_pass_first_and_strikes_at_most_so_often():
    assert struck(trigger(after=3, count=2)) == [3, 4]


def test_it_strikes_only_what_has_the_pattern():
    assert [[], list(range(10))] == [struck(trigger(pattern="beef")), struck(trigger(pattern=b"at"))]


def test_its_window_begins_at_its_time():
    assert struck(trigger(at=3, duration=2)) == [3, 4]


@given(st.integers(0, 2**32), st.floats(0.01, 1))
def test_the_same_seed_strikes_the_same(seed, probability):
    one, other = (struck(trigger(seed=seed, probability=probability)) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    "params",
    [
        {"count": 0}, {"probability": 0}, {"probability": 1.5}, {"duration": 0}, {"pattern": b""}, {"pattern": "xyz"},
        {"after": -1}, {"after": True}, {"at": 50}, {"at": "soon"}, {"count": 1.5}, {"duration": "-1s"},
    ],
)  # fmt: skip
def test_what_can_never_strike_is_refused(params):
    with pytest.raises(ValueError, match=next(iter(params))):
        Schedule.of(DROP, params, 100)
