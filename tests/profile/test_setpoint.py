"""Setpoints of the shipped profiles, from a value to the wire and back; devices are read by the profiles' decoders."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.framing.checks import check_of
from gateway.profile.setpoint import Attempt, Seen
from gateway.profile.setpoint_value import Refusal
from gateway.schema.plan import values_of
from tests.profile.setpoint_kit import compiled, nothing_said, saying, setpoints_of, shipped

MOTOR = shipped("motor")
NODE = shipped("cobs-node")
MOTOR_RUNS = saying(status={"fault": "none", "speed": 0})
NODE_HOLDS = saying(measurement={"mode": "holding"})


def values(profile, message, body):
    plan = profile.messages[message]
    return values_of(plan, plan.decode(body))


def attempted(setpoints, name, value, latest):
    attempt = setpoints.attempt(name, value, latest)
    assert isinstance(attempt, Attempt)
    return attempt


def test_the_motor_is_sent_what_its_database_says():
    attempt = attempted(setpoints_of(MOTOR), "speed", 1500, MOTOR_RUNS)
    body = attempt.write.data
    assert (attempt.write.address, len(body)) == (0x200, 8)
    assert values(MOTOR, "command", body) == {
        "TargetSpeed": 1500,
        "Enable": "on",
        "Counter": 0,
        "Checksum": check_of("crc-8-sae-j1850").compute(body[:7]),
    }


@settings(max_examples=60, deadline=None)
@given(speed=st.integers(-3000, 3000), attempts=st.integers(1, 20))
def test_the_motor_s_counter_advances_with_every_attempt(speed, attempts):
    setpoints = setpoints_of(MOTOR)
    sent = [attempted(setpoints, "speed", speed, MOTOR_RUNS).write.data for _ in range(attempts)]
    heard = [values(MOTOR, "command", body) for body in sent]
    assert [each["Counter"] for each in heard] == [number % 16 for number in range(attempts)]
    assert {each["TargetSpeed"] for each in heard} == {speed}


def test_a_value_that_is_only_admitted_advances_no_counter():
    setpoints = setpoints_of(MOTOR)
    for _ in range(3):
        assert setpoints.admit("speed", 10, MOTOR_RUNS) == 10
    assert attempted(setpoints, "speed", 10, MOTOR_RUNS).counters == {"Counter": 0}


def test_a_run_may_begin_with_another_number():
    attempt = attempted(setpoints_of(MOTOR, first_count=37), "speed", 10, MOTOR_RUNS)
    assert attempt.counters == {"Counter": 37 % 16}


@settings(max_examples=60, deadline=None)
@given(half_percents=st.integers(0, 200))
def test_the_valve_reads_what_was_set(half_percents):
    attempt = attempted(setpoints_of(NODE), "valve", half_percents / 2, NODE_HOLDS)
    (body,) = NODE.framer().feed(attempt.write.data)
    assert isinstance(body, bytes)
    heard = values(NODE, "set_valve", body)
    assert heard == {"counter": 0, "position": half_percents / 2, "ramp": 0}


@pytest.mark.parametrize(
    ("profile", "name", "route", "tolerance", "confirm"),
    [
        (MOTOR, "speed", "pump/motor/speed@desired", 10, "report"),
        (NODE, "valve", "pump/node/valve@desired", 0.5, "report"),
    ],
)
def test_a_setpoint_says_where_it_stands_and_how_it_is_confirmed(profile, name, route, tolerance, confirm):
    setpoint = setpoints_of(profile)[name]
    assert (str(setpoint.route("pump")), setpoint.tolerance, setpoint.confirm) == (route, tolerance, confirm)


def test_the_report_s_family_names_the_route():
    setpoints = setpoints_of(compiled(LAMP))
    assert str(setpoints["level"].route("lamp-1")) == "lamp-1/light/level@desired"
    assert str(setpoints["colour"].route("lamp-1")) == "lamp-1/orders/colour@desired"


LAMP = """
[link]
bus = "uart"
[framing]
kind = "slip"
[message.state]
when   = { bytes = { 0 = 1 } }
family = "light"
fields = [
  { type = "u8", const = 1 },
  { name = "level", type = "u8", scale = 0.5, units = "%", invalid = 255, deadband = 1 },
  { name = "ready", type = "u8", labels = { 0 = "no", 1 = "yes" } } ]
[message.order]
when      = { bytes = { 0 = 2 } }
family    = "orders"
direction = "out"
fields = [
  { type = "u8", const = 2 },
  { name = "level",  type = "u16be", scale = 0.25, units = "%" },
  { name = "colour", type = "u8", labels = { 1 = "red", 2 = "blue" } } ]
[setpoint.level]
write     = "order.level"
report    = "state.level"
fill      = { colour = "red" }
interlock = [{ "state.ready" = "yes" }]
[setpoint.colour]
write   = "order.colour"
confirm = "none"
"""


def test_the_tolerance_is_the_coarser_of_the_two_scales():
    assert setpoints_of(compiled(LAMP))["level"].tolerance == 0.5


def test_a_label_has_no_tolerance():
    assert setpoints_of(compiled(LAMP))["colour"].tolerance == 0


def test_the_report_is_read_out_of_its_row():
    profile = compiled(LAMP)
    setpoint = setpoints_of(profile)["level"]
    state = profile.messages["state"]
    assert setpoint.reported_by == ("state", "level")
    assert setpoint.reported(state.decode(b"\x01\x81\x01")) == 64.5
    assert setpoint.reported(state.decode(b"\x01\xff\x01")) is None
    assert setpoint.reported(state.decode(b"\x01")) is None


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (None, "state.ready is not known yet"),
        (Seen({"ready": "yes"}, 0, is_stale=True), "state.ready is stale"),
        (Seen({"ready": "yes"}, 0, is_restored=True), "state.ready is stale"),
        (Seen({"ready": "no"}, 0), "state.ready is 'no', which forbids it"),
        (Seen({"ready": None}, 0), "state.ready is not known"),
        (Seen({}, 0), "state.ready is not known"),
    ],
)
def test_an_interlock_that_is_not_known_to_hold_refuses(seen, why):
    refusal = setpoints_of(compiled(LAMP)).admit("level", 5, lambda _message: seen)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "interlock"
    assert why in refusal.message


def test_the_value_is_judged_before_the_interlock():
    refusal = setpoints_of(NODE).admit("valve", 101, nothing_said)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "range"


def test_the_interlock_is_judged_before_the_fill():
    setpoints = setpoints_of(compiled(LAMP.replace('fill      = { colour = "red" }', "")))
    codes = []
    for latest in (nothing_said, saying(state={"ready": "yes"})):
        refusal = setpoints.admit("level", 5, latest)
        assert isinstance(refusal, Refusal)
        codes.append(refusal.code)
    assert codes == ["interlock", "fill"]


def test_a_frame_that_does_not_fit_its_framing_is_refused():
    profile = compiled("""
[link]
bus = "can"
[message.order]
when      = { can_id = 5 }
direction = "out"
fields    = [{ name = "text", type = "text", length = "rest" }]
[setpoint.text]
write   = "order.text"
confirm = "none"
""")
    setpoints = setpoints_of(profile)
    assert setpoints.admit("text", "12345678", nothing_said) == "12345678"
    refusal = setpoints.admit("text", "123456789", nothing_said)
    assert isinstance(refusal, Refusal)
    assert "the body has 9 bytes" in refusal.message


READY = """
import sys
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.profile.setpoint import compile_setpoints
from gateway.profile.setpoints import Setpoints
setpoints = Setpoints(compile_setpoints(CompiledProfile(load_profile(find_profile("cobs-node")))))
if sys.argv[1:]:
    setpoints["valve"].warm()
before = set(sys.modules)
assert setpoints.attempt("valve", 40, lambda _: None).message == "set_valve"
print(len(set(sys.modules) - before))
"""


@pytest.mark.parametrize(("words", "is_ready"), [([], False), (["warm"], True)], ids=["cold", "warm"])
def test_a_setpoint_that_was_made_ready_loads_nothing_at_its_first_write(words, is_ready):
    done = subprocess.run([sys.executable, "-c", READY, *words], capture_output=True, text=True, check=True)
    assert (int(done.stdout) == 0) is is_ready
