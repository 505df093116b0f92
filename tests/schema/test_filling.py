"""The rest of a frame that is written for one field: filled as the profile says, or refused, never guessed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import EncodeError
from gateway.framing.checks import check_of
from gateway.schema.compile import compile_message
from gateway.schema.filling import UNKNOWN, Filling, UnknownFieldsError, fill_problems
from gateway.schema.plan import ABSENT, values_of
from tests.schema.made import spec_of

FRAME = (
    {"type": "u8", "const": 0x5A},
    {"name": "speed", "type": "s16be"},
    {"name": "mode", "type": "u8", "labels": {"0": "off", "3": "fast"}},
    {"type": "u8", "bits": [{"name": "counter", "at": "3:0"}, {"name": "ramp", "at": "7:4"}]},
    {"name": "check", "type": "u16le"},
)


def filling(*fields, field="speed", fill=None, **keys):
    spec = spec_of(*fields, **keys)
    return Filling(spec, compile_message("made", spec), field, fill or {})


def nothing(_field):
    return UNKNOWN


def known(**values):
    return lambda field: values.get(field, UNKNOWN)


def test_constants_counter_and_check_fill_the_frame():
    fill = {"mode": "fast", "ramp": 2, "counter": "counter", "check": "check:crc-16-modbus"}
    body = filling(*FRAME, fill=fill).build(-2, nothing, {"counter": 4})
    covered = bytes.fromhex("5afffe0325")
    assert body.data == covered + check_of("crc-16-modbus").compute(covered).to_bytes(2, "little")
    assert body.counters == {"counter": 5}


def test_a_check_in_the_middle_covers_what_is_around_it_in_order():
    fields = ({"name": "a", "type": "u8"}, {"name": "sum", "type": "u8"}, {"name": "b", "type": "u8"})
    body = filling(*fields, field="a", fill={"b": 9, "sum": "check:crc-8-smbus"}).build(7, nothing, {})
    assert body.data == bytes([7, check_of("crc-8-smbus").compute(bytes([7, 9])), 9])


@given(previous=st.integers(-1, 15))
def test_a_counter_advances_and_wraps_at_its_width(previous):
    made = filling(*FRAME, fill={"mode": 0, "ramp": 0, "check": 0, "counter": "counter"})
    assert made.build(0, nothing, {"counter": previous}).counters == {"counter": (previous + 1) % 16}


def test_a_counter_leaves_out_the_number_that_means_nothing():
    fields = ({"name": "a", "type": "u8"}, {"name": "n", "type": "u8", "invalid": 255})
    made = filling(*fields, field="a", fill={"n": "counter"})
    assert made.build(1, nothing, {"n": 254}).data == b"\x01\x00"


def test_a_counter_is_written_as_it_is_where_the_field_is_scaled():
    fields = ({"name": "a", "type": "u8"}, {"name": "n", "type": "u8", "scale": 0.5, "maximum": 3})
    assert filling(*fields, field="a", fill={"n": "counter"}).build(1, nothing, {"n": 99}).data == b"\x01\x64"


def test_other_fields_are_what_they_were_last():
    fill = {"counter": 0, "check": "last"}
    body = filling(*FRAME, fill=fill).build(1, known(mode="fast", ramp=7, check=0x1234), {})
    assert body.data.hex() == "5a0001" + "03" + "70" + "3412"


def test_what_is_not_known_is_refused_by_name():
    with pytest.raises(UnknownFieldsError, match="mode, ramp: not known yet") as refused:
        filling(*FRAME, fill={"counter": 0, "check": 0}).build(1, nothing, {})
    assert refused.value.fields == ("mode", "ramp")


def test_a_null_that_cannot_be_written_is_not_known():
    with pytest.raises(UnknownFieldsError, match="mode"):
        filling(*FRAME, fill={"counter": 0, "check": 0, "ramp": 0}).build(1, known(mode=None), {})


def test_a_null_is_written_as_its_mark():
    fields = ({"name": "a", "type": "u8"}, {"name": "b", "type": "u8", "invalid": 255})
    assert filling(*fields, field="a").build(1, known(b=None), {}).data == b"\x01\xff"


def test_lengths_and_facts_need_no_fill():
    fields = (
        {"name": "kind", "type": "u8"},
        {"name": "size", "type": "u8"},
        {"name": "text", "type": "text", "length": "size"},
    )
    made = filling(*fields, field="text", when={"bytes": {"0": 7}})
    assert made.build("hey", nothing, {}).data == b"\x07\x03hey"


MUXED = (
    {"name": "mux", "dbc": "0|8@1+"},
    {"name": "a", "dbc": "8|8@1+", "if": {"mux": 1}},
    {"name": "b", "dbc": "8|8@1+", "if": {"mux": 2}},
    {"name": "c", "dbc": "16|8@1+", "if": {"mux": 2}},
)


def test_only_the_branch_that_is_written_is_filled():
    body = filling(*MUXED, field="b", fill={"mux": 2}, length=3).build(5, known(a=9, c=6), {})
    assert body.data == b"\x02\x05\x06"


def test_a_field_of_the_branch_that_is_not_known_is_refused():
    with pytest.raises(UnknownFieldsError, match="c"):
        filling(*MUXED, field="b", fill={"mux": 2}, length=3).build(5, known(a=9), {})


def test_a_branch_that_was_not_active_is_left_out():
    fields = (
        {"type": "u8", "bits": [{"name": "_more", "at": "0"}]},
        {"name": "a", "type": "u8"},
        {"name": "b", "type": "u8", "if": "_more"},
    )
    made = filling(*fields, field="a")
    assert made.build(1, known(b=ABSENT), {}).data == b"\x00\x01"
    assert made.build(1, known(b=4), {}).data == b"\x01\x01\x04"


def test_an_empty_place_in_a_line_is_not_a_fill():
    fields = ({"name": "a", "column": 1, "type": "number"}, {"name": "b", "column": 2, "type": "number"})
    made = filling(*fields, field="a", format="csv", fill={})
    with pytest.raises(UnknownFieldsError, match="b"):
        made.build(1, nothing, {})
    assert made.build(1, known(b=2), {}).data == b",1,2"


def test_an_element_that_nobody_knows_is_left_out_of_a_tlv():
    fields = ({"name": "a", "tag": 1, "type": "u8"}, {"name": "b", "tag": 2, "type": "u8"})
    assert filling(*fields, field="a", format="tlv").build(5, nothing, {}).data == b"\x01\x05"


def test_a_constant_that_does_not_fit_is_told():
    with pytest.raises(EncodeError, match="ramp: 16 does not fit"):
        filling(*FRAME, fill={"mode": 0, "ramp": 16, "counter": 0, "check": 0}).build(1, nothing, {})


@pytest.mark.parametrize(
    ("fill", "name", "problem"),
    [
        ({"speed": 1}, "speed", "is the field that is written"),
        ({"check": "check:crc-8-smbus"}, "check", "needs a field that is one unsigned integer of 8 bits"),
        ({"counter": "check:crc-8-smbus"}, "counter", "of 8 bits"),
        ({"missing": "counter"}, "missing", "needs a field that is one unsigned integer"),
        ({"check": "check:crc-16-modbus", "ramp": "check:sum-8"}, "ramp", "second check"),
    ],
)
def test_a_fill_that_can_never_work_is_found_beforehand(fill, name, problem):
    found = [text for where, text in fill_problems(spec_of(*FRAME), "speed", fill) if where == name]
    assert any(problem in text for text in found)
    with pytest.raises(ValueError, match=name):
        filling(*FRAME, fill=fill)


@given(
    speed=st.integers(-32768, 32767),
    mode=st.sampled_from(["off", "fast"]),
    ramp=st.integers(0, 15),
    count=st.integers(0, 15),
)
def test_a_built_body_reads_back_as_what_was_meant(speed, mode, ramp, count):
    made = filling(*FRAME, fill={"counter": "counter", "check": "check:crc-16-modbus"})
    data = made.build(speed, known(mode=mode, ramp=ramp), {"counter": count - 1}).data
    plan = compile_message("made", spec_of(*FRAME))
    values = values_of(plan, plan.decode(data))
    assert {key: values[key] for key in ("speed", "mode", "ramp", "counter")} == {
        "speed": speed,
        "mode": mode,
        "ramp": ramp,
        "counter": count,
    }
