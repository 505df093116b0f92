"""Conditions: what they ask, when they hold, when two of them never hold together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schema.cond import Test as Condition
from gateway.schema.cond import exclusive, parse_condition

NUMBERS = st.integers(-3, 12)
RANGES = st.tuples(NUMBERS, NUMBERS).map(lambda ends: f"{min(ends)}..{max(ends)}")
TABLES = st.dictionaries(st.sampled_from(["a", "b"]), NUMBERS | st.lists(NUMBERS | RANGES, min_size=1), min_size=1)
CONDITIONS = TABLES | st.sampled_from(["a", "!a", "b", "!b"])


def parsed(condition, labels=None) -> Condition:
    return parse_condition(condition, lambda _: labels)


@pytest.mark.parametrize(
    ("condition", "raws", "expected"),
    [
        ("flag", {"flag": 1}, True),
        ("flag", {"flag": 0}, False),
        ("!flag", {"flag": 0}, True),
        ("!flag", {}, False),
        ("flag", {}, False),
        ({"mux": 3}, {"mux": 3}, True),
        ({"mux": [1, "4..7"], "page": 0}, {"mux": 5, "page": 0}, True),
        ({"mux": [1, "4..7"], "page": 0}, {"mux": 5, "page": 1}, False),
        ({"mux": "0x10..0x1f"}, {"mux": 0x1F}, True),
        ({"mux": True}, {"mux": 1}, True),
        ({"word": "on"}, {"word": "on"}, True),
    ],
)
def test_a_condition_holds_as_written(condition, raws, expected):
    assert parsed(condition).holds(raws.get) is expected


def test_a_label_stands_for_every_number_that_bears_it():
    test = parsed({"mode": "auto"}, {1: "auto", 2: "off", 9: "auto"})
    assert [raw for raw in range(10) if test.holds({"mode": raw}.get)] == [1, 9]


@pytest.mark.parametrize("condition", [{}, {"a": []}, {"a": "5..1"}, {"a": [None]}])
def test_a_condition_that_says_nothing_is_refused(condition):
    with pytest.raises(ValueError, match=r"empty|backwards|no number"):
        parsed(condition)


@given(one=CONDITIONS, other=CONDITIONS, raws=st.fixed_dictionaries({"a": NUMBERS, "b": NUMBERS}))
def test_exclusive_conditions_never_hold_together(one, other, raws):
    first, second = parsed(one), parsed(other)
    if exclusive(first, second):
        assert not (first.holds(raws.get) and second.holds(raws.get))
