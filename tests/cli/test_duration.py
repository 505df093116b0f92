from __future__ import annotations

import pytest

from gateway.cli.duration import seconds_of
from gateway.errors import UsageError


@pytest.mark.parametrize(
    ("told", "seconds"), [("250ms", 0.25), ("3s", 3.0), ("10m", 600.0), ("0s", 0.0), ("366d", 31_622_400.0), (2, 2.0)]
)
def test_a_duration_is_text_or_a_number_of_seconds(told, seconds):
    assert seconds_of(told) == seconds


@pytest.mark.parametrize("told", ["3", "", "s", "-1s", "1 s", "1e3s", "9" * 39 + "s", "0" * 39 + "5s", "NaN"])
def test_a_text_that_is_no_duration_is_refused_with_examples_or_the_limits(told):
    with pytest.raises(UsageError, match=r"for example '250ms'|0s to 366d"):
        seconds_of(told)


@pytest.mark.parametrize("told", [-1, 1e9, float("nan"), float("inf"), 10**400])
def test_a_number_that_no_clock_takes_is_refused(told):
    with pytest.raises(UsageError):
        seconds_of(told)
