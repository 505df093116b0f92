"""Frames that wait in the ledger: in order, bounded, and told when they are lost."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger.base import LedgerLike, Options
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.opening import create
from gateway.runtime.batch import Batch
from gateway.runtime.committer import Committer
from gateway.runtime.device import Device
from gateway.runtime.mailbox import Mailbox
from gateway.runtime.parcel import Parcel
from gateway.runtime.recorder import Recorder
from gateway.testing import FakeClock
from gateway.testing.storage import MemoryStorage
from tests.runtime.kit import cobs_profile, reading

OPTIONS = Options(ring_bytes=4 << 16, segment_bytes=1 << 16, unit_bytes=512, budget_bytes_per_day=0)
QUEUE = '[queue]\ncapacity = 4\nwhen_full = "spill_to_store"\n[record]\nat_most = "0s"\nsize = {size}\n'


class Bench:
    """A device whose mailbox spills, with the ledger's thread in the test's hand."""

    def __init__(self, size: str = '"1MiB"') -> None:
        storage = MemoryStorage()
        create(storage, OPTIONS)
        self.clock = FakeClock()
        self.ledger = Ldg1Ledger(storage, OPTIONS, self.clock, background=False)
        self.recorder = Recorder(lambda: self.ledger, self.clock, boot={"boot": "test"})
        self.device = Device("node", cobs_profile(QUEUE.format(size=size)), self.clock, has_store=True)
        self.recorder.attach(self.device)
        self.committer: Committer = self.recorder.committer
        (self.mailbox,) = self.device.mailboxes.values()
        assert isinstance(self.mailbox, Mailbox)
        self.served: list[bytes] = []

    def open(self) -> None:
        assert self.committer.open()

    def put(self, *numbers: int) -> None:
        parcel = Parcel([], None, self.clock.monotonic_ns(), self.clock.wall_ns())
        items = [reading(number) for number in numbers]
        for mailbox, each in self.device.parcels(items, ["reading"] * len(items), parcel):
            mailbox.put_nowait(each)
            self.device.in_hand -= len(each.items)

    def serve(self, at_most: int | None = None) -> None:
        parcel = self.mailbox.take_nowait(at_most=at_most)
        if parcel is not None:
            self.served += parcel.items
            self.device.serve(parcel)

    def account(self) -> tuple[int, ...]:
        frames = self.device.frames()
        assert frames.frames_in == frames.delivered + frames.dropped + frames.refused + frames.pending
        return tuple(frames)

    def finish(self) -> None:
        for _ in range(1000):
            self.committer.work()
            self.serve()
            if not self.account()[4]:
                return


def test_what_finds_no_room_waits_and_comes_in_order() -> None:
    bench = Bench()
    bench.open()
    bench.put(*range(20))
    assert bench.account() == (20, 0, 0, 0, 20)
    bench.finish()
    assert bench.served == [reading(number) for number in range(20)]
    assert bench.account() == (20, 20, 0, 0, 0)


def test_without_a_ledger_the_mailbox_drops_and_counts() -> None:
    bench = Bench()
    bench.put(*range(20))
    frames_in, _, dropped, _, pending = bench.account()
    assert (frames_in, dropped, pending) == (20, 16, 4)


def test_what_waits_is_bounded_by_bytes() -> None:
    bench = Bench(size="200")
    bench.open()
    bench.put(*range(100))
    _, _, dropped, _, pending = bench.account()
    assert (dropped > 80, dropped + pending) == (True, 100)
    bench.finish()
    assert len(bench.served) == pending


@settings(max_examples=60)
@given(st.lists(st.one_of(st.integers(1, 9), st.just("serve"), st.just("work")), max_size=40))
def test_whatever_the_order_of_events_nothing_is_lost_twice_or_out_of_order(steps: list[int | str]) -> None:
    bench = Bench()
    bench.open()
    count = 0
    for step in steps:
        if isinstance(step, int):
            bench.put(*(number % 100 for number in range(count, count + step)))
            count += step
        elif step == "serve":
            bench.serve(2)
        else:
            bench.committer.work()
        bench.account()
    bench.finish()
    assert bench.served == [reading(number % 100) for number in range(count)]
    assert bench.account() == (count, count, 0, 0, 0)


def test_what_the_ledger_lost_is_counted_as_dropped() -> None:
    bench = Bench()
    bench.open()
    bench.put(*range(12))
    bench.committer.work()
    job: Callable[[LedgerLike | None], None]
    bench.serve()
    while bench.committer._jobs:
        job = bench.committer._jobs.popleft()
        job(None)
    frames_in, delivered, dropped, _, pending = bench.account()
    assert (frames_in, delivered, dropped + pending) == (12, 4, 8)
    assert dropped > 0


def test_a_batch_names_the_route_of_every_frame() -> None:
    batch = Batch("reading", None, [b"1", b"2"], routes=["a/b/c@frame", "a/b/d@frame"])
    assert [item[1] for item in batch.items()] == ["a/b/c@frame", "a/b/d@frame"]
