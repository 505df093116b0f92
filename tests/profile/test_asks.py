"""How a message is asked for, as far as the profile's document says it."""

from __future__ import annotations

import pytest

from gateway.profile.validate import Examined, examine

PROFILE = """
[profile]
id = "test/asked@1.0.0"
[params]
unit = {{ type = "u8", default = 5, maximum = 247 }}
[link]
bus = "uart"
[framing]
kind = "modbus-rtu"
[message.live]
ask = {{ {ask} }}
fields = [{{ name = "a", type = "u16be" }}]
"""


def examined(ask: str, **params: object) -> Examined:
    return examine("test.toml", PROFILE.format(ask=ask).encode(), params, lambda _name: b"")


@pytest.mark.parametrize(("params", "unit"), [({}, 5), ({"unit": 9}, 9), ({"unit": "0x0a"}, 10)])
def test_the_unit_address_is_the_parameter_s_value(params, unit):
    profile = examined("input = 0, count = 1", **params).profile
    assert profile is not None
    assert profile.unit == unit


def test_a_unit_address_cannot_be_written_into_the_profile():
    text = PROFILE.format(ask="input = 0, count = 1").replace("[params]", "unit = 7\n[params]")
    assert examine("test.toml", text.encode(), {}, lambda _name: b"").profile is None


def test_bytes_may_be_sent_as_they_are():
    profile = examined('send = "68 01 04 93", framed = false').profile
    assert profile is not None
    ask = profile.message["live"].ask
    assert ask is not None
    assert not ask.framed


def test_only_raw_bytes_can_go_out_without_framing():
    found = examined("input = 0, count = 1, framed = false")
    assert [problem.key for problem in found.problems] == ["message.live.ask.framed"]
