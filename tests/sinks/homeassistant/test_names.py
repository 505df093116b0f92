from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.sinks.homeassistant.entities import template
from gateway.sinks.homeassistant.names import Words, object_id, plain, titled, unique
from tests.sinks.homeassistant.rules import command, rendered

SEGMENTS = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True)
LABELS = st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=6, unique=True)


@given(st.text(min_size=1, max_size=20))
def test_a_name_becomes_one_that_home_assistant_takes(name: str) -> None:
    assert re.fullmatch(r"[a-zA-Z0-9_-]+", plain(name))


@given(SEGMENTS)
def test_a_name_that_is_taken_as_it_is_stays_as_it_is(name: str) -> None:
    assert plain(name) == name


def test_names_that_differ_stay_apart() -> None:
    assert len({plain(name) for name in ("boiler room", "boiler.room", "boiler-room", "böiler-room")}) == 4


def test_a_device_is_known_by_its_gateway_and_its_name() -> None:
    assert object_id("boiler-room", "meter-1") == "boiler-room_meter-1"


@given(*[st.tuples(SEGMENTS, SEGMENTS, SEGMENTS)] * 2)
def test_an_id_says_which_parts_it_is_made_of(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    assert (unique(*one) == unique(*other)) is (one == other)


def test_parts_that_run_into_each_other_make_different_ids() -> None:
    assert unique("a_b", "c") != unique("a", "b_c")


def test_an_id_is_the_same_in_every_run() -> None:
    assert unique("gw", "node", "climate", "temperature") == "gw_node_climate_temperature"
    assert unique("node", "valve_position") == "node_valve_position_18c350b7"


def test_a_stream_is_spelled_for_people() -> None:
    assert titled("health", "processor_load") == "Health processor load"


@given(LABELS)
def test_what_is_shown_for_a_label_is_never_taken_for_no_value(labels: list[str]) -> None:
    for word in Words(labels).options:
        assert word.strip() == word != ""
        assert word.lower() != "none"


@given(LABELS)
def test_every_label_is_shown_as_its_own_word(labels: list[str]) -> None:
    assert len(set(Words(labels).options)) == len(labels)


@given(LABELS)
def test_a_template_shows_a_label_as_its_word(labels: list[str]) -> None:
    words = Words(labels)
    for label in labels:
        told = rendered(template(words.read()), json.dumps({"v": label, "q": "good"}))
        assert told == words.shown[label]


@given(LABELS)
def test_a_command_for_a_word_is_its_label_as_json(labels: list[str]) -> None:
    words = Words(labels)
    for label in labels:
        assert json.loads(command(words.written(), words.shown[label])) == label
