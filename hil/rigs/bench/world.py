"""Real time of one run of one test: the trace that threads write, and what is to be done when its time comes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from hil.durations import Timeout, timeout_ns
from hil.rigs.agenda import Agenda, Event
from hil.trace.record import Record, make
from hil.trace.writer import TraceWriter

T = TypeVar("T")


class BenchWorld:
    """The time of one run, from 0: the `Surroundings` of its faults.

    Events happen in the test's thread while it waits, so that no fault needs a lock; what threads bring wakes it.
    """

    def __init__(self, seed: int, trace: TraceWriter, now: Callable[[], int] = time.monotonic_ns) -> None:
        self.seed = seed
        self.wall_offset_ns = 0  # what a fault made of the clock
        self._now = now
        self._start_ns = now()
        self._trace = trace
        self._came = threading.Condition()
        self._agenda = Agenda()
        self._is_over = False
        self._watchers: list[Callable[[bytes], None]] = []

    @property
    def now_ns(self) -> int:
        """Nanoseconds since the run began."""
        return self._now() - self._start_ns

    def since_start_ns(self, monotonic_ns: int) -> int:
        """Return a stamp of the machine's monotonic clock on the trace's time; what came before the run is 0."""
        return max(0, monotonic_ns - self._start_ns)

    def record(self, bus: str, direction: str, kind: str, data: bytes = b"", **extra: Any) -> None:
        """Write into the trace, now. From any thread."""
        with self._came:
            self._write(make(self.now_ns, bus, direction, kind, data, **extra), data)

    def record_at(self, t_ns: int, bus: str, direction: str, kind: str, data: bytes = b"", **extra: Any) -> None:
        """Write into the trace what happened a moment ago. From any thread."""
        with self._came:
            self._write(make(t_ns, bus, direction, kind, data, **extra), data)

    def watch(self, passed: Callable[[bytes], None]) -> None:
        """Call `passed` with what is received and sent on any bus, in the thread that tells of it."""
        self._watchers.append(passed)

    def _write(self, record: Record, data: bytes) -> None:
        if self._is_over:
            return
        self._trace.write(record)
        if record.dir in ("rx", "tx"):
            for passed in self._watchers:
                passed(data)

    def end(self) -> None:
        """Let nothing more be written: the run is over."""
        with self._came:
            self._is_over = True
            self._agenda.clear()

    def wake(self) -> None:
        """Let whoever waits look again. From any thread."""
        with self._came:
            self._came.notify_all()

    def at(self, at_ns: int, action: Callable[[], None]) -> Event:
        """Do something at a time of the trace, in the test's thread. From any thread."""
        with self._came:
            self._came.notify_all()
            return self._agenda.add(at_ns, action)

    def wait_for(self, condition: Callable[[], T | None], until_ns: int) -> T | None:
        """Wait until `condition` returns something true; return that, or what it returns at `until_ns`."""
        while True:
            self._do_what_is_due()
            with self._came:
                found = condition()
                now_ns = self.now_ns
                if found or now_ns >= until_ns:
                    return found
                due_ns = self._agenda.next_ns()
                next_ns = until_ns if due_ns is None else min(until_ns, due_ns)
                if next_ns > now_ns:
                    self._came.wait((next_ns - now_ns) / 1e9)

    def run_until(self, until_ns: int) -> None:
        """Let time pass."""
        self.wait_for(lambda: None, until_ns)

    def _do_what_is_due(self) -> None:
        while (action := self._due()) is not None:
            action()

    def _due(self) -> Callable[[], None] | None:
        with self._came:
            due = self._agenda.take(self.now_ns)
        return None if due is None else due[1]


class BenchClock:
    """The machine's time, as a gateway's `Clock` and as the fixture."""

    def __init__(self, world: BenchWorld) -> None:
        self._world = world

    @staticmethod
    def monotonic_ns() -> int:
        """Return nanoseconds that never go back."""
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970, as the rig believes."""
        return time.time_ns() + self._world.wall_offset_ns

    def sleep(self, duration: Timeout) -> None:
        """Let time pass: "250ms", or seconds."""
        self._world.run_until(self._world.now_ns + timeout_ns(duration))
