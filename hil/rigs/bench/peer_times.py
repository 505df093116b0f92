"""The machine's time for a peer on a bench, which answers whatever the test's thread is doing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from hil.durations import Duration
from hil.peers.script import Rule
from hil.peers.scripted import ScriptedPeer
from hil.rigs.agenda import Event
from hil.rigs.bench.wire import Wire
from hil.rigs.bench.world import BenchWorld

R = TypeVar("R", bound=Rule)
H = TypeVar("H")


class PeerTimes:
    """`hil.peers.surroundings.Times` of a wire's run: what is due is done in a thread of its own, under `lock`."""

    def __init__(self, wire: Wire) -> None:
        self.lock = threading.RLock()  # whoever tells the peer something holds it
        self._wire = wire
        self._timers: list[threading.Timer] = []

    @property
    def now_ns(self) -> int:
        """Nanoseconds since the run began; 0 between two."""
        world = self._wire.world
        return 0 if world is None else world.now_ns

    def at(self, at_ns: int, action: Callable[[], None]) -> Event:
        """Do something at a time of this run."""
        event = Event(action)
        timer = threading.Timer(max(0, at_ns - self.now_ns) / 1e9, self._do, (event, self._wire.world))
        timer.daemon = True
        self._timers = [*(each for each in self._timers if each.is_alive()), timer]
        timer.start()
        return event

    def record(self, bus: str, direction: str, kind: str, data: bytes = b"", **extra: Any) -> None:
        """Write into the trace, now."""
        world = self._wire.world
        if world is not None:
            world.record(bus, direction, kind, data, **extra)
            world.wake()

    def end(self) -> None:
        """Do nothing any more of what was to be done."""
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()

    def _do(self, event: Event, world: BenchWorld | None) -> None:
        with self.lock:
            action, event.action = event.action, None
            if action is not None and self._wire.world is world:
                action()


class PlayedBoard:
    """`hil.peers.surroundings.Board` that a second adapter plays: it is there as long as the adapter is."""

    is_powered = is_answering = True
    boots = 1


class ThreadedPeer(ScriptedPeer[R, H]):
    """What a peer on a bench does under the lock of its times, so that it is told one thing after the other."""

    thread_times: PeerTimes

    def end(self) -> None:
        """Forget everything: the test is over."""
        with self.thread_times.lock:
            self.reset()
            self.thread_times.end()

    def _add(self, rule: R) -> R:
        with self.thread_times.lock:
            return super()._add(rule)

    def _each(self, interval: Duration, say: Callable[[], object]) -> Callable[[], None]:
        stop = super()._each(interval, say)

        def stop_in_turn() -> None:
            with self.thread_times.lock:
                stop()

        return stop_in_turn
