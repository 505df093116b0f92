"""What `check` finds of setpoints that look right and could never work."""

from __future__ import annotations

import pytest

from gateway.profile.document import Document
from gateway.profile.findings import Findings
from gateway.profile.load import find_profile, load_profile
from gateway.profile.setpoint_problems import check_working, setpoint_problems
from tests.profile.setpoint_kit import HEAD, CompiledProfile, profile_of, setpoints_of

VALVE = """
[link]
bus = "can"
[message.state]
when   = { can_id = 1 }
fields = [
  { name = "level", type = "u8" }, { name = "mode", type = "u8", labels = { 0 = "off", 1 = "on" } },
  { name = "_inner", type = "u8" } ]
[message.order]
when      = { can_id = 2 }
direction = "out"
fields = [
  { name = "level", type = "u8" }, { name = "n", type = "u8" }, { name = "sum", type = "u16be" } ]
[message.ack]
when   = { can_id = 3 }
fields = [{ name = "result", type = "u8", labels = { 0 = "yes", 1 = "no" } }]
[setpoint.level]
write     = "order.level"
report    = "state.level"
minimum   = 0
maximum   = 100
ack       = { message = "ack", accept = { result = "yes" } }
fill      = { n = "counter", sum = "check:crc-16-modbus" }
interlock = [{ "state.mode" = "on" }]
safe      = 0
"""


def found(old="", new=""):
    assert old in VALVE
    return list(setpoint_problems(profile_of(VALVE.replace(old, new, 1) if old else VALVE), "level"))


def test_a_setpoint_that_can_work_has_no_problem():
    assert found() == []
    setpoints_of(CompiledProfile(profile_of(VALVE)))


@pytest.mark.parametrize("name", ["motor", "cobs-node"])
def test_the_shipped_setpoints_have_no_problem(name):
    profile = load_profile(find_profile(name))
    assert [list(setpoint_problems(profile, setpoint)) for setpoint in profile.setpoint] == [[]]


@pytest.mark.parametrize(
    ("old", "new", "path", "message"),
    [
        ("when      = { can_id = 2 }", "when      = { length = 4 }", ("write",), "names no frame"),
        ("crc-16-modbus", "sum-8", ("fill", "sum"), "one unsigned integer of 8 bits"),
        ('"state.level"', '"state._inner"', ("report",), "is no value"),
        ('"state.mode" = "on"', '"state.mode" = "open"', ("interlock", 0), "none of 'off', 'on'"),
        ('"state.mode" = "on"', '"state._inner" = 1', ("interlock", 0), "is no value, so it is never known"),
        ('result = "yes"', 'result = "maybe"', ("ack", "accept", "result"), "none of 'yes', 'no'"),
        ("safe      = 0", "safe      = 'open'", ("safe",), "write a number"),
    ],
)
def test_what_can_never_work_is_found(old, new, path, message):
    (finding,) = found(old, new)
    assert (finding.path, finding.severity) == (path, "error")
    assert message in finding.message


def test_a_report_that_is_spelled_otherwise_is_warned_of():
    (finding,) = found('"state.level"', '"state.mode"')
    assert (finding.path, finding.severity) == (("report",), "warning")
    assert "is told by labels, what is written as a value" in finding.message


def test_a_fill_outside_the_written_registers_is_found():
    text = """
[link]
bus = "spi"
[message.control]
ask    = { register = 1, length = 2 }
fields = [{ name = "a", type = "u8" }, { name = "b", type = "u8" }]
[setpoint.a]
write  = "control.a"
report = "control.a"
fill   = { b = 1 }
"""
    (finding,) = setpoint_problems(profile_of(text), "a")
    assert finding.path == ("fill", "b")
    assert "only the registers of 'a' are" in finding.message


def test_a_problem_is_told_with_its_line_and_key():
    text = VALVE.replace('"state.mode" = "on"', '"state.mode" = "open"')
    document = Document("valve.toml", (HEAD + text).encode())
    check_working(profile_of(text), Findings(document))
    (problem,) = document.problems
    line = 1 + (HEAD + text)[: (HEAD + text).index("interlock")].count("\n")
    assert (problem.line, problem.key) == (line, "setpoint.level.interlock[0]")
