from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import EncodeError, UsageError
from gateway.schema.plan import Refused, values_of
from gateway.schema.spec import MessageSpec
from gateway.schema.text import TextPlan, compile_text
from gateway.taint import names_of


def plan(format_: str, *fields: dict, **message) -> TextPlan:
    return compile_text("sample", msgspec.convert({"format": format_, "fields": list(fields), **message}, MessageSpec))


def decoded(layout: TextPlan, body: bytes) -> tuple[dict, list[str]]:
    row = layout.decode(body)
    return values_of(layout, row), names_of(row[-1])


RMC = plan(
    "csv",
    {"name": "talker", "column": "talker", "type": "text"},
    {"name": "utc", "columns": [9, 1], "type": "utc"},
    {"name": "status", "column": 2, "type": "text"},
    {"name": "latitude", "columns": [3, 4], "type": "degmin", "units": "deg"},
    {"name": "speed", "column": 7, "type": "number", "units": "[kn_i]"},
    {"name": "mode", "column": 12, "type": "text"},
    when={"sentence": "RMC"},
)
GSV = plan(
    "csv",
    {"name": "total", "column": 1, "type": "number"},
    {
        "name": "satellites",
        "type": "struct",
        "array": 4,
        "at": 4,
        "fields": [{"name": name, "column": i, "type": "number"} for i, name in enumerate(["prn", "elevation", "snr"])],
    },
)


def test_a_sentence_becomes_values_in_field_order():
    body = b"GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W,A"
    values, taints = decoded(RMC, body)
    assert list(values) == ["talker", "utc", "status", "latitude", "speed", "mode"]
    assert values["utc"] == "1994-03-23T12:35:19.000Z"
    assert values["latitude"] == pytest.approx(48.1173)
    assert values["speed"] == 22.4
    assert taints == []
    assert (RMC.path, RMC.units[3]) == ("text", "deg")


def test_an_empty_column_is_null_without_a_taint():
    values, taints = decoded(RMC, b"GPRMC,,V,,,,,,,,,,N")
    assert values == {"talker": "GP", "utc": None, "status": "V", "latitude": None, "speed": None, "mode": "N"}
    assert taints == []


def test_columns_that_an_older_revision_does_not_have_are_null_without_a_taint():
    values, taints = decoded(RMC, b"GPRMC,123519,A,4807.038,N,01131.000,E,022.4,084.4,230394,003.1,W")
    assert (values["mode"], taints) == (None, [])


def test_a_sentence_that_ends_within_a_joined_field_is_marked():
    values, taints = decoded(RMC, b"GPRMC,123519,A,4807.038,N")
    assert values["latitude"] == pytest.approx(48.1173)
    assert (values["utc"], values["speed"], values["mode"]) == (None, None, None)
    assert taints == ["trust.truncated"]


def test_text_that_is_not_its_type_is_null_and_marked():
    values, taints = decoded(RMC, b"GPRMC,123519,A,4861.000,N,01131.000,E,0x22,084.4,320394,003.1,W,A")
    assert (values["utc"], values["latitude"], values["speed"]) == (None, None, None)
    assert (values["status"], taints) == ("A", ["trust.text"])


def test_nan_in_a_column_is_null_and_marked():
    values, taints = decoded(plan("csv", {"name": "a", "column": 0, "type": "number"}), b"nan")
    assert (values, taints) == ({"a": None}, ["trust.nan"])


def test_groups_of_empty_columns_are_left_out_and_empty_members_are_null():
    values, taints = decoded(GSV, b"GPGSV,1,1,02,01,40,,,,,03,,20")
    assert values["satellites"] == [
        {"prn": 1, "elevation": 40, "snr": None},
        {"prn": 3, "elevation": None, "snr": 20},
    ]
    assert taints == []


def test_a_signal_id_behind_the_last_satellite_is_no_satellite():
    assert decoded(GSV, b"GPGSV,1,1,01,01,40,20,7") == (
        {"total": 1, "satellites": [{"prn": 1, "elevation": 40, "snr": 20}]},
        [],
    )
    assert decoded(GSV, b"GPGSV,1,1,00,7") == ({"total": 1, "satellites": []}, [])


def test_a_group_cut_within_keeps_what_is_there():
    values, taints = decoded(GSV, b"GPGSV,1,1,01,01,40")
    assert values["satellites"] == [{"prn": 1, "elevation": 40, "snr": None}]
    assert taints == ["trust.truncated"]


def test_a_struct_is_one_object_of_columns_relative_to_its_place():
    members = [{"name": "x", "column": 0, "type": "number"}, {"name": "y", "column": 1, "type": "number"}]
    layout = plan("csv", {"name": "place", "type": "struct", "at": 2, "fields": members})
    assert decoded(layout, b"A,B,3,4") == ({"place": {"x": 3, "y": 4}}, [])
    assert decoded(layout, b"A,B") == ({"place": {"x": None, "y": None}}, [])
    assert decoded(layout, b"A,B,3") == ({"place": {"x": 3, "y": None}}, ["trust.truncated"])
    assert layout.decode_raw(b"A,B,3,4") == {"place": {"x": 3, "y": 4}}
    assert layout.encode({"place": {"x": 3, "y": 4}}) == b",,3,4"
    assert layout.encode({"place": {"x": None, "y": None}}) == b",,,"


def test_members_of_a_group_may_have_conditions():
    members = [
        {"name": "kind", "column": 0, "type": "text"},
        {"name": "volts", "column": 1, "type": "number", "if": {"kind": "V"}},
        {"name": "amps", "column": 1, "type": "number", "if": {"kind": "A"}},
    ]
    layout = plan("csv", {"name": "readings", "type": "struct", "at": 0, "array": "rest", "fields": members})
    values, taints = decoded(layout, b"V,12,A,3,Q,9")
    assert values["readings"] == [{"kind": "V", "volts": 12}, {"kind": "A", "amps": 3}, {"kind": "Q"}]
    assert taints == ["trust.case"]
    assert layout.encode({"readings": values["readings"][:2]}) == b"V,12,A,3"


def test_a_listing_leaves_empty_places_out():
    layout = plan(
        "csv", {"name": "ids", "column": 1, "array": 4, "type": "number"}, {"name": "z", "column": 5, "type": "text"}
    )
    assert decoded(layout, b"X,02,,,07,end") == ({"ids": [2, 7], "z": "end"}, [])
    assert layout.encode({"ids": [2, 7], "z": "end"}) == b",2,7,,,end"
    with pytest.raises(EncodeError, match="ids"):
        layout.encode({"ids": [1, 2, 3, 4, 5], "z": "end"})


def test_an_array_may_be_counted_by_a_field():
    layout = plan(
        "csv", {"name": "n", "column": 0, "type": "number"}, {"name": "v", "column": 1, "array": "n", "type": "number"}
    )
    assert decoded(layout, b"2,10,20,30")[0] == {"n": 2, "v": [10, 20]}
    assert decoded(layout, b"-1,10,20")[0]["v"] == []
    assert decoded(layout, b"x,10,20") == ({"n": None, "v": []}, ["trust.text"])


def test_keys_are_found_anywhere_and_the_first_of_a_list_wins():
    layout = plan(
        "kv",
        {"name": "voltage", "key": "V", "type": "number", "scale": 0.001, "units": "V"},
        {"name": "alarm", "key": "Alarm", "type": "bool"},
        {"name": "model", "key": ["BMV", "PID"], "type": "text"},
        {"name": "missing", "key": "T", "type": "number"},
    )
    values, taints = decoded(layout, b"\r\nPID\t0x203\r\nAlarm\tOFF\r\nV\t12065\r\nBMV\t700\r\nChecksum\t\xe9")
    assert values == {"voltage": pytest.approx(12.065), "alarm": False, "model": "700", "missing": None}
    assert taints == []
    assert decoded(layout, b"PID\t0x203")[0]["model"] == "0x203"


def test_a_kv_separator_may_be_declared():
    layout = plan("kv", {"name": "t", "key": "Temp", "type": "number"}, separator="=")
    assert decoded(layout, b"Temp = 21.5\nother=1")[0] == {"t": 21.5}
    assert layout.encode({"t": 21.5}) == b"Temp=21.5"


@pytest.mark.parametrize(
    ("separator", "line"),
    [
        (",", b"T=21.5,H=40"),
        (",", b"T:21.5 , H: 40\r\n"),
        (";", b"T=21.5;H=40;"),
        ("&", b"T=21.5&x&H=40"),
        (" ", b"T=21.5 H=40"),
    ],
)
def test_several_entries_may_stand_on_a_line(separator: str, line: bytes):
    t, h = ({"name": name, "key": name.upper(), "type": "number"} for name in "th")
    assert decoded(plan("kv", t, h, separator=separator), line)[0] == {"t": 21.5, "h": 40}


def test_entries_on_a_line_are_written_as_they_are_read():
    t, h = ({"name": name, "key": name.upper(), "type": "text"} for name in "th")
    layout = plan("kv", t, h, separator=";")
    assert layout.encode({"t": "21.5", "h": "4"}) == b"T=21.5;H=4"
    with pytest.raises(EncodeError, match="ends a field"):
        layout.encode({"t": "a;H=5"})


def test_a_value_may_hold_what_separates_entries_elsewhere():
    layout = plan("kv", {"name": "t", "key": "T", "type": "text"})
    assert decoded(layout, b"T\ta=b,c:d\r\nU\t1")[0] == {"t": "a=b,c:d"}
    assert decoded(plan("kv", {"name": "t", "key": "T", "type": "text"}, separator="="), b"T=a:b,c=d")[0] == {
        "t": "a:b,c=d"
    }


def test_obis_takes_the_last_parenthesis_without_its_unit():
    layout = plan(
        "obis",
        {"name": "energy", "code": "1-0:1.8.1", "type": "number", "units": "kW.h"},
        {"name": "gas", "code": ["0-1:24.2.1", "0-1:24.3.0"], "type": "number", "units": "m3"},
        {"name": "message", "code": "0-0:96.13.0", "type": "text"},
    )
    body = b"/KFM5\r\n\r\n1-0:1.8.1(001581.123*kWh)\r\n0-1:24.2.1(161129200000W)(00981.443*m3)\r\n0-0:96.13.0()\r\n"
    assert decoded(layout, body) == ({"energy": 1581.123, "gas": 981.443, "message": None}, [])
    old = b"0-1:24.3.0(161107190000)(00)(60)(1)(0-1:24.2.1)(m3)\r\n(00001.001)\r\n0-1:24.4.0(1)\r\n"
    assert decoded(layout, old)[0]["gas"] == 1.001
    assert layout.encode({"energy": 1581.123, "gas": 981.443}) == (
        b"XXX5\r\n\r\n1-0:1.8.1(1581.123*kWh)\r\n0-1:24.2.1(981.443*m3)\r\n"
    )


def test_a_channel_is_picked_by_its_device_type():
    layout = plan("obis", {"name": "gas", "code": "0-n:24.2.1 if 0-n:24.1.0 = 3", "type": "number"})
    water_first = b"0-1:24.1.0(007)\r\n0-1:24.2.1(00012.5*m3)\r\n0-2:24.1.0(003)\r\n0-2:24.2.1(00099.5*m3)"
    assert decoded(layout, water_first)[0] == {"gas": 99.5}
    assert decoded(layout, b"0-1:24.1.0(007)\r\n0-1:24.2.1(00012.5*m3)")[0] == {"gas": None}
    assert decoded(layout, b"0-4:24.2.1(00012.5*m3)")[0] == {"gas": 12.5}


def test_labels_scale_sentinels_and_ranges_work_on_text():
    layout = plan(
        "kv",
        {"name": "state", "key": "CS", "type": "number", "labels": {"0": "off", "3": "bulk"}},
        {"name": "letter", "key": "L", "type": "text", "labels": {"A": "valid"}},
        {"name": "left", "key": "TTG", "type": "number", "invalid": -1, "units": "min"},
        {"name": "warm", "key": "T", "type": "number", "invalid": ["---"], "maximum": 50},
        {"name": "reasons", "key": "OR", "type": "hex", "flags": {"0": "no_input", "3": "remote"}},
    )
    body = b"CS\t3\nL\tA\nTTG\t-1\nT\t---\nOR\t0x00000009"
    assert decoded(layout, body) == (
        {"state": "bulk", "letter": "valid", "left": None, "warm": None, "reasons": ["no_input", "remote"]},
        [],
    )
    assert decoded(layout, b"CS\t9\nT\t51\nL\tB") == (
        {"state": 9, "letter": "B", "left": None, "warm": 51, "reasons": None},
        ["trust.range", "trust.label"],
    )
    assert layout.decode_raw(body) == {"state": 3, "letter": "A", "left": -1, "warm": None, "reasons": 9}
    again = layout.encode(values_of(layout, layout.decode(body)))
    assert again == b"CS\t3\r\nL\tA\r\nTTG\t-1\r\nT\t---\r\nOR\t0x9"


def test_a_branch_that_is_not_active_is_left_out():
    layout = plan(
        "csv",
        {"name": "_kind", "column": 0, "type": "text"},
        {"name": "volts", "column": 1, "type": "number", "if": {"_kind": "V"}},
        {"name": "amps", "column": 1, "type": "number", "if": {"_kind": "A"}},
        {"name": "last", "column": 2, "type": "number"},
    )
    assert decoded(layout, b"V,12,3") == ({"volts": 12, "last": 3}, [])
    assert decoded(layout, b"Q,12,3") == ({"last": 3}, ["trust.case"])
    assert decoded(layout, b",12,3") == ({"last": 3}, [])
    assert layout.decode_raw(b"A,12,3") == {"_kind": "A", "amps": 12, "last": 3}
    assert layout.encode({"_kind": "A", "amps": 2, "last": 3}) == b"A,2,3"
    with pytest.raises(EncodeError, match="volts"):
        layout.encode({"_kind": "A", "volts": 2, "last": 3})


def test_a_branch_on_an_internal_field_is_built_only_if_it_is_read_again():
    layout = plan(
        "kv",
        {"name": "_solar", "key": "VPV", "type": "text"},
        {"name": "panel", "key": "VPV", "type": "number", "if": "_solar"},
        {"name": "yield", "key": "H19", "type": "number", "if": "_solar"},
    )
    assert layout.encode({"panel": 0, "yield": 5}) == b"VPV\t0\r\nH19\t5"
    assert decoded(layout, b"VPV\t0\r\nH19\t5")[0] == {"panel": 0, "yield": 5}
    with pytest.raises(EncodeError, match="yield"):
        layout.encode({"yield": 5})


def test_a_constant_that_differs_refuses_and_one_that_is_missing_does_not():
    layout = plan("csv", {"column": 0, "type": "text", "const": "HDR"}, {"name": "v", "column": 1, "type": "number"})
    assert decoded(layout, b"HDR,1")[0] == {"v": 1}
    assert decoded(layout, b",1")[0] == {"v": 1}
    assert layout.encode({"v": 1}) == b"HDR,1"
    with pytest.raises(EncodeError, match="column 0"):
        plan("csv", {"column": 0, "type": "text", "const": "A"}, {"name": "v", "column": 0, "type": "text"}).encode(
            {"v": "B"}
        )
    with pytest.raises(Refused) as caught:
        layout.decode(b"OTHER,1")
    assert caught.value.reason == "const"


def test_text_that_is_not_utf_8_refuses_the_body_only_where_it_is_asked_for():
    layout = plan("csv", {"name": "a", "column": 0, "type": "text"})
    assert decoded(layout, b"ok,\xff\xfe")[0] == {"a": "ok"}
    with pytest.raises(Refused) as caught:
        layout.decode(b"\xff\xfe,1")
    assert caught.value.reason == "encoding"


@pytest.mark.parametrize(
    ("layout", "whole", "more"),
    [
        (plan("csv", {"name": "a", "column": 1, "type": "number"}, strict=True), b"X,1", b"X,1,"),
        (plan("csv", {"name": "a", "column": 1, "type": "number", "array": 2}, strict=True), b"X,1,2", b"X,1,2,3"),
        (plan("kv", {"name": "a", "key": ["A", "B"], "type": "number"}, strict=True), b"B\t1", b"B\t1\r\nC\t2"),
        (
            plan("obis", {"name": "a", "code": "1-0:1.8.1", "type": "number"}, strict=True),
            b"1-0:1.8.1(1)",
            b"1-0:1.8.1(1)\n2(2)",
        ),
    ],
)
def test_strict_refuses_what_no_field_reads(layout, whole, more):
    layout.decode(whole)
    with pytest.raises(Refused) as caught:
        layout.decode(more)
    assert caught.value.reason == "strict"


@pytest.mark.parametrize(
    ("values", "culprit"),
    [
        ({"talker": "GP", "speeed": 1}, "speeed"),
        ({"talker": "GP", "speed": "fast"}, "speed"),
        ({"talker": "GP", "speed": float("nan")}, "speed"),
        ({"talker": "GP", "speed": 10**400}, "speed"),
        ({"talker": "GP", "status": "A,B"}, "status"),
        ({"talker": "GP", "status": "A*"}, "status"),
        ({"talker": "GP", "status": "\ud800"}, "status"),
        ({"talker": "GP", "status": ["A"]}, "status"),
        ({"talker": "GP", "speed": {}}, "speed"),
        ({"talker": "PX"}, "talker"),
        ({"status": "A"}, "talker"),
        ({"talker": "GP", "latitude": 91}, "latitude"),
    ],
)
def test_what_cannot_be_written_is_refused_by_name(values, culprit):
    with pytest.raises(EncodeError, match=culprit):
        RMC.encode(values)


def test_a_sentence_is_built_from_its_values():
    body = b"GPRMC,123519.250,A,4807.038,N,,,22.4,,230394,,,A"
    assert RMC.encode(values_of(RMC, RMC.decode(body))) == body
    assert RMC.encode({"talker": "GN"}) == b"GNRMC,,,,,,,,,,,,"


def test_groups_are_built_one_behind_the_other():
    values = {
        "total": 1,
        "satellites": [{"prn": 1, "elevation": 40, "snr": None}, {"prn": 3, "elevation": 5, "snr": 20}],
    }
    body = GSV.encode(values)
    assert body == b",1,,,1,40,,3,5,20"
    assert decoded(GSV, body)[0] == values
    with pytest.raises(EncodeError, match="satellites"):
        GSV.encode({"total": 1, "satellites": [{"prn": 1, "azimuth": 3}]})
    with pytest.raises(EncodeError, match="satellites"):
        GSV.encode({"total": 1, "satellites": [{"prn": None}]})
    assert GSV.encode({"total": 1, "satellites": [{"prn": 7}]}) == b",1,,,7,,"


def test_null_writes_the_first_sentinel_and_what_is_not_given_writes_nothing():
    layout = plan(
        "kv",
        {"name": "left", "key": "TTG", "type": "number", "invalid": [-1, "---"]},
        {"name": "warm", "key": "T", "type": "number", "invalid": "---"},
        {"name": "zero", "key": "Z", "type": "number", "const": 0},
    )
    assert layout.encode({"left": None, "warm": None}) == b"TTG\t-1\r\nT\t---\r\nZ\t0"
    assert layout.encode({}) == b"Z\t0"
    with pytest.raises(EncodeError, match="zero"):
        layout.encode({"zero": 1})
    with pytest.raises(EncodeError, match="left"):
        layout.encode({"left": -1})


def test_the_key_that_tells_a_message_must_be_given():
    layout = plan("kv", {"name": "deepest", "key": "H1", "type": "number"}, when={"has": "H1"})
    with pytest.raises(EncodeError, match="H1"):
        layout.encode({})
    assert layout.encode({"deepest": -5}) == b"H1\t-5"


@pytest.mark.parametrize(
    "field",
    [
        {"name": "a", "type": "u8", "column": 0},
        {"name": "a", "type": "number"},
        {"name": "a", "type": "number", "column": -1},
        {"name": "a", "type": "number", "column": 0, "array": "n"},
        {"name": "a", "type": "number", "column": 0, "if": "nobody"},
        {"name": "a", "type": "struct", "array": 2, "fields": []},
        {"name": "a", "type": "number", "column": 5000},
        {"name": "a", "type": "number", "column": 1, "array": 100_000},
        {"name": "a", "type": "number", "column": 1, "labels": {"0xzz": "never"}},
        {"name": "a", "type": "number", "column": 1, "const": "never"},
    ],
)
def test_a_field_that_cannot_be_found_is_refused_when_compiled(field):
    with pytest.raises(UsageError, match="a"):
        plan("csv", field)


@given(
    body=st.binary(max_size=120) | st.text(alphabet="GPRMCV0123456789.,-NSEW\t\r\n()*:ON", max_size=120).map(str.encode)
)
def test_no_bytes_at_all_make_a_decode_fail(body):
    layouts = [RMC, GSV]
    for format_, place in (("kv", "key"), ("obis", "code"), ("csv", "column")):
        fields = [
            {"name": kind, place: 1 if place == "column" else "1", "type": kind}
            for kind in ("number", "hex", "degmin", "degrees", "time", "utc", "tst", "hextext", "bool", "text")
        ]
        layouts.append(plan(format_, *fields))
    for layout in layouts:
        try:
            row = layout.decode(body)
        except Refused as refused:
            assert refused.reason == "encoding"  # noqa: PT017 - refusal is one of two allowed outcomes
            continue
        assert len(row) == len(layout.names) + 1
        msgspec.json.encode(row)
        layout.decode_raw(body)


VALUES = st.fixed_dictionaries(
    {
        "speed": st.none() | st.integers(min_value=-(10**7), max_value=10**7).map(lambda raw: raw * 0.001),
        "ratio": st.none() | st.floats(min_value=-1e6, max_value=1e6),
        "letter": st.none()
        | st.text(alphabet="ABCÄé1 -", min_size=1, max_size=8).filter(lambda text: text == text.strip()),
        "switch": st.none() | st.booleans(),
    }
)


@pytest.mark.parametrize(("format_", "place"), [("csv", "column"), ("kv", "key"), ("obis", "code")])
@given(values=VALUES)
def test_values_built_and_read_are_the_same(format_, place, values):
    layout = plan(
        format_,
        {"name": "speed", place: 0 if place == "column" else "A", "type": "number", "scale": 0.001},
        {"name": "ratio", place: 1 if place == "column" else "B", "type": "number"},
        {"name": "letter", place: 2 if place == "column" else "C", "type": "text"},
        {"name": "switch", place: 3 if place == "column" else "D", "type": "bool"},
    )
    again, taints = decoded(layout, layout.encode(values))
    assert taints == []
    assert again == {
        name: pytest.approx(value, rel=1e-11) if isinstance(value, float) else value for name, value in values.items()
    }


def test_a_proprietary_sentence_needs_no_talker():
    layout = plan("csv", {"name": "error", "column": 1, "type": "number"}, when={"sentence": "PGRME"})
    assert layout.encode({"error": 15.5}) == b"PGRME,15.5"
