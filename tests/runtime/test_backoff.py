from __future__ import annotations

import pytest

from gateway.runtime.backoff import Backoff, bounds_s


def test_delays_double_up_to_the_most_and_begin_again_after_a_reset() -> None:
    backoff = Backoff(1.0, 5.0, lambda: 0.5)
    assert [backoff.delay_s() for _ in range(5)] == [1, 2, 4, 5, 5]
    backoff.reset()
    assert backoff.delay_s() == 1


@pytest.mark.parametrize("chance", [0.0, 0.3, 1.0])
def test_jitter_stays_within_a_fifth_and_never_above_the_most(chance: float) -> None:
    backoff = Backoff(1.0, 8.0, lambda: chance)
    for plain in (1, 2, 4, 8, 8):
        assert plain * 0.8 <= backoff.delay_s() <= min(8.0, plain * 1.2)


def test_bounds_are_written_as_in_a_profile() -> None:
    assert bounds_s("1s..1m") == (1.0, 60.0)
    assert bounds_s("250ms") == (0.25, 0.25)
