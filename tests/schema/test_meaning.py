"""Scaling, both ways, and numbers spelled in bytes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import EncodeError
from gateway.schema.meaning import Meaning, ascii_of, bcd_of, meaning_of
from gateway.schema.plan import Refused
from gateway.schema.rules import message_problems
from gateway.taint import TRUST_RANGE
from tests.schema.made import plan_of, spec_of, values

SCALES = st.sampled_from([1, 0.1, 0.005, 0.001, 1 / 1024, -0.5, 3])


@given(raw=st.integers(-(1 << 31), (1 << 31) - 1), scale=SCALES, offset=st.sampled_from([0, 1.6, -40, 50000]))
def test_writing_a_value_gives_the_raw_number_it_came_from(raw, scale, offset):
    meaning = Meaning("int", scale=scale, offset=offset)
    assert meaning.raw_of(meaning.value(raw)[0], "x") == raw


@given(raw=st.integers(0, (1 << 64) - 1))
def test_an_unscaled_integer_is_exact_to_the_last_bit(raw):
    value, taint = Meaning("int").value(raw)
    assert (value, type(value), taint) == (raw, int, 0)


@given(
    low=st.floats(-400, 400),
    high=st.floats(-400, 400),
    scale=st.sampled_from([0.1, 0.7, -0.3, 1, 5]),
    offset=st.sampled_from([0, 0.1, -40]),
)
def test_generated_range_guards_sit_exactly_where_the_values_cross(low, high, scale, offset):
    low, high = min(low, high), max(low, high)
    field = {"name": "x", "type": "s8", "scale": scale, "offset": offset, "minimum": low, "maximum": high}
    plan, meaning = plan_of(field), meaning_of(spec_of(field).fields[0], "int", 1)
    for raw in range(-128, 128):
        assert plan.decode(raw.to_bytes(1, "big", signed=True)) == meaning.value(raw)


def test_a_limit_does_not_shut_out_the_raw_number_that_stands_for_it():
    plan = plan_of({"name": "x", "type": "u16be", "scale": 0.1, "maximum": 204.7})
    assert plan.decode((2047).to_bytes(2, "big"))[1] == 0
    assert plan.decode((2048).to_bytes(2, "big"))[1] == TRUST_RANGE


@given(value=st.integers(0, 10**12))
def test_bcd_reads_two_digits_a_byte(value):
    digits = f"{value:014d}"
    assert bcd_of(bytes.fromhex(digits)) == value


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"12", 12), (b" -3 ", -3), (b"+1.5e2", 150.0), (b".5", 0.5), (b"7\0\0", 7), (b"   ", None), (b"9" * 41, 1e41)],
)
def test_numbers_spelled_in_ascii(data, expected):
    assert ascii_of(data) == expected


@pytest.mark.parametrize("data", [b"0x10", b"1_0", b"nan", b"inf", b"--1", b"1 2", b"\xb2", b"1e", b"."])
def test_what_only_looks_like_a_number_is_refused(data):
    with pytest.raises(Refused, match="encoding"):
        ascii_of(data)


def test_digits_without_end_stay_bounded():
    assert math.isinf(ascii_of(b"9" * 4000) or 0)
    with pytest.raises(Refused):
        bcd_of(b"\x99" * 4000)


def test_a_range_of_marks_is_null_and_the_first_is_written():
    plan = plan_of({"name": "rpm", "type": "u16le", "scale": 0.125, "invalid": [0xFFFF, "0xfb00..0xfffe"]})
    shown = {text: values(plan, text)["rpm"] for text in ("fffa", "00fb", "34fe", "ffff")}
    assert shown == {"fffa": 8031.875, "00fb": None, "34fe": None, "ffff": None}
    assert plan.encode({"rpm": None}) == b"\xff\xff"
    with pytest.raises(EncodeError, match="invalid"):
        plan.encode({"rpm": 0xFB00 * 0.125})


@pytest.mark.parametrize("invalid", ["5..4", "0..256", "-1..3", "1...2"])
def test_a_range_of_marks_that_no_raw_number_can_be_is_a_problem(invalid):
    spec = spec_of({"name": "a", "type": "u8", "invalid": invalid})
    assert [key for key, _ in message_problems("made", spec)] == ["fields[0].invalid"]
