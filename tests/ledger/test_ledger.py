"""The one door, and both backends behind it: equal answers to equal questions."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.errors import (
    CursorError,
    LedgerBehindError,
    LedgerBusyError,
    LedgerFormatError,
    LedgerMissingError,
    LedgerReadOnlyError,
    LedgerStorageError,
    RecordError,
)
from gateway.ledger import Gap, Ledger, Record
from gateway.ledger.base import NS, LedgerLike, Options
from gateway.ledger.fold import State
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.opening import create
from gateway.ledger.record import CLASSES, KINDS, decode_json, encode_body
from gateway.ledger.sqlite import SqliteLedger
from gateway.testing import FakeClock
from gateway.testing.storage import MemoryStorage

SMALL = Options(ring_bytes=4 << 16, segment_bytes=1 << 16, unit_bytes=512, budget_bytes_per_day=0)
SQLITE = Options(backend="sqlite")
BACKENDS = pytest.mark.parametrize("options", [SMALL, SQLITE], ids=["ldg1", "sqlite"])
BODIES = st.binary(max_size=20) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet="abcä\n", max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(alphabet="ab", max_size=2), inner, max_size=2),
    max_leaves=4,
)
ITEMS = st.tuples(
    st.sampled_from([kind for kind in KINDS if kind not in {"gap", "damage", "cursor", "snapshot"}]),
    st.none() | st.sampled_from(["a/b/c", "a/b/c@frame", "pump-1/motor/speed@desired"]),
    BODIES,
    st.sampled_from(CLASSES),
    st.none() | st.integers(1, 50),
)


class Model:
    """What a ledger should answer, in the plainest words."""

    def __init__(self) -> None:
        self.records: list[tuple[Any, ...]] = []
        self.cursors: dict[str, int] = {}

    def append(self, items: list[tuple[Any, ...]]) -> range:
        start = len(self.records) + 1
        self.records += items
        return range(start, len(self.records) + 1)


def plain(item: Record | Gap) -> tuple[Any, ...]:
    assert isinstance(item, Record)
    return item.kind, item.route, item.body, item.class_, item.cause


def expected(item: tuple[Any, ...]) -> tuple[Any, ...]:
    raw, flag = encode_body(item[2])
    return item[0], item[1], decode_json(raw) if flag else raw, item[3], item[4]


class BothBackends(RuleBasedStateMachine):
    """Both are asked the same; the model says what is right."""

    @initialize()
    def start(self) -> None:
        import tempfile

        self.folder = Path(tempfile.mkdtemp())
        self.storage = MemoryStorage()
        create(self.storage, SMALL)
        self.clock = FakeClock()
        self.model = Model()
        self.open()

    def open(self) -> None:
        self.ledgers: list[LedgerLike] = [
            Ldg1Ledger(self.storage, SMALL, self.clock, background=False),
            SqliteLedger(self.folder, SQLITE, self.clock, background=False),
        ]

    def teardown(self) -> None:
        for ledger in self.ledgers:
            ledger.close()
        shutil.rmtree(self.folder)

    @rule(items=st.lists(ITEMS, min_size=1, max_size=6))
    def append(self, items: list[tuple[Any, ...]]) -> None:
        told = self.model.append(items)
        assert [ledger.append_many(items) for ledger in self.ledgers] == [told, told]
        if any(item[3] != "telemetry" for item in items):
            assert [ledger.durable_seq for ledger in self.ledgers] == [told[-1]] * 2

    @rule(item=ITEMS, broken=st.sampled_from([("nonsense", None, 1), ("note", "x", 1), ("note", None, 1, "nonsense")]))
    def a_batch_with_a_record_that_cannot_be_leaves_nothing(self, item: Any, broken: Any) -> None:
        for ledger in self.ledgers:
            with pytest.raises(RecordError):
                ledger.append_many([item, broken])

    @rule()
    def flush(self) -> None:
        for ledger in self.ledgers:
            ledger.flush()
            assert ledger.durable_seq == len(self.model.records)

    @rule(seconds=st.integers(0, 30), jump_s=st.sampled_from([0, 0, -4000, 4000]))
    def time_passes(self, seconds: int, jump_s: int) -> None:
        self.clock.advance(seconds)
        self.clock.step_wall(jump_s)

    @rule()
    def reopen(self) -> None:
        for ledger in self.ledgers:
            ledger.close()
        self.open()

    @precondition(lambda self: self.model.records)
    @rule(data=st.data())
    def move_a_cursor(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(["mqtt", "http"]))
        seq = data.draw(st.integers(0, len(self.model.records)))
        for ledger in self.ledgers:
            ledger.flush()
            cursor = ledger.cursor(name)
            assert cursor.seq == self.model.cursors.get(name, 0)
            if seq < cursor.seq:
                with pytest.raises(CursorError):
                    cursor.advance(seq)
            else:
                cursor.advance(seq)
        before = self.model.cursors.get(name, 0)
        if seq > before:
            self.model.cursors[name] = seq
            self.model.append([("cursor", None, {"consumer": name, "seq": seq}, "state", None)])

    @rule(data=st.data())
    def read_from_anywhere(self, data: st.DataObject) -> None:
        start = data.draw(st.integers(1, len(self.model.records) + 2))
        told = [expected(item) for item in self.model.records[start - 1 :]]
        for ledger in self.ledgers:
            found = list(ledger.read(start))
            assert [plain(item) for item in found] == told
            assert [item.seq for item in found] == list(range(start, start + len(told)))

    @rule(until=st.none() | st.integers(0, 60))
    def replay(self, until: int | None) -> None:
        ours, others = (ledger.replay(until) for ledger in self.ledgers)
        assert strip(ours) == strip(others)
        assert ours.cursors == {} or until is not None or ours.cursors == self.model.cursors

    @invariant()
    def both_verify(self) -> None:
        for ledger in self.ledgers:
            told = ledger.verify()
            assert (told.verdict, told.records, told.damage) == ("intact", len(self.model.records), [])


def strip(state: State) -> dict[str, Any]:
    """Return a state without what may differ: how often a ledger was started is the backend's own count."""
    found = state.as_json()
    for register in found["registers"].values():
        for latest in register.values():
            latest.pop("boot_no")
    for name in ("boot", "clock", "snapshot"):
        if found[name]:
            found[name].pop("boot_no")
    return found


TestBothBackends = BothBackends.TestCase
TestBothBackends.settings = settings(max_examples=40, stateful_step_count=25, suppress_health_check=list(HealthCheck))


@BACKENDS
def test_a_ledger_is_made_where_there_is_none(tmp_path: Path, options: Options) -> None:
    with Ledger.open(tmp_path / "ledger", options=options) as ledger:
        assert ledger.append("note", None, {"value": 1}, "state") == ledger.durable_seq == 1
    with Ledger.open(tmp_path / "ledger") as ledger:
        assert [item.seq for item in ledger.read()] == [1]


@BACKENDS
def test_telemetry_is_durable_within_its_window(tmp_path: Path, options: Options) -> None:
    import threading

    short = msgspec.structs.replace(options, window_ns=NS // 20)
    with Ledger.open(tmp_path / "ledger", options=short) as ledger:
        ledger.append("reading", "a/b/c@frame", b"x")
        assert ledger.durable_seq == 0
        waiting = threading.Event()
        for _ in range(400):
            if ledger.durable_seq == 1:
                break
            waiting.wait(0.02)
        assert ledger.durable_seq == 1


@BACKENDS
def test_the_second_writer_is_told_who_holds_it(tmp_path: Path, options: Options) -> None:
    with Ledger.open(tmp_path / "ledger", options=options), pytest.raises(LedgerBusyError, match="process"):
        Ledger.open(tmp_path / "ledger", options=options)


@BACKENDS
def test_readers_see_what_a_writer_adds(tmp_path: Path, options: Options) -> None:
    with Ledger.open(tmp_path / "ledger", options=options) as writer:
        writer.append("note", None, 1, "state")
        with Ledger.open(tmp_path / "ledger", read_only=True) as reader:
            assert [item.seq for item in reader.read()] == [1]
            writer.append("note", None, 2, "state")
            assert [item.seq for item in reader.read()] == [1, 2]
            assert reader.head() == writer.head()


@BACKENDS
def test_a_reader_writes_nothing(tmp_path: Path, options: Options) -> None:
    with Ledger.open(tmp_path / "ledger", options=options) as writer:
        writer.append("note", None, 1, "state")
    with Ledger.open(tmp_path / "ledger", read_only=True) as reader, pytest.raises(LedgerReadOnlyError):
        reader.append("note", None, 2)


@BACKENDS
def test_after_closing_nothing_is_taken(tmp_path: Path, options: Options) -> None:
    ledger = Ledger.open(tmp_path / "ledger", options=options)
    ledger.close()
    with pytest.raises(LedgerReadOnlyError):
        ledger.append("note", None, 1)
    ledger.close()


@BACKENDS
def test_a_cursor_is_never_ahead_of_what_is_durable(tmp_path: Path, options: Options) -> None:
    with Ledger.open(tmp_path / "ledger", options=options) as ledger:
        cursor = ledger.cursor("mqtt")
        ledger.append("reading", "a/b/c@frame", b"x")
        with pytest.raises(CursorError, match="ahead of what is durable"):
            cursor.advance(1)


@BACKENDS
def test_a_cursor_s_reading_hurries_nothing_to_the_medium(tmp_path: Path, options: Options) -> None:
    with Ledger.open(tmp_path / "ledger", options=options) as ledger:
        cursor = ledger.cursor("mqtt")
        ledger.append("note", None, 1, "state")
        ledger.append("reading", "a/b/c@frame", b"x")
        assert ([item.seq for item in cursor.read()], ledger.durable_seq) == ([1], 1)


@BACKENDS
def test_a_cursor_that_is_ahead_of_the_log_stands_at_its_end_and_that_is_told(tmp_path: Path, options: Options) -> None:
    with Ledger.open(tmp_path / "ledger", options=options) as ledger:
        ledger.append("cursor", None, {"consumer": "mqtt", "seq": 1000}, "state")
        assert ledger.cursor("mqtt").seq == 1
        assert ledger.replay().damage[-1]["body"]["cursor"] == 1000


def test_nothing_is_read_where_there_is_no_ledger(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(LedgerMissingError):
            Ledger.open(path, read_only=True)


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(LedgerFormatError, match=r"letter\.txt"):
        Ledger.open(tmp_path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["letter.txt"]


def test_a_folder_that_cannot_be_made_is_told_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerStorageError, match="file"):
        Ledger.open(tmp_path / "file" / "ledger")


@BACKENDS
def test_what_a_ledger_says_of_itself_names_what_a_cut_may_take(tmp_path: Path, options: Options) -> None:
    with Ledger.open(tmp_path / "ledger", options=options) as ledger:
        told = ledger.status()
        assert told["guarantees"]["telemetry"]["loss_window"] == 5.0
        assert told["guarantees"]["command"]["loss_window"] == 0.0


def test_many_records_go_round_the_ring_into_archives_and_all_come_back(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "ledger", options=SMALL) as ledger:
        for number in range(40):
            ledger.append_many([("reading", "a/b/c@frame", bytes([number]) * 100)] * 100)
        ledger.flush()
        seqs = [item.seq for item in ledger.read()]
        assert seqs == list(range(1, len(seqs) + 1))
        assert len(seqs) >= 4000
        assert ledger.status()["archives"]["files"] > 0


def test_sealing_in_a_child_process_comes_to_the_same(tmp_path: Path) -> None:
    options = msgspec.structs.replace(SMALL, archives_in_child=True)
    with Ledger.open(tmp_path / "ledger", options=options) as ledger:
        for number in range(40):
            ledger.append_many([("reading", "a/b/c@frame", bytes([number]) * 100)] * 100)
        ledger.flush()
        bodies = [item.raw for item in ledger.read() if isinstance(item, Record) and item.kind == "reading"]
        assert bodies == [bytes([number]) * 100 for number in range(40) for _ in range(100)]
        assert ledger.verify(deep=True).verdict == "intact"


def test_a_child_that_has_thousands_of_routes_to_tell_ends_all_the_same(tmp_path: Path) -> None:
    options = msgspec.structs.replace(SMALL, archives_in_child=True, sheds=True)
    limit_s = time.monotonic() + 60
    with Ledger.open(tmp_path / "ledger", options=options) as ledger:
        number = 0
        while not ledger.status()["archives"]["files"]:
            assert time.monotonic() < limit_s, "sealing does not end"
            number += 1
            route = f"a-device-with-a-long-name-{number}/temperature/of-its-inlet-and-of-its-outlet@frame"
            try:
                ledger.append("reading", route, bytes(20))
            except LedgerBehindError:
                time.sleep(0.02)


def test_where_archiving_lags_telemetry_is_shed_counted_and_told(tmp_path: Path) -> None:
    options = msgspec.structs.replace(SMALL, sheds=True)
    storage = MemoryStorage()
    create(storage, options, whole=True)
    ledger = Ldg1Ledger(storage, options, FakeClock(), background=False)
    ledger.upkeep.work = lambda: None  # type: ignore[method-assign]
    shed = 0
    while not shed:
        try:
            ledger.append_many([("reading", "a/b/c@frame", bytes(1000))] * 20)
            ledger.flush()
        except LedgerBehindError:
            shed = 20
    assert ledger.append("note", None, 1, "command") == ledger.durable_seq
    del ledger.upkeep.work
    ledger.upkeep.work()
    ledger.append("reading", "a/b/c@frame", b"x")
    ledger.close()
    told = Ldg1Ledger(storage, options, FakeClock(), background=False).replay().gaps
    assert [each["body"]["dropped"] for each in told] == [shed]
