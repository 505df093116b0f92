from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.schema.compile import compile_message
from gateway.schema.identity import identity_fault, stuck_level
from gateway.schema.spec import AskSpec, BitSpec, FieldSpec, MessageSpec

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


PLANS = {name: compile_message(name, spec) for name, spec in IDENTITIES.items()}


def fault_of(name: str, body: bytes) -> str | None:
    return identity_fault(IDENTITIES[name], PLANS[name], body)


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
    assert fault_of(name, bytes.fromhex(body)) == told


@pytest.mark.parametrize(("name", "size"), [("chip", 1), ("word", 3), ("part", 1), ("text", 2), ("maker", 2)])
@pytest.mark.parametrize(("level", "told"), [(0xFF, "line stuck high (all 0xff)"), (0x00, "line stuck low (all 0x00)")])
def test_a_line_that_never_moves_is_told_apart_from_a_wrong_device(name, size, level, told):
    fault = fault_of(name, bytes([level]) * size)
    assert fault == f"{told}: check power, wiring and chip select"


def test_equal_bytes_are_no_fault_where_the_message_does_not_contradict_them():
    assert fault_of("axes", b"\xff\xff") is None
    assert fault_of("axes", b"\x00\x00") is None


@given(st.sampled_from(sorted(IDENTITIES)), st.binary(max_size=5))
def test_whatever_was_read_gets_a_verdict(name, body):
    fault = fault_of(name, body)
    assert fault is None or fault.strip()


@given(st.sampled_from([0x00, 0xFF]), st.integers(1, 50))
def test_equal_bytes_of_either_level_look_stuck(level, size):
    assert stuck_level(bytes([level]) * size) == ("high" if level else "low")


@pytest.mark.parametrize("body", [b"", b"\x00\xff", b"\x55\x55", b"\xff\xff\xfe"])
def test_other_bodies_do_not_look_stuck(body):
    assert stuck_level(body) == ""
