"""Wire types and places as profiles spell them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schema.types import BINARY_TYPES, SignalPlace, integer_range, parse_bits, parse_place, parse_type


@pytest.mark.parametrize("text", BINARY_TYPES)
def test_every_type_of_the_format_is_known(text):
    digits = "".join(filter(str.isdigit, text))
    expected = int(digits) // 8 if digits else 1 if text == "bool" else None
    assert parse_type(text, "little").size == expected


@pytest.mark.parametrize("text", ["u7", "u65be", "f24be", "i16be", "u16BE", "", "u16be ", "float"])
def test_a_type_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="unknown type"):
        parse_type(text, "big")


def test_the_written_order_wins_over_the_message_order():
    assert parse_type("u16le", "big").order == "little"
    assert parse_type("u16", "big").order == "big"


def test_signal_places_follow_the_dbc_numbering():
    assert parse_place("12|12@1+") == SignalPlace(1, 2, 4, 12, "little", signed=False)
    assert parse_place("7|16@0-") == SignalPlace(0, 1, 0, 16, "big", signed=True)
    assert parse_place("3|8@0+") == SignalPlace(0, 1, 4, 8, "big", signed=False)
    assert parse_place("24|16@1-").aligned


@pytest.mark.parametrize("text", ["", "1|0@1+", "1|513@1+", "1|8@2+", "1|8@1", "a|8@1+", "1|8@1+ x"])
def test_a_place_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"DBC place|512 bits"):
        parse_place(text)


@given(low=st.integers(0, 60), width=st.integers(1, 4))
def test_bit_places_read_as_datasheets_write_them(low, width):
    assert parse_bits(f"{low + width - 1}:{low}") == (low, width)
    assert parse_bits(low) == (low, 1)


@given(bits=st.integers(1, 512))
def test_ranges_hold_as_many_numbers_as_there_are_patterns(bits):
    for signed in (False, True):
        least, greatest = integer_range(bits, signed=signed)
        assert greatest - least + 1 == 1 << bits
