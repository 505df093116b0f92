"""Layer 0: where time comes from. The only module below layer 4 that reads a clock.

Every timer in the gateway takes a `Clock`; `gateway.testing.FakeClock` is the one that tests hand in.
"""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Two clocks that must not be mixed: wall time for people, monotonic time for intervals."""

    def wall_ns(self) -> int:
        """Nanoseconds since 1970 as this machine believes; may jump."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds since some start; never goes back."""
        ...


class SystemClock:
    """The machine's own clocks."""

    @staticmethod
    def wall_ns() -> int:
        """Return nanoseconds since 1970."""
        return time.time_ns()

    @staticmethod
    def monotonic_ns() -> int:
        """Return nanoseconds on the monotonic clock."""
        return time.monotonic_ns()
