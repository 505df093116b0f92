"""Layer 6: how far the machine's wall clock can be trusted, and when it was set: what `clock` records tell.

Everything is ordered by sequence; these records let a reader say which instants a wall time may mean.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, Literal

Quality = Literal["none", "rtc", "ntp"]

STEP_NS: Final = 500_000_000  # slower corrections than that between two looks are no step
SPACING_NS: Final = 10_000_000_000  # a clock that is set every second is told of so often at most

_SYNCHRONIZED: Final = "run/systemd/timesync/synchronized"  # systemd-timesyncd(8): touched at every synchronization
_REAL_TIME_CLOCK: Final = "sys/class/rtc/rtc0"


def clock_quality(root: Path = Path("/")) -> Quality:
    """Return where the wall clock has its time from: the network, a clock with a battery, or nobody knows."""
    if (root / _SYNCHRONIZED).exists():
        return "ntp"
    return "rtc" if (root / _REAL_TIME_CLOCK).exists() else "none"


def machine_boot(root: Path = Path("/")) -> str:
    """Return what tells this start of the machine from others (random(4), boot_id); "" where it has none to tell."""
    try:
        return (root / "proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


class Timekeeper:
    """Compares the wall clock with the monotonic one, look by look. Pure."""

    def __init__(self) -> None:
        """Start without having looked."""
        self._offset_ns: int | None = None  # wall minus monotonic, when it was told last
        self._seen_ns = 0  # the same, at the last look
        self._quality: Quality = "none"
        self._told_ns = 0  # monotonic

    def look(self, wall_ns: int, monotonic_ns: int, quality: Quality) -> dict[str, Any] | None:
        """Return the body of a `clock` record where there is something to tell.

        {"reason": "start"|"step"|"quality", "wall_ns", "monotonic_ns", "quality", "step_ns"}, the step since the record
        before.
        """
        offset_ns = wall_ns - monotonic_ns
        told_ns = self._offset_ns
        slewed = told_ns is not None and abs(offset_ns - self._seen_ns) <= STEP_NS
        if told_ns is not None and slewed and abs(self._seen_ns - told_ns) <= STEP_NS:
            self._offset_ns = told_ns = offset_ns  # what creeps is no step, however far it comes in a year
        self._seen_ns = offset_ns
        if told_ns is None:
            reason, step_ns = "start", 0
        elif monotonic_ns - self._told_ns < SPACING_NS:
            return None
        elif (step_ns := offset_ns - told_ns) and abs(step_ns) > STEP_NS:
            reason = "step"
        elif quality != self._quality:
            reason = "quality"
        else:
            return None
        self._offset_ns, self._quality, self._told_ns = offset_ns, quality, monotonic_ns
        return {
            "reason": reason,
            "wall_ns": wall_ns,
            "monotonic_ns": monotonic_ns,
            "quality": quality,
            "step_ns": step_ns,
        }
