from __future__ import annotations

import pytest

from gateway.errors import EncodeError
from gateway.frame import Garbage
from gateway.framing.dsmr import DsmrP1Framer

BODY = b"ISk5\\2MT382-1000\r\n\r\n1-0:1.8.1(00001.001*kWh)\r\n"
OLD = b"/" + BODY + b"!\r\n"  # DSMR 2.2: no CRC


def framer() -> DsmrP1Framer:
    return DsmrP1Framer(8192)


def test_the_body_is_the_text_between_slash_and_exclamation_mark():
    telegram = framer().encode(BODY)
    assert telegram == b"/" + BODY + b"!E37F\r\n"
    assert framer().feed(telegram) == [BODY]


def test_a_telegram_without_crc_is_taken_when_its_line_ends():
    one = framer()
    assert one.feed(OLD[:-2]) == []
    assert one.feed(b"\r") == [BODY]
    assert one.feed(b"\n") == []
    assert one.statistics().frame_bytes == len(OLD)


def test_a_telegram_that_names_its_version_needs_its_crc():
    telegram = b"/X\r\n\r\n1-3:0.2.8(42)\r\n!\r\n"
    assert framer().feed(telegram) == [Garbage(telegram, "check")]


@pytest.mark.parametrize(
    "telegram",
    [b"/!\r\n", b"/ISk5\\2MT382\r\n\r\n!\r\n", b"/12\r\n\r\n1-0:1.8.1(1)\r\n!\r\n", b"/ISk51-0:1.8.1(1)!\r\n"],
)
def test_without_crc_only_what_looks_like_a_meter_is_taken(telegram: bytes):
    one = framer()
    assert [found for found in [*one.feed(telegram), *one.gap()] if isinstance(found, bytes)] == []
    assert one.statistics().garbage_bytes == len(telegram)


def test_a_telegram_without_crc_may_be_the_last_thing_in_a_file():
    one = framer()
    assert one.feed(OLD[:-2]) == []
    assert one.gap() == [BODY]


def test_a_slash_restarts_the_telegram():
    cut = b"/ISk5\\2MT382-1000\r\n\r\n1-0:1.8.1(00"
    assert framer().feed(cut + OLD) == [Garbage(cut, "cut"), BODY]


def test_a_wrong_crc_is_refused_whole_and_the_next_telegram_is_found():
    good = framer().encode(BODY)
    bad = good.replace(b"00001", b"00002")
    assert framer().feed(bad + good) == [Garbage(bad, "check"), BODY]


def test_the_crc_may_be_in_lower_case():
    good = framer().encode(BODY)
    assert framer().feed(good.replace(b"E37F", b"e37f")) == [BODY]


def test_a_telegram_cut_off_before_its_crc_is_refused_at_the_gap():
    one = framer()
    part = one.encode(BODY)[:-3]
    assert one.feed(part) == []
    assert one.gap() == [Garbage(part, "check")]


@pytest.mark.parametrize("body", [b"a/b", b"a!b", bytes(9000)])
def test_what_cannot_stand_in_a_telegram_is_not_built(body: bytes):
    with pytest.raises(EncodeError, match="a telegram holds"):
        framer().encode(body)
