"""SPI transfers: what is sent for a request, and which message an answer is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.frame import Garbage
from gateway.schema.spec import AskSpec, BitSpec, FieldSpec, MessageSpec, WhenSpec
from gateway.schema.transfer import SUSPICIOUS_ANSWERS, Suspicion, Transfers, looks_stuck

BYTE = [FieldSpec(name="a", type="u8")]
REGISTERS = {
    "identity": MessageSpec(ask=AskSpec(register=0x50, length=1), fields=BYTE),
    "trim": MessageSpec(ask=AskSpec(register=0x88, length=4), fields=BYTE),
    "sample": MessageSpec(ask=AskSpec(register=0x77, length=3), fields=BYTE),
    "brief": MessageSpec(ask=AskSpec(register=0x77, length=1), fields=BYTE),
}


def transfers(messages=REGISTERS, **link) -> Transfers:
    return Transfers(messages, **{"read_mask": 0x80, "write_mask": 0x7F, "address_bytes": 1, **link})


def read(tx: str, rx: str, **link):
    return transfers(**link).read(bytes.fromhex(tx), bytes.fromhex(rx))


def test_a_register_read_is_known_by_its_address_and_leaves_the_echo_out():
    assert read("d000", "aa42") == ("identity", b"\x42")
    assert read("88 00000000", "00 01020304") == ("trim", b"\x01\x02\x03\x04")


def test_dummy_bytes_may_be_anything():
    assert read("d0ff", "aa42") == ("identity", b"\x42")


def test_of_messages_from_one_register_the_longest_that_was_read_is_meant():
    assert read("f7 00", "00 01") == ("brief", b"\x01")
    assert read("f7 000000", "00 010203") == ("sample", b"\x01\x02\x03")


def test_a_longer_burst_is_handed_on_whole():
    assert read("d0 0000", "00 4243") == ("identity", b"\x42\x43")


@pytest.mark.parametrize(
    ("tx", "rx", "reason"),
    [
        ("88 000000", "00 010203", "length"),
        ("d000", "aa", "length"),
        ("d0", "aa42", "length"),
        ("", "", "length"),
        ("d0", "aa", "length"),
        ("500b", "0000", "write"),
        ("f100", "0000", "unknown"),
    ],
)
def test_what_is_no_message_says_why(tx, rx, reason):
    found = read(tx, rx)
    assert isinstance(found, Garbage)
    assert found.reason == reason


def test_addresses_of_two_bytes_are_big_endian():
    messages = {"far": MessageSpec(ask=AskSpec(register=0x0123, length=1), fields=BYTE)}
    wide = {"messages": messages, "read_mask": 0x8000, "write_mask": 0x7FFF, "address_bytes": 2}
    assert read("8123 00", "ffff 07", **wide) == ("far", b"\x07")
    assert transfers(**wide).request(messages["far"].ask) == bytes.fromhex("812300")
    assert transfers(**wide).write(0x8123, b"\x05") == bytes.fromhex("012305")


def test_full_duplex_requests_are_told_by_what_was_sent_and_read_whole():
    messages = {
        name: MessageSpec(ask=AskSpec(send=sent), fields=BYTE) for name, sent in (("a", "018000"), ("b", "019000"))
    }
    assert read("019000", "0003ff", messages=messages) == ("b", b"\x00\x03\xff")
    assert read("01a000", "0003ff", messages=messages).reason == "write"


def test_a_chip_without_an_input_is_read_whatever_is_clocked_out():
    messages = {"reading": MessageSpec(ask=AskSpec(send="00 00"), fields=BYTE)}
    assert read("0000", "0320", messages=messages) == ("reading", b"\x03\x20")
    assert read("ffff", "0320", messages=messages) == ("reading", b"\x03\x20")
    assert isinstance(read("000000", "032000", messages=messages), Garbage)


def test_facts_of_the_answer_must_hold_too():
    messages = {
        "new": MessageSpec(ask=AskSpec(register=0x10, length=2), when=WhenSpec(bytes={"0": 2}), fields=BYTE),
        "old": MessageSpec(ask=AskSpec(register=0x10, length=2), fields=BYTE),
    }
    assert read("90 0000", "00 0205", messages=messages)[0] == "new"
    assert read("90 0000", "00 0105", messages=messages)[0] == "old"


def test_messages_that_go_out_are_never_read():
    messages = {"order": MessageSpec(direction="out", ask=AskSpec(register=0x10, length=1), fields=BYTE)}
    assert isinstance(read("9000", "0000", messages=messages), Garbage)


@pytest.mark.parametrize("name", sorted(REGISTERS))
def test_what_is_sent_for_a_message_finds_the_message(name):
    tx = transfers().request(REGISTERS[name].ask)
    assert transfers().read(tx, bytes(len(tx)))[0] == name


def test_a_request_of_another_bus_is_refused():
    with pytest.raises(ValueError, match="SPI"):
        transfers().request(AskSpec(characteristic="2a19"))


@given(tx=st.binary(max_size=12), rx=st.binary(max_size=12))
def test_any_two_byte_strings_are_a_message_or_garbage(tx, rx):
    found = transfers().read(tx, rx)
    if isinstance(found, Garbage):
        assert found.reason in {"length", "write", "unknown"}
    else:
        name, body = found
        assert len(tx) == len(rx)
        assert body == rx[1:]
        assert len(body) >= REGISTERS[name].ask.length


IDENTITIES = {
    "chip": MessageSpec(ask=AskSpec(register=0x50, length=1), fields=[FieldSpec(type="u8", const=0x60)]),
    "word": MessageSpec(
        ask=AskSpec(register=0x51, length=3),
        fields=[FieldSpec(name="a", type="u8"), FieldSpec(type="u16be", const=0x1234)],
    ),
    "part": MessageSpec(
        ask=AskSpec(register=0x52, length=1),
        fields=[FieldSpec(type="u8", bits=[BitSpec(at="7:4", const=9), BitSpec(name="version", at="3:0")])],
    ),
    "text": MessageSpec(
        ask=AskSpec(register=0x53, length=2), fields=[FieldSpec(type="bytes", length=2, const="de ad")]
    ),
    "maker": MessageSpec(
        ask=AskSpec(register=0x54, length=2),
        fields=[FieldSpec(name=name, type="u8", invalid=[0x00, 0xFF]) for name in ("maker", "memory")],
    ),
    "axes": MessageSpec(ask=AskSpec(register=0x55, length=2), fields=[FieldSpec(name="x", type="s16le")]),
}


@pytest.mark.parametrize(
    ("name", "body", "told"),
    [
        ("chip", "60", None),
        ("chip", "58", "wrong identity: 0x58, expected 0x60"),
        ("word", "ff1234", None),
        ("word", "001235", "wrong identity: 0x1235, expected 0x1234"),
        ("part", "92", None),
        ("part", "82", "wrong identity: 0x8, expected 0x9"),
        ("text", "dead", None),
        ("text", "beef", "wrong identity: be ef, expected de ad"),
        ("chip", "", "0 of 1 bytes were read"),
    ],
)
def test_a_wrong_device_is_told_by_what_it_should_have_said(name, body, told):
    assert transfers(IDENTITIES).identity_fault(name, bytes.fromhex(body)) == told


@pytest.mark.parametrize(("name", "size"), [("chip", 1), ("word", 3), ("part", 1), ("text", 2), ("maker", 2)])
@pytest.mark.parametrize(("level", "told"), [(0xFF, "MISO stuck high (all 0xff)"), (0x00, "MISO stuck low (all 0x00)")])
def test_a_line_that_never_moves_is_told_apart_from_a_wrong_device(name, size, level, told):
    fault = transfers(IDENTITIES).identity_fault(name, bytes([level]) * size)
    assert fault == f"{told}: check power, wiring and chip select"


def test_equal_bytes_are_no_fault_where_the_message_does_not_contradict_them():
    assert transfers(IDENTITIES).identity_fault("axes", b"\xff\xff") is None
    assert transfers(IDENTITIES).identity_fault("axes", b"\x00\x00") is None


@given(st.sampled_from(sorted(IDENTITIES)), st.binary(max_size=5))
def test_whatever_was_read_gets_a_verdict(name, body):
    fault = transfers(IDENTITIES).identity_fault(name, body)
    assert fault is None or fault.strip()


@given(st.sampled_from([0x00, 0xFF]), st.integers(1, 50))
def test_equal_bytes_of_either_level_look_stuck(level, size):
    assert looks_stuck(bytes([level]) * size)


@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"\x55\x55", b"\xff\xff\xfe"])
def test_other_bodies_do_not_look_stuck(body):
    assert not looks_stuck(body)


def test_suspicion_rises_after_so_many_stuck_looking_bodies_in_a_row_and_anew():
    suspicion = Suspicion()
    raised = [suspicion.is_raised_by(b"\xff\xff") for _ in range(2 * SUSPICIOUS_ANSWERS)]
    assert raised == ([False] * (SUSPICIOUS_ANSWERS - 1) + [True]) * 2


def test_one_living_answer_clears_the_suspicion():
    suspicion = Suspicion()
    bodies = [b"\xff"] * (SUSPICIOUS_ANSWERS - 1) + [b"\x12"] + [b"\xff"] * (SUSPICIOUS_ANSWERS - 1)
    assert not any(suspicion.is_raised_by(body) for body in bodies)
