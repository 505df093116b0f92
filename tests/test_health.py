"""Figures of a connection from irregular news and plain numbers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.health import LEAST_S, WINDOW_S, Health, Rate, Share

NS = 1_000_000_000
spans = st.lists(st.tuples(st.integers(-NS, 10_000 * NS), st.booleans()), max_size=40)


def test_nothing_is_known_before_any_time_has_passed() -> None:
    share = Share(7)
    assert (share.whole(), share.recent()) == (None, None)


def test_half_the_time_up_is_half() -> None:
    share = Share(0)
    share.fold(50 * NS, held=True)
    share.fold(100 * NS, held=False)
    assert share.whole() == 0.5


def test_what_was_long_ago_counts_little_lately() -> None:
    share = Share(0)
    share.fold(1000 * NS, held=False)
    share.fold((1000 + round(5 * WINDOW_S)) * NS, held=True)
    assert share.recent() == pytest.approx(1.0, abs=0.01)
    assert share.whole() == pytest.approx(0.6)


@given(spans)
def test_every_share_is_a_number_from_zero_to_one_whatever_the_clock_does(spans: list[tuple[int, bool]]) -> None:
    share, now_ns = Share(0), 0
    for span_ns, held in spans:
        now_ns += span_ns
        share.fold(now_ns, held=held)
        assert all(each is None or 0.0 <= each <= 1.0 for each in (share.whole(), share.recent()))


@given(st.lists(st.tuples(st.integers(1, 1000 * NS), st.booleans()), min_size=1, max_size=20), st.integers(2, 9))
def test_how_often_time_is_accounted_for_does_not_matter(spans: list[tuple[int, bool]], pieces: int) -> None:
    whole, cut, now_ns = Share(0), Share(0), 0
    for span_ns, held in spans:
        for piece in range(1, pieces + 1):
            cut.fold(now_ns + span_ns * piece // pieces, held=held)
        now_ns += span_ns
        whole.fold(now_ns, held=held)
    assert cut.whole() == whole.whole()
    assert cut.recent() == pytest.approx(whole.recent(), abs=1e-9)


def test_a_steady_rate_is_found_out() -> None:
    rate = Rate(0)
    for second in range(0, 3600, 10):
        rate.add(second * NS)
    assert rate.count == 360
    assert rate.per_minute(3600 * NS) == pytest.approx(6.0, rel=0.05)


def test_one_error_right_after_the_start_is_one_a_minute_and_no_flood() -> None:
    rate = Rate(0)
    rate.add(1)
    assert rate.per_minute(1) == pytest.approx(60 / (WINDOW_S * -math.expm1(-LEAST_S / WINDOW_S)))
    assert rate.per_minute(1) < 1.2


def test_a_rate_dies_away_when_nothing_happens() -> None:
    rate = Rate(0)
    rate.add(0)
    assert rate.per_minute(round(20 * WINDOW_S) * NS) < 1e-6


@given(st.lists(st.integers(-NS, 10_000_000 * NS), max_size=40))
def test_every_rate_is_finite_and_not_negative(spans: list[int]) -> None:
    rate, now_ns = Rate(0), 0
    for span_ns in spans:
        now_ns += span_ns
        rate.add(now_ns)
        assert math.isfinite(rate.per_minute(now_ns))
        assert rate.per_minute(now_ns) >= 0.0


def test_the_last_error_has_an_age() -> None:
    health = Health(0)
    health.erred("unplugged", 10 * NS)
    told = health.as_json(12 * NS)
    assert (told["errors"], told["last_error"], told["last_error_age_s"]) == (1, "unplugged", 2.0)
