"""When samples are due: pure, it reads no clock and starts no thread.

Every request has a grid of its own, origin + k * period. A point is served at most once and never late by a period:
what was missed is counted, not made up, so that the grid never drifts. A request that fails is served ever more
rarely, on its own grid still, and at its pace again with the first success.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from gateway.port import Sample

SLOWEST_NS: Final = 60_000_000_000  # a request that keeps failing is still tried so often
JITTER_POINTS: Final = 4096  # percentiles are over as many of the last points


class Tally:
    """What became of the points of one port."""

    def __init__(self) -> None:
        self.served = 0  # transfers made, failed ones too
        self.missed = 0  # points that nobody had time for
        self.held_back = 0  # points left out since the request had failed
        self._late_ns = array("q", bytes(8 * JITTER_POINTS))
        self._worst_ns = 0

    def add(self, late_ns: int) -> None:
        """Count a transfer that began so long after its point."""
        self._late_ns[self.served % JITTER_POINTS] = late_ns
        self._worst_ns = max(self._worst_ns, late_ns)
        self.served += 1

    def jitter_us(self) -> dict[str, float] | None:
        """Return how late transfers began: percentiles of the last 4,096 points, and the worst of all."""
        late = sorted(self._late_ns[: min(self.served, JITTER_POINTS)])
        if not late:
            return None
        middle, high = late[len(late) // 2], late[len(late) * 99 // 100]
        return {"p50": middle / 1e3, "p99": high / 1e3, "max": self._worst_ns / 1e3}


class Point(NamedTuple):
    """One transfer to make now."""

    grid: _Grid
    due_ns: int

    @property
    def owner(self) -> Any:
        """Return whose request it is, as `replace` was told."""
        return self.grid.owner

    @property
    def request(self) -> bytes:
        """Return what to clock out."""
        return self.grid.sample.request

    @property
    def failures(self) -> int:
        """Return how often in a row the request failed before."""
        return self.grid.failures


class _Grid:
    """The points of one request."""

    def __init__(self, owner: object, sample: Sample, origin_ns: int, tally: Tally) -> None:
        self.owner = owner
        self.sample = sample
        self.failures = 0
        self._origin_ns = origin_ns
        self._tally = tally
        self._next = 0  # number of the point that is served next
        self._stride = 1  # points from one to the next; more than one while it fails

    @property
    def due_ns(self) -> int:
        return self._origin_ns + self._next * self.sample.every_ns

    def take(self, now_ns: int) -> Point:
        """Serve the newest point that is due."""
        current = (now_ns - self._origin_ns) // self.sample.every_ns
        self._tally.missed += current - self._next
        point = Point(self, self._origin_ns + current * self.sample.every_ns)
        self._tally.add(now_ns - point.due_ns)
        self._next = current + 1
        return point

    def settle(self, *, succeeded: bool) -> None:
        """Say where the next point is, now that the last one taken is over."""
        self.failures = 0 if succeeded else self.failures + 1
        every_ns = self.sample.every_ns
        patience_ns = min(every_ns << min(self.failures, 32), max(SLOWEST_NS, every_ns))
        left_out = patience_ns // every_ns - 1
        self._next += left_out
        self._tally.held_back += left_out


class Schedule:
    """The samples of all ports of one bus: who waits longest is served first, so nobody starves."""

    def __init__(self) -> None:
        self._grids: list[_Grid] = []

    def replace(self, owner: object, plan: Sequence[Sample], now_ns: int, tally: Tally) -> None:
        """Give `owner` these samples in place of those it had; their first points are now."""
        self._grids = [grid for grid in self._grids if grid.owner != owner]
        self._grids += [_Grid(owner, sample, now_ns, tally) for sample in plan]

    def next_ns(self) -> int | None:
        """Return when the next point is due; None: nothing is sampled."""
        return min((grid.due_ns for grid in self._grids), default=None)

    def take(self, now_ns: int) -> Point | None:
        """Return what to do now; None: nothing is due. The same request is not taken again before `settle`."""
        grid = min(self._grids, key=lambda each: each.due_ns, default=None)
        return None if grid is None or grid.due_ns > now_ns else grid.take(now_ns)

    @staticmethod
    def settle(point: Point, *, succeeded: bool) -> None:
        """Say how the transfer of a point ended."""
        point.grid.settle(succeeded=succeeded)


class Load:
    """Which share of the last ten seconds was spent in transfers: sliding, over two windows."""

    WINDOW_NS: Final = 10_000_000_000

    def __init__(self, now_ns: int) -> None:
        self._began_ns = now_ns
        self._busy_ns = 0
        self._before_ns = 0  # busy in the window before this one

    def add(self, start_ns: int, end_ns: int) -> None:
        """Count a transfer."""
        self._turn(end_ns)
        self._busy_ns += end_ns - start_ns

    def share(self, now_ns: int) -> float:
        """Return the share, 0 to 1."""
        self._turn(now_ns)
        weight = 1 - (now_ns - self._began_ns) / self.WINDOW_NS
        return min(1.0, (self._before_ns * weight + self._busy_ns) / self.WINDOW_NS)

    def _turn(self, now_ns: int) -> None:
        passed = (now_ns - self._began_ns) // self.WINDOW_NS
        if passed > 0:
            self._before_ns = self._busy_ns if passed == 1 else 0
            self._busy_ns = 0
            self._began_ns += passed * self.WINDOW_NS
