"""A refused sentence or line is shown as it stood on the wire."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.inputs_wire import LineWindow, SentenceWindow, flag_in_front, window_of
from gateway.frame import Garbage
from gateway.framing.build import build_framer
from gateway.framing.spec import Cobs, Hdlc, Line, Nmea0183, Slip

SENTENCES = [
    b"$GPZDA,,,,,,*48\r\n",
    b"!AIVDM,1,1,,A,x,0*5E\n",
    b"$GPZDA,,,,,,*48",
    b"!GPZDA,,,,,,*48\r\n",
    b"$A*41\r\n",
]


@given(st.lists(st.sampled_from(SENTENCES), max_size=8), st.lists(st.integers(0, 150), max_size=5))
def test_every_sentence_is_found_wherever_the_stream_is_cut(sentences, places):
    stream = b"".join(sentences)
    ends = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    framer, window = build_framer(Nmea0183()), SentenceWindow(Nmea0183())
    found = []

    for begin, end in itertools.pairwise(ends):
        window.feed(stream[begin:end])
        bodies = framer.feed(stream[begin:end])
        found += [window.wire(body) for body in bodies if not isinstance(body, Garbage)]

    assert [wire.rstrip() for wire in found] == [sentence.rstrip() for sentence in sentences]


def test_a_whole_line_comes_with_its_end():
    window = SentenceWindow(Nmea0183())
    window.feed(b"noise" + SENTENCES[0] + SENTENCES[1])

    assert [window.wire(b"GPZDA,,,,,,"), window.wire(b"AIVDM,1,1,,A,x,0")] == SENTENCES[:2]


def test_a_sentence_from_elsewhere_is_its_body():
    assert SentenceWindow(Nmea0183()).wire(b"GPZDA") == b"GPZDA"


LINES = [b"a\n", b"a\r\n", b"aa\r\n", b"x a\n", b"b\n"]


@given(st.lists(st.sampled_from(LINES), max_size=8), st.lists(st.integers(0, 40), max_size=5))
def test_every_line_is_found_with_its_end_wherever_the_stream_is_cut(lines, places):
    stream = b"".join(lines)
    ends = [0, *sorted(min(place, len(stream)) for place in places), len(stream)]
    framer, window = build_framer(Line()), LineWindow(Line())
    found = []

    for begin, end in itertools.pairwise(ends):
        window.feed(stream[begin:end])
        found += [window.wire(body) for body in framer.feed(stream[begin:end])]

    assert found == lines


def test_only_what_can_be_written_in_several_ways_is_looked_up():
    assert isinstance(window_of(Line()), LineWindow)
    assert isinstance(window_of(Nmea0183()), SentenceWindow)
    assert [window_of(spec) for spec in (Line(end="0d 0a"), Cobs())] == [None, None]
    assert [flag_in_front(spec) for spec in (Hdlc(), Slip(), Cobs(), None)] == [1, 1, 0, 0]
