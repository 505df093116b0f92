"""A framing is proposed from what the real framers find in a capture."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.framing.build import build_framer
from gateway.framing.spec import (
    CheckSpec,
    Cobs,
    Fixed,
    Hdlc,
    Length,
    LengthField,
    Line,
    Nmea0183,
    Slip,
)
from gateway.profile.guess import SAMPLE_BYTES, find_check, guess_framing


def bodies(count=40, low=4, high=30, seed=4):
    """Bodies as devices send them: a kind, a counter, and data that moves."""
    source = random.Random(seed)
    return [bytes([1, number & 255]) + source.randbytes(source.randint(low, high)) for number in range(count)]


def capture(framing, sent):
    framer = build_framer(framing)
    return b"".join(framer.encode(body) for body in sent)


FRAMINGS = {
    "cobs": Cobs(),
    "cobs with crc-16": Cobs(check=CheckSpec(kind="crc-16-ibm-3740")),
    "slip": Slip(),
    "slip with crc-32": Slip(check=CheckSpec(kind="crc-32-iso-hdlc", order="little")),
    "hdlc": Hdlc(fcs=16),
    "length and crc": Length(
        start="aa 55",
        length=LengthField(at=2, type="u8", adds=5),
        check=CheckSpec(kind="crc-16-modbus", order="little"),
        body="3:-2",
        max=1024,
    ),
    "one start byte, two of length": Length(
        start="7e",
        length=LengthField(at=1, type="u16be", adds=4),
        check=CheckSpec(kind="sum-8-inverted", from_=3),
        body="3:-1",
        max=1024,
    ),
    "length, two bytes": Length(start="a0 a2", length=LengthField(at=2, type="u16be", adds=4), body="4:", max=1024),
}


@pytest.mark.parametrize("framing", FRAMINGS.values(), ids=FRAMINGS)
def test_the_framing_of_a_capture_is_found_with_its_check(framing):
    sent = bodies()

    best = guess_framing(capture(framing, sent))[0]

    assert best.framing == framing
    assert best.bodies == sent
    assert best.explained == 1


def test_frames_of_one_size_are_found_by_their_start_and_distance():
    framing = Fixed(size=12, start="a5 5a", check=CheckSpec(kind="sum-8"), body="2:-1", max=16)
    sent = bodies(low=7, high=7)

    best = guess_framing(capture(framing, sent))[0]

    assert (best.framing, best.bodies, best.confidence) == (framing, sent, "high")


def test_a_check_before_a_tail_is_found():
    frames = [b"\xaa\xc0" + body + bytes([sum(body) & 255, 0xAB]) for body in bodies(low=4, high=4)]

    best = guess_framing(b"".join(frames))[0]

    assert best.framing == Fixed(
        size=10, start="aa c0", check=CheckSpec(kind="sum-8", from_=2, at=-2), body="2:", max=16
    )


def test_sentences_and_lines_are_told_apart():
    sentences = b"$GPGLL,5057.970,N,00146.110,E,142451,A*27\r\n" * 5

    assert guess_framing(sentences)[0].framing == Nmea0183()
    assert guess_framing(b"temperature 21.5\nhumidity 40\n" * 5)[0].framing == Line()


def test_a_capture_that_begins_and_ends_inside_a_frame_is_no_hindrance():
    framing = FRAMINGS["length and crc"]
    stream = capture(framing, bodies())

    best = guess_framing(stream[7:-5])[0]

    assert best.framing == framing
    assert len(best.bodies) == 38


def test_noise_gives_at_most_a_low_confidence():
    noise = random.Random(7).randbytes(20_000)

    assert {proposal.confidence for proposal in guess_framing(noise)} <= {"low"}


@pytest.mark.parametrize("nothing", [b"", b"\x00", bytes(5000), b"\xff" * 5000, b"ab"])
def test_nothing_is_proposed_where_nothing_is(nothing):
    assert all(proposal.confidence == "low" for proposal in guess_framing(nothing))


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=300))
def test_any_capture_can_be_looked_at(data):
    for proposal in guess_framing(data):
        assert 0 <= proposal.score <= 1
        assert build_framer(proposal.framing)


def test_a_long_capture_is_sampled():
    framing = FRAMINGS["cobs with crc-16"]

    best = guess_framing(capture(framing, bodies(4000)))[0]

    assert best.framing == framing
    assert sum(map(len, best.bodies)) < SAMPLE_BYTES


def test_a_check_is_not_found_by_chance():
    frames = [random.Random(seed).randbytes(12) for seed in range(8)]

    assert find_check(frames, (0, 1, 2)) is None


def test_what_slip_escapes_is_slip_though_all_frames_have_one_size():
    sent = [bytes([5, *body[2:8]]) for body in bodies(low=8, high=8)]
    sent[3] = bytes([5, 0xC0, *sent[3][2:]])
    assert guess_framing(capture(Slip(), sent))[0].framing == Slip()
