"""The wear of a day: bounded, and what gives way does so in order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.base import DAY_NS, NS, Options
from gateway.ledger.governor import Governor

OPTIONS = Options(budget_bytes_per_day=100_000_000)
MINUTE_NS = 60 * NS


@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, DAY_NS)), max_size=30))
def test_windows_stay_within_their_bounds_whatever_is_written(steps: list[tuple[int, int]]) -> None:
    governor, now_ns = Governor(OPTIONS, 0), 0
    for count, passed_ns in steps:
        now_ns += passed_ns
        governor.note_written(count, now_ns)
        assert OPTIONS.window_ns <= governor.window_ns <= OPTIONS.window_most_ns
        assert OPTIONS.gather_ns <= governor.gather_ns <= OPTIONS.gather_most_ns


def test_within_the_budget_nothing_is_widened() -> None:
    governor = Governor(OPTIONS, 0)
    for minute in range(1, 2 * 24 * 60):
        governor.note_written(100_000_000 // (24 * 60), minute * MINUTE_NS)
    assert (governor.level, governor.window_ns, governor.gather_ns) == ("normal", OPTIONS.window_ns, OPTIONS.gather_ns)


def test_telemetry_gives_way_before_state() -> None:
    governor = Governor(OPTIONS, 0)
    assert governor.note_written(60_000_000, 0) == "saving"
    assert governor.window_ns > OPTIONS.window_ns
    assert governor.gather_ns == OPTIONS.gather_ns
    assert governor.note_written(30_000_000, 0) == "saving more"
    assert (governor.window_ns, governor.gather_ns > OPTIONS.gather_ns) == (OPTIONS.window_most_ns, True)


def test_what_was_widened_narrows_again_when_a_day_has_passed() -> None:
    governor = Governor(OPTIONS, 0)
    governor.note_written(200_000_000, 0)
    governor.note_written(0, DAY_NS)
    assert governor.level == "saving more"
    governor.note_written(0, 3 * DAY_NS)
    assert (governor.level, governor.window_ns) == ("normal", OPTIONS.window_ns)


def test_commits_at_the_window_s_pace_settle_near_the_budget() -> None:
    """A unit of 4 KiB as often as the window lets: 5 s would be 71 MB a day, ten times a budget of 7 MB."""
    options = Options(budget_bytes_per_day=7_000_000)
    governor, now_ns, written = Governor(options, 0), 0, 0
    while now_ns < 4 * DAY_NS:
        now_ns += governor.window_ns
        governor.note_written(4096, now_ns)
        written += 4096
    unbridled = 4 * DAY_NS // options.window_ns * 4096
    assert written < 4 * 7_000_000 * 1.3
    assert written < unbridled / 7


def test_without_a_budget_nothing_gives_way() -> None:
    governor = Governor(Options(budget_bytes_per_day=0), 0)
    assert governor.note_written(10**15, 1) is None
    assert governor.level == "normal"


def test_a_card_s_life_follows_from_the_rate() -> None:
    governor = Governor(OPTIONS, 0)
    assert governor.years(DAY_NS) is None
    governor.note_written(16_000_000_000, DAY_NS)
    assert governor.bytes_per_day(DAY_NS) == 16e9
    assert round(governor.years(DAY_NS) or 0, 2) == round(1000 / 365.25, 2)
