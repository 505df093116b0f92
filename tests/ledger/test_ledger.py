"""The one door, and both backends behind it: equal answers to equal questions."""

from __future__ import annotations

import random
import time
from pathlib import Path

import msgspec
import pytest

from gateway.errors import (
    CursorError,
    LedgerBehindError,
    LedgerBusyError,
    LedgerFormatError,
    LedgerMissingError,
    LedgerReadOnlyError,
    LedgerStorageError,
)
from gateway.ledger import Ledger, Record
from gateway.ledger.base import NS, Options
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.opening import create
from gateway.ledger.settings import SMALL as SMALL_FOOTPRINT
from gateway.testing import FakeClock
from gateway.testing.storage import MemoryStorage

SMALL = Options(ring_bytes=4 << 16, segment_bytes=1 << 16, unit_bytes=512, budget_bytes_per_day=0)
SQLITE = Options(backend="sqlite")
BACKENDS = pytest.mark.parametrize("options", [SMALL, SQLITE], ids=["ldg1", "sqlite"])


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


def test_a_small_ledger_stays_small_whoever_opens_it(tmp_path: Path) -> None:
    Ledger.create(tmp_path, SMALL_FOOTPRINT)
    with Ledger.open(tmp_path) as ledger:
        for number in range(0, 100_000, 1000):
            items = [
                ("reading", f"a/b/c{each % 7}", random.Random(number + each).randbytes(90)) for each in range(1000)
            ]
            ledger.append_many(items)
    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) < 8 << 20
