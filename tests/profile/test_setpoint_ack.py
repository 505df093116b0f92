"""What an ack frame says to an attempt."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.profile.setpoint import Attempt
from gateway.profile.setpoint_ack import FOREIGN, Ack
from tests.profile.setpoint_kit import compiled, nothing_said, saying, setpoints_of, shipped

NODE, MOTOR = shipped("cobs-node"), shipped("motor")
LATEST = saying(measurement={"mode": "holding"}, status={"fault": "none"})


def judged(profile, name, value, ack, *, attempts=1):
    """Return what an ack with these values says to the last of some attempts."""
    setpoints = setpoints_of(profile)
    for _ in range(attempts):
        attempt = setpoints.attempt(name, value, LATEST)
    assert isinstance(attempt, Attempt)
    return setpoints[name].judge(profile.messages["ack"].encode(ack), attempt)


YES = {"counter": 0, "command": "set_valve", "result": "accepted", "position": 5}


def test_a_node_that_takes_the_command_accepts_it():
    assert judged(NODE, "valve", 5, YES) == Ack("accepted")


def test_a_rejection_says_what_the_device_said():
    assert judged(NODE, "valve", 5, {**YES, "result": "valve_blocked"}) == Ack("rejected", "result = valve_blocked")


def test_a_result_without_a_label_rejects():
    assert judged(NODE, "valve", 5, {**YES, "result": 77}) == Ack("rejected", "result = 77")


@pytest.mark.parametrize("change", [{"counter": 1}, {"command": 0x20}])
def test_an_ack_to_something_else_is_not_ours(change):
    assert judged(NODE, "valve", 5, {**YES, **change}) is FOREIGN


def test_an_ack_to_an_earlier_attempt_is_not_ours():
    assert judged(NODE, "valve", 5, YES, attempts=2) is FOREIGN


@pytest.mark.parametrize("result", ["accepted", "fault_present"])
def test_facts_written_as_numbers_of_labelled_fields_are_those_of_the_wire(result):
    ack = {"Command": "set_speed", "Result": result, "Counter": 2, "Checksum": 0}
    answer = judged(MOTOR, "speed", 5, ack, attempts=3).answer
    assert answer == ("accepted" if result == "accepted" else "rejected")


SCALED = """
[link]
bus = "can"
[message.order]
when      = { can_id = 1 }
direction = "out"
fields    = [{ name = "level", type = "u8" }, { name = "n", type = "u8", scale = 0.5, labels = { 1 = "one" } }]
[message.ack]
when   = { can_id = 2 }
fields = [{ name = "_n", type = "u8", invalid = 255 }, { name = "of", type = "u8", const = 7 }]
[setpoint.level]
write = "order.level"
ack   = { message = "ack", same = { _n = "n" } }
fill  = { n = "counter" }
"""


@given(count=st.integers(0, 300), heard=st.integers(0, 255))
def test_an_echo_is_compared_as_the_wire_has_it(count, heard):
    setpoints = setpoints_of(compiled(SCALED), first_count=count)
    attempt = setpoints.attempt("level", 3, nothing_said)
    assert isinstance(attempt, Attempt)
    ack = setpoints["level"].judge(bytes([heard, 7]), attempt)
    assert ack.answer == ("accepted" if heard == count % 256 else "foreign")


@pytest.mark.parametrize("body", [b"", b"\x00", b"\x00\x08"])
def test_a_frame_cut_off_or_with_another_constant_answers_nothing(body):
    setpoints = setpoints_of(compiled(SCALED))
    attempt = setpoints.attempt("level", 3, nothing_said)
    assert isinstance(attempt, Attempt)
    assert (setpoints["level"].judge(body, attempt).answer == "foreign") is (body != b"\x00")


def test_without_accept_any_ack_of_ours_accepts():
    assert setpoints_of(compiled(SCALED))["level"].confirm == "ack"
