"""Records that somebody waits for: ahead of telemetry, together in one commit, and never told before they are there."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.errors import LedgerReadOnlyError, LedgerStorageError, RecordError
from gateway.ledger import Record
from gateway.ledger.base import Options
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.opening import create
from gateway.runtime.batch import Batch
from gateway.runtime.committer import Committer
from gateway.runtime.durable import Durable, Item
from gateway.testing import FakeClock, Fault, FaultyStorage, MemoryStorage

OPTIONS = Options(ring_bytes=4 << 16, segment_bytes=1 << 16, unit_bytes=512, budget_bytes_per_day=0)


class Bench:
    """A committer whose thread is the test's hand."""

    def __init__(self, *faults: Fault) -> None:
        storage = MemoryStorage()
        create(storage, OPTIONS)
        self.faulty = FaultyStorage(storage, list(faults))
        self.clock = FakeClock()
        self.committer = Committer(
            self.open, self.clock, on_open=lambda _: lambda: None, on_lost=lambda _reason, _lost, _told: None
        )
        self.durable = Durable(self.committer)

    def open(self) -> Ldg1Ledger:
        self.ledger = Ldg1Ledger(self.faulty, OPTIONS, self.clock, background=False)
        return self.ledger

    def play(self, scenario: Callable[[Bench], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            loop = asyncio.get_running_loop()
            self.committer.post = loop.call_soon
            self.committer.open()
            await asyncio.sleep(0)
            return await scenario(self)

        return asyncio.run(run())

    async def after_work(self, *waiting: Awaitable[Any]) -> list[Any]:
        """Start everybody who waits, let the ledger's thread work once, and return what each got, errors too."""
        gathered = asyncio.gather(*waiting, return_exceptions=True)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        self.committer.work()
        return list(await gathered)

    def kinds(self) -> list[str]:
        return [each.kind for each in self.ledger.read() if isinstance(each, Record)]


def item(kind: str = "command_intent", body: Any = 1) -> Item:
    return kind, "a/b/c@desired", body, "command", None


def test_numbers_come_back_when_the_records_are_on_the_medium() -> None:
    bench = Bench()
    (numbers,) = bench.play(lambda b: b.after_work(b.durable.append([item(), item("desired")])))
    assert (numbers, bench.ledger.durable_seq) == ([1, 2], 2)


def test_what_many_wait_for_is_one_commit() -> None:
    bench = Bench()
    found = bench.play(lambda b: b.after_work(*[b.durable.append([item(), item("desired")]) for _ in range(50)]))
    assert [numbers[0] for numbers in found] == list(range(1, 100, 2))
    assert bench.ledger.log.counters.commits == 1


def test_what_somebody_waits_for_goes_before_telemetry_that_came_first() -> None:
    async def scenario(bench: Bench) -> None:
        bench.committer.offer(Batch("reading", "a/b/c@frame", [b"x"] * 5, "telemetry"))
        await bench.after_work(bench.durable.append([item()]))

    bench = Bench()
    bench.play(scenario)
    assert bench.kinds() == ["command_intent", *["reading"] * 5]


def test_one_record_that_cannot_be_refuses_nobody_else_s() -> None:
    bench = Bench()
    good, bad = bench.play(
        lambda b: b.after_work(b.durable.append([item()]), b.durable.append([item(body="x" * 40_000)]))
    )
    assert (good, type(bad)) == ([1], RecordError)


def test_where_the_medium_fails_who_waits_hears_it() -> None:
    sound = Bench()
    sound.open()
    bench = Bench(Fault(frozenset({"sync"}), sound.faulty.counts["sync"] + 1, errno.EIO, lasts=True))
    (found,) = bench.play(lambda b: b.after_work(b.durable.append([item()])))
    assert isinstance(found, LedgerStorageError | LedgerReadOnlyError)


def test_without_a_ledger_that_opens_nothing_counts_as_kept() -> None:
    async def scenario(bench: Bench) -> Any:
        bench.committer.mode = "memory"
        with pytest.raises(LedgerReadOnlyError):
            await bench.durable.append([item()])

    Bench().play(scenario)


def test_a_site_without_ledger_waits_for_nothing() -> None:
    assert asyncio.run(Durable(None).append([item(), item()])) == [None, None]
