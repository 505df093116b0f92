"""Layer 7: the newest values of the ledger, decoded once for every sink; older ones come from the medium (`history`).

Follows the ledger as its records are numbered, before they are durable. What it holds is bounded; a sink that falls
behind that reads on from the medium, where everything is by then.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, Protocol

from gateway.api.follow.decoder import FACTS, Decoder, Run
from gateway.api.follow.values import Item, Missing, Stretch, seq_of
from gateway.clock import Clock
from gateway.ledger.fold import State
from gateway.runtime.batch import Batch

HELD_RECORDS: Final = 16_384  # far more than waits for the medium: 64 KiB of bodies of 22 bytes at least
WAITING_RECORDS: Final = 65_536  # not decoded yet; beyond it they come from the medium
SLICE_RECORDS: Final = 256  # decoded at once: about a millisecond of the loop's time
_MS: Final = 1_000_000


class _Held(NamedTuple):
    first: int
    last: int
    items: list[Item | Missing]


class News(Protocol):
    """Who wants to know that something came; an event does."""

    def set(self) -> None:
        """Take that something came."""
        ...


class Stream:
    """One per gateway. A `Follower` of the recorder's."""

    def __init__(
        self,
        decoder: Decoder,
        clock: Clock,
        *,
        is_always: bool = True,
        on_watched: Callable[[bool], None] = lambda _is_watched: None,
    ) -> None:
        """Take what decodes records as they come.

        `is_always`: they are decoded though nobody watches, and `latest` is whole; else `on_watched` hears when
        somebody begins to watch and when nobody does any more.
        """
        self._is_always = is_always
        self._on_watched = on_watched
        self.log_id = ""
        self.incarnation = 0
        self.openings = 0  # of ledgers: with each, numbers may be given again
        self.opened_seq = 0  # the last number that was durable then
        self.cursors: dict[str, int] = {}  # as the ledger knew them then
        self.state = State()  # as it was folded then
        self.last_seq = 0  # everything up to here was numbered and decoded
        self.numbered_seq = 0  # and up to here numbered
        self.from_seq = 1  # everything from here on is held
        self.latest: dict[str, Item] = {}  # of every route that tells values, as far as any came since the opening
        self.is_open = asyncio.Event()
        self._decoder = decoder
        self._clock = clock
        self._held: list[_Held] = []
        self._held_records = 0
        self._waiting: deque[Run] = deque()
        self._waiting_records = 0
        self._has_work = asyncio.Event()
        self._news: set[News] = set()

    # ---- the recorder's

    def opened(self, state: State, log_id: str, incarnation: int) -> None:
        """Take what a ledger holds that was just opened."""
        self.log_id, self.incarnation = log_id, incarnation
        self.openings += 1
        self.opened_seq = self.last_seq = self.numbered_seq = state.seq
        self.from_seq = state.seq + 1
        self.cursors, self.state = dict(state.cursors), state
        self._held.clear()
        self._waiting.clear()
        self._held_records = self._waiting_records = 0
        self._decoder.begin(state)
        if self._is_always:
            self._know_latest(state)
        self.is_open.set()
        self._tell()

    def _know_latest(self, state: State) -> None:
        for route, known in state.latest("reading").items():
            self._note(self._decoder.items(Run(known.seq, "reading", route, [known.raw], known.wall_ns)))
        for kind in FACTS:
            for route, known in state.latest(kind).items():
                self._note(self._decoder.items(Run(known.seq, kind, route, [known.body], known.wall_ns)))

    def appended(self, first: int, batches: Sequence[Batch]) -> None:
        """Take records numbered from `first` on."""
        if not (self._is_always or self._news):
            self._pass(first, batches)
            return
        wall_ns = self._clock.wall_ns() // _MS * _MS  # as exact as a record's own time
        for batch in batches:
            count = len(batch.bodies)
            if batch.routes is None:
                self._wait_for(first, batch.kind, batch.route, batch.bodies, wall_ns)
            else:
                for seq, (route, body) in enumerate(zip(batch.routes, batch.bodies, strict=True), first):
                    self._wait_for(seq, batch.kind, route, [body], wall_ns)
            first += count
        self.numbered_seq = first - 1
        self._has_work.set()

    def _pass(self, first: int, batches: Sequence[Batch]) -> None:
        """Nobody wants to know: only layouts are learnt."""
        for batch in batches:
            if batch.kind == "schema":
                for body in batch.bodies:
                    self._decoder.learn(body)
            first += len(batch.bodies)
        self._held.clear()
        self._waiting.clear()
        self._held_records = self._waiting_records = 0
        self.last_seq = self.numbered_seq = first - 1
        self.from_seq = first

    def _wait_for(self, first: int, kind: str, route: str | None, bodies: Sequence[object], wall_ns: int) -> None:
        for at in range(0, len(bodies), SLICE_RECORDS):
            some = bodies[at : at + SLICE_RECORDS]
            self._waiting.append(Run(first + at, kind, route, some, wall_ns))
            self._waiting_records += len(some)

    # ---- decoding

    async def run(self) -> None:
        """Decode what comes, in slices, until cancelled."""
        while True:
            await self._has_work.wait()
            self.work()
            await asyncio.sleep(0)

    def work(self) -> None:
        """Decode some of what waits."""
        if self._waiting_records > WAITING_RECORDS:
            self._skip()
        done = 0
        while self._waiting and done < SLICE_RECORDS:
            run = self._waiting.popleft()
            self._waiting_records -= len(run.bodies)
            done += len(run.bodies)
            self._hold(run)
        if not self._waiting:
            self._has_work.clear()
        self._tell()

    def _skip(self) -> None:
        """Let go of what is too much; layouts are learnt all the same."""
        while self._waiting_records > WAITING_RECORDS // 2:
            run = self._waiting.popleft()
            self._waiting_records -= len(run.bodies)
            if run.kind == "schema":
                self._decoder.items(run)
        self._held.clear()
        self._held_records = 0
        self.last_seq = self._waiting[0].first - 1 if self._waiting else self.numbered_seq
        self.from_seq = self.last_seq + 1

    def _hold(self, run: Run) -> None:
        items = self._decoder.items(run)
        self._note(items)
        self.last_seq = run.last
        self._held.append(_Held(run.first, run.last, items))
        self._held_records += len(run.bodies)
        if self._held_records > 2 * HELD_RECORDS:
            gone = 0
            while self._held_records > HELD_RECORDS:
                self._held_records -= self._held[gone].last - self._held[gone].first + 1
                gone += 1
            self.from_seq = self._held[gone - 1].last + 1
            del self._held[:gone]

    def _note(self, items: list[Item | Missing]) -> None:
        latest = self.latest
        latest.update({item.route: item for item in items if type(item) is Item and item.is_value})

    # ---- the sinks'

    def after(self, seq: int, at_most: int) -> Stretch | None:
        """Return what follows `seq`, at most so many records; None where that is not held, or not yet there."""
        if seq + 1 < self.from_seq or seq >= self.last_seq:
            return None
        found: list[Item | Missing] = []
        last = min(self.last_seq, seq + at_most)
        for place in range(bisect_right(self._held, seq, key=_last_of), len(self._held)):
            held = self._held[place]
            if held.first > last:
                break
            begin = 0 if held.first > seq else bisect_right(held.items, seq, key=seq_of)
            end = len(held.items) if held.last <= last else bisect_right(held.items, last, key=seq_of)
            found += held.items[begin:end]
        return Stretch(seq + 1, last, found, self.incarnation)

    def incarnation_of(self, seq: int) -> int:
        """Return in which incarnation a latest value was numbered."""
        return self.incarnation if seq > self.opened_seq else self.state.incarnation

    def holds(self, seq: int) -> bool:
        """Return whether everything behind `seq` is held, or still to come."""
        return seq + 1 >= self.from_seq

    def watch(self, news: News) -> None:
        """Let somebody know whenever something came."""
        is_first = not self._news
        self._news.add(news)
        if is_first and not self._is_always:
            self._on_watched(True)

    def unwatch(self, news: News) -> None:
        """Let go of somebody."""
        self._news.discard(news)
        if not self._news and not self._is_always:
            self._on_watched(False)

    def _tell(self) -> None:
        for news in list(self._news):
            news.set()


def _last_of(held: _Held) -> int:
    return held.last
