"""When a fault strikes: a pure decision over time, what passes, and a seeded chance."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from hil.durations import ns
from hil.faults.catalogue import Acts, Kind, data_of

WAITING: Final = ("after", "probability", "pattern")  # what makes a fault wait for what passes


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """The common parameters, read. All that are given must hold; none given: always."""

    at_ns: int | None = None
    """On the trace's time: not before."""
    after: int | None = None
    """Lets so many pass first."""
    probability: float | None = None
    """Of each that passes."""
    pattern: bytes | None = None
    """Only what contains it."""
    count: int | None = None
    """At most so often."""
    duration_ns: int | None = None
    """How long it lasts; of what is over at once, how long it may strike: from `at` on, or from when it was added."""

    @property
    def waits_for_traffic(self) -> bool:
        """Whether something must pass before it can strike."""
        return self.after is not None or self.probability is not None or self.pattern is not None

    @classmethod
    def of(cls, kind: Kind, given: Mapping[str, Any], now_ns: int) -> Schedule:
        """Return the schedule among a fault's parameters. Raises: ValueError for what can never strike."""
        schedule = cls(
            at_ns=_read(given, "at", ns),
            after=_read(given, "after", _count_from(0)),
            probability=_read(given, "probability", _probability),
            pattern=_read(given, "pattern", data_of),
            count=_read(given, "count", _count_from(1)),
            duration_ns=_read(given, "duration", ns),
        )
        if schedule.at_ns is not None and schedule.at_ns < now_ns:
            raise ValueError(f"at = {given['at']!r} has passed: the trace is at {now_ns / 1e6:g} ms")
        if schedule.duration_ns == 0:
            raise ValueError("duration = 0: it would be over before it began")
        if schedule.duration_ns is not None and kind.name == "clock_jump" and not schedule.waits_for_traffic:
            raise ValueError(f"fault {kind.name!r} is over at once; it has no duration")
        return schedule


class Hit(NamedTuple):
    """That a fault struck."""

    number: int  # from 0
    passed: int  # what passed since it was added, this included


class Trigger:
    """One fault's schedule at work."""

    def __init__(self, schedule: Schedule, kind: Kind, chance: random.Random, now_ns: int) -> None:
        """Begin to count now."""
        self.schedule = schedule
        self.passed = 0
        self.hits = 0
        self._chance = chance
        begin_ns = now_ns if schedule.at_ns is None else schedule.at_ns
        window_ns = None if kind.acts is Acts.STATE or kind.lasts else schedule.duration_ns
        self._end_ns = None if window_ns is None else begin_ns + window_ns

    @property
    def hit(self) -> Hit:
        """The last one."""
        return Hit(self.hits - 1, self.passed)

    def is_over(self, now_ns: int) -> bool:
        """Return whether it will not strike any more."""
        is_used_up = self.schedule.count is not None and self.hits >= self.schedule.count
        return is_used_up or (self._end_ns is not None and now_ns >= self._end_ns)

    def strikes(self, now_ns: int, data: bytes) -> bool:
        """Return whether it strikes `data`, which passes now. Counts both."""
        schedule = self.schedule
        if self.is_over(now_ns) or (schedule.at_ns is not None and now_ns < schedule.at_ns):
            return False
        self.passed += 1
        if schedule.after is not None and self.passed <= schedule.after:
            return False
        if schedule.pattern is not None and schedule.pattern not in data:
            return False
        if schedule.probability is not None and self._chance.random() >= schedule.probability:
            return False
        self.hits += 1
        return True


def _read(given: Mapping[str, Any], name: str, read: Any) -> Any:
    if given.get(name) is None:
        return None
    try:
        return read(given[name])
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} = {given[name]!r}: {error}") from error


def _count_from(lowest: int) -> Any:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < lowest:
            raise ValueError(f"a whole number from {lowest} on")
        return value

    return read


def _probability(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError("a number above 0, up to 1")
    return value
