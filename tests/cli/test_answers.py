"""In a recording, a body is the answer to the request seen before it, or to the only one of its length."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.cli.answers import Answers
from gateway.framing.spec import ModbusRtu
from gateway.profile.model import LinkSpec, ParamSpec, Profile, ProfileHead
from gateway.schema.spec import AskSpec, MessageSpec, WhenSpec

HEAD = ProfileHead(id="a/b@1.0.0")
METER = Profile(
    profile=HEAD,
    link=LinkSpec(bus="uart"),
    framing=ModbusRtu(),
    params={"unit": ParamSpec(type="u8", default=1)},
    message={
        "live": MessageSpec(ask=AskSpec(input=0, count=2)),
        "twin": MessageSpec(ask=AskSpec(input=8, count=2)),
        "energy": MessageSpec(ask=AskSpec(input=0x46, count=3)),
        "relays": MessageSpec(ask=AskSpec(coils=0, count=9)),
        "told": MessageSpec(ask=AskSpec(input=0, count=4), when=WhenSpec(length=8)),
        "write": MessageSpec(ask=AskSpec(holding=0, count=5), direction="out"),
    },
)
SENSOR = Profile(
    profile=HEAD, link=LinkSpec(bus="spi"), message={"id": MessageSpec(ask=AskSpec(register=0xD0, length=1))}
)


def answers(payload: bool = False, **given: Any) -> Answers:
    return Answers(METER, given, payload=payload)


def unit(function: int, data: bytes, number: int = 1) -> bytes:
    return bytes([number, function, len(data)]) + data


def test_the_request_before_it_tells_answers_of_one_length_apart():
    one = answers()
    assert one.find(unit(4, b"abcd")) is None
    assert one.find(bytes([1, 4, 0, 8, 0, 2])) is None
    assert one.find(unit(4, b"abcd")) == ("twin", b"abcd")
    assert one.find(unit(4, b"abcd")) is None


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (unit(4, b"abcdef"), ("energy", b"abcdef")),
        (unit(3, b"abcdef"), None),
        (unit(1, b"ab"), ("relays", b"ab")),
        (unit(4, b"abcdefgh"), None),
        (unit(3, b"abcdefghij"), None),
        (unit(4, b"abcdef", number=2), None),
        (b"\x01\x84\x02", None),
        (b"\x01", None),
    ],
)
def test_else_the_length_has_to_be_that_of_one_message(body: bytes, found: tuple[str, bytes] | None):
    assert answers().find(body) == found


def test_a_request_that_is_none_of_ours_leaves_its_answer_alone():
    one = answers()
    assert one.find(bytes([1, 4, 0, 0x60, 0, 3])) is None
    assert one.find(unit(4, b"abcdef")) is None


def test_the_unit_is_the_parameter():
    assert answers(unit="0x02").find(unit(4, b"abcdef", number=2)) == ("energy", b"abcdef")


def test_a_payload_is_the_registers_alone():
    assert answers(payload=True).find(b"abcdef") == ("energy", b"abcdef")
    assert Answers(SENSOR, {}, payload=False).find(b"\x60") == ("id", b"\x60")
    assert Answers(SENSOR, {}, payload=False).find(b"") is None
