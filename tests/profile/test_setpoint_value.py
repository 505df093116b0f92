"""Which values a setpoint takes, and how it says no."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.profile.model import SetpointSpec
from gateway.profile.setpoint_ack import fields_of
from gateway.profile.setpoint_value import Refusal, ValueRule
from gateway.schema.filling import leaves_of
from tests.schema.made import spec_of


def rule(field: dict[str, Any], **keys: Any) -> ValueRule:
    spec = spec_of({"name": "x", **field})
    setpoint = msgspec.convert({"write": "made.x", **keys}, SetpointSpec)
    return ValueRule("level", setpoint, fields_of(spec)["x"], leaves_of(spec)["x"])


def bit(**keys: Any) -> ValueRule:
    spec = spec_of({"type": "u8", "bits": [{"name": "x", **keys}]})
    return ValueRule("level", SetpointSpec(write="made.x"), fields_of(spec)["x"], leaves_of(spec)["x"])


def code(made: ValueRule, value: Any) -> str:
    found = made.check(value)
    assert isinstance(found, Refusal), found
    assert found.message.startswith("level: ")
    return found.code


MODES = {"type": "u8", "labels": {"0": "off", "0x10": "auto"}}
ALARMS = {"type": "u8", "flags": {"3": "late", "0": "early"}}


@pytest.mark.parametrize(
    ("field", "value", "taken"),
    [
        ({"type": "u8"}, 255, 255),
        ({"type": "u8", "scale": 0.5}, 62.5, 62.5),
        ({"type": "f32be"}, 1.25, 1.25),
        (MODES, "auto", "auto"),
        (MODES, 16, "auto"),
        (ALARMS, ["late", "early"], ["early", "late"]),
        (ALARMS, [], []),
        ({"type": "bool"}, True, True),
        ({"type": "text", "length": 4}, "ab", "ab"),
        ({"type": "bytes", "length": 2}, "AB cd", "abcd"),
        ({"type": "u8", "array": 2}, [1, 2], [1, 2]),
    ],
)
def test_a_value_is_taken_as_a_report_would_spell_it(field, value, taken):
    assert rule(field).check(value) == taken


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ({"type": "u8"}, "12", "type"),
        ({"type": "u8"}, True, "type"),
        ({"type": "u8"}, None, "type"),
        ({"type": "u8"}, [1], "type"),
        ({"type": "u8"}, float("nan"), "type"),
        ({"type": "f64be"}, float("inf"), "type"),
        ({"type": "u8"}, 256, "range"),
        ({"type": "u8"}, -1, "range"),
        pytest.param({"type": "u8"}, 10**5000, "range", id="a number of thousands of digits"),
        pytest.param({"type": "u8"}, [10**5000], "type", id="a list of one"),
        ({"type": "f32be"}, 1e300, "range"),
        ({"type": "u8", "minimum": 2, "maximum": 9}, 10, "range"),
        ({"type": "u8", "invalid": 255}, 255, "range"),
        (MODES, "atuo", "range"),
        (MODES, 1, "range"),
        (MODES, True, "type"),
        (MODES, float("nan"), "type"),
        (ALARMS, ["early", "never"], "range"),
        (ALARMS, "early", "type"),
        (ALARMS, [1], "type"),
        ({"type": "bool"}, 1, "type"),
        ({"type": "bool"}, "true", "type"),
        ({"type": "text", "length": 2}, "abc", "range"),
        ({"type": "text", "length": 2}, 5, "type"),
        ({"type": "bytes", "length": 2}, "abcdef", "range"),
        ({"type": "bytes", "length": 2}, "xy", "type"),
    ],
)
def test_what_cannot_be_set_is_refused_by_a_code(field, value, why):
    assert code(rule(field), value) == why


def test_one_bit_without_labels_is_a_bool():
    assert bit(at="3").check(True) is True
    assert code(bit(at="3"), 1) == "type"


def test_bits_with_labels_take_a_label():
    assert bit(at="3:2", labels={"0": "off", "2": "on"}).check(2) == "on"


def test_the_setpoint_s_own_range_is_tested_and_named():
    made = rule({"type": "s16be"}, minimum=-3000, maximum=3000)
    assert made.check(-3000) == -3000
    refusal = made.check(3001)
    assert refusal == Refusal("range", "level: 3001: above the maximum, 3000")
    assert made.check(-3001) == Refusal("range", "level: -3001: below the minimum, -3000")


def test_a_range_wider_than_the_field_s_does_not_widen_it():
    assert code(rule({"type": "u8"}, minimum=-5, maximum=900), 300) == "range"


@pytest.mark.parametrize(("value", "is_step"), [(0.5, True), (0.3, False), (12.25, False), (99.5, True)])
def test_a_value_between_two_steps_is_refused(value, is_step):
    made = rule({"type": "u16be", "scale": 0.01}, minimum=0, maximum=100, step=0.5)
    if is_step:
        assert made.check(value) == value
    else:
        assert code(made, value) == "step"


def test_steps_are_counted_from_the_minimum():
    made = rule({"type": "u8"}, minimum=1, step=2)
    assert made.check(5) == 5
    assert code(made, 4) == "step"


@given(steps=st.integers(0, 1000), step=st.sampled_from([0.1, 0.25, 0.01, 3.0]))
def test_every_whole_number_of_steps_is_taken(steps, step):
    assert rule({"type": "f64be"}, minimum=0, step=step).check(steps * step) == steps * step


def test_a_quantity_with_a_few_named_values_takes_numbers_too():
    made = rule({"type": "u8", "scale": 0.5, "units": "%", "labels": {"200": "full"}})
    assert made.check(12.5) == 12.5
    assert made.check(100) == "full"


def test_a_field_under_two_conditions_takes_what_one_of_them_holds():
    spec = spec_of(
        {"name": "wide", "type": "u8"},
        {"name": "x", "type": "u8", "if": "!wide"},
        {"name": "x", "type": "u16be", "if": "wide"},
    )
    made = ValueRule("level", SetpointSpec(write="made.x"), fields_of(spec)["x"], leaves_of(spec)["x"])
    assert made.check(300) == 300
    assert code(made, 70000) == "range"


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=4))
def test_any_value_is_taken_or_refused_never_raised(value):
    for field in ({"type": "u8", "invalid": 9}, {"type": "f32be"}, MODES, ALARMS, {"type": "text", "length": 4}):
        found = rule(field, minimum=-10, maximum=200, step=0.5).check(value)
        assert found is not None
