"""What to do about an adapter that scans and hears nothing: a ladder, one rung at a time. Pure.

Adapters, their firmware and bluetoothd get stuck in ways that no error shows. Somewhere there is always a phone or a
tag to be heard, so silence is the sign; where there really is none, the ladder ends and begins again an hour later.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

NS_PER_S: Final = 1_000_000_000
SILENCE_NS: Final = 90 * NS_PER_S  # as long as the slowest usual beacon (10.24 s) missed eight times
RUNG_NS: Final = 30 * NS_PER_S
AGAIN_NS: Final = 3600 * NS_PER_S


class Step(Enum):
    """What the adapter should do now."""

    REST = "rest"
    RESTART_SCAN = "restart_scan"  # stop and start the scanner
    RESTART_DISCOVERY = "restart_discovery"  # stop, wait until BlueZ says that it has stopped, start
    POWER_CYCLE = "power_cycle"  # the adapter off and on
    REPORT = "report"  # nothing helped


LADDER: Final = (Step.RESTART_SCAN, Step.RESTART_DISCOVERY, Step.POWER_CYCLE, Step.REPORT)


class Watchdog:
    """Told when the scan began and when something was heard; says what to do."""

    def __init__(self, silence_ns: int = SILENCE_NS, rung_ns: int = RUNG_NS, again_ns: int = AGAIN_NS) -> None:
        self._limits_ns = (silence_ns, rung_ns, rung_ns, rung_ns)
        self._again_ns = again_ns
        self._since_ns = 0  # when the ear was opened, or the last rung was taken
        self._rung = 0
        self._is_exhausted = False
        self.heard_ns = 0  # when the last advertisement came; written by the scanner's callback

    @property
    def is_silent(self) -> bool:
        """Whether the whole ladder did not help and nothing was heard since."""
        return self._is_exhausted and self.heard_ns <= self._since_ns

    def began(self, now_ns: int) -> None:
        """Tell that scanning began, or went on after a pause: silence counts from here."""
        self._since_ns = max(self._since_ns, now_ns)

    def next(self, now_ns: int, *, links: int) -> tuple[Step, int]:
        """Return the step that is due and when to ask again. `links`: open connections, which no reset may cut."""
        if self.heard_ns > self._since_ns:
            self._rung, self._is_exhausted = 0, False
        limit_ns = self._again_ns if self._is_exhausted else self._limits_ns[self._rung]
        due_ns = max(self.heard_ns, self._since_ns) + limit_ns
        if now_ns < due_ns:
            return Step.REST, due_ns
        step = LADDER[self._rung]
        if step is Step.POWER_CYCLE and links:
            self._rung += 1
            step = LADDER[self._rung]
        self._is_exhausted = step is Step.REPORT
        self._rung = (self._rung + 1) % len(LADDER)
        self._since_ns = now_ns
        return step, now_ns
