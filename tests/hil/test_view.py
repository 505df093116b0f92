from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cells import COLOUR, PLAIN, cells_of, downgraded, fit
from gateway.plain import printable
from hil.view import Panel, Snapshot, Value, render, shared

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")

values = st.builds(
    Value,
    name=st.sampled_from(["temperature", "magnetic_variation", "x", "health/uptime"]),
    text=st.text(max_size=40),
    unit=st.sampled_from(["Cel", "1", "L/min", "[kn_i]", "a-very-long-unit", ""]),
    age_s=st.none() | st.floats(-1, 1e9),
    is_stale=st.booleans(),
)
panels = st.builds(
    Panel,
    name=st.sampled_from(["node", "gps", "a-device-with-a-rather-long-name-indeed"]),
    label=st.text(max_size=10),
    profile=st.just("tidegate/cobs-node@1.0.0"),
    state=st.sampled_from(["CONNECTED", "BACKING_OFF", "ABSENT", "FAILED"]),
    reason=st.text(max_size=120),
    frames_per_s=st.floats(0, 1e6),
    dropped=st.integers(0, 10**9),
    refused=st.integers(0, 10**9),
    values=st.lists(values, max_size=8),
)
snapshots = st.builds(
    Snapshot,
    title=st.just("tidegate demo"),
    uptime_s=st.floats(0, 1e7),
    panels=st.lists(panels, max_size=5),
    events=st.lists(st.text(max_size=200), max_size=8),
    hint=st.just("q ends    another terminal: tidegate watch --data /tmp/x"),
)


def panel(name="node", state="CONNECTED", reason="", count=3, **changes):
    many = [Value(f"value_{number}", f"{number}.5", "Cel", 0.25) for number in range(count)]
    return Panel(name, "Label", "example/x@1.0.0", state, reason, 10.0, 0, 0, many)._replace(**changes)


def snapshot(*panels, events=()):
    return Snapshot("tidegate demo", 65.0, list(panels), list(events), "q ends")


@settings(max_examples=60)
@given(
    snapshot=snapshots, width=st.integers(-1, 200), height=st.integers(-1, 70), style=st.sampled_from([PLAIN, COLOUR])
)
def test_a_picture_never_leaves_the_terminal(snapshot, width, height, style):
    picture = render(snapshot, width, height, style)
    lines = ESCAPES.sub("", picture).split("\n")
    assert len(lines) <= max(height, 1)
    assert all(cells_of(line) <= max(width, 0) for line in lines)
    assert printable(ESCAPES.sub("", picture).replace("\n", "")) == ESCAPES.sub("", picture).replace("\n", "")


@settings(max_examples=30)
@given(snapshot=snapshots)
def test_without_colour_there_is_no_escape(snapshot):
    assert "\x1b" not in render(snapshot, 80, 24)


@given(text=st.text(), cells=st.integers(0, 50))
def test_a_fitted_text_has_exactly_its_cells(text, cells):
    assert cells_of(fit(printable(text), cells)) == cells


def test_a_device_shows_name_state_rate_values_units_and_ages():
    picture = render(snapshot(panel()), 80, 24)
    assert "● node  Label" in picture
    assert "CONNECTED" in picture
    assert "10.0/s" in picture
    assert re.search(r"value_1 +1\.5 °C +0\.2s", picture)
    assert "1 of 1 devices   up 1:05   10 frames/s   0 dropped" in picture


def test_a_device_that_is_away_says_why_and_what_was_lost():
    picture = render(snapshot(panel(state="BACKING_OFF", reason="/dev/x is not there", dropped=7, refused=2)), 100, 24)
    assert "○ node" in picture
    assert "BACKING_OFF  7 dropped  2 refused  /dev/x is not there" in picture
    assert "7 dropped" in picture.splitlines()[0]


def test_a_stale_value_is_called_stale():
    picture = render(snapshot(panel(values=[Value("speed", "3", "1", 90.0, is_stale=True)])), 80, 24)
    assert re.search(r"speed +3 +stale", picture)


def test_values_that_do_not_fit_are_counted():
    picture = render(snapshot(panel(count=40)), 80, 24)
    shown = len(re.findall(r"value_\d+ ", picture))
    assert f"and {40 - shown} more" in picture
    assert shown > 10


def test_a_modest_panel_leaves_its_room_to_the_others():
    assert shared(23, [10, 30]) == [10, 13]
    assert shared(23, [30, 10]) == [13, 10]
    assert shared(23, [30, 30]) == [11, 12]
    assert shared(5, [1, 1]) == [1, 1]
    assert shared(-3, [4, 4]) == [0, 0]


@pytest.mark.parametrize(("width", "columns"), [(50, 1), (80, 2), (160, 2), (170, 4)])
def test_panels_stand_side_by_side_where_there_is_room(width, columns):
    picture = render(snapshot(*(panel(name) for name in "abcd")), width, 60)
    first = next(line for line in picture.splitlines() if "● a" in line)
    assert first.count("●") == columns


def test_the_newest_events_and_the_hint_stand_at_the_foot():
    lines = render(snapshot(panel(), events=["one", "two", "three", "four"]), 80, 24).splitlines()
    assert [line.strip() for line in lines[-4:]] == ["two", "three", "four", "q ends"]


def test_text_of_a_device_cannot_move_the_cursor():
    evil = panel(values=[Value("name", "\x1b[2J\x07\r\n", "1", 0.0)], reason="\x1b]0;x\x07", state="FAILED")
    picture = render(snapshot(evil), 80, 24)
    assert "\x1b" not in picture
    assert "\x07" not in picture
    assert "�[2J" in picture


def test_a_terminal_without_the_letters_gets_simpler_ones():
    picture = render(snapshot(panel()), 80, 24)
    assert downgraded(picture, "utf-8") == picture
    simple = downgraded(picture, "ascii")
    assert simple.isascii()
    assert "* node" in simple
