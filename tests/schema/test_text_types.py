from __future__ import annotations

import re
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import EncodeError
from gateway.schema import text_types as types
from gateway.schema.plan import Refused
from gateway.schema.spec import FieldSpec
from gateway.schema.text_types import BadText
from gateway.taint import TRUST_NAN, TRUST_TEXT


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("08", 8),
        ("-7625", -7625),
        ("+5", 5),
        ("022.4", 22.4),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.5", -0.5),
        ("1e3", 1000.0),
        ("1.5E-05", 1.5e-05),
        (" 12.5 ", 12.5),
        ("000104180320", 104180320),
        ("9" * 40, int("9" * 40)),
    ],
)
def test_a_number_is_read_as_it_stands(text, value):
    found = types.parse_number(text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("text", ["", " ", "1_000", "0x10", "4x", "--5", "1,5", "²", "1.2.3", "e5", ".", "9" * 301])
def test_what_is_no_number_is_not_read_as_one(text):
    with pytest.raises(BadText) as caught:
        types.parse_number(text)
    assert caught.value.mark == TRUST_TEXT


@pytest.mark.parametrize("text", ["nan", "-NaN", "inf", "-Infinity", "1e999"])
def test_nan_and_infinity_are_marked_as_such(text):
    with pytest.raises(BadText) as caught:
        types.parse_number(text)
    assert caught.value.mark == TRUST_NAN


@pytest.mark.parametrize(
    ("text", "degrees"),
    [
        ("4807.038N", 48 + 7.038 / 60),
        ("01131.000E", 11 + 31 / 60),
        ("4807.038S", -(48 + 7.038 / 60)),
        ("12158.3416W", -(121 + 58.3416 / 60)),
        ("00500.5E", 5 + 0.5 / 60),
        ("0.5N", 0.5 / 60),
        ("3723N", 37 + 23 / 60),
        ("8960.000000N", 90.0),
        ("0000.000S", 0.0),
    ],
)
def test_degrees_and_minutes_become_signed_degrees(text, degrees):
    assert types.parse_degmin(text) == pytest.approx(degrees, abs=1e-12)


def test_zero_south_is_a_plain_zero():
    assert str(types.parse_degmin("0000.000S")) == "0.0"


@pytest.mark.parametrize("text", ["4860.001N", "4807.038", "N", "-4807.038N", "4807.038X", "480700.038N", "48.07.038N"])
def test_no_angle_is_guessed(text):
    with pytest.raises(BadText):
        types.parse_degmin(text)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("230394123519", "1994-03-23T12:35:19.000Z"),
        ("191194225446.5", "1994-11-19T22:54:46.500Z"),
        ("010100000000.00", "2000-01-01T00:00:00.000Z"),
        ("310779235959.999", "2079-07-31T23:59:59.999Z"),
        ("010180000000", "1980-01-01T00:00:00.000Z"),
        ("290220101112.123456", "2020-02-29T10:11:12.123Z"),
        ("311216235960.00", "2016-12-31T23:59:60.000Z"),
        ("06072008010203.05", "2008-07-06T01:02:03.050Z"),
    ],
)
def test_date_and_time_become_iso_with_milliseconds(text, iso):
    assert types.parse_utc(text) == iso


@pytest.mark.parametrize(
    "text",
    ["300221101112", "001220101112", "011320101112", "010120240000", "010120006000", "010120000061", "0101201011"],
)
def test_no_date_is_guessed(text):
    with pytest.raises(BadText):
        types.parse_utc(text)


@pytest.mark.parametrize(
    ("text", "iso"), [("161113205757W", "2016-11-13T20:57:57+01:00"), ("170702112233S", "2017-07-02T11:22:33+02:00")]
)
def test_a_meter_time_carries_its_offset(text, iso):
    assert types.parse_tst(text) == iso
    assert types.write_tst(iso, 1) == [text]


@pytest.mark.parametrize("text", ["632525252525W", "161113205757", "161113205757X", "160230000000W"])
def test_a_meter_time_that_is_none_is_not_guessed(text):
    with pytest.raises(BadText):
        types.parse_tst(text)


@pytest.mark.parametrize(("text", "seconds"), [("123519", 45319), ("123519.487", 45319.487), ("235960", 86400)])
def test_time_is_the_second_of_the_day(text, seconds):
    assert types.parse_time(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["240000", "126000", "12351", "123561", "12:35:19", ""])
def test_no_time_is_guessed(text):
    with pytest.raises(BadText):
        types.parse_time(text)


def test_hex_digits_spell_text():
    assert types.parse_hextext("4B384547303034303436333935353037") == "K8EG004046395507"
    assert types.parse_hextext("00000000000000") is None
    assert types.write_hextext("K8EG", 1) == ["4B384547"]


@pytest.mark.parametrize("text", ["4B3", "4B 38", "XY", "3960221976967177082151037881335713"])
def test_hex_digits_that_spell_no_text_are_not_text(text):
    with pytest.raises(BadText):
        types.parse_hextext(text)


@pytest.mark.parametrize(("text", "value"), [("ON", True), ("On", True), ("1", True), ("OFF", False), ("false", False)])
def test_switches_are_bools(text, value):
    assert types.parse_bool(text) is value


def test_text_that_is_not_utf_8_is_refused():
    assert types.parse_text("Köln".encode().decode("latin-1")) == "Köln"
    with pytest.raises(Refused) as caught:
        types.parse_text("K\xf6ln")
    assert caught.value.reason == "encoding"


@given(text=st.text(alphabet=[chr(code) for code in range(256)], max_size=24))
def test_any_text_is_read_or_said_to_be_none(text):
    parsers = [types.parse_number, types.parse_hex, types.parse_hextext, types.parse_bool, types.parse_degmin]
    for parse in [*parsers, types.parse_degrees, types.parse_time, types.parse_utc, types.parse_tst]:
        try:
            parse(text)
        except BadText as bad:
            assert bad.mark in {TRUST_TEXT, TRUST_NAN}  # noqa: PT017 - one of two allowed outcomes


@given(value=st.floats(allow_nan=False, allow_infinity=False) | st.integers(min_value=-(10**40), max_value=10**40))
def test_a_number_written_reads_as_itself(value):
    (text,) = types.write_number(value, 1)
    assert "e" not in text.lower()
    if len(text) <= 300:
        assert types.parse_number(text) == value


@given(value=st.floats(min_value=-90, max_value=90))
def test_a_latitude_written_reads_as_itself_within_a_hundredth_of_a_millimetre(value):
    write = types.writer_of(FieldSpec(name="latitude", type="degmin"))
    digits, letter = write(value, 2)
    assert re.fullmatch(r"[0-9]{4}\.[0-9]{3,}", digits)
    assert abs(types.parse_degmin(digits + letter) - value) < 1e-10


@given(value=st.floats(min_value=-180, max_value=180))
def test_a_variation_written_reads_as_itself(value):
    write = types.writer_of(FieldSpec(name="magnetic_variation", type="degrees"))
    assert types.parse_degrees("".join(write(value, 2))) == value


@given(moment=st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2079, 12, 31)))  # noqa: DTZ001 - strategies take naive bounds
def test_a_moment_written_reads_as_itself(moment):
    iso = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
    for columns in (1, 2, 4):
        assert types.parse_utc("".join(types.write_utc(iso, columns))) == iso


@given(seconds=st.integers(min_value=0, max_value=86_400_999).map(lambda ms: ms / 1000))
def test_a_second_of_the_day_written_reads_as_itself(seconds):
    assert types.parse_time(types.write_time(seconds, 1)[0]) == pytest.approx(seconds, abs=1e-9)


def test_which_hemisphere_letters_are_meant_must_be_known():
    assert types.writer_of(FieldSpec(name="y", type="degmin", maximum=90))(-1.5, 2) == ["0130.000", "S"]
    assert types.writer_of(FieldSpec(name="x", type="degmin", maximum=180))(1.5, 1) == ["00130.000E"]
    with pytest.raises(EncodeError, match="N/S or E/W"):
        types.writer_of(FieldSpec(name="y", type="degmin"))(1.5, 2)


@pytest.mark.parametrize(
    ("spec", "value", "columns"),
    [
        ({"type": "number"}, "12", 1),
        ({"type": "number"}, True, 1),
        ({"type": "number"}, 1, 2),
        ({"type": "text"}, 5, 1),
        ({"type": "bool"}, 1, 1),
        ({"type": "hex"}, -1, 1),
        ({"type": "time"}, 90000, 1),
        ({"type": "utc"}, "2020-02-30T00:00:00.000Z", 2),
        ({"type": "utc"}, "1979-01-01T00:00:00.000Z", 2),
        ({"type": "utc"}, "yesterday", 2),
        ({"type": "tst"}, "2016-11-13T20:57:57Z", 1),
        ({"type": "degmin", "name": "latitude"}, 90.5, 2),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_on_building(spec, value, columns):
    with pytest.raises(EncodeError):
        types.writer_of(FieldSpec(**spec))(value, columns)
