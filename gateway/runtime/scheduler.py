"""Layer 6: drains every mailbox of the gateway, one turn after the other.

A turn ends after 2 ms, so that reading, sockets and timers come to their right between turns. Who is served is decided
in `turns`; what serving means is the receiver's. An idle scheduler takes its turn within the put, for a wake of the
loop costs as much as many frames; what a turn leaves is served by the scheduler's own task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from gateway.clock import Clock, SystemClock
from gateway.runtime.mailbox import LANES, Lane, Mailbox
from gateway.runtime.parcel import Parcel
from gateway.runtime.turns import DEFAULT_DEADLINE_NS, Stop, Turns

TURN_NS: Final = 2_000_000
MOST_FRAMES: Final = 1024  # at once to one receiver, however cheap it says it is


class SchedulerStatistics(msgspec.Struct, frozen=True):
    """How the loop's time went, since the scheduler was made."""

    turns: int
    longest_turn_ns: int
    frames: dict[str, int]  # per lane


class Scheduler:
    """One per gateway."""

    def __init__(self, clock: Clock | None = None) -> None:
        """Take the clock that measures turns."""
        self._clock = clock or SystemClock()
        self._turns = Turns()
        self._idle: asyncio.Future[None] | None = None
        self._is_serving = False  # what a receiver puts while it is served waits for the next choice of this turn
        self._buses: dict[str, asyncio.Lock] = {}
        self._count = self._longest_ns = 0
        self._frames: dict[Lane, int] = dict.fromkeys(LANES, 0)

    def attach(
        self,
        mailbox: Mailbox,
        serve: Callable[[Parcel], None],
        *,
        guard: Callable[[], bool] | None = None,
        deadline_ns: int = DEFAULT_DEADLINE_NS,
    ) -> Stop:
        """Drain `mailbox` into `serve` from now on, which must not wait and not raise.

        `guard`: False holds the mailbox back until `poke`.
        """
        stop = Stop(mailbox, serve, guard, deadline_ns)

        def arrived() -> None:
            self._turns.ready(stop, self._clock.monotonic_ns())
            is_idle = self._idle is not None and not self._idle.done()
            if is_idle and not self._is_serving and self.turn():
                self.poke()

        mailbox.on_arrival = arrived
        if len(mailbox):
            arrived()
        return stop

    def detach(self, stop: Stop) -> None:
        """Drain that mailbox no more."""
        stop.mailbox.on_arrival = None
        self._turns.forget(stop)

    def drain(self, stop: Stop) -> None:
        """Serve all that waits in a mailbox now, however long it takes."""
        while (parcel := stop.mailbox.take_nowait(None, MOST_FRAMES)) is not None:
            stop.serve(parcel)
            self._frames[stop.lane] += len(parcel.items)

    def poke(self) -> None:
        """Look again: something arrived, or a guard opened."""
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def bus(self, name: str) -> asyncio.Lock:
        """Return the exclusive lock of one physical bus: who writes holds it."""
        return self._buses.setdefault(name, asyncio.Lock())

    async def run(self) -> None:
        """Serve until cancelled."""
        while True:
            if self.turn():
                await asyncio.sleep(0)
                continue
            self._idle = asyncio.get_running_loop().create_future()
            try:
                await self._idle
            finally:
                self._idle = None

    def turn(self) -> bool:
        """Serve for 2 ms at most; return whether something is left to serve."""
        turns = self._turns
        if not turns.waiting:
            return False
        start_ns = now_ns = self._clock.monotonic_ns()
        end_ns = start_ns + TURN_NS
        self._is_serving = True
        try:
            while now_ns < end_ns:
                stop = turns.next(now_ns)
                if stop is None:  # nothing, or nothing that its guard lets through
                    break
                now_ns = self._serve(stop, now_ns, end_ns)
                if not turns.waiting:
                    break
        finally:
            self._is_serving = False
        self._count += 1
        if now_ns - start_ns > self._longest_ns:  # noqa: PLR1730 - a call of max costs more than the comparison
            self._longest_ns = now_ns - start_ns
        return now_ns >= end_ns and turns.waiting > 0

    def statistics(self) -> SchedulerStatistics:
        """Return how the time went."""
        return SchedulerStatistics(self._count, self._longest_ns, {str(lane): n for lane, n in self._frames.items()})

    def _serve(self, stop: Stop, now_ns: int, end_ns: int) -> int:
        mailbox = stop.mailbox
        fits = stop.frames_for(end_ns - now_ns)
        parcel = mailbox.take_nowait(None, fits if fits < MOST_FRAMES else MOST_FRAMES)  # noqa: FURB136 - as above
        if parcel is None:
            return now_ns
        stop.serve(parcel)
        after_ns = self._clock.monotonic_ns()
        frames = len(parcel.items)
        stop.learn(frames, after_ns - now_ns)
        self._turns.spent(stop.lane, after_ns - now_ns)
        self._frames[stop.lane] += frames
        if len(mailbox):
            self._turns.ready(stop, after_ns)
        return after_ns
