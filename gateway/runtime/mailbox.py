"""Layer 6: the only queue. Bounded in frames, holds parcels, counts everything that happens to a frame.

At every instant: frames_in == delivered + dropped + refused + pending. A frame is `in` from the call of `put` on.
Dropping splits a parcel exactly at the frame; what was dropped taints the next frame of the same key with
`delivery.dropped`. Every wait may be cancelled: nothing is lost and nothing comes twice.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Final, Literal, Protocol, get_args

import msgspec

from gateway.clock import Clock, SystemClock
from gateway.errors import ConfigError, MailboxClosedError, MailboxFullError, Problem, UsageError
from gateway.runtime.parcel import Parcel, kinds_of
from gateway.runtime.shelves import ORDERS, Order, Shelves
from gateway.taint import DELIVERY_DROPPED, SCHEDULING_LATE

Overflow = Literal[
    "block", "drop_oldest", "drop_newest", "coalesce_latest", "deadline_drop", "reject", "spill_to_store"
]
Lane = Literal["control", "telemetry", "bulk", "debug"]
OVERFLOWS: Final[tuple[str, ...]] = get_args(Overflow)
LANES: Final[tuple[Lane, ...]] = get_args(Lane)


class MailboxStatistics(msgspec.Struct, frozen=True):
    """What became of every frame; counts since the mailbox was made."""

    capacity: int
    frames_in: int  # handed to `put`, whatever became of them
    delivered: int  # taken
    dropped: int  # by the overflow policy, coalesced ones included
    refused: int  # handed back to the producer: full under `reject` or `block`, closed, put cancelled
    pending: int  # lying here, and those of waiting producers
    depth: int  # lying here; never above capacity
    max_depth: int
    waiting_producers: int


class Store(Protocol):
    """Where frames wait under `spill_to_store`, first come, first served: `gateway.runtime.spill`."""

    pending: int  # frames that wait there

    def put(self, parcel: Parcel) -> int:
        """Take frames, of the front as many as fit; return how many."""
        ...

    def fetch(self, at_most: int, give: Callable[[Parcel, Parcel], None]) -> None:
        """Give the frames that waited longest, and those that were lost instead, now or soon."""
        ...


class _Waiting:
    """A producer under `block`: what it could not place yet."""

    __slots__ = ("admitted", "rest")

    def __init__(self, rest: Parcel, admitted: asyncio.Future[None]) -> None:
        self.rest: Parcel | None = rest
        self.admitted = admitted


class Mailbox:
    """One bounded queue with one overflow policy, one order and one lane."""

    def __init__(
        self,
        name: str,
        capacity: int,
        *,
        when_full: Overflow = "drop_oldest",
        order: Order = "fifo",
        lane: Lane = "telemetry",
        deadline_ns: int | None = None,
        clock: Clock | None = None,
        on_arrival: Callable[[], None] | None = None,
    ) -> None:
        """Take a capacity in frames, at least 1.

        `deadline_ns`: a frame older than that is tainted `scheduling.late` when taken, and goes first under
        `deadline_drop`, which needs it. `on_arrival` is called when the first frame comes to an empty mailbox.
        Raises: UsageError.
        """
        if capacity < 1:
            raise UsageError(f"mailbox {name}: capacity {capacity} holds nothing; give at least 1 frame")
        if when_full not in OVERFLOWS or order not in ORDERS or lane not in LANES:
            raise UsageError(f"mailbox {name}: no such policy, order or lane: {when_full}, {order}, {lane}")
        if when_full == "deadline_drop" and deadline_ns is None:
            raise UsageError(f"mailbox {name}: deadline_drop needs a deadline")
        self.name = name
        self.lane = lane
        self.capacity = capacity
        self.when_full = when_full
        self.on_arrival = on_arrival
        self.store: Store | None = None  # under `spill_to_store`; without one the newest are dropped
        self._is_fetching = False
        self._deadline_ns = deadline_ns
        self._clock = clock or SystemClock()
        self._shelves = Shelves(order)
        self._depth = self._max_depth = self._waiting_frames = 0
        self._in = self._delivered = self._dropped = self._refused = 0
        self._owed_at_take: dict[str, int] = {}  # dropped from the front: the next frame taken is marked
        self._owed_at_put: dict[str, int] = {}  # dropped at the back: the next frame put is marked
        self._takers: list[asyncio.Future[None]] = []
        self._putters: deque[_Waiting] = deque()
        self._is_closed = False

    def __len__(self) -> int:
        """Return how many frames lie here."""
        return self._depth

    @property
    def room(self) -> int:
        """Frames that fit now: the credit of a producer."""
        return 0 if self._putters or self._is_closed or self._stored else self.capacity - self._depth

    @property
    def _stored(self) -> int:
        return 0 if self.store is None else self.store.pending

    @property
    def dropped(self) -> int:
        """Frames dropped so far."""
        return self._dropped

    def statistics(self) -> MailboxStatistics:
        """Return the account of frames."""
        return MailboxStatistics(
            capacity=self.capacity,
            frames_in=self._in,
            delivered=self._delivered,
            dropped=self._dropped,
            refused=self._refused,
            pending=self._depth + self._waiting_frames + self._stored,
            depth=self._depth,
            max_depth=self._max_depth,
            waiting_producers=len(self._putters),
        )

    def put_nowait(self, parcel: Parcel) -> None:
        """Take the frames in; without room the overflow policy acts.

        Raises: MailboxFullError under `reject`, and under `block` (which only `put` can wait for): all frames of the
        parcel are refused, none is in. MailboxClosedError likewise.
        """
        size = len(parcel.items)
        if not size:
            return
        self._in += size
        if self._owed_at_put:
            parcel = self._marked(parcel, self._owed_at_put)
        fits = size <= self.capacity - self._depth and not self._putters and not self._is_closed
        if fits and (self.store is None or not self.store.pending):
            self._admit(parcel)
        else:
            self._overflow(parcel)

    async def put(self, parcel: Parcel) -> None:
        """Like `put_nowait`, but under `block` wait until every frame has found room, behind earlier producers.

        A parcel larger than the capacity goes in piece by piece. When cancelled, the frames that had not found room
        are refused. Raises: MailboxFullError under `reject`, MailboxClosedError.
        """
        if self.when_full != "block" or self._is_closed or len(parcel.items) <= self.room:
            self.put_nowait(parcel)
            return
        self._in += len(parcel.items)
        waiting = _Waiting(self._marked(parcel, self._owed_at_put), asyncio.get_running_loop().create_future())
        self._waiting_frames += len(parcel.items)
        self._putters.append(waiting)
        self._refill()
        try:
            await waiting.admitted
        finally:
            self._withdraw(waiting)

    def take_nowait(self, pattern: str | None = None, at_most: int | None = None) -> Parcel | None:
        """Return the next frames in order, of one parcel, at most `at_most`; None when there are none.

        `pattern` is a glob over keys: the first frames that match are taken, the others keep their places.
        """
        if not self._depth:
            return None
        parcel = (
            self._shelves.pop(at_most)
            if pattern is None
            else self._shelves.pop_matching(lambda key: fnmatchcase(key, pattern), at_most)
        )
        if parcel is None:
            return None
        size = len(parcel.items)
        self._depth -= size
        self._delivered += size
        if self._owed_at_take:
            parcel = self._marked(parcel, self._owed_at_take)
        if self._deadline_ns is not None and parcel.received_ns + self._deadline_ns < self._clock.monotonic_ns():
            parcel = parcel.tainted(SCHEDULING_LATE)
        if self._putters:
            self._refill()
        if self.store is not None and self.store.pending:
            self._unspill()
        return parcel

    async def take(
        self,
        pattern: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - waiting ends inside, so that a late frame keeps its place
        at_most: int | None = None,
    ) -> Parcel:
        """Like `take_nowait`, but wait for frames, at most `timeout` seconds.

        Raises: TimeoutError; MailboxClosedError once it is closed and empty of what is wanted.
        """
        async with asyncio.timeout(timeout):
            while True:
                parcel = self.take_nowait(pattern, at_most)
                if parcel is not None:
                    return parcel
                if self._is_closed:
                    raise MailboxClosedError(f"mailbox {self.name} is closed")
                await self._arrival()

    def drain(self) -> list[Parcel]:
        """Take everything, in order."""
        taken = []
        while (parcel := self.take_nowait()) is not None:
            taken.append(parcel)
        return taken

    def close(self) -> None:
        """Accept nothing more; what lies here may still be taken. Waiting producers are refused."""
        self._is_closed = True
        for waiting in list(self._putters):
            if not waiting.admitted.done():
                waiting.admitted.set_exception(MailboxClosedError(f"mailbox {self.name} is closed"))
            self._withdraw(waiting)
        self._wake_takers()

    def _admit(self, parcel: Parcel) -> None:
        self._shelves.add(parcel)
        before = self._depth
        self._depth = depth = before + len(parcel.items)
        self._max_depth = max(self._max_depth, depth)
        if self._takers:
            self._wake_takers()
        if not before and self.on_arrival is not None:
            self.on_arrival()

    def _overflow(self, parcel: Parcel) -> None:
        if self._is_closed:
            self._refuse(parcel)
            raise MailboxClosedError(f"mailbox {self.name} is closed")
        if self.when_full in {"reject", "block"}:
            self._refuse(parcel)
            raise MailboxFullError(
                f"mailbox {self.name} is full ({self._depth} of {self.capacity} frames); {len(parcel)} refused"
            )
        if self.when_full == "spill_to_store":
            self._spill(parcel)
            return
        if self.when_full == "drop_newest":
            fitting, rest = parcel.split(self.capacity - self._depth)
            if fitting.items:
                self._admit(fitting)
            self._drop([rest], self._owed_at_put)
            return
        self._make_room(parcel)

    def _spill(self, parcel: Parcel) -> None:
        """Let in what fits, unless earlier frames wait already; the rest waits in the store, or is dropped there."""
        room = self.room
        if room:
            fitting, parcel = parcel.split(room)
            self._admit(fitting)
        taken = 0 if self.store is None else self.store.put(parcel)
        if taken < len(parcel.items):
            self._drop([parcel.split(taken)[1]], self._owed_at_put)

    def _unspill(self) -> None:
        """Ask for what waits in the store, once at a time and not for every frame that was taken."""
        store, room = self.store, self.capacity - self._depth
        if store is None or self._is_fetching or room < min(store.pending, (self.capacity + 1) // 2):
            return
        self._is_fetching = True
        store.fetch(room, self._unspilled)

    def _unspilled(self, parcel: Parcel, lost: Parcel) -> None:
        self._is_fetching = False
        if lost.items:
            self._drop([lost], self._owed_at_take)
        if parcel.items:
            self._admit(parcel)
        if self._stored:
            self._unspill()

    def _make_room(self, parcel: Parcel) -> None:
        """Let the parcel in whole, then remove what the policy says until the capacity holds."""
        self._shelves.add(parcel)
        depth = self._depth + len(parcel.items)
        gone: list[Parcel] = []
        if self.when_full == "coalesce_latest":
            gone = self._shelves.keep_latest()
        elif self.when_full == "deadline_drop" and self._deadline_ns is not None:
            gone = self._shelves.drop_before(self._clock.monotonic_ns() - self._deadline_ns)
        depth -= sum(map(len, gone))
        if depth > self.capacity:
            gone += self._shelves.drop_oldest(depth - self.capacity)
            depth = self.capacity
        was_empty = not self._depth
        self._depth = depth
        self._max_depth = max(self._max_depth, depth)
        self._drop(gone, self._owed_at_take)
        self._wake_takers()
        if was_empty and depth and self.on_arrival is not None:
            self.on_arrival()

    def _drop(self, gone: list[Parcel], owed: dict[str, int]) -> None:
        self._dropped += sum(map(len, gone))
        for kind in kinds_of(gone):
            owed[kind] = owed.get(kind, 0) | DELIVERY_DROPPED
        for parcel in gone:
            for key, bits in (parcel.marks or {}).items():
                owed[key] = owed.get(key, 0) | bits

    def _refuse(self, parcel: Parcel) -> None:
        self._refused += len(parcel.items)
        for kind in parcel.kinds():
            self._owed_at_put[kind] = DELIVERY_DROPPED

    @staticmethod
    def _marked(parcel: Parcel, owed: dict[str, int]) -> Parcel:
        """Pay what is owed to the keys of this parcel."""
        if not owed:
            return parcel
        kinds = parcel.kinds()
        return parcel.marked({key: owed.pop(key) for key in list(owed) if key in kinds})

    def _refill(self) -> None:
        """Let waiting producers in, first come, first served, as far as there is room."""
        while self._putters and (room := self.capacity - self._depth) > 0:
            waiting = self._putters[0]
            parcel = waiting.rest
            if parcel is None:
                self._putters.popleft()
                continue
            waiting.rest = None
            if len(parcel.items) > room:
                parcel, waiting.rest = parcel.split(room)
            else:
                self._putters.popleft()
                if not waiting.admitted.done():
                    waiting.admitted.set_result(None)
            self._waiting_frames -= len(parcel.items)
            self._admit(parcel)

    def _withdraw(self, waiting: _Waiting) -> None:
        if waiting.rest is None:
            return
        rest, waiting.rest = waiting.rest, None
        self._waiting_frames -= len(rest.items)
        self._refuse(rest)
        self._putters.remove(waiting)
        self._refill()

    async def _arrival(self) -> None:
        """Wait until something was put; whoever wakes looks for itself, so a cancelled taker takes nothing along."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._takers.append(woken)
        try:
            await woken
        finally:
            if woken in self._takers:
                self._takers.remove(woken)

    def _wake_takers(self) -> None:
        for woken in self._takers:
            if not woken.done():
                woken.set_result(None)
        self._takers.clear()


def check_policy(when_full: str, profile: str, *, has_store: bool) -> None:
    """Raises: ConfigError for an overflow policy that cannot be."""
    if when_full == "spill_to_store" and not has_store:
        why = "spill_to_store needs the ledger; let [ledger] of the site be enabled, or take drop_oldest or block"
        raise ConfigError([Problem(profile, 0, "queue.when_full", why)])
