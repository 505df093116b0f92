from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import EncodeError
from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_REMOTE, Element
from gateway.schema.match import apply_when, body_seen, build_matcher, length_bounds
from gateway.schema.spec import AskSpec, MessageSpec, WhenSpec


def matcher(**whens: WhenSpec):
    return build_matcher({name: MessageSpec(when=when) for name, when in whens.items()})


def test_a_single_message_without_facts_takes_every_frame():
    assert matcher(all=WhenSpec())(b"", None) == "all"


def test_the_first_match_in_file_order_wins():
    match = matcher(first=WhenSpec(length="2.."), second=WhenSpec(length=3))
    assert match(b"abc", None) == "first"
    assert match(b"a", None) is None


def test_a_table_of_one_byte_tells_messages_apart():
    match = matcher(one=WhenSpec(bytes={"0": 1}), two=WhenSpec(bytes={"0x0": 2}))
    assert [match(body, None) for body in (b"\x01x", b"\x02", b"\x03", b"")] == ["one", "two", None, None]


def test_bytes_and_length_must_all_hold():
    match = matcher(a=WhenSpec(bytes={"0": 5, "2": 7}, length=3))
    assert match(bytes([5, 0, 7]), None) == "a"
    assert match(bytes([5, 0, 8]), None) is None
    assert match(bytes([5, 0, 7, 0]), None) is None


def test_an_id_over_11_bits_is_an_extended_one():
    match = matcher(
        short=WhenSpec(can_id=0x201), long=WhenSpec(can_id=0x18FEF100), forced=WhenSpec(can_id=1, extended=True)
    )
    assert match(b"", 0x201) == "short"
    assert match(b"", 0x201 | CAN_EXTENDED) is None
    assert match(b"", 0x18FEF100 | CAN_EXTENDED) == "long"
    assert match(b"", 1 | CAN_EXTENDED) == "forced"
    assert match(b"", 1) is None


@pytest.mark.parametrize("flag", [CAN_REMOTE, CAN_ERROR])
def test_remote_and_error_frames_are_no_message(flag):
    assert matcher(a=WhenSpec(can_id=0x201))(b"", 0x201 | flag) is None
    assert matcher(a=WhenSpec(can_id=0x200, can_mask=0x7F0))(b"", 0x201 | flag) is None


def test_a_mask_leaves_bits_of_the_id_open_and_keeps_file_order_with_exact_ids():
    match = matcher(
        masked=WhenSpec(can_id=0x180, can_mask=0x780), exact=WhenSpec(can_id=0x181), other=WhenSpec(can_id=0x301)
    )
    assert match(b"", 0x181) == "masked"
    assert match(b"", 0x1FF) == "masked"
    assert match(b"", 0x301) == "other"


def test_a_pgn_ignores_priority_source_and_the_destination_of_pdu1():
    match = matcher(eec1=WhenSpec(pgn=0xF004), request=WhenSpec(pgn=0xEA00, source=0x21))
    assert match(b"", 0x0CF00400 | CAN_EXTENDED) == "eec1"
    assert match(b"", 0x18F00417 | CAN_EXTENDED) == "eec1"
    assert match(b"", 0x18EAFF21 | CAN_EXTENDED) == "request"
    assert match(b"", 0x18EAFF22 | CAN_EXTENDED) is None


def test_an_advertisement_matches_by_company_service_and_name():
    match = matcher(
        ruuvi=WhenSpec(manufacturer=0x0499, length=24),
        eddystone=WhenSpec(service="0000feaa-0000-1000-8000-00805f9b34fb"),
        named=WhenSpec(manufacturer="any", name="Govee_*"),
    )
    assert match(bytes(24), Element("A", manufacturer=0x0499)) == "ruuvi"
    assert match(bytes(23), Element("A", manufacturer=0x0499)) is None
    assert match(b"", Element("A", service="feaa")) == "eddystone"
    assert match(b"", Element("A", manufacturer=1, name="Govee_H5074")) == "named"
    assert match(b"", Element("A", service="feaa", name="Govee_H5074")) == "eddystone"
    assert match(b"", None) is None


def test_under_any_manufacturer_the_body_begins_with_the_company_id():
    spec = MessageSpec(when=WhenSpec(manufacturer="any"))
    assert body_seen(spec, b"\x05", Element("A", manufacturer=0x0499)) == b"\x99\x04\x05"


def test_a_sentence_is_known_by_its_formatter_whatever_the_talker():
    match = matcher(rmc=WhenSpec(sentence="RMC"))
    assert match(b"GPRMC,1", None) == "rmc"
    assert match(b"GNRMC,1", None) == "rmc"
    assert match(b"PARMC,1", None) is None
    assert match(b"GPRMCX,1", None) is None


def test_a_key_must_stand_at_the_start_of_a_line():
    kv = build_matcher({"h": MessageSpec(format="kv", when=WhenSpec(has="H1")), "s": MessageSpec(format="kv")})
    assert kv(b"\r\nH1\t-1\r\nH2\t0", None) == "h"
    assert kv(b"\r\nH17\t-1\r\nXH1\t0", None) == "s"


def test_messages_that_only_go_out_or_only_answer_never_match():
    match = build_matcher(
        {"cmd": MessageSpec(direction="out"), "asked": MessageSpec(ask=AskSpec(input=0, count=1)), "in": MessageSpec()}
    )
    assert match(b"x", None) == "in"


@pytest.mark.parametrize(("text", "bounds"), [(24, (24, 24)), ("20..", (20, None)), ("..8", (0, 8)), ("4..8", (4, 8))])
def test_a_length_is_a_number_or_a_range(text, bounds):
    assert length_bounds(text) == bounds


@given(body=st.binary(min_size=4, max_size=8), value=st.integers(0, 255))
def test_facts_written_are_facts_matched(body, value):
    spec = MessageSpec(when=WhenSpec(bytes={"1": value}, length="4..8"))
    assert build_matcher({"a": spec})(apply_when(spec, body), None) == "a"


def test_a_fact_outside_the_body_cannot_be_written():
    with pytest.raises(EncodeError, match="byte 9"):
        apply_when(MessageSpec(when=WhenSpec(bytes={"9": 1})), b"abc")


@given(body=st.binary(max_size=12), address=st.one_of(st.none(), st.integers(0, 2**32 - 1)))
def test_no_frame_makes_a_matcher_raise(body, address):
    match = matcher(
        a=WhenSpec(bytes={"3": 1, "-1": 2}),
        b=WhenSpec(pgn=0xF004),
        c=WhenSpec(sentence="RMC"),
        d=WhenSpec(can_id=5, length=8),
    )
    assert match(body, address) in {None, "a", "b", "c", "d"}


def test_a_characteristic_that_is_asked_for_needs_no_when():
    level = MessageSpec(ask=AskSpec(characteristic="2A19"))
    match = build_matcher({"level": level})
    assert match(b"d", Element("", characteristic="2a19")) == "level"
    assert match(b"d", Element("", characteristic="2a37")) is None
    assert match(b"d", None) is None
    assert (
        build_matcher({"narrow": MessageSpec(ask=level.ask, when=WhenSpec(length=1)), "level": level})(
            b"dd", Element("", characteristic="2a19")
        )
        == "level"
    )


WHENS = [
    WhenSpec(pgn=pgn, source=source, length=length)
    for pgn in (0xF004, 0xEA00)
    for source in (None, 5)
    for length in (None, 3)
]


@given(
    whens=st.lists(st.sampled_from(WHENS), min_size=1, max_size=6),
    group=st.sampled_from([0xF004, 0xEA00, 0xEA21, 0xF005]),
    source=st.integers(4, 6),
    size=st.integers(2, 4),
    flags=st.sampled_from([CAN_EXTENDED, CAN_EXTENDED | CAN_REMOTE, 0]),
)
def test_a_table_of_groups_finds_what_the_list_in_file_order_finds(whens, group, source, size, flags):
    address = flags | 6 << 26 | group << 8 | source
    one_by_one = [matcher(only=when, never=WhenSpec(length=9))(bytes(size), address) == "only" for when in whens]
    expected = f"m{one_by_one.index(True)}" if True in one_by_one else None
    assert matcher(**{f"m{place}": when for place, when in enumerate(whens)})(bytes(size), address) == expected


@pytest.mark.parametrize("line", [b"H1\t5", b"x=1,H1=5", b"H1 : 5", b"H1,5"])
def test_a_key_is_had_where_the_layout_would_find_it(line: bytes):
    match = build_matcher({"h": MessageSpec(format="kv", when=WhenSpec(has="H1"))})
    assert match(line, None) == "h"
    assert match(line.replace(b"H1", b"H12"), None) is None
    assert match(line.replace(b"H1", b"x") + b"=H1", None) is None


def test_a_proprietary_sentence_is_named_whole():
    match = matcher(garmin=WhenSpec(sentence="PGRME"), ublox=WhenSpec(sentence="PUBX"), rmc=WhenSpec(sentence="RMC"))
    bodies = [b"PGRME,15.0,M", b"PUBX,00,1", b"GPRMC,1", b"PGRMC,1", b"GRME,1", b"PGRMEX,1"]
    assert [match(body, None) for body in bodies] == ["garmin", "ublox", "rmc", None, None, None]
