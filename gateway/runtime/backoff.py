"""Layer 6: how long to wait before the next attempt. Pure: randomness is handed in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.notation import duration_ns

JITTER: Final = 0.2  # of the delay, up or down: devices that failed together do not come back together
_NS: Final = 1_000_000_000


class Backoff:
    """Delays that double from `first_s` to `most_s`, each jittered."""

    def __init__(self, first_s: float, most_s: float, random: Callable[[], float]) -> None:
        """Take the bounds in seconds and a source of numbers in 0..1."""
        self._first_s = first_s
        self._most_s = max(first_s, most_s)
        self._random = random
        self._next_s = first_s

    def delay_s(self) -> float:
        """Return the next delay in seconds; never above `most_s`."""
        delay = self._next_s
        self._next_s = min(self._most_s, delay * 2)
        return min(self._most_s, delay * (1 + JITTER * (2 * self._random() - 1)))

    def reset(self) -> None:
        """Begin again with the first delay."""
        self._next_s = self._first_s


def bounds_s(text: str) -> tuple[float, float]:
    """Return the two durations of "1s..1m" in seconds. Raises: ValueError."""
    first, dots, most = text.partition("..")
    low = duration_ns(first) / _NS
    return low, duration_ns(most) / _NS if dots else low
