"""When a frame came, on the clock of the trace."""

from __future__ import annotations

from hil.rigs.bench.can_wire import wall_ahead_ns


def test_the_quickest_look_at_two_clocks_tells_how_far_they_are_apart() -> None:
    assert wall_ahead_ns([(0, 1_000, 40), (100, 1_105, 110), (200, 1_900, 910)]) == 1_000


def test_a_look_that_was_interrupted_on_either_side_does_not_count() -> None:
    quick = (500, 1_510, 520)
    assert wall_ahead_ns([(0, 1_400, 410), quick]) == wall_ahead_ns([quick, (0, 1_010, 410)]) == 1_000
