"""A wall takes away, at once, whoever asks."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.authority.grants import VERBS, Verb
from gateway.authority.scope import EVERYWHERE, MAX_SCOPE_CHARS, Scope
from gateway.authority.walls import MAX_SUBJECT_BYTES, MAX_WALLS, Subject, Wall, Walls
from gateway.errors import UsageError
from gateway.ledger import Ledger
from gateway.ledger.record import MAX_BODY_BYTES, encode_body
from tests.authority.kit import NOW_NS

DEVICES = ["pump", "fan"]
PORTS = ["can0", "meters", "/dev/ttyUSB0"]
SUBJECTS = st.sampled_from([("pump", "name"), ("can0", "name"), ("pump/**", "routes"), ("**@desired", "routes")])


def ports_of(device: str) -> list[str]:
    return {"pump": ["can0"], "fan": ["meters", "/dev/ttyUSB0"]}.get(device, [])


def wall(subject: str = "can0", kind: str = "name", verb: Verb = "write") -> Wall:
    return Wall(subject=subject, kind=kind, verb=verb, by="user:pi", since_ns=NOW_NS)  # type: ignore[arg-type]


STOPS = [  # subject, kind, what is asked about, does it stop
    ("can0", "name", "pump/motor/speed@desired", True),
    ("can0", "name", "fan/motor/speed@desired", False),
    ("/dev/ttyUSB0", "name", "fan/motor/speed@desired", True),
    ("meters", "name", "fan/motor/speed@desired", True),
    ("pump", "name", "pump/motor/speed", True),
    ("pump", "name", "fan/motor/speed", False),
    ("pump", "name", "**", True),  # the pump is a part of it
    ("can0", "name", "*/motor/speed", True),
    ("pump/motor/*", "routes", "pump/motor/speed@desired", True),
    ("pump/motor/*@desired", "routes", "pump/motor/speed@value", False),
    ("pump/motor/*@desired", "routes", "pump/**", True),
    ("pump/valve/*", "routes", "pump/motor/speed", False),
    ("**", "routes", "pump/motor/speed@desired", True),
]


@pytest.mark.parametrize(("subject", "kind", "target", "stops"), STOPS)
def test_a_wall_stops_what_is_behind_it(subject: str, kind: str, target: str, stops: bool) -> None:
    assert (Walls().raised(wall(subject, kind)).stopping(Scope(target), "write", ports_of) is not None) is stops


def test_a_wall_stops_its_own_verb_alone() -> None:
    walls = Walls().raised(wall("**", "routes", "write"))
    assert [verb for verb in VERBS if walls.stopping(EVERYWHERE, verb, ports_of)] == ["write"]


def test_a_wall_that_is_lifted_stops_nothing() -> None:
    walls = Walls().raised(wall()).lifted("can0", "write")
    assert walls.stopping(EVERYWHERE, "write", ports_of) is None


def test_lifting_one_wall_leaves_the_other_that_stands_before_the_same_route() -> None:
    walls = Walls().raised(wall("can0")).raised(wall("pump")).lifted("pump", "write")
    assert walls.stopping(Scope("pump/**"), "write", ports_of) == wall("can0")


def test_lifting_a_wall_leaves_the_one_for_another_verb() -> None:
    walls = Walls().raised(wall(verb="write")).raised(wall(verb="admin")).lifted("can0", "write")
    assert [each.verb for each in walls] == ["admin"]


def test_a_wall_raised_twice_stands_once_and_keeps_who_raised_it_first() -> None:
    again = msgspec.structs.replace(wall(), by="user:eve")
    assert Walls().raised(wall()).raised(again) == Walls((wall(),))


def test_a_wall_too_many_is_refused_with_the_way_out() -> None:
    walls = Walls(tuple(wall(f"port-{number}") for number in range(MAX_WALLS)))
    with pytest.raises(UsageError, match="lift one"):
        walls.raised(wall("one-more"))


@given(st.lists(st.tuples(st.booleans(), SUBJECTS, st.sampled_from(VERBS)), max_size=12))
def test_the_newest_record_alone_gives_the_walls_back(changes: list[tuple[bool, tuple[str, str], Verb]]) -> None:
    walls, record = Walls(), Walls().record("", "write", "on", "user:pi")
    for is_off, (subject, kind), verb in changes:
        walls = walls.raised(wall(subject, kind, verb)) if is_off else walls.lifted(subject, verb)
        record = walls.record(subject, verb, "off" if is_off else "on", "user:pi")
    assert Walls.from_record(msgspec.json.decode(encode_body(record)[0])) == walls


def test_walls_stand_again_after_a_restart(tmp_path: Path) -> None:
    before = Walls().raised(wall("can0"))
    after = before.raised(wall("pump/**", "routes"))
    with Ledger.open(tmp_path) as ledger:
        ledger.append("wall", None, before.record("can0", "write", "off", "user:pi"), class_="command")
        ledger.append("wall", None, after.record("pump/**", "write", "off", "user:pi"), class_="command")
    with Ledger.open(tmp_path) as ledger:
        assert Walls.from_record(ledger.replay().latest("wall")[""].body) == after


@pytest.mark.parametrize("subject", ["x" * MAX_SCOPE_CHARS, '"' * MAX_SUBJECT_BYTES])
def test_the_record_of_all_walls_fits_into_the_ledger(subject: str) -> None:
    by = "service:" + "a" * 64
    walls = Walls(
        tuple(Wall(subject=subject, kind="routes", verb="write", by=by, since_ns=NOW_NS) for _ in range(MAX_WALLS))
    )
    assert len(encode_body(walls.record(subject, "write", "off", by))[0]) < MAX_BODY_BYTES


@pytest.mark.parametrize(
    "body",
    [None, b"", {}, [], {"walls": 1}, {"walls": [{}]},
     {"walls": [{"subject": "pump", "kind": "routes", "verb": "write", "by": "user:pi", "since_ns": 1}]}],
)  # fmt: skip
def test_a_body_that_tells_no_walls_is_refused(body: object) -> None:
    with pytest.raises(ValueError, match="no record of walls"):
        Walls.from_record(body)


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("can0", Subject("can0", "name", EVERYWHERE)),  # a port is the whole gateway's
        ("/dev/ttyUSB0", Subject("/dev/ttyUSB0", "name", EVERYWHERE)),
        ("pump", Subject("pump", "name", Scope("pump/**"))),
        ("pump/motor/*@desired", Subject("pump/motor/*@desired", "routes", Scope("pump/motor/*@desired"))),
        ("pump/motor/speed", Subject("pump/motor/speed", "routes", Scope("pump/motor/speed"))),
        ("**", Subject("**", "routes", EVERYWHERE)),
    ],
)
def test_a_wall_stands_on_a_port_a_device_or_routes(text: str, subject: Subject) -> None:
    assert Walls().subject_of(text, DEVICES, PORTS) == subject


def test_a_name_that_is_a_port_s_too_takes_authority_over_the_gateway() -> None:
    assert Walls().subject_of("pump", DEVICES, ["pump"]).target == EVERYWHERE


def test_a_wall_on_a_port_that_is_gone_can_still_be_named() -> None:
    assert Walls((wall("can9"),)).subject_of("can9", DEVICES, PORTS) == Subject("can9", "name", EVERYWHERE)


@pytest.mark.parametrize("text", ["", "pmup", "can1", "/dev/ttyUSB1", "pump/motor", "*", "pump/*", "pump/mot*/speed"])
def test_what_is_no_port_device_or_pattern_carries_no_wall(text: str) -> None:
    with pytest.raises(UsageError):
        Walls().subject_of(text, DEVICES, PORTS)


def test_a_misspelt_device_is_told_the_one_that_is_near() -> None:
    with pytest.raises(UsageError, match="did you mean 'pump'"):
        Walls().subject_of("pmup", DEVICES, PORTS)


@pytest.mark.parametrize("name", ["a\nb", "x" * 129, "ä" * 65])
def test_a_port_whose_name_is_no_word_is_to_be_given_one(name: str) -> None:
    with pytest.raises(UsageError, match=r"\[port.NAME\]"):
        Walls().subject_of(name, DEVICES, [name])
