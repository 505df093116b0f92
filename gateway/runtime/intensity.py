"""Layer 6: how often a part of ours may break before it is left alone for a while. Pure: time and randomness are given.

After `MOST_FAULTS` within `WINDOW_S` it is given up for a time that doubles with every time it was in vain; a part that
went on for a whole window begins anew. The first fault of its kind is worth a traceback, its repetitions are counts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from gateway.runtime.backoff import Backoff

MOST_FAULTS: Final = 5
WINDOW_S: Final = 60.0
FIRST_S: Final = 1.0
MOST_S: Final = 60.0
QUIET_S: Final = 600.0  # the same fault is new again after so long a time without any
MOST_KINDS: Final = 16  # of faults that are told apart
_NS: Final = 1_000_000_000


class Fault(NamedTuple):
    """What a fault means."""

    is_new: bool  # nothing of its kind was told lately
    is_too_many: bool


class Intensity:
    """The faults of one part."""

    __slots__ = ("_backoff", "_faults_ns", "_kinds", "_tried_ns")

    def __init__(self, rand: Callable[[], float]) -> None:
        """Take a source of numbers in 0..1."""
        self._faults_ns: deque[int] = deque(maxlen=MOST_FAULTS + 1)
        self._kinds: set[str] = set()
        self._backoff = Backoff(FIRST_S, MOST_S, rand)
        self._tried_ns: int | None = None  # when it was last tried again after it was given up

    def fault(self, kind: str, now_ns: int) -> Fault:
        """Take a fault of a kind: a few stable words."""
        faults = self._faults_ns
        if faults and now_ns - faults[-1] > QUIET_S * _NS:
            self._kinds.clear()
        is_new = kind not in self._kinds and len(self._kinds) < MOST_KINDS
        if is_new:
            self._kinds.add(kind)
        faults.append(now_ns)
        return Fault(is_new, len(faults) > MOST_FAULTS and now_ns - faults[0] <= WINDOW_S * _NS)

    def delay_s(self, now_ns: int) -> float:
        """Return for how long to leave it alone now."""
        if self._tried_ns is not None and now_ns - self._tried_ns > WINDOW_S * _NS:
            self._backoff.reset()
            self._tried_ns = None
        return self._backoff.delay_s()

    def tried(self, now_ns: int) -> None:
        """It is tried again."""
        self._tried_ns = now_ns
