"""Tagged elements: with lengths between and without, repeated, unknown, cut off."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import EncodeError
from gateway.schema.compile import compile_message
from gateway.schema.plan import Refused
from gateway.schema.reference import reference_decode, reference_decode_raw
from tests.schema.made import plan_of, spec_of, taints, values
from tests.schema.test_reference import outcome

BTHOME = spec_of(
    {"name": "_info", "type": "u8"},
    {"name": "battery", "tag": 0x01, "type": "u8"},
    {"name": "temperature", "tag": 0x02, "type": "s16le", "scale": 0.01},
    {"name": "temperature", "tag": 0x45, "type": "s16le", "scale": 0.1},
    {
        "name": "note",
        "tag": 0x53,
        "type": "struct",
        "fields": [{"name": "_n", "type": "u8"}, {"name": "text", "type": "text", "length": "_n"}],
    },
    format="tlv",
)
SIZED = spec_of(
    {"name": "level", "tag": 1, "type": "u8"},
    {"name": "name", "tag": 2, "type": "text", "length": "rest"},
    {"name": "list", "tag": 3, "type": "u16be", "array": "rest"},
    format="tlv",
    length_type="u8",
    strict=True,
)


def test_elements_are_found_by_tag_and_repeats_are_numbered():
    plan = compile_message("bthome", BTHOME)
    assert values(plan, "40 0164 02c409 020100 451100") == {
        "battery": 100,
        "temperature": 25.0,
        "temperature_2": 0.01,
        "temperature_3": pytest.approx(1.7),
    }
    assert plan.decode_raw(bytes.fromhex("400164")) == {"_info": 0x40, "battery": 100}


def test_an_unknown_tag_without_a_length_ends_the_decode():
    plan = compile_message("bthome", BTHOME)
    assert values(plan, "40 0164 99 020100") == {"battery": 100}
    assert taints(plan, "40 0164 99 020100") == []


def test_an_unknown_tag_with_a_length_is_passed_over():
    plan = compile_message("sized", SIZED)
    assert values(plan, "01 01 07 09 02 aabb 02 03 616263") == {"level": 7, "name": "abc"}
    with pytest.raises(Refused, match="strict"):
        plan.decode(bytes.fromhex("01010702"))


def test_an_element_cut_off_is_null_and_marked():
    plan = compile_message("bthome", BTHOME)
    assert values(plan, "40 0164 02c4") == {"battery": 100, "temperature": None}
    assert taints(plan, "40 0164 02c4") == ["trust.truncated"]


def test_more_repeats_than_have_names_are_marked_not_kept():
    plan = compile_message("bthome", BTHOME)
    assert len(values(plan, "40" + "0101" * 12)) == 8
    assert taints(plan, "40" + "0101" * 12) == ["trust.case"]


def test_elements_are_written_in_field_order_with_their_lengths():
    plan = compile_message("sized", SIZED)
    written = plan.encode({"list": [1, 2], "level": 5, "level_2": 6, "name": "hé"})
    assert written.hex() == "010105" + "010106" + "020368c3a9" + "030400010002"
    assert values(plan, written.hex()) == {"level": 5, "level_2": 6, "name": "hé", "list": [1, 2]}
    assert compile_message("b", BTHOME).encode({"note": {"text": "A"}, "_info": 64}).hex() == "40530141"
    with pytest.raises(EncodeError, match="unknown field 'speed'"):
        plan.encode({"speed": 1})


def test_wide_tags_follow_the_message_order():
    plan = plan_of({"name": "a", "tag": 0x0102, "type": "u8"}, format="tlv", tag_type="u16", order="little")
    assert values(plan, "020107") == {"a": 7}


@settings(max_examples=100, deadline=None)
@given(body=st.lists(st.sampled_from([0, 1, 2, 3, 4, 0x45, 0x53, 0xFF]), max_size=30).map(bytes) | st.binary())
@pytest.mark.parametrize("spec", [BTHOME, SIZED], ids=["plain", "sized"])
def test_generated_code_reads_elements_as_construct_does(spec, body):
    plan = compile_message("made", spec)
    assert outcome(plan.decode, body) == outcome(reference_decode(spec), body)
    assert outcome(plan.decode_raw, body) == outcome(reference_decode_raw(spec), body)
