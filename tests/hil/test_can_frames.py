"""What can be sent, and how a controller's reports read in SocketCAN's words."""

from __future__ import annotations

import re

import pytest

from drivers._can_errors import read_error
from hil.can_confinement import Counters
from hil.can_frames import ERROR_FLAG, Frame, Report, error_frame, filled, frame_of, with_dlc


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"id": 0x800}, "extended=True"),
        ({"id": 0x20000000, "extended": True}, "0x1fffffff"),
        ({"id": -1}, "from 0"),
        ({"id": "0x123"}, "whole number"),
        ({"id": True}, "whole number"),
        ({"id": 1, "data": bytes(9)}, "fd=True"),
        ({"id": 1, "data": bytes(9), "fd": True}, "fill it up to 12"),
        ({"id": 1, "data": bytes(65), "fd": True}, "64"),
        ({"id": 1, "data": "01"}, "bytes.fromhex"),
        ({"id": 1, "data": [256]}, "0 to 255"),
        ({"id": 1, "data": b"\1", "remote": True}, "no data"),
        ({"id": 1, "remote": True, "fd": True}, "never FD"),
        ({"id": 1, "remote": True, "dlc": 9}, "0 to 8"),
        ({"id": 1, "data": b"\1", "dlc": 3}, "faults.add('dlc'"),
        ({"id": 1, "brs": True}, "fd=True"),
    ],
)
def test_what_is_no_frame_is_refused_with_the_next_step(given, named):
    with pytest.raises(ValueError, match=re.escape(named)):
        frame_of(**given)


def test_an_fd_frame_switches_its_rate_unless_told_otherwise():
    assert frame_of(1, bytes(12), fd=True).brs
    assert not frame_of(1, bytes(12), fd=True, brs=False).brs


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (frame_of(0x12, b"\x0a"), "012#0A"),
        (frame_of(0x12, b"\x0a", extended=True), "00000012#0A"),
        (frame_of(0x12, remote=True, dlc=2), "012#R2"),
        (frame_of(0x12, b"\x0a", fd=True), "012##0A"),
        (Frame(0x4, b"", error=True), "20000004#"),
    ],
)
def test_a_frame_reads_as_candump_writes_it(frame, text):
    assert str(frame) == text


@pytest.mark.parametrize(
    ("frame", "facts"),
    [
        (frame_of(1, b"\1"), {"id": "001"}),
        (frame_of(1, b"\1", fd=True), {"id": "001", "brs": True, "esi": False}),
        (frame_of(1, remote=True, dlc=8), {"id": "001", "dlc": 8}),
        (frame_of(1, remote=True), {"id": "001", "dlc": 0}),
        (with_dlc(frame_of(1, bytes(8)), 15), {"id": "001", "dlc": 15}),
    ],
)
def test_a_trace_says_of_a_frame_what_its_data_does_not(frame, facts):
    assert frame.facts() == facts


@pytest.mark.parametrize(
    ("frame", "code", "data", "dlc"),
    [
        (frame_of(1, b"abcdefgh"), 3, b"abc", 3),
        (frame_of(1, b"ab"), 4, b"ab\0\0", 4),
        (frame_of(1, b"ab"), 12, b"ab" + bytes(6), 12),
        (frame_of(1, b"ab", fd=True), 9, b"ab" + bytes(10), 12),
        (frame_of(1, remote=True), 5, b"", 5),
    ],
)
def test_a_length_field_decides_how_much_data_there_is(frame, code, data, dlc):
    changed = with_dlc(frame, code)
    assert (changed.data, changed.dlc, changed.code) == (data, dlc, code)


def test_a_driver_fills_an_fd_frame_up_with_zeros():
    assert filled(Frame(1, b"a" * 9, fd=True)).data == b"a" * 9 + bytes(3)
    assert filled(Frame(1, b"a" * 65, fd=True)).data == b"a" * 65


@pytest.mark.parametrize(
    ("report", "state", "kinds"),
    [
        (Report("bit", is_sending=True), None, ("bit",)),
        (Report("stuff"), None, ("stuff",)),
        (Report("form"), None, ("form",)),
        (Report("ack", is_sending=True), None, ("ack",)),
        (Report(state="warning"), "error-warning", ()),
        (Report("bit", is_sending=True, state="passive"), "error-passive", ("bit",)),
        (Report("bit", is_sending=True, state="bus_off"), "bus-off", ("bit",)),
        (Report(state="active", is_restarted=True), "error-active", ()),
    ],
)
def test_the_gateway_understands_each_report_of_a_controller(report, state, kinds):
    frame = error_frame(report, Counters(100, 7))
    read = read_error(frame.id | ERROR_FLAG, frame.data)
    assert (read.state, read.kinds, read.restarted) == (state, kinds, report.is_restarted)
    assert read.counters == (100, 7)


def test_the_counters_of_a_report_stop_at_a_byte():
    assert error_frame(Report(state="bus_off"), Counters(256, 300)).data[6:] == b"\xff\xff"
