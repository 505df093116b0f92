from __future__ import annotations

import pytest

from gateway.errors import EncodeError
from gateway.frame import Garbage
from gateway.framing.nmea0183 import Nmea0183Framer

GGA = b"GPGGA,092750.000,5321.6802,N,00630.3372,W,1,8,1.03,61.7,M,55.2,M,,"  # sum 76, from the NMEA primer


def framer(max_bytes: int = 1024) -> Nmea0183Framer:
    return Nmea0183Framer("$!", max_bytes)


def test_a_sentence_is_what_stands_between_start_and_star():
    assert framer().feed(b"$" + GGA + b"*76\r\n") == [GGA]
    assert framer().encode(GGA) == b"$" + GGA + b"*76\r\n"


def test_a_sentence_comes_before_its_line_end_does():
    one = framer()
    assert one.feed(b"$" + GGA + b"*76") == [GGA]
    assert one.feed(b"\r") == []
    assert one.feed(b"\n") == []
    counts = one.statistics()
    assert (counts.frame_bytes, counts.empty_bytes, counts.pending_bytes) == (len(GGA) + 6, 0, 0)


@pytest.mark.parametrize("digits", [b"0a", b"0A"])
def test_the_check_may_be_in_either_case(digits: bytes):
    assert framer().feed(b"$J@*" + digits) == [b"J@"]


def test_ais_sentences_begin_with_an_exclamation_mark():
    sentence = b"!AIVDM,1,1,,B,177KQJ5000G?tO`K>RA1wUbN0TKH,0*5C"
    assert framer().feed(sentence + b"\r\n") == [sentence[1:-3]]


def test_a_start_within_begins_anew():
    assert framer().feed(b"$GPGGA,09$" + GGA + b"*76\r\n") == [Garbage(b"$GPGGA,09", "cut"), GGA]


def test_a_wrong_or_missing_check_is_refused_with_its_line_end():
    assert framer().feed(b"$" + GGA + b"*77\r\n$GPGLL\r\n$J@*0A\r\n") == [
        Garbage(b"$" + GGA + b"*77\r\n", "check"),
        Garbage(b"$GPGLL\r\n", "cut"),
        b"J@",
    ]


def test_comments_binary_and_tag_blocks_between_sentences_are_garbage_line_by_line():
    one = framer()
    assert one.feed(b"# a comment\r\n\xb5\x62\x01$J@*0A\r\n\r\n\\s:x*55\\$J@*0A") == [
        Garbage(b"# a comment\r\n", "noise"),
        Garbage(b"\xb5\x62\x01", "noise"),
        b"J@",
        Garbage(b"\\s:x*55\\", "noise"),
        b"J@",
    ]
    assert one.statistics().empty_bytes == 2


def test_a_sentence_over_max_is_refused():
    assert framer(10).feed(b"$abcdefg*00\r\n$J@*0A") == [Garbage(b"$abcdefg*00\r\n", "too long"), b"J@"]


def test_a_sentence_that_is_cut_off_is_refused_at_the_gap():
    one = framer()
    assert one.feed(b"$J@*0") == []
    assert one.gap() == [Garbage(b"$J@*0", "check")]


@pytest.mark.parametrize("body", [b"a$b", b"a*b", b"a\nb", bytes(2000)])
def test_what_cannot_stand_in_a_sentence_is_not_built(body: bytes):
    with pytest.raises(EncodeError, match="a sentence holds"):
        framer().encode(body)
