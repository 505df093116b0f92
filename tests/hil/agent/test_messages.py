from __future__ import annotations

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.frame import Element
from hil.agent.errors import AgentProtocolError
from hil.agent.messages import (
    MOST_BYTES,
    MOST_HELLO_BYTES,
    Beat,
    Data,
    Failed,
    Gap,
    Hello,
    Incoming,
    No,
    Welcome,
    Write,
    Wrote,
    encoded,
)

BLE = Element("AA:BB:CC:DD:EE:FF", rssi=-60, manufacturer=0x0499)
FROM_AGENT = [
    Welcome(1, "i", 1, "uart", True, 2, 3),
    Data(1, 2, 3, [b"ab", b""], [0x123, None]),
    Data(1, 2, 3, [b"ab"], [BLE]),
    Data(1, 2, 3, [b"ab"], [b"tx"]),
    Gap(3, "lost"),
    Wrote(4),
    Failed(4, "PortLostError", "uart", "gone"),
    No("no"),
    Beat(1, 2, 3),
]
FROM_RUNNER = [Hello(1, "uart0", "s"), Write(1, b"abc", 0x123, True), Write(2, b""), Beat(5)]


@given(data=st.data(), from_agent=st.booleans())
def test_messages_come_out_as_they_went_in_wherever_the_stream_is_cut(data, from_agent):
    messages = data.draw(st.lists(st.sampled_from(FROM_AGENT if from_agent else FROM_RUNNER), max_size=8))
    stream = b"".join(map(encoded, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    incoming = Incoming(from_agent=from_agent)
    found = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        found += incoming.feed(stream[start:end])
    assert found == messages


@given(data=st.binary(max_size=200), from_agent=st.booleans())
def test_foreign_bytes_are_an_error_or_not_yet_a_message(data, from_agent):
    incoming = Incoming(from_agent=from_agent)
    found = []
    with contextlib.suppress(AgentProtocolError):
        found += incoming.feed(data)
    assert 4 * len(found) <= len(data)  # each has its length before it


@given(body=st.binary(max_size=100))
def test_a_body_that_is_no_message_is_refused(body):
    with pytest.raises(AgentProtocolError):
        list(Incoming(from_agent=False).feed(struct.pack(">I", len(body) + 1) + b"\xc1" + body))


@pytest.mark.parametrize(("from_agent", "most"), [(False, MOST_HELLO_BYTES), (True, MOST_BYTES)])
def test_a_length_beyond_the_limit_is_refused_before_anything_is_kept(from_agent, most):
    with pytest.raises(AgentProtocolError, match="at most"):
        list(Incoming(from_agent=from_agent).feed(struct.pack(">I", most + 1)))


def test_a_runner_may_not_say_what_an_agent_says():
    with pytest.raises(AgentProtocolError):
        list(Incoming(from_agent=False).feed(encoded(Wrote(1))))


def test_deeply_nested_bytes_are_refused():
    body = b"\x91" * 100_000
    incoming = Incoming(from_agent=True)
    with pytest.raises(AgentProtocolError):
        list(incoming.feed(struct.pack(">I", len(body)) + body))
