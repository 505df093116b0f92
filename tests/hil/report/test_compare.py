"""Run B against run A."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UsageError
from hil.report.compare import compare, read_limit
from hil.report.figures import Figure


def one(before, after, worse=1, limits=()):
    figures = [{"errors": Figure(value, "", worse)} for value in (before, after)]
    [row] = compare(*figures, [read_limit(limit) for limit in limits])
    return row.is_within


@given(st.floats(0, 1e9))
def test_what_stays_the_same_is_within(value):
    assert one(value, value)


@pytest.mark.parametrize(("before", "after", "worse"), [(10, 9, 1), (90, 95, -1)])
def test_what_gets_better_is_within(before, after, worse):
    assert one(before, after, worse)


@pytest.mark.parametrize(("before", "after", "worse"), [(10, 11, 1), (90, 89, -1), (0, 1, 1)])
def test_what_gets_worse_is_not(before, after, worse):
    assert not one(before, after, worse)


@pytest.mark.parametrize(
    ("after", "limit", "expected"),
    [(110, "errors=+10%", True), (110.1, "errors=+10%", False), (105, "errors=+5", True), (105.5, "errors=+5", False)],
)
def test_a_limit_says_by_how_much_and_may_be_met_exactly(after, limit, expected):
    assert one(100, after, limits=[limit]) is expected


@pytest.mark.parametrize(
    ("limit", "less", "more"), [("errors=+1", True, False), ("errors=-1", False, True), ("errors=1", False, False)]
)
def test_of_what_nobody_can_judge_the_sign_of_its_limit_says_what_is_worse(limit, less, more):
    assert one(10, 20, worse=0)
    assert one(10, 8, worse=0, limits=[limit]) is less
    assert one(10, 12, worse=0, limits=[limit]) is more


@pytest.mark.parametrize(("worse", "expected"), [(1, "+5%"), (-1, "-5%"), (0, "±5%")])
def test_a_limit_is_shown_with_the_sign_of_what_is_worse(worse, expected):
    assert read_limit("errors=5%")[1].text(worse) == expected


def test_coverage_that_is_gone_is_worse_and_a_new_figure_is_not():
    [row] = compare({"coverage": Figure(50.0, "%", -1)}, {"coverage": Figure(None, "%", -1)})
    assert not row.is_within
    [row] = compare({}, {"measure.x": Figure(1.0, "V", 1)})
    assert row.is_within


def test_what_b_has_no_more_fails_where_it_is_held_to_a_limit():
    figures = {"measure.gain": Figure(3.0, "dB", 0)}, {}
    assert [row.is_within for row in compare(*figures)] == [True]
    assert [row.is_within for row in compare(*figures, [read_limit("measure.gain=+5%")])] == [False]
    assert [row.is_within for row in compare(*reversed(figures), [read_limit("measure.gain=+5%")])] == [True]


@pytest.mark.parametrize("text", ["errors", "errors=", "errors=ten", "errors=+10%%", "=+1", "errors=+1e3"])
def test_a_limit_that_is_none_is_refused(text):
    with pytest.raises(UsageError, match="NAME"):
        read_limit(text)


def test_a_limit_is_given_to_a_measurement_of_any_name():
    name, limit = read_limit("measure.gain=2 é=+10%")
    assert (name, limit.text(1)) == ("measure.gain=2 é", "+10%")


def test_a_limit_on_what_neither_has_names_the_nearest():
    with pytest.raises(UsageError, match="errors"):
        compare({"errors": Figure(1, "", 1)}, {}, [read_limit("erors=+1")])
