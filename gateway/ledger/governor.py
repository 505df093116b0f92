"""Layer 2: how much a ledger may wear its medium: a day's budget of bytes, and what gives way when it runs ahead. Pure.

A bucket holds a day's budget and fills evenly. While it is half full nothing is done; below, the telemetry window grows
with what is missing, up to its bound; below a quarter the gather window of `state` grows likewise. `command` and
`audit` never wait. The bucket may go below zero: what must be durable is written, and is paid back later.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from gateway.ledger.base import DAY_NS, NS, Options

Level = Literal["normal", "saving", "saving more"]

FIRST_GIVES_BELOW: Final = 0.5  # of the bucket
SECOND_GIVES_BELOW: Final = 0.25
CONSUMER_TLC_32GB_BYTES: Final = 16e12  # usable NAND writes: 500 cycles of 32 GB, an assumption
YEAR_DAYS: Final = 365.25


class Governor:
    """The windows of one ledger, as its wear allows."""

    def __init__(self, options: Options, now_ns: int) -> None:
        """Take the bounds of both windows and the budget; `now_ns` is monotonic, here and below."""
        self._options = options
        self._budget = options.budget_bytes_per_day
        self._left = float(self._budget)
        self._filled_ns = now_ns
        self._started_ns = now_ns
        self._written = 0
        self._total = 0  # as `account` was told last
        self._level: Level = "normal"

    @property
    def level(self) -> Level:
        """Return what gives way now."""
        return self._level

    def note_written(self, count: int, now_ns: int) -> Level | None:
        """Take bytes off the bucket; return the level where it changed."""
        self._written += count
        if not self._budget:
            return None
        self._left = min(self._budget, self._left + self._budget * (now_ns - self._filled_ns) / DAY_NS)
        self._filled_ns = now_ns
        self._left -= count
        before, self._level = self._level, self._level_now()
        return self._level if self._level != before else None

    def account(self, total: int, now_ns: int) -> dict[str, Any] | None:
        """Take how many bytes were written in all; return what a record tells of the level, where it changed."""
        change = self.note_written(total - self._total, now_ns)
        self._total = total
        return {"what": "wear", "level": change, "window_s": self.window_ns / NS} if change else None

    def _level_now(self) -> Level:
        """Return the level, with a little reluctance to leave one for a better."""
        share = self._left / self._budget
        ease = {"normal": 0.0, "saving": 0.05, "saving more": 0.05}[self._level]
        if share < SECOND_GIVES_BELOW + (ease if self._level == "saving more" else 0):
            return "saving more"
        return "saving" if share < FIRST_GIVES_BELOW + (ease if self._level != "normal" else 0) else "normal"

    @property
    def window_ns(self) -> int:
        """Return for how long telemetry may wait in memory."""
        return self._between(
            self._options.window_ns, self._options.window_most_ns, FIRST_GIVES_BELOW, SECOND_GIVES_BELOW
        )

    @property
    def gather_ns(self) -> int:
        """Return for how long `state` may wait for company."""
        return self._between(self._options.gather_ns, self._options.gather_most_ns, SECOND_GIVES_BELOW, 0.0)

    def _between(self, least: int, most: int, starts: float, ends: float) -> int:
        if not self._budget or most <= least:
            return least
        share = (starts - self._left / self._budget) / (starts - ends)
        return round(least + (most - least) * min(1.0, max(0.0, share)))

    def bytes_per_day(self, now_ns: int) -> float:
        """Return what a day takes at the rate since the start; at least a minute is looked at."""
        return self._written * DAY_NS / max(now_ns - self._started_ns, 60_000_000_000)

    def years(self, now_ns: int, endurance_bytes: float = CONSUMER_TLC_32GB_BYTES) -> float | None:
        """Return how long a card of that endurance lasts at this rate, were this its only writer; None: for ever."""
        rate = self.bytes_per_day(now_ns)
        return endurance_bytes / rate / YEAR_DAYS if rate else None
