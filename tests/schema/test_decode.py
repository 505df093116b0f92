"""What the fields of PROFILES section 5 mean on the wire, case by case."""

from __future__ import annotations

import json
import struct

import pytest

from gateway.schema.plan import Refused
from gateway.schema.reference import reference_decode
from tests.schema.made import plan_of, spec_of, taints, values

# Vectors: https://docs.ruuvi.com/communication/bluetooth-advertisements/data-format-5-rawv2
DF5 = plan_of(
    {"type": "u8", "const": 5},
    {"name": "temperature", "type": "s16be", "scale": 0.005, "invalid": -32768},
    {"name": "humidity", "type": "u16be", "scale": 0.0025, "invalid": 65535, "maximum": 100},
    {"name": "pressure", "type": "u16be", "offset": 50000, "invalid": 65535},
    {"name": "acceleration_x", "type": "s16be", "scale": 0.001, "invalid": -32768},
    {"name": "acceleration_y", "type": "s16be", "scale": 0.001, "invalid": -32768},
    {"name": "acceleration_z", "type": "s16be", "scale": 0.001, "invalid": -32768},
    {
        "type": "u16be",
        "bits": [
            {"name": "battery_voltage", "at": "15:5", "scale": 0.001, "offset": 1.6, "invalid": 2047},
            {"name": "tx_power", "at": "4:0", "scale": 2, "offset": -40, "invalid": 31},
        ],
    },
    {"name": "movements", "type": "u8", "invalid": 255},
    {"name": "sequence", "type": "u16be", "invalid": 65535},
    {"name": "mac", "type": "bytes", "length": 6, "invalid": "ff ff ff ff ff ff"},
)
VALID = "0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F"
MAXIMUM = "057FFFFFFEFFFE7FFF7FFF7FFFFFDEFEFFFECBB8334C884F"
INVALID = "058000FFFFFFFF800080008000FFFFFFFFFFFFFFFFFFFFFF"


def test_a_beacon_reads_as_its_specification_says():
    found = values(DF5, VALID)
    assert found["temperature"] == pytest.approx(24.3)
    assert found["humidity"] == pytest.approx(53.49)
    assert found["pressure"] == 100044
    assert [found[f"acceleration_{axis}"] for axis in "xyz"] == pytest.approx([0.004, -0.004, 1.036])
    assert found["battery_voltage"] == pytest.approx(2.977)
    assert (found["tx_power"], found["movements"], found["sequence"]) == (4, 66, 205)
    assert found["mac"] == "cbb8334c884f"
    assert taints(DF5, VALID) == []


def test_sentinels_are_null_without_a_taint():
    assert set(values(DF5, INVALID).values()) == {None}
    assert taints(DF5, INVALID) == []


def test_a_value_out_of_range_is_kept_and_marked():
    assert values(DF5, MAXIMUM)["humidity"] == pytest.approx(163.835)
    assert taints(DF5, MAXIMUM) == ["trust.range"]


def test_of_a_short_frame_what_is_there_is_decoded():
    found = values(DF5, VALID[:10])
    assert (found["temperature"], found["humidity"]) == (pytest.approx(24.3), pytest.approx(53.49))
    assert found["pressure"] is None
    assert found["mac"] is None
    assert taints(DF5, VALID[:10]) == ["trust.truncated"]


def test_another_constant_is_another_message_but_a_missing_one_is_not():
    with pytest.raises(Refused, match="const"):
        DF5.decode(bytes.fromhex("03" + VALID[2:]))
    assert set(values(DF5, "").values()) == {None}


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("u24be", "010203", 0x010203),
        ("s24be", "fffffe", -2),
        ("u24le", "010203", 0x030201),
        ("s24le", "feffff", -2),
        ("u40be", "0102030405", 0x0102030405),
        ("s48le", "ffffffffff7f", 0x7FFFFFFFFFFF),
        ("s56be", "80000000000001", 1 - (1 << 55)),
        ("u64le", "ffffffffffffffff", 18446744073709551615),
        ("s64be", "8000000000000000", -9223372036854775808),
        ("f16le", "003c", 1.0),
        ("f32be", "40490fdb", 3.1415927410125732),
        ("f64le", "000000000000f03f", 1.0),
        ("bool", "02", True),
        ("bool", "00", False),
    ],
)
def test_a_number_of_each_width_and_order_is_exact(kind, text, expected):
    found = values(plan_of({"name": "x", "type": kind}), text)["x"]
    assert (found, type(found)) == (expected, type(expected))


def test_the_message_order_serves_types_written_without_one():
    plan = plan_of({"name": "a", "type": "u16"}, {"name": "b", "type": "u8"}, order="little")
    assert values(plan, "010203") == {"a": 0x0201, "b": 3}


def test_swapped_registers_read_least_significant_word_first():
    fields = [
        {"name": "a", "type": "u32be", "register": 4, "words": "little"},
        {"name": "b", "type": "f32be", "register": 6, "words": "little"},
        {"name": "c", "type": "s64be", "register": 10, "words": "little"},
    ]
    plan = plan_of(*fields, ask={"holding": 4, "count": 10})
    body = bytes.fromhex("00010002 0fdb4049 0000dead fffe ffff ffff ffff".replace(" ", ""))
    assert plan.decode(body)[:3] == (0x00020001, 3.1415927410125732, -2)
    assert plan.decode(body) == reference_decode(spec_of(*fields, ask={"holding": 4, "count": 10}))(body)
    assert plan.encode({"a": 0x00020001, "b": 3.1415927410125732, "c": -2})[:8] == body[:8]


def test_registers_stand_relative_to_the_first_one_asked_for():
    plan = plan_of({"name": "v", "type": "u16be", "register": 0x48}, ask={"input": 0x46, "count": 6})
    assert values(plan, "0000 0000 00e6 0000") == {"v": 0xE6}


def test_bits_are_numbered_from_the_least_significant_in_either_order():
    bits = [{"name": "top", "at": "15:12"}, {"name": "signed", "at": "7:4", "signed": True}, {"name": "flag", "at": 0}]
    assert values(plan_of({"type": "u16be", "bits": bits}), "a0f1") == {"top": 10, "signed": -1, "flag": True}
    assert values(plan_of({"type": "u16le", "bits": bits}), "f1a0") == {"top": 10, "signed": -1, "flag": True}


def test_one_bit_with_labels_is_its_label():
    bits = [{"name": "door", "at": "3", "labels": {"0": "shut", "0x1": "open"}}]
    assert values(plan_of({"type": "u8", "bits": bits}), "08") == {"door": "open"}


def test_an_unknown_label_stays_a_number_and_is_marked():
    plan = plan_of({"name": "mode", "type": "u8", "labels": {"0": "off", "1": "on"}, "scale": 0.5})
    assert values(plan, "01") == {"mode": "on"}
    assert values(plan, "05") == {"mode": 2.5}
    assert taints(plan, "05") == ["trust.label"]


def test_flags_are_the_names_of_the_bits_set():
    plan = plan_of({"name": "alarms", "type": "u16be", "flags": {"0": "hot", "9": "stall"}})
    assert values(plan, "0201") == {"alarms": ["hot", "stall"]}
    assert values(plan, "0000") == {"alarms": []}


@pytest.mark.parametrize("text", ["7fc00000", "7f800000", "ff800000"])
def test_nan_and_infinity_are_null_and_marked(text):
    plan = plan_of({"name": "x", "type": "f32be", "minimum": 0})
    assert values(plan, text) == {"x": None}
    assert taints(plan, text) == ["trust.nan"]
    assert plan.decode_raw(bytes.fromhex(text)) == {"x": None}


def test_a_scale_beyond_doubles_is_null_and_marked():
    plan = plan_of({"name": "x", "type": "u32be", "scale": 1e300})
    assert taints(plan, "ffffffff") == ["trust.nan"]
    assert values(plan, "00000001") == {"x": 1e300}


def test_a_fraction_may_be_the_scale():
    assert values(plan_of({"name": "x", "type": "u16be", "scale": "1/1024"}), "0400") == {"x": 1.0}


def test_text_loses_its_padding_and_must_be_utf8():
    plan = plan_of({"name": "t", "type": "text", "length": 4})
    assert values(plan, "c3a90000") == {"t": "é"}
    with pytest.raises(Refused, match="encoding"):
        plan.decode(bytes.fromhex("ff000000"))


def test_lengths_may_be_given_open_or_ended_by_nul():
    plan = plan_of(
        {"name": "n", "type": "u8"},
        {"name": "a", "type": "bytes", "length": "n"},
        {"name": "b", "type": "text", "length": "null"},
        {"name": "c", "type": "bytes", "length": "rest"},
    )
    assert values(plan, "02 aabb 4142 00 0102") == {"n": 2, "a": "aabb", "b": "AB", "c": "0102"}
    assert values(plan, "02 aabb 4142") == {"n": 2, "a": "aabb", "b": None, "c": None}


def test_digits_in_bcd_and_ascii_are_numbers():
    plan = plan_of({"name": "a", "type": "bcd", "length": 2}, {"name": "b", "type": "ascii", "length": 5, "scale": 0.1})
    assert values(plan, "1234 202d302e35") == {"a": 1234, "b": -0.05}
    for text in ("12a4 3030303030", "1234 30783030 30"):
        with pytest.raises(Refused, match="encoding"):
            plan.decode(bytes.fromhex(text))


def test_optional_parts_shift_what_follows():
    plan = plan_of(
        {"type": "u8", "bits": [{"name": "_wide", "at": "0"}, {"name": "_more", "at": "1"}]},
        {"name": "rate", "type": "u8", "if": "!_wide"},
        {"name": "rate", "type": "u16le", "if": "_wide"},
        {"name": "energy", "type": "u16le", "if": "_more"},
        {"name": "rr", "type": "u16le", "scale": "1/1024", "array": "rest"},
    )
    assert values(plan, "00 46 0004") == {"rate": 70, "rr": [1.0]}
    assert values(plan, "03 2c01 0500 0004 0008") == {"rate": 300, "energy": 5, "rr": [1.0, 2.0]}
    assert plan.decode_raw(bytes.fromhex("00460004")) == {"_wide": 0, "_more": 0, "rate": 70, "rr": [1024]}


def test_an_undeclared_multiplexer_value_is_marked_and_the_rest_still_comes():
    plan = plan_of(
        {"name": "mux", "dbc": "0|8@1+"},
        {"name": "a", "dbc": "8|8@1+", "if": {"mux": [1, "4..7"]}},
        {"name": "b", "dbc": "8|8@1-", "if": {"mux": 2}},
        {"name": "c", "dbc": "16|8@1+"},
    )
    assert values(plan, "01ff03") == {"mux": 1, "a": 255, "c": 3}
    assert values(plan, "02ff03") == {"mux": 2, "b": -1, "c": 3}
    assert values(plan, "05ff03") == {"mux": 5, "a": 255, "c": 3}
    assert values(plan, "09ff03") == {"mux": 9, "c": 3}
    assert taints(plan, "09ff03") == ["trust.case"]


def test_a_condition_may_name_a_label():
    plan = plan_of(
        {"name": "mode", "type": "u8", "labels": {"3": "heat"}},
        {"name": "target", "type": "u8", "if": {"mode": "heat"}},
    )
    assert values(plan, "0315") == {"mode": "heat", "target": 21}
    assert "target" not in values(plan, "0415")


def test_a_condition_on_a_null_field_is_false_either_way():
    plan = plan_of(
        {"name": "f", "type": "u8", "invalid": 255},
        {"name": "yes", "type": "u8", "if": "f"},
        {"name": "no", "type": "u8", "if": "!f"},
    )
    assert values(plan, "ff07") == {"f": None}


def test_counted_structs_are_lists_of_objects():
    members = [{"name": "id", "type": "u8"}, {"name": "_n", "type": "u8"}, {"name": "v", "type": "u8", "array": "_n"}]
    plan = plan_of({"name": "n", "type": "u8"}, {"name": "items", "type": "struct", "array": "n", "fields": members})
    assert values(plan, "02 0102aabb 0201cc") == {"n": 2, "items": [{"id": 1, "v": [170, 187]}, {"id": 2, "v": [204]}]}
    assert values(plan, "00") == {"n": 0, "items": []}


def test_a_count_that_the_body_cannot_hold_costs_nothing():
    plan = plan_of({"name": "n", "type": "u32be"}, {"name": "v", "type": "u16be", "array": "n"})
    assert values(plan, "ffffffff 0001 0002 00") == {"n": 0xFFFFFFFF, "v": [1, 2, None]}
    assert taints(plan, "ffffffff 0001 0002 00") == ["trust.truncated"]


def test_of_a_fixed_list_cut_off_the_rest_is_null():
    plan = plan_of({"name": "v", "type": "u16be", "array": 3})
    assert values(plan, "0001 0002") == {"v": [1, 2, None]}
    assert values(plan, "") == {"v": None}


def test_absolute_places_may_overlap():
    plan = plan_of(
        {"name": "word", "type": "u16be"}, {"name": "low", "type": "u8", "at": 1}, {"name": "n", "type": "u8"}
    )
    assert values(plan, "010203") == {"word": 0x0102, "low": 2, "n": 3}


def test_bytes_left_over_are_refused_only_if_strict():
    assert values(plan_of({"name": "a", "type": "u8"}), "0102") == {"a": 1}
    strict = plan_of({"name": "a", "type": "u8"}, strict=True)
    assert values(strict, "01") == {"a": 1}
    with pytest.raises(Refused, match="strict"):
        strict.decode(b"\1\2")


def test_a_signal_is_there_when_all_its_bits_are():
    plan = plan_of({"name": "a", "dbc": "0|12@1+"}, {"name": "b", "dbc": "11|10@0-"}, {"name": "c", "dbc": "24|8@1+"})
    assert values(plan, "ff0fff") == {"a": 0xFFF, "b": -1, "c": None}
    assert values(plan, "ff") == {"a": None, "b": None, "c": None}


def test_a_signal_may_be_a_float_at_any_bit():
    body = (int.from_bytes(struct.pack("<f", 1.5), "little") << 3).to_bytes(5, "little")
    assert plan_of({"name": "x", "dbc": "3|32@1-", "type": "f32"}).decode(body) == (1.5, 0)


def test_a_can_fd_frame_holds_signals_up_to_its_last_bit():
    plan = plan_of({"name": "x", "dbc": "504|8@1-"}, {"name": "wide", "dbc": "0|512@1+"}, length=64)
    assert plan.decode(bytes(63) + b"\xfe") == (-2, 0xFE << 504, 0)


def test_rows_are_strict_json():
    plan = plan_of({"name": "a", "type": "f64be", "array": 2}, {"name": "b", "type": "bytes", "length": 2})
    row = plan.decode(bytes.fromhex("7ff0000000000000 3ff0000000000000 abcd"))
    assert json.dumps(row, allow_nan=False) == '[[null, 1.0], "abcd", 16]'
