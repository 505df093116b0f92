"""Between the loop and the ledger: bounded, never waiting, and nothing lost without being told."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import LedgerBusyError
from gateway.ledger import Record
from gateway.ledger.base import Options
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.opening import create
from gateway.runtime import committer as module
from gateway.runtime.batch import Batch
from gateway.runtime.committer import Committer
from gateway.testing import FakeClock
from gateway.testing.storage import Fault, FaultyStorage, MemoryStorage

OPTIONS = Options(ring_bytes=4 << 16, segment_bytes=1 << 16, unit_bytes=512, budget_bytes_per_day=0)


class Bench:
    """A committer whose thread is the test's hand, over a ledger in memory."""

    def __init__(self, *faults: Fault) -> None:
        self.inner = MemoryStorage()
        create(self.inner, OPTIONS)
        self.storage = FaultyStorage(self.inner, faults)
        self.clock = FakeClock()
        self.lost: list[tuple[str, int, bool]] = []
        self.opening_error: Exception | None = None
        self.committer = Committer(
            self.open, self.clock, on_open=lambda _ledger: lambda: None, on_lost=self.note, rand=lambda: 0.5
        )

    def open(self) -> Ldg1Ledger:
        if self.opening_error is not None:
            raise self.opening_error
        self.ledger = Ldg1Ledger(self.storage, OPTIONS, self.clock, background=False)
        return self.ledger

    def note(self, reason: str, batches: list[Batch], is_declared: bool) -> None:
        self.lost.append((reason, sum(len(batch.bodies) for batch in batches), is_declared))

    def stored(self) -> list[Any]:
        ledger = Ldg1Ledger(self.inner, OPTIONS, self.clock, background=False)
        found = [item.body for item in ledger.read() if isinstance(item, Record) and item.kind != "damage"]
        ledger.close()
        return found


def telemetry(*bodies: bytes) -> Batch:
    return Batch("reading", "a/b/c@frame", list(bodies), size=sum(map(len, bodies)))


def fact(body: Any, class_: str = "state") -> Batch:
    return Batch("note", None, [body], class_)


def opened(*faults: Fault) -> Bench:
    bench = Bench(*faults)
    assert bench.committer.open()
    return bench


def test_what_is_handed_over_is_in_the_ledger_in_order() -> None:
    bench = opened()
    assert bench.committer.offer(telemetry(b"1", b"2"))
    bench.committer.put(fact("three"))
    bench.committer.work()
    assert bench.stored() == [b"1", b"2", "three"]


def test_telemetry_that_finds_no_room_is_refused_and_facts_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RECORDS", 3)
    bench = opened()
    assert bench.committer.offer(telemetry(b"1", b"2"))
    assert not bench.committer.offer(telemetry(b"3", b"4"))
    bench.committer.put(fact("five"))
    bench.committer.work()
    assert bench.committer.offer(telemetry(b"6"))
    assert bench.stored() == [b"1", b"2", "five"]


def test_bytes_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_BYTES", 10)
    assert not opened().committer.offer(telemetry(bytes(11)))


def test_before_the_ledger_is_open_telemetry_is_refused_and_facts_wait_for_it() -> None:
    bench = Bench()
    assert not bench.committer.offer(telemetry(b"1"))
    bench.committer.put(fact("early"))
    bench.committer.open()
    bench.committer.work()
    assert bench.stored() == ["early"]


def test_facts_that_wait_for_a_ledger_are_bounded_and_the_oldest_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_MOST", 3)
    bench = Bench()
    for number in range(5):
        bench.committer.put(fact(number))
    bench.committer.open()
    bench.committer.work()
    assert (bench.stored(), bench.committer.forgotten) == ([2, 3, 4], 2)


def test_a_ledger_that_does_not_open_is_told_with_its_reason_and_tried_again() -> None:
    bench = Bench()
    bench.opening_error = LedgerBusyError("process 7 holds it")
    assert not bench.committer.open()
    assert (bench.committer.mode, bench.committer.reason) == ("memory", "process 7 holds it")
    bench.opening_error = None
    assert bench.committer.open()
    assert (bench.committer.mode, bench.committer.reason) == ("durable", "")


def test_a_ledger_that_fails_costs_telemetry_which_is_told_and_keeps_facts_for_the_next() -> None:
    bench = opened()
    bench.storage._faults = [Fault(frozenset({"sync"}), 1, errno.EIO, lasts=True)]
    bench.storage._seen = [0]
    bench.committer.offer(telemetry(b"1", b"2"))
    bench.committer.put(fact("kept"))
    bench.committer.work()
    assert bench.committer.mode == "memory"
    assert bench.lost == [("the ledger failed", 2, False)]
    assert not bench.committer.offer(telemetry(b"3"))
    bench.storage._faults, bench.storage._seen = [], []
    assert bench.committer.open()
    bench.committer.work()
    assert "kept" in bench.stored()


def test_what_can_be_no_record_does_not_hold_up_the_rest() -> None:
    bench = opened()
    bench.committer.put(fact("before"))
    bench.committer.put(Batch("nonsense", None, [1], "state"))
    bench.committer.put(fact("behind"))
    bench.committer.work()
    assert (bench.stored(), bench.committer.refused) == (["before", "behind"], 1)


def test_who_waits_for_a_batch_is_told_its_numbers() -> None:
    bench = opened()
    told: list[range | None] = []
    bench.committer.put(fact("first"))
    batch = telemetry(b"1", b"2")
    batch.on_settled = told.append
    bench.committer.offer(batch)
    bench.committer.work()
    assert told == [range(2, 4)]


def test_who_waits_for_a_batch_that_is_lost_is_told_so() -> None:
    bench = opened()
    told: list[range | None] = []
    bench.storage._faults, bench.storage._seen = [Fault(frozenset({"sync"}), 1, lasts=True)], [0]
    batch = telemetry(b"1")
    batch.on_settled = told.append
    bench.committer.offer(batch)
    bench.committer.put(fact("pulls it to the medium"))
    bench.committer.work()
    assert told == [None]
    assert bench.committer.mode == "memory"


def test_a_job_runs_behind_what_was_put_before_it() -> None:
    bench = opened()
    seen: list[int] = []
    bench.committer.put(fact("first"))
    bench.committer.ask(lambda ledger: seen.append(-1 if ledger is None else ledger.durable_seq))
    bench.committer.work()
    assert seen == [1]


def test_a_real_thread_takes_what_comes_and_ends_in_order() -> None:
    bench = Bench()

    async def run() -> bool:
        loop = asyncio.get_running_loop()
        ready = asyncio.Event()
        bench.committer._on_open = lambda _ledger: ready.set

        def post(job: Callable[[], None]) -> None:
            loop.call_soon_threadsafe(job)

        bench.committer.start(post)
        async with asyncio.timeout(10):
            await ready.wait()
        for number in range(50):
            bench.committer.put(fact(number))
        return await bench.committer.stop(10)

    assert asyncio.run(run())
    assert bench.stored() == list(range(50))


def test_the_status_tells_how_long_ago_something_came_to_the_medium() -> None:
    bench = opened()
    assert bench.committer.status()["committed"] is None
    bench.committer.put(fact("one"))
    bench.committer.work()
    bench.clock.advance(2)
    bench.committer.work()
    bench.clock.advance(3)
    assert bench.committer.status()["committed"] == 3
    bench.committer.offer(telemetry(b"2"))
    bench.committer.work()
    assert bench.committer.status()["committed"] == 3
    bench.clock.advance(60)
    bench.ledger.tick()
    bench.committer.work()
    assert bench.committer.status()["committed"] == 0


def test_a_fault_of_our_own_costs_the_ledger_and_not_the_thread() -> None:
    bench = opened()

    def broken(ledger: object) -> None:
        if ledger is not None:
            raise ZeroDivisionError("oops")

    bench.committer.ask(broken)
    bench.committer.work()
    assert bench.committer.mode == "memory"
    assert "ZeroDivisionError" in bench.committer.reason
    assert bench.committer.open()
    bench.committer.put(fact("after"))
    bench.committer.work()
    assert bench.stored() == ["after"]


def test_what_a_failing_ledger_had_in_memory_is_told_as_perhaps_lost() -> None:
    bench = opened()
    bench.committer.offer(telemetry(b"1", b"2", b"3"))
    bench.committer.work()
    bench.storage._faults = [Fault(frozenset({"write"}), 1, errno.EIO, lasts=True)]
    bench.storage._seen = [0]
    bench.committer.put(fact("kept"))
    bench.committer.work()
    assert (bench.committer.mode, bench.committer.unsure) == ("memory", 3)
