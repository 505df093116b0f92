"""What one port knows of its CAN bus: the controller's state, errors by kind, what to say of them and when. Pure."""

from __future__ import annotations

from typing import Any, Final

from drivers._can_errors import BUS_OFF, ERROR_PASSIVE, STATES, UNKNOWN, ErrorReport

QUIET_NS: Final = 10_000_000_000  # between two lines about a bus that goes to and fro
UNACKNOWLEDGED_NS: Final = 2_000_000_000  # so long an error frame about a missing acknowledge explains a full queue
FIRST_RESTART_S: Final = 0.25  # a write waits a second: a single bus-off may pass within it
LONGEST_RESTART_S: Final = 60.0
CALM_NS: Final = 60_000_000_000  # so long without bus-off, and the next restart is quick again


class BusAccount:
    """The fold of a port's error frames. Counts run for the life of the port, the state from open to close."""

    def __init__(self) -> None:
        self.state = UNKNOWN
        self.since_ns = 0
        self.bus_off_count = self.restarts = self.error_frames = 0
        self.errors: dict[str, int] = {}  # by kind; there are a dozen
        self.counters: tuple[int, int] | None = None
        self._unacknowledged_ns: int | None = None

    def hear(self, report: ErrorReport, now_ns: int) -> bool:
        """Take an error frame; return whether the state changed."""
        self.error_frames += 1
        self.restarts += report.restarted
        for kind in report.kinds:
            self.errors[kind] = self.errors.get(kind, 0) + 1
        if "ack" in report.kinds:
            self._unacknowledged_ns = now_ns
        if report.counters is not None:
            self.counters = report.counters
        return report.state is not None and self.turn(report.state, now_ns)

    def turn(self, state: str, now_ns: int) -> bool:
        """Be in `state` from now on; return whether that is new."""
        if state == self.state:
            return False
        self.bus_off_count += state == BUS_OFF
        self.state, self.since_ns = state, now_ns
        return True

    def is_unacknowledged(self, now_ns: int) -> bool:
        """Whether nobody on the bus seems to hear us."""
        recently = self._unacknowledged_ns is not None and now_ns - self._unacknowledged_ns < UNACKNOWLEDGED_NS
        return recently or self.state == ERROR_PASSIVE

    def as_json(self, now_ns: int) -> dict[str, Any]:
        """Return the facts for `health`."""
        return {
            "bus_state": self.state,
            "since_s": round((now_ns - self.since_ns) / 1e9, 3) if self.state != UNKNOWN else None,
            "bus_off_count": self.bus_off_count,
            "restarts": self.restarts,
            "error_frames": self.error_frames,
            "errors": dict(self.errors),
            "tx_errors": self.counters[0] if self.counters else None,
            "rx_errors": self.counters[1] if self.counters else None,
        }


class Announcer:
    """Decides which changes of state deserve a line: a worse one at once, others QUIET_NS after the last line."""

    def __init__(self) -> None:
        self.said = UNKNOWN
        self._worst = 0  # rank of what was said lately
        self._quiet_from_ns = 0

    def wait_ns(self, state: str, now_ns: int) -> int | None:
        """Return when to say `state`: 0 for now, None if there is nothing to say."""
        if state == self.said or (self.said == UNKNOWN and state == STATES[0]):
            return None
        if _rank(state) > self._worst:
            return 0
        return max(self._quiet_from_ns - now_ns, 0)

    def say(self, state: str, now_ns: int) -> tuple[str, bool]:
        """Take note that it is said now; return what was said before, and whether this is worse."""
        before, self.said = self.said, state
        recent = self._worst if now_ns < self._quiet_from_ns else _rank(before)
        self._worst = max(recent, _rank(state))
        self._quiet_from_ns = now_ns + QUIET_NS
        return before, _rank(state) > _rank(before)


class RestartDelays:
    """How long to wait before each restart: doubled as long as they do not help."""

    def __init__(self) -> None:
        self._delay_s = 0.0
        self._asked_ns: int | None = None

    def next_s(self, now_ns: int) -> float:
        """Return the wait before the next restart, in seconds."""
        is_calm = self._asked_ns is None or now_ns - self._asked_ns > CALM_NS + self._delay_s * 1e9
        self._delay_s = FIRST_RESTART_S if is_calm else min(2 * self._delay_s, LONGEST_RESTART_S)
        self._asked_ns = now_ns
        return self._delay_s


def _rank(state: str) -> int:
    """Return how bad a state is, from 0; unknown is as good as any."""
    return STATES.index(state) if state in STATES else 0
