"""Whatever is done to a mailbox: frames are conserved, in order, and a gap is marked."""

from __future__ import annotations

import asyncio
from itertools import count

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.errors import MailboxFullError
from gateway.runtime.mailbox import OVERFLOWS, Mailbox
from gateway.runtime.parcel import Parcel
from gateway.runtime.shelves import ORDERS
from gateway.taint import DELIVERY_DROPPED
from gateway.testing import FakeClock
from tests.runtime.kit import parcel

SECOND = 1_000_000_000


class MailboxLaws(RuleBasedStateMachine):
    """Whatever is done: frames are conserved, none comes twice, none overtakes another of its line."""

    @initialize(
        capacity=st.integers(1, 6),
        when_full=st.sampled_from(OVERFLOWS),
        order=st.sampled_from(ORDERS),
    )
    def start(self, capacity: int, when_full: str, order: str) -> None:
        self.clock = FakeClock()
        self.loop = asyncio.new_event_loop()
        self.mailbox = Mailbox("m", capacity, when_full=when_full, order=order, deadline_ns=SECOND, clock=self.clock)
        self.order = order
        self.numbers = count(1)
        self.putting: list[asyncio.Task[None]] = []
        self.seen: list[int] = []
        self.line_of: dict[int, tuple[str, str, int]] = {}
        self.given = 0

    def make(self, keys: str, producer: str, priority: int) -> Parcel:
        self.given += len(keys)
        numbers = [next(self.numbers) for _ in keys]
        self.line_of.update({number: (producer, key, priority) for number, key in zip(numbers, keys, strict=True)})
        return parcel(
            *numbers,
            keys=keys,
            producer=producer,
            priority=priority,
            at=self.clock.monotonic_ns(),
        )

    def turn(self) -> None:
        self.loop.call_soon(self.loop.stop)
        self.loop.run_forever()

    def note(self, taken: Parcel | None) -> None:
        if taken is not None:
            assert len(taken.keys or []) == len(taken.items)
            self.seen += taken.items

    @rule(keys=st.text("ab", max_size=8), producer=st.sampled_from("xy"), priority=st.integers(0, 2))
    def put_now(self, keys: str, producer: str, priority: int) -> None:
        try:
            self.mailbox.put_nowait(self.make(keys, producer, priority))
        except MailboxFullError:
            assert self.mailbox.when_full in {"reject", "block"}

    @rule(keys=st.text("ab", min_size=1, max_size=8), producer=st.sampled_from("xy"))
    def put_waiting(self, keys: str, producer: str) -> None:
        self.putting.append(self.loop.create_task(self.mailbox.put(self.make(keys, producer, 0))))
        self.turn()

    @rule(which=st.integers(0, 9))
    def cancel_a_producer(self, which: int) -> None:
        if self.putting:
            self.putting[which % len(self.putting)].cancel()
            self.turn()

    @rule(at_most=st.none() | st.integers(1, 5), pattern=st.sampled_from([None, "a", "*"]))
    def take(self, at_most: int | None, pattern: str | None) -> None:
        taken = self.mailbox.take_nowait(pattern, at_most)
        self.note(taken)
        assert taken is None or at_most is None or len(taken) <= at_most

    @rule(seconds=st.sampled_from([0.4, 1.1]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @invariant()
    def frames_are_conserved(self) -> None:
        if not hasattr(self, "mailbox"):
            return
        now = self.mailbox.statistics()
        assert now.frames_in == now.delivered + now.dropped + now.refused + now.pending
        assert now.frames_in == self.given
        assert now.delivered == len(self.seen) == len(set(self.seen))
        assert now.depth <= now.max_depth <= now.capacity

    def teardown(self) -> None:
        if not hasattr(self, "mailbox"):
            return
        for producer in self.putting:
            producer.cancel()
        self.turn()
        for taken in self.mailbox.drain():
            self.note(taken)
        now = self.mailbox.statistics()
        assert now.pending == 0
        assert now.frames_in == now.delivered + now.dropped + now.refused == self.given
        assert len(self.seen) == len(set(self.seen))
        if self.order != "latest":
            for line in set(self.line_of.values()):
                mine = [number for number in self.seen if self.line_of[number] == line]
                assert mine == sorted(mine)
        for producer in self.putting:
            if producer.done() and not producer.cancelled():
                producer.exception()
        self.turn()
        self.loop.close()


MailboxLaws.TestCase.settings = settings(max_examples=80, stateful_step_count=30, deadline=None)
test_whatever_is_done_frames_are_conserved = MailboxLaws.TestCase


@given(
    parcels=st.lists(st.text("abc", min_size=1, max_size=7), min_size=1, max_size=12),
    capacity=st.integers(1, 10),
    when_full=st.sampled_from(["drop_oldest", "drop_newest", "coalesce_latest"]),
)
def test_a_gap_within_a_key_is_always_marked_and_nothing_else_is(
    parcels: list[str], capacity: int, when_full: str
) -> None:
    mailbox = Mailbox("m", capacity, when_full=when_full)
    numbers: dict[str, int] = {}
    expected: dict[str, int] = {}
    for keys in [*parcels, "abc"]:  # the last one shows what is still owed
        if keys == "abc":
            check_marks(mailbox, expected)
        items = []
        for key in keys:
            numbers[key] = numbers.get(key, 0) + 1
            items.append(numbers[key])
        mailbox.put_nowait(Parcel(items, list(keys)))
    check_marks(mailbox, expected)


def check_marks(mailbox: Mailbox, last: dict[str, int]) -> None:
    for taken in mailbox.drain():
        first = set()
        for key, number in zip(taken.keys or [], taken.items, strict=True):
            gap = number != last.get(key, 0) + 1
            last[key] = number
            marked = key not in first and bool((taken.marks or {}).get(key, 0) & DELIVERY_DROPPED)
            first.add(key)
            assert marked == gap
