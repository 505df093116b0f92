"""Values as Sparkplug's data types, both ways."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schema.spec import BitSpec, FieldSpec
from gateway.sinks.sparkplug.values import DataType, declared, fits, put, single, taken, text_of, widened
from gateway.sinks.sparkplug.wire import Metric, Payload

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = SCALARS | st.lists(st.text(max_size=4), max_size=3) | st.dictionaries(st.text(max_size=3), SCALARS, max_size=3)
KINDS = [
    DataType.INT32, DataType.INT64, DataType.UINT8, DataType.UINT16, DataType.UINT32, DataType.UINT64, DataType.FLOAT,
    DataType.DOUBLE, DataType.BOOLEAN, DataType.STRING,
]  # fmt: skip

DECLARED = [
    (FieldSpec(name="x", type="u8"), DataType.UINT8),
    (FieldSpec(name="x", type="u16be"), DataType.UINT16),
    (FieldSpec(name="x", type="u16"), DataType.UINT16),
    (FieldSpec(name="x", type="u24be"), DataType.UINT32),
    (FieldSpec(name="x", type="u40le"), DataType.UINT64),
    (FieldSpec(name="x", type="s8"), DataType.INT32),
    (FieldSpec(name="x", type="s32le"), DataType.INT32),
    (FieldSpec(name="x", type="s48le"), DataType.INT64),
    (FieldSpec(name="x", type="f32le"), DataType.FLOAT),
    (FieldSpec(name="x", type="f64le"), DataType.DOUBLE),
    (FieldSpec(name="x", type="u8", scale=0.5), DataType.DOUBLE),
    (FieldSpec(name="x", type="u8", scale="1/4"), DataType.DOUBLE),
    (FieldSpec(name="x", type="u8", offset=-40), DataType.DOUBLE),
    (FieldSpec(name="x", type="bool"), DataType.BOOLEAN),
    (FieldSpec(name="x", type="text", length=4), DataType.STRING),
    (FieldSpec(name="x", type="bytes", length=4), DataType.STRING),
    (FieldSpec(name="x", type="u8", labels={"0": "off"}), DataType.STRING),
    (FieldSpec(name="x", type="u8", flags={"0": "hot"}), DataType.STRING),
    (FieldSpec(name="x", type="u8", array=3), DataType.STRING),
    (FieldSpec(name="x", dbc="24|16@1-"), DataType.INT32),
    (FieldSpec(name="x", dbc="24|16@1+"), DataType.UINT16),
    (FieldSpec(name="x", type="degmin"), None),
    (FieldSpec(name="x", path="a.b"), None),
    (BitSpec(name="x", at="3"), DataType.UINT8),
    (BitSpec(name="x", at="15:5"), DataType.UINT16),
    (BitSpec(name="x", at="15:5", signed=True), DataType.INT32),
]


@pytest.mark.parametrize(("spec", "kind"), DECLARED)
def test_a_field_of_a_profile_says_its_data_type(spec: FieldSpec | BitSpec, kind: DataType | None) -> None:
    assert declared(spec) is kind


def said(value: Any) -> Any:
    """Return a value as a String brings it back."""
    return value if value is None or isinstance(value, bool | int | float) else text_of(value)


@given(kind=st.sampled_from(KINDS) | st.none(), value=VALUES)
def test_a_type_that_was_widened_for_a_value_carries_it(kind: DataType | None, value: Any) -> None:
    wider = widened(kind, value)
    assert fits(wider, value)
    metric = Metric()
    put(metric, wider, value)
    read = Metric.FromString(metric.SerializeToString())
    if value is None:
        assert read.is_null
    elif wider is DataType.STRING:
        assert read.string_value == text_of(value)
    else:
        assert taken(read, wider) == value


@given(kind=st.sampled_from(KINDS), first=VALUES, second=VALUES)
def test_a_type_that_is_wide_enough_stays(kind: DataType, first: Any, second: Any) -> None:
    wide = widened(widened(kind, first), second)
    assert widened(wide, second) is wide


@given(st.integers(-(2**31), 2**31 - 1))
def test_a_negative_number_of_32_bits_is_told_as_its_complement(value: int) -> None:
    metric = Metric()
    put(metric, DataType.INT32, value)
    assert struct.unpack("<i", struct.pack("<I", metric.int_value))[0] == value


@pytest.mark.parametrize("bits", [8, 16, 32])
@given(value=st.integers(-128, 127))
def test_a_negative_number_of_a_command_is_taken_however_its_sender_spells_it(bits: int, value: int) -> None:
    datatype = {8: DataType.INT8, 16: DataType.INT16, 32: DataType.INT32}[bits]
    for width in (bits, 32):
        metric = Metric(datatype=datatype, int_value=value & ((1 << width) - 1))
        assert taken(metric, DataType.INT32) == value


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_32_bit_number_is_taken_as_the_shortest_decimal_that_means_it(value: float) -> None:
    told = taken(Metric(float_value=value), DataType.DOUBLE)
    assert single(told) == single(value)
    assert len(repr(told)) <= len(repr(float(value)))


def test_a_tenth_as_32_bits_is_a_tenth() -> None:
    assert taken(Metric(float_value=0.1), DataType.DOUBLE) == 0.1


def test_a_whole_number_sent_as_a_double_is_whole_where_the_metric_is() -> None:
    told = taken(Metric(double_value=40.0), DataType.UINT8)
    assert isinstance(told, int)


WRONG = [
    Metric(),
    Metric(is_null=True, int_value=1),
    Metric(double_value=math.nan),
    Metric(float_value=math.inf),
    Metric(bytes_value=b"\1"),
    Metric(datatype=99, int_value=1),
    Metric(datatype=16, int_value=1),
]


@pytest.mark.parametrize("metric", WRONG)
def test_what_is_no_value_is_refused(metric: Any) -> None:
    with pytest.raises(ValueError, match=r"value|number|taken here"):
        taken(metric, DataType.DOUBLE)


@pytest.mark.parametrize("text", ["", "run", "{}", "[", "[" * 5000])
def test_a_list_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="JSON"):
        taken(Metric(string_value=text), DataType.STRING, is_list=True)


def test_a_list_is_written_as_it_is_told() -> None:
    metric = Metric()
    put(metric, DataType.STRING, ["run", "fan"])
    assert taken(metric, DataType.STRING, is_list=True) == ["run", "fan"] == json.loads(metric.string_value)


def test_half_a_surrogate_pair_is_told_as_a_mark() -> None:
    assert text_of("a\ud800b") == "a?b"


@given(st.binary(max_size=200))
def test_any_bytes_are_a_payload_or_none(data: bytes) -> None:
    from gateway.sinks.sparkplug.wire import DecodeError

    try:
        payload = Payload.FromString(data)
    except DecodeError:
        return
    for metric in payload.metrics:
        for kind in KINDS:
            try:
                taken(metric, kind)
            except ValueError:
                continue
