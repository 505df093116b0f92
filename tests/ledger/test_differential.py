"""LEDGER row 21: our own format, SQLite and a list in memory are asked the same, and give equal answers."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.errors import CursorError, LedgerReadOnlyError, RecordError
from gateway.ledger.base import Head, LedgerLike, Options, Verification
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.opening import create
from gateway.ledger.readonly import ReadOnlyLedger
from gateway.ledger.record import CLASSES, KINDS
from gateway.ledger.sqlite import SqliteLedger
from gateway.ledger.sqlite_reader import SqliteReader
from gateway.testing import FakeClock, MemoryLedger, MemoryStorage

OURS = Options(ring_bytes=4 << 16, segment_bytes=1 << 16, unit_bytes=512, budget_bytes_per_day=0)
SQLITE = Options(backend="sqlite", budget_bytes_per_day=0)
BODIES = st.binary(max_size=20) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet="abcä\n", max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(alphabet="ab", max_size=2), inner, max_size=2),
    max_leaves=4,
)
ITEMS = st.tuples(
    st.sampled_from([kind for kind in KINDS if kind != "snapshot"]),  # those name a file, which verification looks for
    st.none() | st.sampled_from(["a/b/c", "a/b/c@frame", "pump-1/motor/speed@desired"]),
    BODIES | st.just({"dropped": 3, "reason": "mailbox full"}),
    st.sampled_from(CLASSES),
    st.none() | st.integers(1, 50),
)
NAMES = st.sampled_from(["mqtt", "http"])


def answer(told: Verification) -> tuple[Any, ...]:
    """Return what is the same for every backend: not the chain, which each lays through its own commits."""
    return told.verdict, told.records, told.first_seq, told.last_seq, told.damage, told.gaps


class EqualAnswers(RuleBasedStateMachine):
    """Every rule asks all three; what the list in memory says is right."""

    @initialize()
    def start(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.storage = MemoryStorage()
        create(self.storage, OURS)
        self.clock = FakeClock()
        self.model = MemoryLedger(self.clock)
        self.open()

    def open(self) -> None:
        self.ours = Ldg1Ledger(self.storage, OURS, self.clock, background=False)
        self.sqlite = SqliteLedger(self.folder, SQLITE, self.clock, background=False)
        self.real: list[LedgerLike] = [self.ours, self.sqlite]

    def teardown(self) -> None:
        for ledger in self.real:
            ledger.close()
        shutil.rmtree(self.folder)

    @property
    def written(self) -> int:
        return int(self.model.status()["last_seq"])

    @rule(items=st.lists(ITEMS, max_size=6))
    def append(self, items: list[tuple[Any, ...]]) -> None:
        told = self.model.append_many(items)
        assert [ledger.append_many(items) for ledger in self.real] == [told, told]

    @rule(item=ITEMS)
    def append_one(self, item: tuple[Any, ...]) -> None:
        told = self.model.append(*item)
        assert [ledger.append(*item) for ledger in self.real] == [told, told]

    @rule(
        item=ITEMS,
        broken=st.sampled_from(
            [("nonsense", None, 1), ("note", "x", 1), ("note", None, 1, "nonsense"), ("note", None, 1, "state", 0), ()]
        ),
    )
    def a_batch_with_a_record_that_cannot_be_leaves_nothing(self, item: Any, broken: Any) -> None:
        for ledger in (self.model, *self.real):
            with pytest.raises(RecordError):
                ledger.append_many([item, broken])

    @rule(seq=st.none() | st.integers(1, 60))
    def flush(self, seq: int | None) -> None:
        for ledger in (self.model, *self.real):
            ledger.flush(seq)
        least = self.written if seq is None else min(seq, self.written)
        assert min(ledger.durable_seq for ledger in self.real) >= least
        self.model.flush()
        for ledger in self.real:
            ledger.flush()

    @rule(seconds=st.integers(0, 8), jump_s=st.sampled_from([0, 0, -4000, 4000]))
    def time_passes(self, seconds: int, jump_s: int) -> None:
        self.clock.advance(seconds)
        self.clock.step_wall(jump_s)
        for ledger in (self.model, self.ours, self.sqlite):
            ledger.tick()

    @rule()
    def close_and_open_again(self) -> None:
        for ledger in (self.model, *self.real):
            ledger.close()
            with pytest.raises(LedgerReadOnlyError):
                ledger.append("note", None, 1)
        self.model.reopen()
        self.open()

    @rule()
    def be_killed(self) -> None:
        """Lose what is in memory, keep what the system was told."""
        self.sqlite.log.database.close()
        self.sqlite._held.release()
        self.model.cut()
        self.model.reopen()
        self.open()

    @precondition(lambda self: self.written)
    @rule(name=NAMES, data=st.data())
    def move_a_cursor(self, name: str, data: st.DataObject) -> None:
        seq = data.draw(st.integers(0, self.written))
        for ledger in (self.model, *self.real):
            ledger.flush()
        cursors = [ledger.cursor(name) for ledger in (self.model, *self.real)]
        assert len({cursor.seq for cursor in cursors}) == 1
        if seq < cursors[0].seq:
            for cursor in cursors:
                with pytest.raises(CursorError):
                    cursor.advance(seq)
        else:
            for cursor in cursors:
                cursor.advance(seq)

    @rule(name=NAMES, at_most=st.integers(1, 5))
    def read_with_a_cursor(self, name: str, at_most: int) -> None:
        told = self.model.cursor(name).read(at_most)
        assert [ledger.cursor(name).read(at_most) for ledger in self.real] == [told, told]

    @rule(data=st.data())
    def read_from_anywhere(self, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, self.written + 2))
        told = list(self.model.read(start))
        assert [list(ledger.read(start)) for ledger in self.real] == [told, told]

    @rule()
    def read_beside_the_writers(self) -> None:
        told = list(self.model.read(durable_only=True))
        readers: list[LedgerLike] = [ReadOnlyLedger(self.storage), SqliteReader(self.folder)]
        for reader in readers:
            with reader:
                assert list(reader.read()) == told
                assert reader.durable_seq == self.model.durable_seq

    @rule(until=st.none() | st.integers(0, 60))
    def replay(self, until: int | None) -> None:
        told = self.model.replay(until)
        assert [ledger.replay(until) for ledger in self.real] == [told, told]

    @rule(deep=st.booleans())
    def verify_against_their_own_heads(self, *, deep: bool) -> None:
        for ledger in (self.model, *self.real):
            ledger.flush()
            head = ledger.head()
            assert head.seq == self.written
            assert ledger.verify(deep=deep, against=head).verdict in {"intact", "declared"}

    @rule()
    def verify_against_another_s_head(self) -> None:
        for ledger in (self.model, *self.real):
            ledger.flush()
            assert ledger.verify(against=Head(self.written, "00" * 32)).verdict == "forged"

    @invariant()
    def nobody_is_more_durable_than_another(self) -> None:
        assert [ledger.durable_seq for ledger in self.real] == [self.model.durable_seq] * 2

    @invariant()
    def all_verify_alike(self) -> None:
        durable_seq = self.model.durable_seq
        if durable_seq == self.written:  # to verify is to flush: that is left to the rules
            told = answer(self.model.verify())
            assert [answer(ledger.verify()) for ledger in self.real] == [told, told]


TestEqualAnswers = EqualAnswers.TestCase
TestEqualAnswers.settings = settings(max_examples=40, stateful_step_count=25, suppress_health_check=list(HealthCheck))
