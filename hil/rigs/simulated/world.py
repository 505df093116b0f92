"""Virtual time: what will be done, in order. Exact to the nanosecond."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from gateway.testing.clock import START_WALL_NS
from hil.durations import Timeout, timeout_ns
from hil.rigs.agenda import Agenda, Event
from hil.rigs.base import RigError
from hil.trace.record import make
from hil.trace.writer import TraceWriter

T = TypeVar("T")


class World:
    """The time of one run of one test, from 0, and all that happens in it: the `Surroundings` of its faults."""

    def __init__(self, seed: int, trace: TraceWriter) -> None:
        self.seed = seed
        self.now_ns = 0
        self.trace = trace
        self.clock = WorldClock(self)
        self.wall_offset_ns = START_WALL_NS
        self._agenda = Agenda()
        self._is_over = False
        self._watchers: list[Callable[[bytes], None]] = []
        self.step: Callable[[int], bool] = self.step_events  # replaced where an event loop lives in this world

    def at(self, at_ns: int, action: Callable[[], None]) -> Event:
        """Do something at a time, or now if that has passed; in the order of asking where times are equal.

        Raises: RigError when the test is over.
        """
        self._check()
        return self._agenda.add(max(at_ns, self.now_ns), action)

    def after(self, delay_ns: int, action: Callable[[], None]) -> Event:
        """Do something when so much time has passed."""
        return self.at(self.now_ns + delay_ns, action)

    def end(self) -> None:
        """Let nothing happen any more: its test is over."""
        self._agenda.clear()
        self._is_over = True
        self.step = self.step_events

    def record(self, bus: str, direction: str, kind: str, data: bytes = b"", **extra: Any) -> None:
        """Write into the trace, now. Raises: RigError when the test is over."""
        self._check()
        self.trace.write(make(self.now_ns, bus, direction, kind, data, **extra))
        if direction in ("rx", "tx"):
            for passed in self._watchers:
                passed(data)

    def watch(self, passed: Callable[[bytes], None]) -> None:
        """Call `passed` with what is received and sent on any bus, once that is in the trace."""
        self._watchers.append(passed)

    def step_events(self, limit_ns: int) -> bool:
        """Do the next thing that is due until `limit_ns`; False: there is none, and that time has come.

        Raises: RigError when the test is over.
        """
        self._check()
        due = self._agenda.take(limit_ns)
        if due is None:
            self.now_ns = max(self.now_ns, limit_ns)
            return False
        self.now_ns, action = due
        action()
        return True

    def _check(self) -> None:
        if self._is_over:
            raise RigError("this belongs to a test that is over; each test has a rig as new: take it from its fixture")

    def next_ns(self) -> int | None:
        """Return when the next thing is due."""
        return self._agenda.next_ns()

    def run_until(self, until_ns: int) -> None:
        """Let time pass."""
        while self.step(until_ns):
            pass

    def wait_for(self, condition: Callable[[], T | None], until_ns: int) -> T | None:
        """Let time pass until `condition` returns something true; return that, or what it returns at `until_ns`."""
        while True:
            found = condition()
            if found or not self.step(until_ns):
                return found or condition()


class WorldClock:
    """The world's time as a gateway's `Clock`, and as the fixture."""

    def __init__(self, world: World) -> None:
        self._world = world

    def monotonic_ns(self) -> int:
        """Return nanoseconds since the test began."""
        return self._world.now_ns

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970, as the rig believes."""
        return self._world.wall_offset_ns + self._world.now_ns

    def sleep(self, duration: Timeout) -> None:
        """Let time pass: "250ms", or seconds."""
        self._world.run_until(self._world.now_ns + timeout_ns(duration))
