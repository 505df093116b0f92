from __future__ import annotations

import functools
import operator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import UsageError
from gateway.framing.catalogue import ALIASES, CATALOGUE
from gateway.framing.checks import SUMS, check_of, known_checks

NINE = b"123456789"  # what the catalogue's check values are over


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("crc-16-modbus", 0x4B37),
        ("crc-16-ibm-3740", 0x29B1),
        ("crc-16-xmodem", 0x31C3),
        ("crc-8-sae-j1850", 0x4B),
        ("crc-32-iso-hdlc", 0xCBF43926),
        ("crc-15-can", 0x059E),
        ("crc-24-openpgp", 0x21CF02),
        ("crc-5-usb", 0x19),
        ("crc-12-umts", 0xDAF),
        ("adler-32", 0x091E01DE),
        ("fletcher-16", 0x1EDE),
    ],
)
def test_check_values_are_the_published_ones(kind: str, expected: int):
    assert check_of(kind).compute(NINE) == expected


@pytest.mark.parametrize(
    ("kind", "data", "expected"),
    [
        ("sum-8", b"\xff\x02", 0x01),
        ("sum-16", b"\xff\x02", 0x0101),
        ("sum-8-inverted", b"\x01\x02", 0xFC),
        ("lrc", b"\x86" + bytes(6), 0x7A),
        ("lrc", b"\x01\x86" + bytes(5), 0x79),  # MH-Z19B data sheet: the command to read, ff 01 86 00 00 00 00 00 79
        ("fletcher-8-pair", bytes.fromhex("0613 0400 0100f021"), 0x2FD2),  # a UBX-CFG-ANT frame
        ("internet-16", bytes.fromhex("0001f203f4f5f6f7"), 0x220D),  # RFC 1071 section 3: sum ddf2
        ("xor-8", b"", 0),
        ("fletcher-8-pair", b"", 0),
        ("fletcher-16", b"", 0),
    ],
)
def test_plain_sums_are_what_data_sheets_say(kind: str, data: bytes, expected: int):
    assert check_of(kind).compute(data) == expected


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_xor_is_the_xor_of_all_bytes(data: bytes):
    assert check_of("xor-8").compute(data) == functools.reduce(operator.xor, data, 0)


@pytest.mark.parametrize("kind", [*SUMS, *CATALOGUE, "crc-8-smbus", "crc-16-arc", "crc-32-iscsi", "crc-64-xz"])
def test_a_check_fits_into_its_size(kind: str):
    check = check_of(kind)
    for data in (b"", b"\x00", b"\xff" * 40, NINE):
        assert 0 <= check.compute(data) < 256**check.size


def test_every_listed_check_can_be_had():
    assert [kind for kind in known_checks() if check_of(kind).kind != kind] == []


def test_an_alias_is_its_catalogue_entry():
    assert {alias: check_of(alias).kind for alias in ALIASES} == ALIASES
    assert "crc-16-ccitt-false" in check_of("crc-16-ibm-3740").names()


@pytest.mark.parametrize("wrong", ["crc16_modbus", "CRC-16/MODBUS", "crc-16-modbuss"])
def test_an_unknown_kind_names_the_nearest(wrong: str):
    with pytest.raises(UsageError, match="did you mean crc-16-modbus"):
        check_of(wrong)


def test_a_kind_like_no_other_is_refused_without_a_hint():
    with pytest.raises(UsageError, match=r"no checksum is called 'zzzz'$"):
        check_of("zzzz")
