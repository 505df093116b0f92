"""One row of the table, and how a ratio is taken: both sides interleaved in one run, medians over rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import msgspec


class Row(msgspec.Struct):
    """One measured figure with what it is held against."""

    name: str
    value: float
    unit: str
    baseline: str
    limit: float
    at_least: bool = False
    """True: `value` must reach `limit`; False: it must not exceed it."""

    @property
    def passed(self) -> bool:
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "value": round(self.value, 4),
            "unit": self.unit,
            "baseline": self.baseline,
            "limit": self.limit,
            "pass": self.passed,
        }


def ns_per_call(function: Callable[[bytes], object], bodies: list[bytes], calls: int) -> float:
    """Return nanoseconds of process time per call, over `calls` calls round the bodies."""
    rounds = max(1, calls // len(bodies))
    start = time.process_time_ns()
    for _ in range(rounds):
        for body in bodies:
            function(body)
    return (time.process_time_ns() - start) / (rounds * len(bodies))


def interleaved(
    sides: dict[str, tuple[Callable[[bytes], object], int]], bodies: list[bytes], rounds: int = 9
) -> dict[str, float]:
    """Return the median nanoseconds per call of each side; one round measures every side once."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, (function, calls) in sides.items():
            taken[name].append(ns_per_call(function, bodies, calls))
    return {name: statistics.median(values) for name, values in taken.items()}
