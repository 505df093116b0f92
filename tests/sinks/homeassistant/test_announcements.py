from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.sinks.homeassistant.announcements import Announcements, Said, kept

NOTE = b'{"sensor":["sensor_a"]}'


def about(**platforms: str) -> dict[str, Any]:
    return {"cmps": {key: {"p": platform, "name": key} for key, platform in platforms.items()}}


def components(said: Said | None) -> dict[str, Any]:
    assert said is not None
    assert said.config is not None
    return dict(json.loads(said.config)["cmps"])


def test_a_device_is_noted_before_it_is_announced() -> None:
    said = Announcements().says("node", about(sensor_a="sensor"))
    assert said is not None
    assert (said.before, said.after) == (NOTE, b"")


def test_what_was_said_is_not_said_again_in_one_connection() -> None:
    announcements = Announcements()
    announcements.says("node", about(sensor_a="sensor"))
    assert announcements.says("node", about(sensor_a="sensor")) is None


def test_in_another_connection_everything_is_said_again() -> None:
    announcements = Announcements()
    announcements.says("node", about(sensor_a="sensor"))
    announcements.begin()
    assert announcements.says("node", about(sensor_a="sensor")) is not None


def test_a_component_of_an_earlier_run_is_taken_back_and_its_note_shortened_behind_that() -> None:
    announcements = Announcements()
    announcements.noted("node", b'{"sensor":["sensor_a"],"number":["number_b"]}')
    said = announcements.says("node", about(sensor_a="sensor"))
    assert components(said)["number_b"] == {"p": "number"}
    assert said is not None
    assert json.loads(said.before or b"")["number"] == ["number_b"]
    assert said.after == NOTE


def test_a_component_that_became_another_platform_is_taken_back_as_what_it_was() -> None:
    announcements = Announcements()
    announcements.says("node", about(sensor_a="sensor"))
    told = components(announcements.says("node", about(number_a="number")))
    assert told == {"number_a": {"p": "number", "name": "number_a"}, "sensor_a": {"p": "sensor"}}


def test_a_component_that_comes_back_is_told_whole() -> None:
    announcements = Announcements()
    for now in ({"sensor_a": "sensor"}, {"sensor_b": "sensor"}):
        announcements.says("node", about(**now))
    told = components(announcements.says("node", about(sensor_a="sensor")))
    assert told == {"sensor_a": {"p": "sensor", "name": "sensor_a"}, "sensor_b": {"p": "sensor"}}


def test_a_device_that_is_gone_is_cleared_before_its_note_is() -> None:
    announcements = Announcements()
    announcements.noted("old", NOTE)
    assert announcements.absent({"node"}) == ["old"]
    assert announcements.takes_back("old") == Said("old", b"", None, None)
    assert announcements.absent({"node"}) == []


def test_of_a_device_that_has_nothing_to_show_nothing_is_said() -> None:
    assert Announcements().says("node", about()) == Said("node", b"", b"", b"")


def test_a_device_that_has_nothing_to_show_any_more_is_cleared() -> None:
    announcements = Announcements()
    announcements.says("node", about(sensor_a="sensor"))
    assert announcements.says("node", about()) == Said("node", b"", None, None)


@pytest.mark.parametrize(
    "note",
    [
        b"", b"{", b"[]", b"1", b'{"sensor": 1}', b'{"sensor": [1]}', b'{"light": ["a"]}', b'{"sensor": ["a/b"]}',
        b'{"sensor": [""]}', b"[" * 100_000, b"\xff", b'{"sensor":["' + b"a" * 200_000 + b'"]}',
    ],
)  # fmt: skip
def test_a_note_that_is_none_of_ours_is_nothing(note: bytes) -> None:
    announcements = Announcements()
    announcements.noted("old", note)
    assert announcements.absent(()) == []


def test_a_discovered_device_that_is_away_stays_announced() -> None:
    assert kept(["tag-1", "pump"], {"tag": 2}, {"tag-2"}) == {"tag-1"}


def test_no_more_stay_announced_than_there_is_room_for_and_the_longest_away_go_first() -> None:
    assert kept(["tag-1", "tag-2", "tag-3"], {"tag": 2}, {"tag-4"}) == {"tag-3"}


class _Broker:
    """What a broker and Home Assistant have of one device."""

    def __init__(self) -> None:
        self.note = b""
        self.components: set[str] = set()

    def hear(self, said: Said | None, cut_after: int = 3) -> None:
        parts = [] if said is None else [("note", said.before), ("config", said.config), ("note", said.after)]
        for what, body in [part for part in parts if part[1] != b""][:cut_after]:
            if what == "note":
                self.note = body or b""
                continue
            for key, told in json.loads(body)["cmps"].items() if body else ():
                (self.components.discard if len(told) == 1 else self.components.add)(key)
            if not body:
                self.components.clear()


@example(runs=[({"a", "b"}, 2, False), (set(), 0, False), ({"a"}, 1, False)])  # taken back, and cut before it was heard
@given(st.lists(st.tuples(st.sets(st.sampled_from("abcd")), st.integers(0, 3), st.booleans()), min_size=1, max_size=8))
def test_wherever_a_run_is_cut_the_next_one_leaves_no_component_behind(runs: list[tuple[set[str], int, bool]]) -> None:
    broker, announcements = _Broker(), Announcements()
    for names, cut_after, is_new_run in runs:
        if is_new_run:
            announcements = Announcements()
            announcements.noted("node", broker.note)
        announcements.begin()
        broker.hear(announcements.says("node", about(**dict.fromkeys(sorted(names), "sensor"))), cut_after)
    announcements = Announcements()
    announcements.noted("node", broker.note)
    broker.hear(announcements.says("node", about(d="sensor")))
    assert broker.components == {"d"}
