"""`tidegate replay`: the state at a moment; a moment that came twice is two."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.ledger_times import instants, time_ns
from gateway.errors import UsageError
from gateway.ledger.record import Record
from tests.cli.ledgers import NOON_NS, make, said, tidegate

SPEED = "pump/motor/speed@desired"


@pytest.fixture
def pump(tmp_path):
    return make(tmp_path / "x", *(("desired", SPEED, {"value": value}, "state") for value in (10, 20, 30)))


def replay(folder, *arguments) -> dict:
    code, out = said(tidegate("replay", *arguments, "--json", "--dir", folder))
    assert code == 0
    return json.loads(out)


def value(state: dict):
    return json.loads(state["registers"]["desired"][SPEED]["json"])["value"]


def test_the_newest_of_each_route_is_the_state(pump):
    assert value(replay(pump)) == 30


def test_the_state_after_an_earlier_record_is_told(pump):
    assert value(replay(pump, "--until", 2)) == 20


def test_the_state_before_everything_is_empty(pump):
    assert replay(pump, "--until", "1970-01-01")["registers"] == {}


def test_the_state_at_a_later_time_is_that_of_now(pump):
    assert replay(pump, "--until", "2200-01-01") == replay(pump)


def test_people_see_kind_route_number_and_value(pump):
    _, out = said(tidegate("replay", "--dir", pump))
    assert out.splitlines()[2].split() == ["desired", SPEED, "3", out.split()[-2], '{"value":30}']


def test_a_time_that_is_none_exits_64(pump):
    assert said(tidegate("replay", "--until", "noon", "--dir", pump)) == (64, "")


def records(walls: list[int]) -> list[Record]:
    return [Record(seq, 1, "note", None, "state", wall, 1, None, b"1", True) for seq, wall in enumerate(walls, 1)]


@pytest.mark.parametrize(
    ("walls", "instant", "ends"),
    [
        ([10, 20, 30], 5, [0]),
        ([10, 20, 30], 10, [1]),
        ([10, 20, 30], 25, [2]),
        ([10, 20, 30], 99, [3]),
        ([], 5, [0]),
        ([10, 20, 30, 12, 22, 32], 15, [1, 4]),
        ([10, 20, 30, 12, 22, 32], 25, [2, 5]),
        ([10, 20, 30, 12], 15, [1, 4]),
        ([30, 10, 20], 5, [0]),
        ([10, 10, 10], 10, [3]),
    ],
)
def test_a_time_is_found_as_often_as_it_came(walls, instant, ends):
    assert instants(records(walls), instant) == ends


@given(walls=st.lists(st.integers(0, 50)), instant=st.integers(0, 50))
def test_on_a_clock_that_never_goes_back_every_time_came_once(walls, instant):
    (end,) = instants(records(sorted(walls)), instant)
    assert end == sum(wall <= instant for wall in walls)


@given(walls=st.lists(st.integers(0, 9)), instant=st.integers(0, 9))
def test_every_end_is_the_last_record_before_the_clock_passed_the_instant(walls, instant):
    for end in instants(records(walls), instant):
        assert end == 0 or walls[end - 1] <= instant
        assert end == len(walls) or walls[end] > instant


@pytest.mark.parametrize(
    "text", ["2026-11-28T12:00:00Z", "2026-11-28T12:00:00", "2026-11-28T13:00:00+01:00", "20261128T120000Z"]
)
def test_a_time_without_a_zone_is_utc(text):
    assert time_ns(text) == NOON_NS


@pytest.mark.parametrize("text", ["", "now", "12:00", "2026-13-01", "2026-11-28T25:00"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(UsageError, match="is no time"):
        time_ns(text)
