from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import EncodeError
from gateway.framing.isotp import FRAME_SIZES, IsoTpJoiner, segments
from gateway.framing.isotp_sender import IsoTpSender, flow_control, separation_ns
from gateway.framing.spec import IsoTp

MS = 1_000_000


def test_a_single_frame_needs_nobodys_leave():
    sender = IsoTpSender(b"\x01\x0c", 0)
    assert sender.due(0) == [b"\x02\x01\x0c" + b"\xcc" * 5]
    assert (sender.state, sender.wake_ns) == ("done", None)


def test_after_the_first_frame_it_waits_for_flow_control():
    sender = IsoTpSender(bytes(20), 0)
    assert sender.due(0) == segments(bytes(20))[:1]
    assert (sender.state, sender.wake_ns) == ("waiting", 1000 * MS)
    assert sender.due(999 * MS) == []
    sender.heard(flow_control(), 5 * MS)
    assert sender.due(5 * MS) == segments(bytes(20))[1:]
    assert sender.state == "done"


def test_blocks_and_gaps_are_kept():
    sender, sent = IsoTpSender(bytes(40), 0), []
    sender.due(0)
    sender.heard(flow_control(block=2, separation_ms=10), 0)
    sent.append(sender.due(0))
    assert sender.due(9 * MS) == []
    sent.append(sender.due(10 * MS))
    assert sender.state == "waiting"
    sender.heard(flow_control(block=0), 20 * MS)
    sent.append(sender.due(20 * MS))
    assert [len(frames) for frames in sent] == [1, 1, 3]
    assert [frame for frames in sent for frame in frames] == segments(bytes(40))[1:]


def test_a_gap_begins_where_a_frame_had_been_written():
    sender = IsoTpSender(bytes(40), 0)
    sender.due(0)
    sender.sent(3 * MS)
    assert (sender.state, sender.wake_ns) == ("waiting", 1000 * MS)
    sender.heard(flow_control(separation_ms=10), 4 * MS)
    sender.sent(5 * MS)  # of the frame before: what flow control allows now is due now
    assert sender.wake_ns == 4 * MS
    sender.due(5 * MS)
    sender.sent(7 * MS)
    assert sender.due(16 * MS) == []
    sender.sent(16 * MS)  # nothing was due
    assert len(sender.due(17 * MS)) == 1


def test_what_has_all_been_written_is_done():
    sender = IsoTpSender(bytes(40), 0)
    sender.due(0)
    sender.heard(flow_control(), 0)
    sender.due(0)
    sender.sent(1)
    assert (sender.state, sender.wake_ns) == ("done", None)


def test_no_flow_control_in_a_second_is_a_failure():
    sender = IsoTpSender(bytes(20), 0)
    sender.due(0)
    assert sender.due(1000 * MS) == []
    assert (sender.state, sender.reason, sender.wake_ns) == ("failed", "timeout", None)


@pytest.mark.parametrize(("frame", "reason"), [(flow_control(2), "overflow"), (b"\x33\0\0", "flow status")])
def test_a_refusal_is_a_failure(frame: bytes, reason: str):
    sender = IsoTpSender(bytes(20), 0)
    sender.due(0)
    sender.heard(frame, 1)
    assert (sender.state, sender.reason) == ("failed", reason)


def test_patience_has_an_end():
    sender = IsoTpSender(bytes(20), 0)
    sender.due(0)
    for wait in range(16):
        sender.heard(flow_control(1), wait * 900 * MS)
        assert sender.due(wait * 900 * MS) == []
    assert sender.state == "waiting"
    sender.heard(flow_control(1), 15000 * MS)
    assert (sender.state, sender.reason) == ("failed", "too many waits")


def test_flow_control_that_nobody_waits_for_changes_nothing():
    sender = IsoTpSender(bytes(20), 0)
    sender.heard(flow_control(), 0)
    assert len(sender.due(0)) == 1
    for frame in (b"", b"\x30", b"\x21\0\0\0"):
        sender.heard(frame, 1)
    assert sender.state == "waiting"


def test_the_separation_time_is_read_as_the_standard_writes_it():
    expected = {0: 0, 0x7F: 127 * MS, 0xF1: 100_000, 0xF9: 900_000, 0x80: 127 * MS, 0xFA: 127 * MS}
    assert {code: separation_ns(code) for code in expected} == expected


def test_what_is_no_flow_control_cannot_be_built():
    for arguments in ({"status": 3}, {"block": 256}, {"separation_ms": 128}):
        with pytest.raises(EncodeError):
            flow_control(**arguments)
    assert flow_control(block=8, separation_ms=5, padding=None) == b"\x30\x08\x05"


@settings(deadline=None)
@given(
    body=st.binary(min_size=1, max_size=400),
    size=st.sampled_from(FRAME_SIZES),
    block=st.integers(0, 5),
    gap_ms=st.integers(0, 127),
)
def test_whatever_the_receiver_asks_for_the_message_arrives_whole(body: bytes, size: int, block: int, gap_ms: int):
    sender, joiner, now_ns, found = IsoTpSender(body, 0, frame_bytes=size), IsoTpJoiner(IsoTp(tx=1, rx=2)), 0, []
    while sender.wake_ns is not None:
        if sender.state == "waiting":
            sender.heard(flow_control(block=block, separation_ms=gap_ms), now_ns)
        now_ns = max(now_ns, sender.wake_ns)
        found += [item for frame in sender.due(now_ns) for item in joiner.feed(2, frame, now_ns)]
        now_ns += 1000
        sender.sent(now_ns)
    assert sender.state == "done"
    assert [item.payload for item in found] == [body]
