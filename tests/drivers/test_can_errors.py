from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers._can_errors import STATES, ErrorReport, read_error
from gateway.frame import CAN_ERROR


def frame(classes, hex_data):
    return read_error(CAN_ERROR | classes, bytes.fromhex(hex_data))


# Frames that the drivers of Linux 6.1 send: slcan was recorded, the others are written after their source.
@pytest.mark.parametrize(
    ("classes", "data", "expected"),
    [
        (0x204, "0004000000000060", ErrorReport("error-warning", False, (), (0, 0x60))),
        (0x204, "0020000000008700", ErrorReport("error-passive", False, (), (0x87, 0))),
        (0x204, "0040000000000000", ErrorReport("error-active", False, (), (0, 0))),
        (0x040, "0000000000000000", ErrorReport("bus-off", False, (), None)),
        (0x100, "0000000000000000", ErrorReport("error-active", True, (), None)),
        (0x004, "0008000000006000", ErrorReport("error-warning", False, (), (0x60, 0))),  # before CAN_ERR_CNT
        (0x088, "0000010800000000", ErrorReport(None, False, ("bit", "crc"), None)),
        (0x088, "0000050800000000", ErrorReport(None, False, ("bit", "stuff", "crc"), None)),
        (0x0A8, "0000001900000000", ErrorReport(None, False, ("ack",), None)),
        (0x08C, "0001000000000000", ErrorReport(None, False, ("rx-overflow",), None)),
        (0x002, "1f00000000000000", ErrorReport(None, False, ("arbitration",), None)),
        (0x001, "0000000000000000", ErrorReport(None, False, ("tx-timeout",), None)),
        (0x010, "0000000004000000", ErrorReport(None, False, ("transceiver",), None)),
        (0x008, "0000020000000000", ErrorReport(None, False, ("form",), None)),
        (0x008, "0000200000000000", ErrorReport(None, False, ("overload",), None)),
        (0x080, "0000000000000000", ErrorReport(None, False, ("bus",), None)),
    ],
)
def test_an_error_frame_is_read_as_linux_wrote_it(classes, data, expected):
    assert frame(classes, data) == expected


def test_the_worst_of_several_states_counts():
    assert frame(0x004, "0014000000000000").state == "error-passive"


def test_a_cut_error_frame_counts_its_missing_bytes_as_zero():
    assert read_error(CAN_ERROR | 0x04, b"\x00\x10").state == "error-passive"


@given(st.integers(0, 0xFFFFFFFF), st.binary(max_size=80))
def test_whatever_an_error_frame_holds_it_is_read(can_id, data):
    report = read_error(can_id, data)
    assert report.state in {None, *STATES}
    assert len(set(report.kinds)) == len(report.kinds)
