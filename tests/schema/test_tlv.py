"""Tagged elements: with lengths between and without, repeated, unknown, cut off."""

from __future__ import annotations

import msgspec
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


def test_a_message_may_say_how_often_a_name_comes():
    spec = msgspec.structs.replace(BTHOME, repeats=2)
    plan = compile_message("bthome", spec)
    assert [name for name in plan.names if name.startswith("battery")] == ["battery", "battery_2"]
    assert values(plan, "40 0101 0102 0103 02c409") == {"battery": 1, "battery_2": 2, "temperature": 25.0}
    assert taints(plan, "40 0101 0102 0103") == ["trust.case"]
    assert outcome(reference_decode(spec), bytes.fromhex("40010101020103")) == outcome(
        plan.decode, bytes.fromhex("40010101020103")
    )
    assert plan.encode({"_info": 64, "battery": 1, "battery_2": 2}).hex() == "4001010102"
    with pytest.raises(EncodeError, match="battery_3"):
        plan.encode({"_info": 64, "battery_3": 3})


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


SEVERAL = spec_of(
    {"name": "level", "tag": 1, "type": "u8"},
    {"name": "level", "tag": 2, "type": "s32le", "scale": 0.5},
    {"name": "level", "tag": 3, "type": "bool"},
    {"tag": 4, "type": "u16le", "bits": [{"name": "turn", "at": "7:0"}, {"name": "steps", "at": "15:8"}]},
    {
        "tag": 5,
        "type": "struct",
        "fields": [{"name": "_n", "type": "u8"}, {"name": "text", "type": "text", "length": "_n"}],
    },
    format="tlv",
)


def test_a_struct_without_a_name_is_several_values_behind_one_tag():
    plan = compile_message("several", SEVERAL)
    assert plan.names[:16:8] == ("level", "turn")
    assert values(plan, "0502 6869 040103 0500 040204") == {
        "turn": 1,
        "turn_2": 2,
        "steps": 3,
        "steps_2": 4,
        "text": "hi",
        "text_2": "",
    }
    assert plan.decode_raw(bytes.fromhex("05026869")) == {"_n": 2, "text": "hi"}
    assert values(plan, "0504 6869") == {"text": None}


def test_values_behind_one_tag_are_written_together():
    plan = compile_message("several", SEVERAL)
    assert plan.encode({"steps": 3, "turn": 1, "steps_2": 4, "turn_2": 2, "text": "hi"}).hex() == "04010304020405026869"
    with pytest.raises(EncodeError, match="steps"):
        plan.encode({"turn": 1})


def test_the_first_tag_of_a_name_that_takes_the_value_is_written():
    plan = compile_message("several", SEVERAL)
    assert plan.encode({"level": 200}).hex() == "01c8"
    assert plan.encode({"level": 300}).hex() == "0258020000"
    assert plan.encode({"level": True}).hex() == "0301"
    assert plan.encode({"level": 5, "level_2": -1}).hex() == "010502feffffff"
    with pytest.raises(EncodeError, match="level: 1e\\+30 does not fit"):
        plan.encode({"level": 1e30})


@settings(max_examples=100, deadline=None)
@given(body=st.lists(st.sampled_from([0, 1, 2, 3, 4, 0x45, 0x53, 0xFF]), max_size=30).map(bytes) | st.binary())
@pytest.mark.parametrize("spec", [BTHOME, SIZED, SEVERAL], ids=["plain", "sized", "several"])
def test_generated_code_reads_elements_as_construct_does(spec, body):
    plan = compile_message("made", spec)
    assert outcome(plan.decode, body) == outcome(reference_decode(spec), body)
    assert outcome(plan.decode_raw, body) == outcome(reference_decode_raw(spec), body)
