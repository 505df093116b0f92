"""Layer 9: time that tests hold in their hand."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine, Mapping
from typing import Any, Final, TypeVar

START_WALL_NS: Final = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
_NS: Final = 1_000_000_000

T = TypeVar("T")


class FakeClock:
    """A `Clock` that stands still until it is told how far to go."""

    def __init__(self, monotonic_ns: int = 0, wall_ns: int = START_WALL_NS) -> None:
        """Start both clocks where given."""
        self._monotonic_ns = monotonic_ns
        self._wall_ns = wall_ns

    def wall_ns(self) -> int:
        """Return nanoseconds since 1970."""
        return self._wall_ns

    def monotonic_ns(self) -> int:
        """Return nanoseconds on the monotonic clock."""
        return self._monotonic_ns

    def advance(self, seconds: float) -> None:
        """Let time pass on both clocks."""
        self.advance_ns(round(seconds * _NS))

    def advance_ns(self, nanoseconds: int) -> None:
        """Let time pass on both clocks. Raises: ValueError for going back."""
        if nanoseconds < 0:
            raise ValueError("time does not go back; use `step_wall` for a wall clock that is set")
        self._monotonic_ns += nanoseconds
        self._wall_ns += nanoseconds

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward or back, as NTP does; monotonic time does not notice."""
        self._wall_ns += round(seconds * _NS)


class _JumpingSelector(selectors.DefaultSelector):
    """Where nothing is ready, the clock jumps to the next timer instead of waiting for it."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return what is ready; otherwise let `timeout` seconds pass at once."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(0)
        if not ready:
            self._clock.advance_ns(int(timeout * _NS) + 1)
        return ready

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        """Return what is registered."""
        return super().get_map()


class _FakeTimeLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: FakeClock) -> None:
        super().__init__(_JumpingSelector(clock))
        self._fake_clock = clock

    def time(self) -> float:
        return self._fake_clock.monotonic_ns() / _NS


def run_on_fake_clock(coroutine: Coroutine[Any, Any, T], clock: FakeClock | None = None) -> T:
    """Run to the end on an event loop whose time is `clock`: sleeping costs nothing and is exact.

    For code that waits for timers and for descriptors that are ready at once; nothing outside the loop runs in fake
    time, so threads and other processes do not belong here.
    """
    fake = clock or FakeClock()
    with asyncio.Runner(loop_factory=lambda: loop_on_fake_clock(fake)) as runner:
        return runner.run(coroutine)


def loop_on_fake_clock(clock: FakeClock) -> asyncio.AbstractEventLoop:
    """Return a new event loop whose time is `clock`, for who runs it step by step; see `run_on_fake_clock`."""
    return _FakeTimeLoop(clock)
