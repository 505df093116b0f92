from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.cells import COLOUR, PLAIN, Style, cells_of
from gateway.cli.top.keys import View, pressed
from gateway.cli.top.picture import picture, plain
from gateway.cli.top.rows import is_wanted
from gateway.cli.top.sample import Shown, frame_rates
from gateway.plain import printable
from tests.cli.top.kit import SHOWN, device, sample, value

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
VIEWS = st.builds(
    View, cursor=st.integers(0, 50), filter=st.text(max_size=20), typing=st.none() | st.text(max_size=20),
    device=st.none() | st.text(max_size=10), is_paused=st.booleans(),
)  # fmt: skip


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(
    shown=SHOWN, view=VIEWS, columns=st.integers(0, 220), lines=st.integers(0, 70),
    style=st.sampled_from([PLAIN, COLOUR]), looks_closely=st.booleans(),
)  # fmt: skip
def test_a_picture_never_leaves_the_terminal_and_holds_nothing_that_it_would_obey(
    shown: Shown, view: View, columns: int, lines: int, style: Style, looks_closely: bool
) -> None:
    if looks_closely and shown.sample is not None and shown.sample.devices:
        view = view._replace(device=shown.sample.devices[0]["name"])
    drawn = picture(shown, view, columns, lines, style)
    seen = ESCAPES.sub("", drawn.text) if style is COLOUR else drawn.text
    assert len(seen.split("\n")) <= max(lines, 1)
    assert all(cells_of(line) <= columns for line in seen.split("\n"))
    assert printable(seen.replace("\n", "")) == seen.replace("\n", "")


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(shown=SHOWN, columns=st.integers(1, 200))
def test_what_is_printed_once_is_plain_and_no_wider_than_it_may_be(shown: Shown, columns: int) -> None:
    lines = plain(shown, columns).split("\n")
    assert all(cells_of(line) <= columns for line in lines)
    assert "\x1b" not in "".join(lines)


KEYS = st.sampled_from([*"q/pdjkgG x", "up", "down", "page up", "page down", "home", "end", "\x1b", "\r", "\x7f", "é"])


@given(keys=st.lists(KEYS, max_size=30), owners=st.lists(st.none() | st.sampled_from("ab"), max_size=20))
def test_whatever_is_typed_the_cursor_stays_on_a_row(keys: list[str], owners: list[str | None]) -> None:
    view = View()
    for key in keys:
        view = pressed(view, key, owners, 5)
        assert 0 <= view.cursor <= max(len(owners) - 1, 0)
        assert view.device is None or view.device in owners


def shown(count: int = 3) -> Shown:
    devices = [device(f"pump-{number}") for number in range(count)]
    values = [value(f"pump-{number}/motor/speed", value=number) for number in range(count)]
    return Shown(sample(*devices, values=values), None)


def test_devices_values_wires_ledger_and_doors_are_there() -> None:
    text = picture(shown(), View(), 80, 24).text
    for part in (
        "gw: up 10s, 3 of 3 devices connected", "ledger recording, 90 records on the medium", "pump-1  CONNECTED",
        "pump-2/motor/speed", "/min", "0.2s", "good", "can0", "8 B/s", "q quit",
    ):  # fmt: skip
        assert part in text
    assert len(text.split("\n")) == 24


def test_the_row_under_the_cursor_is_seen_however_far_it_is() -> None:
    there = shown(60)
    for cursor in (0, 30, 61, 123):
        drawn = picture(there, View(cursor=cursor), 80, 24, COLOUR)
        marked = [line for line in drawn.text.split("\n") if line.startswith("\x1b[7m")]
        assert len(marked) == 1


def test_stale_values_taints_and_drops_are_told_in_words_not_in_colour_alone() -> None:
    stale = value("pump/motor/speed", stale=True, age_s=75.0)
    tainted = value("pump/motor/current", taints=["order.replayed"])
    text = picture(Shown(sample(device(), values=[stale, tainted]), None), View(), 80, 24).text
    assert re.search(r"speed +1500 +/min +75s +stale", text)
    assert "order.replayed" in text


def test_a_gateway_that_went_away_is_told_of_and_what_it_said_last_stays() -> None:
    text = picture(shown()._replace(lost="no gateway answers", age_s=12.0), View(), 80, 24).text
    assert "LOST 12s ago, trying again: no gateway answers" in text
    assert re.search(r"pump-1/motor/speed +1 +/min +12s +stale", text)
    assert "no gateway answers" in picture(Shown(None, None, "no gateway answers"), View(), 80, 24).text


def test_one_device_is_looked_at_closely() -> None:
    there = shown()
    assert there.sample is not None
    state = {"desired": {"speed": 900}, "reported": {"speed": 880}, "effective": {}}
    shadow = {"device": "pump-1", "state": state, "coherence": {"speed": "PENDING"}}
    close = there._replace(sample=there.sample._replace(shadow=shadow))
    text = picture(close, View(device="pump-1"), 80, 24).text
    assert re.search(r"speed +900 +880 +- +PENDING", text)
    assert "10 delivered" in text
    assert "pump-2" not in text


@pytest.mark.parametrize(
    ("wanted", "is_meant"),
    [("", True), ("pump", True), ("pump/*/speed", True), ("*/*/cur*", False), ("SPEED", True), ("a/b/c/d", False)],
)
def test_a_filter_is_a_pattern_or_a_part_of_a_name(wanted: str, is_meant: bool) -> None:
    assert is_wanted(wanted, "pump", "motor", "speed") is is_meant


def test_rates_are_of_the_time_between_two_looks_and_a_new_run_begins_anew() -> None:
    before, after = sample(device(frames=100), uptime=10.0), sample(device(frames=150), uptime=12.0)
    assert frame_rates(after, before) == {"pump": 25.0}
    assert frame_rates(after, None) == {"pump": 12.5}
    assert frame_rates(sample(device(frames=4), uptime=2.0, boot="c"), before) == {"pump": 2.0}
    assert frame_rates(sample(device(frames=1), uptime=12.0), before) == {"pump": 0.0}
