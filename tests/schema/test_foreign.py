"""Layouts given as a construct object of an installed package."""

from __future__ import annotations

import pytest

from gateway.errors import EncodeError, UsageError
from gateway.schema.plan import Refused
from tests.schema.made import plan_of, taints, values

# A layout that the construct package itself ships would do, were there one: this one lies beside the tests.
OBJECT = "tests.schema.foreign_layout:REPORT"
FIELDS = (
    {"path": "head.temperature", "name": "temperature", "scale": 0.1, "invalid": -32768, "maximum": 50},
    {"path": "cells.1.voltage", "name": "second_cell", "scale": 0.01},
    {"path": "mode"},
    {"path": "data", "type": "bytes"},
    {"path": "extra", "name": "extra", "if": {"second_cell": 6}},
)
PLAN = plan_of(*FIELDS, construct=OBJECT)
BODY = "00fa 01 05 06 abcd 01 09"


def test_members_are_named_by_path_and_get_a_meaning():
    assert values(PLAN, BODY) == {
        "temperature": 25.0,
        "second_cell": pytest.approx(0.06),
        "mode": "heat",
        "data": "abcd",
        "extra": 9,
    }
    assert PLAN.path == "construct"
    assert OBJECT in PLAN.why


def test_sentinels_ranges_and_conditions_work_as_elsewhere():
    assert values(PLAN, "8000" + BODY[4:])["temperature"] is None
    assert taints(PLAN, "7fff" + BODY[4:]) == ["trust.range"]
    assert "extra" not in values(PLAN, "00fa 01 05 07 abcd 01 09")


def test_what_construct_refuses_is_refused_and_a_short_body_is_null():
    with pytest.raises(Refused, match="const"):
        PLAN.decode(bytes.fromhex("00fa 02 05 06 abcd 01 09"))
    assert set(values(PLAN, BODY[:8]).values()) == {None}
    assert taints(PLAN, BODY[:8]) == ["trust.truncated"]


def test_wire_numbers_come_as_construct_gives_them():
    assert PLAN.decode_raw(bytes.fromhex(BODY))["temperature"] == 250


def test_values_are_built_by_the_object():
    plan = plan_of({"path": "a", "scale": 0.5}, {"path": "b.c"}, construct="tests.schema.foreign_layout:PAIR")
    assert plan.encode({"a": 3.5, "c": 2}).hex() == "0702"
    with pytest.raises(EncodeError, match="cannot be built"):
        plan.encode({"a": 3.5})
    with pytest.raises(EncodeError, match="unknown field 'z'"):
        plan.encode({"z": 1})


@pytest.mark.parametrize(
    "text", ["/tmp/x.py:A", "nobody_has_this:A", "tests.schema.foreign_layout:MISSING", "json:dumps", "json"]
)
def test_an_object_that_is_not_there_or_none_is_refused(text):
    with pytest.raises(UsageError):
        plan_of(construct=text)
