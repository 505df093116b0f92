"""What is written reads back as what was meant; what cannot be written is refused with a reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from gateway.errors import EncodeError
from gateway.schema.compile import compile_message
from gateway.schema.plan import Refused, values_of
from gateway.schema.spec import MessageSpec
from gateway.schema.wire import _bit_places
from tests.schema.made import plan_of
from tests.schema.strategies import binary_specs, bodies, signal_specs, writable

SETTINGS = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)


def has_null(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(has_null, value.values()))
    return value is None or (isinstance(value, list) and any(map(has_null, value)))


def assert_written_values_read_back(spec: MessageSpec, body: bytes) -> None:
    plan = compile_message("made", spec)
    try:
        row = plan.decode(body)
    except Refused:
        return
    values = values_of(plan, row)
    if row[-1] or has_null(values):
        return
    try:
        written = plan.encode(values)
    except EncodeError as error:  # flags and bools read several raw numbers as one value, and one may be a sentinel
        assume("`invalid` mark" not in str(error))
        raise
    assert repr(values_of(plan, plan.decode(written))) == repr(values)


@SETTINGS
@given(spec=binary_specs().filter(writable), some=st.lists(bodies(), min_size=1, max_size=8))
def test_values_of_any_body_can_be_written_and_read_back(spec, some):
    for body in some:
        assert_written_values_read_back(spec, body)


@SETTINGS
@given(spec=signal_specs(), some=st.lists(bodies(8), min_size=1, max_size=8))
def test_signals_that_do_not_overlap_are_written_where_they_are_read(spec, some):
    kept: list[Any] = []
    taken: set[tuple[int, int]] = set()
    for field in spec.fields:
        places = set(_bit_places(field.dbc or "", compile_message("one", MessageSpec(fields=[field])).layout.leaves[0]))
        if not places & taken and field.scale not in {1e300, 1e-9} and max(places)[0] < 8:
            taken |= places
            kept.append(field)
    assume(kept and kept[0].name == "mux")
    for body in some:
        assert_written_values_read_back(MessageSpec(fields=kept, length=8), body.ljust(8, b"\0"))


def test_branches_are_chosen_so_that_the_given_values_fit():
    plan = plan_of(
        {"type": "u8", "bits": [{"name": "_wide", "at": "0"}, {"name": "_energy", "at": "3"}]},
        {"name": "rate", "type": "u8", "if": "!_wide"},
        {"name": "rate", "type": "u16le", "if": "_wide"},
        {"name": "energy", "type": "u16le", "if": "_energy"},
    )
    assert plan.encode({"rate": 70}).hex() == "0046"
    assert plan.encode({"rate": 300}).hex() == "012c01"
    assert plan.encode({"rate": 70, "energy": 5}).hex() == "08460500"
    with pytest.raises(EncodeError, match="rate is missing"):
        plan.encode({"energy": 5})


def test_constants_lengths_and_layout_only_fields_are_filled_in():
    plan = plan_of(
        {"type": "u16be", "const": 0xB562},
        {"name": "n", "type": "u8"},
        {"type": "u8"},
        {"type": "bytes", "length": 2, "const": "ab cd"},
        {"name": "text", "type": "text", "length": "n"},
        {"name": "_m", "type": "u8"},
        {"name": "list", "type": "u16le", "array": "_m"},
    )
    assert (
        plan.encode({"text": "hé", "list": [1, 2]}).hex()
        == "b562" + "03" + "00" + "abcd" + "68c3a9" + "02" + "01000200"
    )
    with pytest.raises(EncodeError, match="n: 2, but the data needs 3"):
        plan.encode({"n": 2, "text": "hé", "list": []})


def test_facts_of_when_are_written():
    plan = plan_of({"type": "u8"}, {"name": "a", "type": "u8"}, when={"bytes": {"0": 7, "2": 9}, "length": 4})
    assert plan.encode({"a": 5}).hex() == "07050900"
    with pytest.raises(EncodeError, match="byte 0 must be 0x07"):
        plan_of({"name": "a", "type": "u8"}, when={"bytes": {"0": 7}}).encode({"a": 5})
    assert plan_of({"name": "kind", "type": "u16be"}, when={"bytes": {"0": 7, "1": 8}}).encode({}).hex() == "0708"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ({"type": "u16be", "scale": 0.1}, 1.25, "000c"),  # 12.5 rounds half to even
        ({"type": "u16be", "scale": 0.1}, 1.35, "000e"),  # 13.5 too
        ({"type": "u8"}, 2.5, "02"),
        ({"type": "s16le", "offset": -40}, -50, "f6ff"),
        ({"type": "u64be"}, 18446744073709551615, "ffffffffffffffff"),
        ({"type": "u8", "invalid": [254, 255]}, None, "fe"),
        ({"type": "u8", "labels": {"0x10": "on"}}, "on", "10"),
        ({"type": "u8", "labels": {"0x10": "on"}}, 3, "03"),
        ({"type": "u8", "flags": {"0": "a", "7": "b"}}, ["b", "a"], "81"),
        ({"type": "bool"}, True, "01"),
        ({"type": "bytes", "length": 2}, "AB cd", "abcd"),
        ({"type": "text", "length": 4}, "ab", "61620000"),
        ({"type": "text", "length": "null"}, "ab", "616200"),
        ({"type": "bcd", "length": 2}, 123, "0123"),
        ({"type": "ascii", "length": 4}, 12, "30303132"),
        ({"type": "ascii", "length": 4}, -1.5, "2d312e35"),
        ({"type": "f32le"}, 1.5, "0000c03f"),
        ({"type": "u24le"}, 0x010203, "030201"),
        ({"type": "u8", "array": 3}, [1, 2, 3], "010203"),
        ({"dbc": "7|16@0-"}, -2, "fffe"),
        ({"dbc": "4|8@1+"}, 0xAB, "b00a"),
    ],
)
def test_a_value_is_written_as_its_field_says(field, value, expected):
    assert plan_of({"name": "x", **field}).encode({"x": value}).hex() == expected


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ({"type": "u8"}, 256, "does not fit; it can be written from 0 to 255"),
        ({"type": "u8"}, -1, "does not fit"),
        ({"type": "u8", "scale": 0.5}, 128, "from 0.0 to 127.5"),
        ({"type": "u8", "maximum": 10}, 11, "above the maximum, 10"),
        ({"type": "u8", "minimum": 2}, 1, "below the minimum, 2"),
        ({"type": "u8", "minimum": 2, "maximum": 10}, 11, "outside 2 to 10"),
        ({"type": "u8", "invalid": 255}, 255, "`invalid` mark"),
        ({"type": "f32be", "invalid": 1e10}, 1e10, "`invalid` mark"),
        ({"type": "u8"}, None, "no `invalid`"),
        ({"type": "u8"}, "three", "no number"),
        ({"type": "u8"}, True, "no number"),
        ({"type": "u8"}, float("nan"), "no number"),
        ({"type": "u8"}, 10**4000, "bits"),
        ({"type": "f32be"}, 1e300, "does not fit a float"),
        ({"type": "u8", "labels": {"0": "off"}}, "on", "no label 'on'"),
        ({"type": "u8", "flags": {"0": "a"}}, ["b"], "no flag 'b'"),
        ({"type": "bytes", "length": 2}, "abcdef", "3 bytes given"),
        ({"type": "bytes", "length": 2}, "xy", "no hex text"),
        ({"type": "text", "length": 2}, "abc", "3 bytes given"),
        ({"type": "text", "length": "null"}, "a\0b", "NUL"),
        ({"type": "text", "length": 4}, "\udc80", "UTF-8"),
        ({"type": "bcd", "length": 1}, 123, "digits"),
        ({"type": "bcd", "length": 1}, -1, "digits"),
        ({"type": "ascii", "length": 2}, 123, "characters"),
        ({"type": "u8", "array": 3}, [1], "1 elements given, 3 needed"),
        ({"type": "u8", "array": 3}, 1, "no list"),
        ({"type": "u8", "const": 5}, 6, "constant"),
        ({"type": "struct", "fields": [{"name": "a", "type": "u8"}]}, 3, "no object"),
        ({"type": "struct", "fields": [{"name": "a", "type": "u8"}]}, {}, "a is missing"),
        ({"type": "struct", "fields": [{"name": "a", "type": "u8"}]}, {"b": 1}, "unknown field 'b'"),
        ({"dbc": "0|4@1+"}, 16, "does not fit"),
    ],
)
def test_what_cannot_be_written_is_refused_with_the_reason(field, value, reason):
    with pytest.raises(EncodeError, match=reason):
        plan_of({"name": "x", **field}).encode({"x": value})


def test_an_unknown_a_missing_and_an_inactive_field_are_named():
    plan = plan_of({"name": "mux", "dbc": "0|8@1+"}, {"name": "a", "dbc": "8|8@1+", "if": {"mux": 1}}, length=8)
    assert plan.encode({"mux": 1, "a": 2}).hex() == "0102000000000000"
    with pytest.raises(EncodeError, match="unknown field 'b'"):
        plan.encode({"b": 1})
    with pytest.raises(EncodeError, match="a is missing"):
        plan.encode({"mux": 1})
    with pytest.raises(EncodeError, match="a is not part of the message with these values"):
        plan.encode({"mux": 2, "a": 2})
