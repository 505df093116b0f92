from __future__ import annotations

import pytest

from gateway.framing.rules import framing_problems
from gateway.framing.spec import (
    J1939,
    CheckSpec,
    Cobs,
    DsmrP1,
    Fixed,
    Gap,
    Hdlc,
    IsoTp,
    Length,
    LengthField,
    Line,
    ModbusRtu,
    Nmea0183,
    Nmea2000,
    Slip,
    VeDirect,
)

U8 = LengthField(at=1, type="u8", adds=2)
SUM = CheckSpec(kind="sum-8")


def length(**keys) -> Length:
    return Length(**{"start": "aa", "length": U8, "body": "2:"} | keys)


@pytest.mark.parametrize("kind", [Cobs, Slip, Hdlc, Line, Gap, ModbusRtu, J1939, Nmea2000, Nmea0183, VeDirect, DsmrP1])
def test_defaults_have_no_problem(kind):
    assert framing_problems(kind()) == []


def test_no_framing_has_no_problem():
    assert framing_problems(None) == []


@pytest.mark.parametrize(
    ("spec", "key", "part"),
    [
        (Cobs(max=0), "max", "outside 1..1048576"),
        (Cobs(max=1 << 40), "max", "outside"),
        (Nmea0183(max=4), "max", "outside 5.."),
        (Cobs(check=CheckSpec(kind="crc16")), "check.kind", "crc-16"),
        (Slip(check=CheckSpec(kind="sum-8", at=0)), "check.at", "always last"),
        (Gap(check=CheckSpec(kind="sum-8", from_=-1)), "check.from", "first byte"),
        (Gap(check=CheckSpec(kind="sum-8", from_=1024)), "check.from", "does not fit"),
        (Gap(silence="0ms"), "silence", "longer than nothing"),
        (Hdlc(fcs=16, check=SUM), "fcs", "one of the two"),
        (Hdlc(fcs=32, max=3), "max", "frame check sequence"),
        (Line(end="0"), "end", "not hex"),
        (Line(end=""), "end", "at least one byte"),
        (Line(end="ff"), "end", "no text"),
        (Line(encoding="utf8-nope"), "encoding", "no text encoding"),
        (Line(encoding="hex"), "encoding", "no text encoding"),
        (Nmea0183(start=""), "start", "marks"),
        (Nmea0183(start="$A"), "start", "marks"),
        (Nmea0183(start="*"), "start", "marks"),
        (Nmea0183(start="$$"), "start", "twice"),
        (IsoTp(tx=-1, rx=5), "tx", "no CAN id"),
        (IsoTp(tx=5, rx=5), "rx", "differ"),
        (length(start="zz"), "start", "not hex"),
        (length(start=""), "start", "at least one byte"),
        (length(length=LengthField(at=1, type="u16")), "length.type", "u16be"),
        (length(length=LengthField(at=1, type="s8")), "length.type", "unsigned"),
        (length(length=LengthField(at=-1, type="u8")), "length.at", "first byte"),
        (length(length=LengthField(at=0, type="u8"), body="1:"), "length.at", "inside `start`"),
        (length(length=LengthField(at=1, type="u8", adds=-300)), "length.adds", "largest"),
        (length(max=1), "max", "shortest frame"),
        (length(body="2"), "body", "no slice"),
        (length(body="3:"), "body", "byte 2"),
        (length(body="2:-1"), "body", "belongs to nothing"),
        (length(body="-4:-1", check=SUM), "body", "from the front"),
        (length(body="2:5"), "body", "from the back"),
        (length(check=CheckSpec(kind="sum-8", at=1)), "check.at", "overlaps `length`"),
        (length(check=CheckSpec(kind="sum-8", at=0)), "check.at", "overlaps `start`"),
        (length(body="2:-1", check=CheckSpec(kind="sum-8", from_=3)), None, ""),
        (Fixed(size=0), "size", "outside 1..1024"),
        (Fixed(size=2000), "size", "outside"),
        (Fixed(size=10**15, max=10**18), "size", "outside"),
        (Fixed(size=2, start="010203"), "start", "do not fit"),
        (Fixed(size=3, check=CheckSpec(kind="crc-32-iso-hdlc")), "check.kind", "outside a frame"),
        (Fixed(size=9, check=CheckSpec(kind="sum-8", at=9)), "check.at", "outside a frame"),
        (Fixed(size=9, check=CheckSpec(kind="sum-8", from_=8)), "check.from", "nothing to vouch for"),
        (Fixed(size=10, start="aa", check=CheckSpec(kind="sum-8", at=-2)), "check.at", "byte 9"),
        (Fixed(size=9, body="0:20"), "body", "outside a frame"),
        (Fixed(size=9, start="ff", body="2:"), "body", "byte 1"),
    ],
)
def test_each_mistake_is_named_by_its_key(spec, key: str | None, part: str):
    problems = framing_problems(spec)
    assert [found for found, _message in problems if found == key] == ([key] if key else [])
    assert all(part in message for found, message in problems if found == key)


def test_all_problems_come_at_once():
    spec = Length(
        start="4", length=LengthField(at=-2, type="u16"), check=CheckSpec(kind="nope", from_=-1), body="4", max=0
    )
    keys = ["max", "start", "check.kind", "check.from", "length.at", "length.type", "body"]
    assert [key for key, _message in framing_problems(spec)] == keys


def test_a_check_may_begin_where_the_body_does_for_the_body_may_be_longer_than_nothing():
    xbee = LengthField(at=1, type="u16be", adds=4)
    check = CheckSpec(kind="sum-8-inverted", from_=3)
    assert framing_problems(Length(start="7e", length=xbee, check=check, body="3:-1")) == []


def test_a_check_at_a_fixed_place_that_stands_where_it_begins_vouches_for_nothing():
    check = CheckSpec(kind="sum-8", from_=2, at=2)
    problems = framing_problems(Length(start="aa", length=U8, check=check, body="3:"))
    assert [key for key, _ in problems] == ["check.from"]
