"""One worker thread for each SPI bus: it makes every transfer of every chip select, one after the other.

The kernel serialises transfers too, but then each port would need a thread, and which goes first would be chance. A
transfer that hangs in the kernel holds this thread and nothing else: callers have deadlines, closing does not wait.
What the transfers are for is the ports' business; here they are calls.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from drivers._blocking import start_reader
from drivers._spi_schedule import Load, Point, Schedule, Tally
from gateway.clock import Clock
from gateway.port import Sample

T = TypeVar("T")

TIMER_SLACK_NS: Final = 1  # the kernel's 50 us made a 1 kHz grid late by 92 us at the median; like this 37 us.
# Spinning for the last 150 us makes the median 0.2 us, but the 99th percentile worse (the GIL) and triples the
# processor time: it does not pay.
MANY_JOBS: Final = 64  # then those that were cancelled are cleared out


class Sampled(Protocol):
    """A port as its bus sees it."""

    def serve(self, point: Point) -> bool:
        """Make one sampled transfer, in the bus's thread; return whether it succeeded. Does not raise."""
        ...


class SpiBus:
    """One bus. Its thread lives as long as somebody has a lease, or a transfer still hangs."""

    def __init__(self, number: int, clock: Clock) -> None:
        self.number = number
        self._clock = clock
        self._changed = threading.Condition()
        self._jobs: deque[tuple[Future[Any], Callable[[], Any]]] = deque()
        self._schedule = Schedule()
        self._load = Load(clock.monotonic_ns())
        self._busy_since_ns: int | None = None
        self._leases = 0
        self._thread: threading.Thread | None = None

    # Any thread.

    def lease(self) -> None:
        """Keep the thread until `release`."""
        with self._changed:
            self._leases += 1
            if self._thread is None:
                self._thread = start_reader(f"spi bus {self.number}", self._work)

    def release(self) -> threading.Thread | None:
        """Give a lease back; return the thread if it will end now, once it has done what was submitted."""
        with self._changed:
            self._leases -= 1
            self._changed.notify()
            return self._thread if self._leases == 0 else None

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Have `call` made in the bus's thread, in turn; a future that is cancelled first is left out."""
        job: Future[T] = Future()
        with self._changed:
            if len(self._jobs) >= MANY_JOBS:  # nobody takes them while a transfer hangs
                self._jobs = deque(entry for entry in self._jobs if not entry[0].cancelled())
            self._jobs.append((job, call))
            self._changed.notify()
        return job

    def sample(self, owner: Sampled, plan: Sequence[Sample], tally: Tally) -> None:
        """Serve these samples of `owner` from now on in place of those it had."""
        with self._changed:
            self._schedule.replace(owner, plan, self._clock.monotonic_ns(), tally)
            self._changed.notify()

    def busy_share(self) -> float:
        """Return which share of the last ten seconds the bus was in transfers, 0 to 1."""
        with self._changed:
            return self._load.share(self._clock.monotonic_ns())

    def busy_for_s(self) -> float:
        """Return how long the transfer takes that is being made; 0 for none."""
        since_ns = self._busy_since_ns
        return 0.0 if since_ns is None else (self._clock.monotonic_ns() - since_ns) / 1e9

    # The bus's thread.

    def _work(self) -> None:
        _sharpen_timers()
        while True:
            point, job = self._wait()
            if point is None and job is None:
                return
            if point is not None:
                self._serve(point)
            if job is not None:
                self._carry_out(*job)

    def _wait(self) -> tuple[Point | None, tuple[Future[Any], Callable[[], Any]] | None]:
        """Return what to do now: a sample and a job at most, so that neither starves the other; nothing at the end."""
        with self._changed:
            while True:
                now_ns = self._clock.monotonic_ns()
                point = self._schedule.take(now_ns)
                job = self._jobs.popleft() if self._jobs else None
                if point is not None or job is not None:
                    return point, job
                if self._leases == 0:
                    self._thread = None
                    return None, None
                due_ns = self._schedule.next_ns()
                self._changed.wait(None if due_ns is None else max(0, due_ns - now_ns) / 1e9)

    def _serve(self, point: Point) -> None:
        owner: Sampled = point.owner
        succeeded = self._timed(lambda: owner.serve(point))
        with self._changed:
            self._schedule.settle(point, succeeded=succeeded)

    def _carry_out(self, job: Future[Any], call: Callable[[], Any]) -> None:
        if not job.set_running_or_notify_cancel():
            return
        try:
            result = self._timed(call)
        except BaseException as error:  # noqa: BLE001 - whatever a call raises belongs to who waits for it
            job.set_exception(error)
        else:
            job.set_result(result)

    def _timed(self, call: Callable[[], T]) -> T:
        self._busy_since_ns = start_ns = self._clock.monotonic_ns()
        try:
            return call()
        finally:
            self._busy_since_ns = None
            with self._changed:
                self._load.add(start_ns, self._clock.monotonic_ns())


class Buses:
    """The buses of one machine by number, so that ports of one bus share its thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._buses: dict[int, SpiBus] = {}

    def lease(self, number: int, clock: Clock) -> SpiBus:
        """Return a bus with one lease more."""
        with self._lock:
            bus = self._buses.setdefault(number, SpiBus(number, clock))
        bus.lease()
        return bus


def _sharpen_timers() -> None:
    """Have this thread woken when it asked for, not up to 50 us later."""
    with contextlib.suppress(OSError):  # without /proc it samples a little later
        Path(f"/proc/{threading.get_native_id()}/timerslack_ns").write_text(str(TIMER_SLACK_NS), encoding="ascii")
