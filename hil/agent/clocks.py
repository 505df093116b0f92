"""How far another machine's monotonic clock is from ours, from questions and answers. Pure."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

_KEPT: Final = 32  # measurements, of which the quickest counts
_DRIFT_NS: Final = 10_000_000  # of two clocks between them: 32 s at 300 ppm


class ClockOffset(NamedTuple):
    """What the agent's monotonic clock is ahead of ours."""

    offset_ns: int
    uncertainty_ns: int


class OtherClock:
    """A clock that drifts against ours, and may jump: its machine sleeps, or is started anew."""

    def __init__(self) -> None:
        self._measured: deque[ClockOffset] = deque(maxlen=_KEPT)

    @property
    def is_known(self) -> bool:
        """Whether it was measured."""
        return bool(self._measured)

    @property
    def offset(self) -> ClockOffset:
        """What the quickest of the latest measurements said. There is one."""
        return min(self._measured, key=lambda measured: measured.uncertainty_ns)

    def forget(self) -> None:
        """Begin anew."""
        self._measured.clear()

    def answered(self, asked_ns: int, its_ns: int, now_ns: int) -> None:
        """Take what it showed at some time between our question and now."""
        half_ns = (now_ns - asked_ns + 1) // 2
        if half_ns < 0:
            return
        now = ClockOffset(its_ns - asked_ns - half_ns, half_ns)
        if any(abs(now.offset_ns - old.offset_ns) > half_ns + old.uncertainty_ns + _DRIFT_NS for old in self._measured):
            self.forget()  # one of the two jumped
        self._measured.append(now)
