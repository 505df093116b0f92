"""Layer 2: how well a connection has been, in figures. Pure: time comes as plain nanoseconds.

What happened lately is a mean whose weight decays with time, `WINDOW_S` to 1/e: exact however irregularly it is fed,
and corrected for the time before the start. Time that would go back counts as no time.
"""

from __future__ import annotations

from math import exp, expm1
from typing import Any, Final

WINDOW_S: Final = 300.0
LEAST_S: Final = 60.0  # one error in the first second is no sixty a minute
_NS: Final = 1_000_000_000


class Share:
    """For what fraction of time something held: of all time, and lately."""

    __slots__ = ("_held_ns", "_recent", "_start_ns", "_until_ns")

    def __init__(self, now_ns: int) -> None:
        """Begin to count at `now_ns`."""
        self._start_ns = self._until_ns = now_ns
        self._held_ns = 0
        self._recent = 0.0

    def fold(self, until_ns: int, *, held: bool) -> None:
        """Account for the time up to `until_ns`, through all of which it held, or did not."""
        span_ns = until_ns - self._until_ns
        if span_ns <= 0:
            return
        self._until_ns = until_ns
        self._recent *= exp(-span_ns / _NS / WINDOW_S)
        if held:
            self._held_ns += span_ns
            self._recent -= expm1(-span_ns / _NS / WINDOW_S)

    def whole(self) -> float | None:
        """Return the fraction of all time, None before any has passed."""
        span_ns = self._until_ns - self._start_ns
        return self._held_ns / span_ns if span_ns else None

    def recent(self) -> float | None:
        """Return the fraction of late, None before any time has passed."""
        span_ns = self._until_ns - self._start_ns
        return min(1.0, self._recent / -expm1(-span_ns / _NS / WINDOW_S)) if span_ns else None


class Rate:
    """How often something happens: in all, and lately."""

    __slots__ = ("_recent", "_start_ns", "_until_ns", "count")

    def __init__(self, now_ns: int) -> None:
        """Begin to count at `now_ns`."""
        self._start_ns = self._until_ns = now_ns
        self._recent = 0.0
        self.count = 0

    def add(self, now_ns: int) -> None:
        """It happened once."""
        self._decay(now_ns)
        self._recent += 1.0
        self.count += 1

    def per_minute(self, now_ns: int) -> float:
        """Return how often it happens in a minute, lately."""
        self._decay(now_ns)
        seen_s = max((self._until_ns - self._start_ns) / _NS, LEAST_S)
        return self._recent * 60.0 / (WINDOW_S * -expm1(-seen_s / WINDOW_S))

    def _decay(self, now_ns: int) -> None:
        if now_ns > self._until_ns:
            self._recent *= exp((self._until_ns - now_ns) / _NS / WINDOW_S)
            self._until_ns = now_ns


class Health:
    """The figures of one connection."""

    __slots__ = ("availability", "errors", "faults", "last_error", "last_error_ns", "losses", "retries")

    def __init__(self, now_ns: int) -> None:
        """Begin at `now_ns`."""
        self.availability = Share(now_ns)  # connected, and not silent for too long
        self.errors = Rate(now_ns)
        self.retries = Rate(now_ns)
        self.losses = 0  # times it was connected and is no more
        self.faults = 0  # of our own part; they are errors too
        self.last_error: str | None = None
        self.last_error_ns = 0

    def erred(self, reason: str, now_ns: int) -> None:
        """Count an error; the newest one is kept."""
        self.errors.add(now_ns)
        self.last_error = reason
        self.last_error_ns = now_ns

    def as_json(self, now_ns: int) -> dict[str, Any]:
        """Return the object `health` of `devices --json`; `availability` must have been folded up to `now_ns`."""
        return {
            "availability": self.availability.whole(),
            "availability_recent": self.availability.recent(),
            "errors": self.errors.count,
            "errors_per_min": self.errors.per_minute(now_ns),
            "retries": self.retries.count,
            "retries_per_min": self.retries.per_minute(now_ns),
            "losses": self.losses,
            "faults": self.faults,
            "last_error": self.last_error,
            "last_error_age_s": None if self.last_error is None else max(0.0, (now_ns - self.last_error_ns) / _NS),
            "window_s": WINDOW_S,
        }
