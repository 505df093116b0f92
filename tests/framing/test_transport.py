from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.frame import CAN_EXTENDED, Garbage
from gateway.framing.transport import BROADCAST, Joiner, Pdu, can_id_of, pgn_of

MS = 1_000_000
DM1 = 0xFECA
FAST = 129029  # NMEA 2000 GNSS position data
CONTROL, DATA = 0xEC00, 0xEB00


def begin(control: int, size: int, pgn: int) -> bytes:
    return bytes((control, size & 0xFF, size >> 8, -(-size // 7) & 0xFF, 0xFF)) + pgn.to_bytes(3, "little")


def broadcast(payload: bytes, pgn: int = DM1, source: int = 5, control: int = 32, to: int = BROADCAST) -> list:
    """Return the frames of a transfer as (id, data)."""
    frames = [(can_id_of(CONTROL, source, to), begin(control, len(payload), pgn))]
    for number, place in enumerate(range(0, len(payload), 7), start=1):
        segment = payload[place : place + 7].ljust(7, b"\xff")
        frames.append((can_id_of(DATA, source, to), bytes((number,)) + segment))
    return frames


def fast_packet(payload: bytes, sequence: int = 0, source: int = 5) -> list:
    frames = [(can_id_of(FAST, source), bytes((sequence << 5, len(payload))) + payload[:6].ljust(6, b"\xff"))]
    for number, place in enumerate(range(6, len(payload), 7), start=1):
        frames.append((can_id_of(FAST, source), bytes((sequence << 5 | number,)) + payload[place : place + 7]))
    return frames


def fed(joiner: Joiner, frames: list, start_ns: int = 0, step_ns: int = MS) -> list:
    return [item for index, (i, data) in enumerate(frames) for item in joiner.feed(i, data, start_ns + index * step_ns)]


@pytest.mark.parametrize(
    ("can_id", "pgn", "source", "destination", "priority"),
    [
        (0x0CF00400, 61444, 0x00, BROADCAST, 3),  # EEC1 of the engine
        (0x18FEF100, 65265, 0x00, BROADCAST, 6),  # CCVS
        (0x18EA21F9, 59904, 0xF9, 0x21, 6),  # request to 0x21
        (0x09F8051C, 129029, 0x1C, BROADCAST, 2),  # data page 1
    ],
)
def test_an_id_is_taken_apart_as_j1939_21_says(can_id: int, pgn: int, source: int, destination: int, priority: int):
    assert Joiner().feed(CAN_EXTENDED | can_id, b"12345678", 0) == [
        Pdu(pgn, source, destination, priority, b"12345678", CAN_EXTENDED | can_id)
    ]
    assert pgn_of(can_id) == pgn
    assert can_id_of(pgn, source, destination, priority) == CAN_EXTENDED | can_id


def test_a_broadcast_is_joined_and_its_padding_left_out():
    payload = bytes(range(20))
    assert fed(Joiner(), broadcast(payload)) == [Pdu(DM1, 5, BROADCAST, 6, payload, can_id_of(DM1, 5))]


def test_a_connection_is_joined_while_its_partner_answers():
    payload = bytes(range(16))
    frames = broadcast(payload, pgn=0xEF00, control=16, to=9)
    clear = (can_id_of(CONTROL, 9, 5), bytes((17, 3, 1, 255, 255)) + (0xEF00).to_bytes(3, "little"))
    done = (can_id_of(CONTROL, 9, 5), bytes((19, 16, 0, 3, 255)) + (0xEF00).to_bytes(3, "little"))
    assert fed(Joiner(), [frames[0], clear, *frames[1:], done]) == [
        Pdu(0xEF00, 5, 9, 6, payload, can_id_of(0xEF00, 5, 9))
    ]


def test_segments_asked_for_again_replace_the_first_ones():
    payload = bytes(range(16))
    first, one, two, three = broadcast(payload, pgn=0xEF00, control=16, to=9)
    again = (can_id_of(CONTROL, 9, 5), bytes((17, 2, 2, 255, 255)) + (0xEF00).to_bytes(3, "little"))
    assert [item.payload for item in fed(Joiner(), [first, one, two, again, two, three])] == [payload]


def test_two_transfers_at_once_do_not_mix():
    left, right = broadcast(bytes(20), source=1), broadcast(b"x" * 20, source=2)
    frames = [frame for pair in zip(left, right, strict=True) for frame in pair]
    assert [(item.source, item.payload) for item in fed(Joiner(), frames)] == [(1, bytes(20)), (2, b"x" * 20)]


@settings(deadline=None)
@given(payload=st.binary(min_size=1, max_size=223), sequence=st.integers(0, 7))
def test_a_fast_packet_of_any_size_is_joined(payload: bytes, sequence: int):
    found = fed(Joiner([FAST]), fast_packet(payload, sequence))
    assert [(item.pgn, item.payload) for item in found] == [(FAST, payload)]


@settings(deadline=None)
@given(payload=st.binary(min_size=9, max_size=1785))
def test_a_broadcast_of_any_size_is_joined(payload: bytes):
    assert [item.payload for item in fed(Joiner(), broadcast(payload))] == [payload]


def test_without_its_pgn_in_the_list_a_fast_packet_is_single_frames():
    frames = fast_packet(bytes(20))
    assert [item.payload for item in fed(Joiner(), frames)] == [data for _id, data in frames]


def test_fast_packets_with_two_sequence_numbers_do_not_mix():
    left, right = fast_packet(bytes(20), sequence=1), fast_packet(b"x" * 20, sequence=2)
    frames = [frame for pair in zip(left, right, strict=True) for frame in pair]
    assert [item.payload for item in fed(Joiner([FAST]), frames)] == [bytes(20), b"x" * 20]


def reasons(found: list) -> list[str]:
    return [item.reason if isinstance(item, Garbage) else "pdu" for item in found]


def test_a_missing_segment_ends_the_transfer():
    frames = broadcast(bytes(28))
    assert reasons(fed(Joiner(), [*frames[:2], *frames[3:]])) == ["missing"]


def test_a_doubled_segment_is_refused_and_the_transfer_goes_on():
    frames = fast_packet(bytes(20))
    assert reasons(fed(Joiner([FAST]), [*frames[:2], frames[1], *frames[2:]])) == ["doubled", "pdu"]


def test_segments_without_a_start_are_refused_once_a_transfer():
    frames = broadcast(bytes(20))[1:] + fast_packet(bytes(20))[1:]
    assert reasons(fed(Joiner([FAST]), frames + frames)) == ["no start"] * 4


@settings(deadline=None)
@given(payload=st.binary(min_size=9, max_size=223), lost=st.integers(min_value=0), fast=st.booleans())
def test_a_transfer_that_lost_a_segment_is_one_garbage_and_the_next_is_whole(payload: bytes, lost: int, fast: bool):
    frames = fast_packet(payload) if fast else broadcast(payload)
    del (kept := list(frames))[lost % len(frames)]
    found = fed(Joiner([FAST]), kept + frames)
    assert [type(item) for item in found] == [Garbage, Pdu]
    assert found[1].payload == payload


@settings(deadline=None)
@given(data=st.data(), payload=st.binary(min_size=15, max_size=223), fast=st.booleans())
def test_segments_in_another_order_never_make_a_group(data: st.DataObject, payload: bytes, fast: bool):
    first, *rest = fast_packet(payload) if fast else broadcast(payload)
    mixed = data.draw(st.permutations(rest))
    found = reasons(fed(Joiner([FAST]), [first, *mixed]))
    assert found == (["pdu"] if mixed == rest else ["missing"])


def test_a_new_start_cuts_the_old_transfer():
    frames = broadcast(bytes(14))
    assert reasons(fed(Joiner(), frames[:2] + frames)) == ["cut", "pdu"]


def test_silence_ends_a_transfer():
    joiner = Joiner()
    frames = broadcast(bytes(14))
    assert fed(joiner, frames[:2]) == []
    late = joiner.feed(*frames[2], 900 * MS)
    assert reasons(late) == ["timeout"]


def test_silence_is_counted_from_the_last_segment():
    assert reasons(fed(Joiner(), broadcast(bytes(28)), step_ns=700 * MS)) == ["pdu"]


def test_an_abort_ends_the_transfer():
    frames = broadcast(bytes(16), control=16, to=9)
    abort = (can_id_of(CONTROL, 9, 5), bytes((255, 1, 255, 255, 255)) + DM1.to_bytes(3, "little"))
    assert reasons(fed(Joiner(), [*frames[:2], abort])) == ["aborted"]


@pytest.mark.parametrize("data", [begin(32, 8, DM1), begin(32, 1786, DM1), b"\x20\x14\x00\x09" + bytes(4), b"\x20"])
def test_a_start_that_contradicts_itself_is_refused(data: bytes):
    assert reasons(Joiner().feed(can_id_of(CONTROL, 5), data, 0)) == ["length"]


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x00\x00aaaaaa", b"\x00\xffaaaaaa"])
def test_a_fast_packet_start_that_makes_no_sense_is_refused(data: bytes):
    assert reasons(Joiner([FAST]).feed(can_id_of(FAST, 5), data, 0)) == ["length"]


def test_a_fast_packet_with_short_segments_is_refused():
    frames = fast_packet(bytes(20))
    assert reasons(fed(Joiner([FAST]), [*frames[:2], (frames[2][0], frames[2][1][:3])])) == ["length"]


def test_a_standard_id_is_no_j1939():
    assert Joiner().feed(0x123, b"a", 0) == [Garbage(b"a", "standard id")]


def test_open_transfers_are_bounded_and_the_oldest_gives_way():
    joiner = Joiner([FAST])
    found = []
    for source in range(256):
        for sequence in (0, 1):
            found += joiner.feed(*fast_packet(b"%03d-----" % source, sequence, source)[0], 0)
    assert reasons(found) == ["too many"] * 256
    assert found[0].raw == b"000---"
    assert len(joiner.gap()) == 256
    assert joiner.gap() == []


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([CONTROL, DATA, FAST, DM1]), st.binary(max_size=8), st.integers(0, 10**10))))
def test_no_frame_makes_it_raise(frames: list):
    joiner = Joiner([FAST])
    for pgn, data, now_ns in frames:
        joiner.feed(can_id_of(pgn, 3), data, now_ns)
    joiner.gap()
    assert joiner.gap() == []  # nothing is kept once the line fell silent
