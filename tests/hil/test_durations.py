"""Durations that tests write."""

from __future__ import annotations

import pytest

from hil.durations import ns, timeout_ns


@pytest.mark.parametrize(("value", "expected"), [("250ms", 250_000_000), ("1.5s", 1_500_000_000), ("17ns", 17), (5, 5)])
def test_a_duration_is_text_or_whole_nanoseconds(value, expected):
    assert expected == ns(value)


@pytest.mark.parametrize("value", ["5", "ms", "-1s", "1.5ns", -1, 0.5, True, None])
def test_what_is_no_duration_is_refused(value):
    with pytest.raises(ValueError, match="duration"):
        ns(value)


@pytest.mark.parametrize(("value", "expected"), [(0.5, 500_000_000), (2, 2_000_000_000), ("20ms", 20_000_000)])
def test_a_timeout_without_a_unit_is_seconds(value, expected):
    assert expected == timeout_ns(value)


@pytest.mark.parametrize("value", [-1, float("nan"), float("inf"), True, "soon"])
def test_what_is_no_timeout_is_refused(value):
    with pytest.raises(ValueError, match=r"timeout|duration"):
        timeout_ns(value)
