from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import EncodeError
from gateway.frame import CAN_EXTENDED, Garbage
from gateway.framing.build import build_joiner
from gateway.framing.isotp import FRAME_SIZES, IsoTpJoiner, IsoTpPdu, partner_of, segments
from gateway.framing.rules import framing_problems
from gateway.framing.spec import IsoTp

MS = 1_000_000
TESTER, ECU = 0x7E0, 0x7E8
ONE = IsoTp(tx=TESTER, rx=ECU)
EIGHT = IsoTp(tx=TESTER, rx=ECU, mask=0x7F8)
# the answer to 09 02 of ISO 15765-4: a vehicle identification number in three frames
VIN_FRAMES = ["1014490201314434", "2147503030523535", "2242313233343536"]
VIN = bytes.fromhex("490201") + b"1D4GP00R55B123456"


def joiner(spec: IsoTp = ONE) -> IsoTpJoiner:
    return IsoTpJoiner(spec)


def fed(frames: list, taken: IsoTpJoiner | None = None, can_id: int = ECU, step_ns: int = MS) -> list:
    taken = taken or joiner()
    return [item for n, data in enumerate(frames) for item in taken.feed(can_id, data, n * step_ns)]


def reasons(found: list) -> list[str]:
    return [item.reason if isinstance(item, Garbage) else "pdu" for item in found]


def of_hex(texts: list[str]) -> list[bytes]:
    return [bytes.fromhex(text) for text in texts]


def test_the_standards_kinds_of_frame_join_to_the_message():
    assert fed(of_hex(VIN_FRAMES)) == [IsoTpPdu(VIN, ECU)]


def test_a_single_frame_is_a_message_without_its_padding():
    assert fed([bytes.fromhex("03410d32aaaaaaaa")]) == [IsoTpPdu(bytes.fromhex("410d32"), ECU)]


def test_a_can_fd_single_frame_says_its_size_in_the_second_byte():
    assert fed([b"\0\x0a" + bytes(range(10))]) == [IsoTpPdu(bytes(range(10)), ECU)]


def test_a_message_over_4095_bytes_says_its_size_in_32_bits():
    body = bytes(range(256)) * 20
    assert segments(body)[0][:6] == b"\x10\x00\x00\x00\x14\x00"
    assert fed(segments(body), joiner(IsoTp(tx=1, rx=ECU, max=5120))) == [IsoTpPdu(body, ECU)]


@settings(deadline=None)
@given(
    body=st.binary(min_size=1, max_size=700),
    size=st.sampled_from(FRAME_SIZES),
    padding=st.sampled_from([None, 0, 0xCC, 0xFF]),
)
def test_what_is_split_joins_again(body: bytes, size: int, padding: int | None):
    frames = segments(body, frame_bytes=size, padding=padding)
    assert all(len(frame) <= 8 or len(frame) in FRAME_SIZES for frame in frames)
    assert fed(frames) == [IsoTpPdu(body, ECU)]


@settings(deadline=None)
@given(data=st.data(), body=st.binary(min_size=8, max_size=300))
def test_a_message_that_lost_a_segment_is_one_garbage_and_the_next_is_whole(data: st.DataObject, body: bytes):
    frames = segments(body)
    lost = data.draw(st.integers(0, len(frames) - 1))
    found = fed([*frames[:lost], *frames[lost + 1 :], *frames])
    assert reasons(found) == [reasons(found)[0], "pdu"]
    assert found[-1].payload == body


@settings(deadline=None)
@given(data=st.data(), body=st.binary(min_size=8, max_size=120), lost=st.sets(st.integers(0, 20), min_size=1))
def test_whatever_is_lost_never_makes_a_wrong_message(data: st.DataObject, body: bytes, lost: set[int]):
    frames = [frame for place, frame in enumerate(segments(body)) if place not in lost]
    doubled = data.draw(st.sets(st.integers(0, 20)))
    heard = [frame for place, frame in enumerate(frames) for _ in range(1 + (place in doubled))]
    assert {item.payload for item in fed(heard) if isinstance(item, IsoTpPdu)} <= {body}


@settings(deadline=None)
@given(data=st.data(), body=st.binary(min_size=16, max_size=300))
def test_a_doubled_segment_breaks_the_message_as_the_standard_asks(data: st.DataObject, body: bytes):
    frames = segments(body)
    place = data.draw(st.integers(1, len(frames) - 2))
    assert reasons(fed([*frames[: place + 1], *frames[place:]])) == ["doubled"]


def test_a_message_in_sixteen_segments_or_more_counts_on_from_zero():
    numbers = [frame[0] & 0xF for frame in segments(bytes(200))[1:]]
    assert numbers == [*range(1, 16), *range(13)]


def test_segments_without_a_first_frame_are_one_garbage():
    assert reasons(fed(of_hex(VIN_FRAMES)[1:])) == ["no start"]


def test_two_messages_without_their_first_frames_are_two():
    assert reasons(fed(of_hex(VIN_FRAMES)[1:] * 2)) == ["no start"] * 2


def test_a_new_start_cuts_the_message_before():
    frames = of_hex(VIN_FRAMES)
    assert reasons(fed([*frames[:2], *frames])) == ["cut", "pdu"]
    assert reasons(fed([*frames[:2], bytes.fromhex("03410d32")])) == ["cut", "pdu"]


def test_the_end_cuts_what_is_open():
    taken = joiner()
    fed(of_hex(VIN_FRAMES)[:2], taken)
    assert taken.gap() == [Garbage(VIN[:13], "cut")]
    assert taken.gap() == []


def test_more_than_a_second_of_silence_ends_a_message():
    assert reasons(fed(of_hex(VIN_FRAMES), step_ns=1000 * MS)) == ["pdu"]
    assert reasons(fed(of_hex(VIN_FRAMES), step_ns=1200 * MS)) == ["timeout"]


@settings(deadline=None)
@given(body=st.binary(min_size=30, max_size=60), lost=st.sets(st.integers(0, 8), min_size=1, max_size=4))
def test_a_message_that_lost_several_segments_is_still_one_garbage(body: bytes, lost: set[int]):
    frames = [frame for place, frame in enumerate(segments(body)) if place not in lost]
    taken = joiner()
    found = fed(frames, taken) + taken.gap()
    whole = len(frames) == len(segments(body))
    assert [isinstance(item, Garbage) for item in found] == ([] if not frames else [not whole])


@settings(deadline=None)
@given(data=st.data(), body=st.binary(min_size=14, max_size=100))
def test_segments_in_another_order_are_one_garbage(data: st.DataObject, body: bytes):
    first, *rest = segments(body)
    mixed = data.draw(st.permutations(rest))
    found = reasons(fed([first, *mixed]))
    assert found == (["pdu"] if mixed == rest else ["missing"])
    assert reasons(fed([first, *mixed, first, *rest]))[-1] == "pdu"


def test_flow_control_yields_nothing_and_keeps_the_message_alive():
    taken, frames, late = joiner(), of_hex(VIN_FRAMES), 900 * MS
    assert taken.feed(ECU, frames[0], 0) == []
    assert taken.feed(TESTER, bytes.fromhex("310000"), late) == []
    assert taken.feed(TESTER, bytes.fromhex("3000000000000000"), 2 * late) == []
    assert taken.feed(ECU, frames[1], 2 * late + 1) == []
    assert reasons(taken.feed(ECU, frames[2], 2 * late + 2)) == ["pdu"]


def test_a_receiver_without_room_ends_the_message():
    taken, frames = joiner(), of_hex(VIN_FRAMES)
    taken.feed(ECU, frames[0], 0)
    assert reasons(taken.feed(TESTER, bytes.fromhex("320000"), 1)) == ["aborted"]


def test_both_directions_are_joined_and_do_not_mix():
    taken = joiner()
    there, back = segments(bytes(range(20))), segments(bytes(range(20, 40)))
    found = []
    for one, other in zip(there, back, strict=True):
        found += taken.feed(TESTER, one, 0) + taken.feed(ECU, other, 0)
    assert [(item.can_id, item.payload[0]) for item in found] == [(TESTER, 0), (ECU, 20)]


def test_a_mask_widens_the_transport_to_several_units_that_do_not_mix():
    taken, frames = joiner(EIGHT), of_hex(VIN_FRAMES)
    found = [item for frame in frames for unit in range(8) for item in taken.feed(ECU + unit, frame, 0)]
    assert [(item.can_id, item.payload) for item in found] == [(ECU + unit, VIN) for unit in range(8)]
    assert partner_of(EIGHT, 0x7EB) == 0x7E3
    assert partner_of(EIGHT, 0x7E3) == 0x7EB
    assert partner_of(EIGHT, 0x7DF) is None


def test_frames_outside_the_transport_pass_as_they_are():
    frame = bytes.fromhex(VIN_FRAMES[0])
    for outside in (0x123, 0x7E9, ECU | CAN_EXTENDED):
        assert joiner().feed(outside, frame, 0) == [IsoTpPdu(frame, outside)]


def test_extended_ids_are_told_from_standard_ones():
    spec = IsoTp(tx=0x18DA10F1, rx=0x18DAF110)
    frame = bytes.fromhex("03410d32")
    assert joiner(spec).feed(0x18DAF110 | CAN_EXTENDED, frame, 0)[0].payload == frame[1:]
    assert partner_of(spec, 0x18DAF110 | CAN_EXTENDED) == 0x18DA10F1 | CAN_EXTENDED


def test_fixed_addresses_name_target_and_source_so_that_partners_mirror_each_other():
    spec = IsoTp(tx=0x18DA10F1, rx=0x18DAF110, mask=0x1FFFFF00)  # ISO 15765-4: any unit, and the tester F1
    assert framing_problems(spec) == []
    assert partner_of(spec, 0x18DAF128 | CAN_EXTENDED) == 0x18DA28F1 | CAN_EXTENDED
    assert partner_of(spec, 0x18DA28F1 | CAN_EXTENDED) == 0x18DAF128 | CAN_EXTENDED
    assert partner_of(spec, 0x18DA28F2 | CAN_EXTENDED) is None
    assert partner_of(spec, 0x18DB33F1 | CAN_EXTENDED) is None  # functional: to all of them
    taken, frames = joiner(spec), of_hex(VIN_FRAMES)
    unit, tester = 0x18DAF128 | CAN_EXTENDED, 0x18DA28F1 | CAN_EXTENDED
    found = taken.feed(unit, frames[0], 0) + taken.feed(tester, bytes.fromhex("300000"), 0)
    found += taken.feed(unit, frames[1], 0) + taken.feed(unit, frames[2], 0)
    assert found == [IsoTpPdu(VIN, unit)]


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "00",
        "08410d3200000000",  # eight bytes do not fit behind their size
        "05410d32",  # shorter than it says
        "1007490201314434",  # what fits a single frame
        "101449020131",  # a short first frame
        "1000000000ff0102",  # 32 bits for what 12 can say
        "0007" + "00" * 10,  # FD: what fits a classic single frame
        "000b" + "00" * 10,  # FD: shorter than it says
        "03" + "00" * 11,  # FD: a classic size
        "3000",
    ],
)
def test_a_frame_whose_lengths_contradict_is_refused(frame: str):
    assert reasons(fed([bytes.fromhex(frame)])) == ["length"]


def test_a_segment_of_the_wrong_length_breaks_the_message():
    first, second, last = of_hex(VIN_FRAMES)
    assert reasons(fed([first, second[:7], last])) == ["length"]
    assert reasons(fed([first, second, last[:7]])) == ["length"]


@pytest.mark.parametrize("frame", ["40", "f000000000000000", "3300000000000000"])
def test_a_reserved_kind_of_frame_is_refused(frame: str):
    assert reasons(fed([bytes.fromhex(frame)])) == ["unknown"]


def test_a_message_over_max_is_refused_once():
    assert reasons(fed(segments(bytes(30)), joiner(IsoTp(tx=TESTER, rx=ECU, max=29)))) == ["too long"]


def test_open_messages_are_bounded_and_the_oldest_gives_way():
    taken = joiner(IsoTp(tx=0x7FF, rx=0, mask=0x400))
    found = [item for can_id in range(300) for item in taken.feed(can_id, bytes.fromhex(VIN_FRAMES[0]), 0)]
    assert reasons(found) == ["too many"] * 44
    assert len(taken.gap()) == 256


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([TESTER, ECU, 1]), st.binary(max_size=64), st.integers(0, 10**10))))
def test_no_frame_makes_it_raise(frames: list):
    taken = joiner()
    for can_id, data, now_ns in frames:
        taken.feed(can_id, data, now_ns)
    taken.gap()
    assert taken.gap() == []  # nothing is kept once the line fell silent


def test_the_framing_table_builds_it():
    assert isinstance(build_joiner(ONE), IsoTpJoiner)


@pytest.mark.parametrize("arguments", [{"body": b""}, {"body": b"a", "frame_bytes": 10}])
def test_what_cannot_be_split_is_an_error(arguments: dict):
    with pytest.raises(EncodeError):
        segments(**arguments)


def test_ids_that_the_mask_does_not_tell_apart_are_a_problem():
    assert framing_problems(EIGHT) == []
    assert [key for key, _ in framing_problems(IsoTp(tx=TESTER, rx=ECU, mask=0x7F0))] == ["mask"]
    assert [key for key, _ in framing_problems(IsoTp(tx=TESTER, rx=TESTER))] == ["rx"]
    assert [key for key, _ in framing_problems(IsoTp(tx=1, rx=2, mask=1 << 40))] == ["mask"]
