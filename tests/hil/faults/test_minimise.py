"""The few strikes that matter."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hil.faults.minimise import minimal


@given(st.sets(st.integers(0, 30), max_size=6), st.integers(1, 31))
def test_what_is_left_still_fails_and_nothing_of_it_can_go(matter, size):
    items = list(range(size))
    matter &= set(items)
    assert sorted(matter) == minimal(items, lambda kept: matter <= set(kept), most_runs=10_000)


@given(st.integers(1, 12))
def test_a_failure_that_needs_any_one_of_them_keeps_one(size):
    assert len(minimal(list(range(size)), lambda kept: len(kept) > 0, most_runs=1000)) == 1


def test_a_failure_that_needs_none_keeps_none():
    assert minimal([1, 2, 3], lambda _kept: True) == []


def test_it_stops_after_so_many_runs():
    runs = []
    minimal(list(range(100)), lambda kept: bool(runs.append(1)) or set(range(0, 100, 3)) <= set(kept), most_runs=20)
    assert len(runs) <= 21 + 1
