"""Conditions on values as people see them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schema.facts import parse_facts
from gateway.schema.spec import BitSpec, FieldSpec

FIELDS = {
    "mode": FieldSpec(name="mode", type="u8", labels={"0": "none", "1": "overheat", "0x10": "stall"}),
    "volts": FieldSpec(name="volts", type="u16be", scale=0.1, offset=-5, units="V"),
    "count": FieldSpec(name="count", type="u8"),
    "on": BitSpec(name="on", at="3"),
    "alarms": FieldSpec(name="alarms", type="u8", flags={"0": "hot", "2": "stuck"}),
    "word": FieldSpec(name="word", type="text", length=4),
    "status": FieldSpec(name="status", type="text", column=2, labels={"A": "valid", "V": "void"}),
}


def holds(condition, value):
    facts = parse_facts(condition, FIELDS.get)
    return all(fact.holds(value) for fact in facts)


@pytest.mark.parametrize(
    ("condition", "value", "expected"),
    [
        ({"mode": "none"}, "none", True),
        ({"mode": "none"}, "stall", False),
        ({"mode": 0}, "none", True),
        ({"mode": 16}, "stall", True),
        ({"mode": "16"}, "stall", True),
        ({"mode": "1..16"}, "stall", True),
        ({"mode": 7}, 7, True),  # a raw number without a label stays a number
        ({"mode": ["none", "stall"]}, "stall", True),
        ("mode", "none", False),
        ("!mode", "none", True),
        ("mode", "stall", True),
        ({"volts": "0..24.5"}, 24.5, True),
        ({"volts": "0..24.5"}, 24.6, False),
        ({"volts": 0.3}, 0.1 + 0.2, True),
        ({"volts": "-5..-1"}, -3.0, True),
        ({"count": [1, "4..7"]}, 5, True),
        ({"count": [1, "4..7"]}, 2, False),
        ({"count": "0x0a"}, 10, True),
        ({"on": True}, True, True),
        ({"on": 1}, True, True),
        ({"on": 0}, True, False),
        ("!on", False, True),
        ({"alarms": 0}, [], True),
        ({"alarms": 0}, ["hot"], False),
        ({"alarms": 4}, ["stuck"], True),
        ({"alarms": "hot"}, ["hot", "stuck"], True),
        ("!alarms", ["stuck"], False),
        ({"word": "auto"}, "auto", True),
        ({"status": "A"}, "valid", True),
        ({"status": "valid"}, "valid", True),
        ({"status": "A"}, "void", False),
    ],
)
def test_a_condition_asks_what_people_see(condition, value, expected):
    assert holds(condition, value) is expected


@pytest.mark.parametrize("condition", ["on", "!on", {"on": 0}, {"mode": "none"}, {"volts": "0..9"}, {"alarms": 0}])
@pytest.mark.parametrize("value", [None, float("nan"), {}])
def test_of_what_is_unknown_nothing_holds(condition, value):
    assert holds(condition, value) is False


def test_all_fields_of_a_condition_must_hold():
    facts = parse_facts({"mode": "none", "count": 3}, FIELDS.get)
    assert [fact.name for fact in facts] == ["mode", "count"]
    assert [fact.holds({"mode": "none", "count": 4}[fact.name]) for fact in facts] == [True, False]


@pytest.mark.parametrize(
    ("condition", "reason"),
    [
        ({}, "says nothing"),
        ({"mode": "nnoe"}, "'nnoe' is none of 'none', 'overheat', 'stall'"),
        ({"alarms": "cold"}, "none of 'hot', 'stuck'"),
        ({"count": []}, "an empty list is never true"),
        ({"count": "9..3"}, "runs backwards"),
        ({"count": None}, "an empty list is never true"),
        ({"count": {"a": 1}}, "no number, range or label"),
        ({"count": float("nan")}, "no number, range or label"),
    ],
)
def test_what_can_never_hold_is_refused(condition, reason):
    with pytest.raises(ValueError, match=reason):
        parse_facts(condition, FIELDS.get)


@given(low=st.integers(-1000, 1000), size=st.integers(0, 1000), value=st.integers(-3000, 3000))
def test_a_range_has_both_its_ends(low, size, value):
    assert holds({"count": f"{low}..{low + size}"}, value) is (low <= value <= low + size)
