"""A refused sentence is shown as it stood on the wire."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.inputs_wire import SentenceWindow
from gateway.frame import Garbage
from gateway.framing.build import build_framer
from gateway.framing.spec import Nmea0183

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
