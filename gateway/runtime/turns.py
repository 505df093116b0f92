"""Layer 6: who is served next. Pure: decides from what it is told, reads no clock, waits for nothing.

Lanes share the loop's time. Control comes first until it has used its share; every other lane with work gets at least
its own. Within a lane the stop that is due first is served: due = when it became ready + its deadline.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from gateway.runtime.mailbox import LANES, Lane, Mailbox
from gateway.runtime.parcel import Parcel

SHARES: Final[dict[Lane, float]] = {"control": 0.70, "telemetry": 0.20, "bulk": 0.07, "debug": 0.03}
WINDOW_NS: Final = 100_000_000  # what a lane used is halved after so long: an old burst is no debt for ever
DEFAULT_DEADLINE_NS: Final = 1_000_000_000
FIRST_COST_NS: Final = 50_000  # per frame, until it has been measured: cautious, a construct decode takes 10-100 us


class Stop:
    """One mailbox that the scheduler serves."""

    __slots__ = ("cost_ns", "deadline_ns", "due_ns", "guard", "lane", "mailbox", "serve")

    def __init__(
        self,
        mailbox: Mailbox,
        serve: Callable[[Parcel], None],
        guard: Callable[[], bool] | None = None,
        deadline_ns: int = DEFAULT_DEADLINE_NS,
    ) -> None:
        """Take what to drain, what to call, and a guard: while it says False nothing is served."""
        self.mailbox = mailbox
        self.lane: Lane = mailbox.lane
        self.serve = serve
        self.guard = guard
        self.deadline_ns = deadline_ns
        self.due_ns = 0
        self.cost_ns = float(FIRST_COST_NS)

    def frames_for(self, budget_ns: int) -> int:
        """Return how many frames fit into `budget_ns`, as far as is known; at least 1."""
        return max(1, int(budget_ns / self.cost_ns))

    def learn(self, frames: int, spent_ns: int) -> None:
        """Move the cost of one frame a quarter of the way to what was measured."""
        self.cost_ns = max(100.0, self.cost_ns + (spent_ns / frames - self.cost_ns) / 4)


class Turns:
    """The choice among ready stops."""

    def __init__(self) -> None:
        """Start with nothing ready and nothing used."""
        self._ready: dict[Lane, list[Stop]] = {lane: [] for lane in LANES}
        self._used: dict[Lane, float] = dict.fromkeys(LANES, 0.0)
        self._halved_ns = 0
        self.waiting = 0  # stops that are ready, those behind a closed guard included

    def ready(self, stop: Stop, now_ns: int) -> None:
        """There is something in this stop's mailbox; telling it twice changes nothing."""
        lane = self._ready[stop.lane]
        if stop not in lane:
            stop.due_ns = now_ns + stop.deadline_ns
            lane.append(stop)
            self.waiting += 1

    def forget(self, stop: Stop) -> None:
        """Serve this stop no more."""
        lane = self._ready[stop.lane]
        if stop in lane:
            lane.remove(stop)
            self.waiting -= 1

    def next(self, now_ns: int) -> Stop | None:
        """Return the stop to serve now, which is ready no more; None: nothing may be served."""
        if not self.waiting:
            return None
        if self.waiting == 1:
            return self._only()
        open_lanes = {lane: stops for lane, ready in self._ready.items() if ready and (stops := _open(ready))}
        if not open_lanes:
            return None
        lane = self._lane(open_lanes, now_ns)
        stop = min(open_lanes[lane], key=_due)
        self._ready[lane].remove(stop)
        self.waiting -= 1
        return stop

    def _only(self) -> Stop | None:
        """Return the one stop that is ready, if its guard lets it through: nearly always there is no choice."""
        for ready in self._ready.values():
            if ready:
                if ready[0].guard is not None and not ready[0].guard():
                    return None
                self.waiting = 0
                return ready.pop()
        return None

    def spent(self, lane: Lane, nanoseconds: int) -> None:
        """Account for the time a lane took."""
        self._used[lane] += nanoseconds

    def _lane(self, lanes: dict[Lane, list[Stop]], now_ns: int) -> Lane:
        if len(lanes) == 1:
            return next(iter(lanes))
        if now_ns - self._halved_ns > WINDOW_NS:
            self._halved_ns = now_ns
            for lane in LANES:
                self._used[lane] /= 2
        rivals = sum(self._used[lane] for lane in lanes)
        if "control" in lanes and self._used["control"] <= SHARES["control"] * rivals:
            return "control"
        return min(lanes, key=lambda lane: self._used[lane] / SHARES[lane])


def _open(ready: list[Stop]) -> list[Stop]:
    return [stop for stop in ready if stop.guard is None or stop.guard()]


def _due(stop: Stop) -> int:
    return stop.due_ns
