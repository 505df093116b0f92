from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.frame import CAN_EXTENDED, CAN_REMOTE
from hil.sim.slcan import FD_LENGTHS, SlcanAdapter


def opened():
    adapter = SlcanAdapter()
    assert adapter.feed(b"C\rS6\rO\r") == b"\r\r\r"
    return adapter


@pytest.mark.parametrize(
    ("line", "frame", "answer"),
    [
        (b"t1232AABB\r", (0x123, b"\xaa\xbb"), b"z\r"),
        (b"T18FEF1000\r", (0x18FEF100 | CAN_EXTENDED, b""), b"Z\r"),
        (b"r7FF4\r", (0x7FF | CAN_REMOTE, b""), b"z\r"),
        (b"b1559" + b"00" * 12 + b"\r", (0x155, bytes(12)), b"z\r"),
    ],
)
def test_a_frame_of_the_host_goes_onto_the_bus_and_is_answered(line, frame, answer):
    adapter = opened()
    assert adapter.feed(line) == answer
    assert adapter.frames == [frame]


@pytest.mark.parametrize(
    "line", [b"t12\r", b"t1239AA\r", b"t123zAA\r", b"t1232AA\r", b"TFFFFFFFF0\r", b"q\r", b"t1231\xff\xff\r", b"S6\r"]
)
def test_what_is_no_command_is_refused_and_puts_nothing_on_the_bus(line):
    adapter = opened()
    assert adapter.feed(line) == b"\a"
    assert adapter.frames == []


def test_a_closed_channel_takes_and_tells_nothing():
    adapter = SlcanAdapter()
    assert adapter.feed(b"t1230\r") == b"\a"
    assert adapter.line(0x123, b"") == b""


def test_a_line_that_never_ends_is_forgotten():
    adapter = opened()
    adapter.feed(b"t" * 1000)
    assert adapter.feed(b"\rt1230\r").endswith(b"z\r")


@given(
    st.integers(0, 0x7FF),
    st.sampled_from(FD_LENGTHS).flatmap(lambda size: st.binary(min_size=size, max_size=size)),
    st.booleans(),
    st.lists(st.integers(0, 200)),
)
def test_what_an_adapter_writes_an_adapter_reads_wherever_it_is_cut(number, data, extended, cuts):
    can_id = number | (CAN_EXTENDED if extended else 0)
    line = opened().line(can_id, data)
    adapter, places = opened(), [0, *sorted(cut % (len(line) + 1) for cut in cuts), len(line)]
    for start, end in pairwise(places):
        adapter.feed(line[start:end])
    assert adapter.frames == [(can_id, data)]
