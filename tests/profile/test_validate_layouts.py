"""Mistakes in layouts that are annotated from a database, and in text layouts."""

from __future__ import annotations

import copy
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import Problem
from gateway.profile.build import CompiledProfile
from gateway.profile.load import shipped_profiles
from gateway.profile.validate import examine
from gateway.schema.plan import Refused

MOTOR = shipped_profiles()["motor"]
GNSS = shipped_profiles()["nmea-gnss"]
VICTRON = shipped_profiles()["ve-direct"]


def found(path: Path, text: str) -> list[Problem]:
    return examine("p.toml", text.encode(), None, lambda name: (path.parent / name).read_bytes()).problems


MISTAKES = [  # profile, replace, by, text in the line it is told at, end of key
    (MOTOR, 'units = "/min"', 'units = "rpm"', "ActualSpeed", "fields[0].units"),
    (MOTOR, 'signal = "ActualSpeed"', 'signal = "ActualSped"', "ActualSped", "fields[0].signal"),
    (MOTOR, 'signal = "ActualSpeed"', 'signal = "ActualSpeed", type = "u8"', "ActualSpeed", "fields[0].type"),
    (MOTOR, '{ 0 = "none"', '{ 99 = "none"', "FaultCode", "labels.99"),
    (MOTOR, '{ 0 = "none"', '{ x = "none"', "FaultCode", "labels.x"),
    (MOTOR, '"MOTOR_STATUS"', '"MOTOR_STATE"', "MOTOR_STATE", "status.dbc"),
    (MOTOR, '"motor.dbc"', '"moter.dbc"', "moter.dbc", "dbc.file"),
    (GNSS, 'column = "talker"', 'column = "taker"', "taker", "fields[0].column"),
    (GNSS, "column = 2", "column = -2", "column = -2", ".column"),
    (GNSS, "column = 2", "colunm = 2", "colunm", ".colunm"),
    (GNSS, "column = 2", 'key = "V"', 'key = "V"', ".key"),
    (GNSS, 'type = "degmin"', 'type = "degmn"', "degmn", ".type"),
    (GNSS, 'sentence = "RMC"', 'sentence = "rmc"', '"rmc"', "when.sentence"),
    (VICTRON, 'key = "V"', "key = []", "key = []", ".key"),
    (VICTRON, 'format = "kv"', 'format = "kvs"', '"kvs"', ".format"),
]


@pytest.mark.parametrize(
    ("path", "old", "new", "place", "key"), MISTAKES, ids=[f"{row[4]} {row[2]}" for row in MISTAKES]
)
def test_a_mistake_is_told_where_the_file_makes_it(path: Path, old: str, new: str, place: str, key: str) -> None:
    text = " ".join(path.read_text().split(" "))
    squeezed = "\n".join(_squeezed(line) for line in text.split("\n"))
    assert old in squeezed
    changed = squeezed.replace(old, new, 1)
    line = next(number for number, content in enumerate(changed.split("\n"), 1) if place in content)
    told = [problem for problem in found(path, changed) if problem.severity == "error"]
    assert any(problem.line == line and problem.key.endswith(key) for problem in told), told


def _squeezed(line: str) -> str:
    """Return a line with its alignment taken out, so that a mistake can be put in by text."""
    while "  " in line.strip():
        line = line[: len(line) - len(line.lstrip())] + line.strip().replace("  ", " ")
    return line


VALUES: list[Any] = [
    *(0, 1, -1, 255, 2**63, 2**70, 1.5, float("nan"), True, "", "x", "rest", "u8", "s64le", "struct", "bytes", "text"),
    *("{unit}", "1/0", "-5s", [], {}, [1], [{}], {"a": 1}, {"0": "a"}, "15:5", "3:9", "24|16@1-", "a.b", "!x"),
    *({"mux": [1, "4..7"]}, [[1]], "é", "a" * 300, 5000, 10**9, "cobs", "csv", "tlv", "can", "uart", "4:-2", "ff"),
]


def as_toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f'"{key}" = {as_toml(item)}' for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return f'"{escaped}"'
    return str(value)


def places_of(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(place for key, item in inner for place in places_of(item, (*path, key)))]


RAW = {name: tomllib.loads(path.read_text()) for name, path in shipped_profiles().items()}
PLACES = {name: places_of(raw) for name, raw in RAW.items()}


@settings(max_examples=150, deadline=None)
@given(data=st.data(), name=st.sampled_from(list(RAW)), value=st.sampled_from(VALUES))
def test_whatever_stands_in_a_profile_it_is_refused_or_it_works(data: st.DataObject, name: str, value: Any) -> None:
    place = data.draw(st.sampled_from(PLACES[name]))
    raw = copy.deepcopy(RAW[name])
    table: Any = raw
    for part in place[:-1]:
        table = table[part]
    table[place[-1]] = value
    text = "\n".join(f'"{key}" = {as_toml(item)}' for key, item in raw.items())
    path = shipped_profiles()[name]
    examined = examine("p.toml", text.encode(), None, lambda name: (path.parent / name).read_bytes())
    if examined.profile is None:
        assert any(problem.severity == "error" for problem in examined.problems)
        return
    compiled = CompiledProfile(examined.profile)
    for message in examined.profile.message:
        with suppress(Refused):
            compiled.messages[message].decode(bytes(range(64)))


def test_every_mistake_of_a_text_message_is_told_at_its_field() -> None:
    text = """\
[profile]
id = "a/b@1.0.0"
[link]
bus = "uart"
[framing]
kind = "line"
[message.a]
format = "csv"
fields = [
  { name = "a", type = "number" },
  { name = "b", type = "u8", column = 1, scale = 0 },
  { name = "c", type = "number", column = -1 },
  { name = "d", type = "number", key = "K" },
  { name = "e", type = "number", column = 3, labels = { x = "y" } },
  { name = "f", type = "number", column = 4, array = "nosuch" },
  { name = "g", type = "number", column = 4, if = "nosuch" },
  { name = "h", type = "number", column = 5, array = 99999 },
]
"""
    assert {(problem.line, problem.key.removeprefix("message.a.")) for problem in found(GNSS, text)} >= {
        (10, "fields[0].column"),
        (11, "fields[1].type"),
        (11, "fields[1].scale"),
        (12, "fields[2].column"),
        (13, "fields[3].key"),
        (13, "fields[3].column"),
        (14, "fields[4].labels"),
        (15, "fields[5].array"),
        (16, "fields[6].if"),
        (17, "fields[7].array"),
    }
