"""What the SQLite backend promises beside what every backend does: its file, its readers, damage, full disks."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import (
    LedgerBusyError,
    LedgerFormatError,
    LedgerMissingError,
    LedgerReadOnlyError,
    LedgerStorageError,
    RecordError,
)
from gateway.ledger import Gap, Ledger, Record
from gateway.ledger.base import DAY_NS, NS, Head, Options, Verification
from gateway.ledger.frame import first_chain
from gateway.ledger.record import leaf_of
from gateway.ledger.sqlite import SqliteLedger
from gateway.ledger.sqlite_file import FILE
from gateway.ledger.sqlite_scan import BATCH, NO_DIGEST, link_of
from gateway.testing import FakeClock

SQLITE = Options(backend="sqlite")
ROUTE = "pump-1/motor/speed"


def opened(folder: Path, clock: FakeClock | None = None, **options: Any) -> SqliteLedger:
    return SqliteLedger(folder, Options(backend="sqlite", **options), clock or FakeClock(), background=False)


def filled(folder: Path, records: int = 20) -> Path:
    with opened(folder) as ledger:
        for number in range(1, records + 1):
            ledger.append("state" if number % 5 == 0 else "reading", ROUTE, {"value": number}, "telemetry")
    return folder


def edit(folder: Path, sql: str, *values: Any) -> None:
    """Change the file behind the ledger's back."""
    database = sqlite3.connect(folder / FILE)
    database.execute(sql, values)
    database.commit()
    database.close()


def look(folder: Path, *, deep: bool = False, against: Head | None = None) -> Verification:
    with Ledger.open(folder, read_only=True) as ledger:
        return ledger.verify(deep=deep, against=against)


def hurt(found: Verification) -> list[tuple[int, str]]:
    return [(each.seq, each.reason) for each in found.damage]


def files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}


# ---- the file


def test_the_chain_is_that_of_the_leaves_of_our_own_format(tmp_path: Path) -> None:
    clock = FakeClock()
    with opened(tmp_path, clock) as ledger:
        ledger.append("note", None, b"abc", "audit")
        head, log_id = ledger.head(), bytes.fromhex(ledger.status()["log_id"])
    leaf = leaf_of(1, clock.wall_ns(), 24, 3, 0, NO_DIGEST, b"abc")
    assert head == Head(1, link_of(first_chain(log_id), 1, 1, leaf).hex())


def test_each_opening_for_writing_is_a_boot(tmp_path: Path) -> None:
    for _ in range(3):
        with opened(tmp_path) as ledger:
            ledger.append("note", None, 1, "state")
    with Ledger.open(tmp_path, read_only=True) as reader:
        assert [each.boot_no for each in reader.read() if isinstance(each, Record)] == [1, 2, 3]


def test_the_writer_keeps_synchronous_full_and_a_log_of_its_own(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        assert [ledger.log.database.pragma(name) for name in ("synchronous", "journal_mode")] == [2, "wal"]


def test_a_cut_while_the_file_is_made_leaves_none_or_a_whole_one(tmp_path: Path) -> None:
    (tmp_path / f"{FILE}.tmp").write_bytes(b"half of it")
    with opened(tmp_path) as ledger:
        assert ledger.append("note", None, 1, "state") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["LOCK", FILE]


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("content", [b"", b"x" * 5000, b"SQLite format 3\0"], ids=["empty", "noise", "cut"])
def test_a_file_that_is_no_ledger_is_refused_and_left_as_it_is(
    tmp_path: Path, content: bytes, *, read_only: bool
) -> None:
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(LedgerFormatError, match=FILE):
        Ledger.open(tmp_path, read_only=read_only, options=SQLITE)
    assert (tmp_path / FILE).read_bytes() == content


@pytest.mark.parametrize("read_only", [False, True])
def test_another_program_s_database_is_refused_and_left_as_it_is(tmp_path: Path, *, read_only: bool) -> None:
    edit(tmp_path, "CREATE TABLE theirs (x)")
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(LedgerFormatError, match="another program"):
        Ledger.open(tmp_path, read_only=read_only)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_newer_file_is_refused(tmp_path: Path) -> None:
    edit(filled(tmp_path), "PRAGMA user_version=2")
    with pytest.raises(LedgerFormatError, match="newer version"):
        opened(tmp_path)


def test_a_trigger_that_would_change_what_is_recorded_is_refused(tmp_path: Path) -> None:
    edit(
        filled(tmp_path),
        "CREATE TRIGGER quiet AFTER INSERT ON records BEGIN UPDATE records SET body = x'00' WHERE seq = new.seq; END",
    )
    with pytest.raises(LedgerFormatError, match="trigger 'quiet'"):
        opened(tmp_path)


def test_an_index_that_somebody_added_is_welcome(tmp_path: Path) -> None:
    edit(filled(tmp_path), "CREATE INDEX by_route ON records (route, seq)")
    with opened(tmp_path) as ledger:
        assert ledger.append("note", None, 1, "state") == 21


def test_a_file_that_another_program_holds_is_told_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.ledger.sqlite_file.BUSY_TIMEOUT_S", 0.01)
    shell = sqlite3.connect(filled(tmp_path) / FILE, isolation_level=None)
    shell.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerBusyError, match="another program"):
        opened(tmp_path)
    shell.close()
    opened(tmp_path).close()


def test_making_one_counts_as_no_boot(tmp_path: Path) -> None:
    Ledger.create(tmp_path / "made", SQLITE)
    with opened(tmp_path / "made") as ledger:
        assert ledger.status()["boot_no"] == 1


def test_where_none_can_be_made_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lay_out(*_: Any) -> None:
        raise OSError(28, "no room")

    monkeypatch.setattr("gateway.ledger.sqlite_file._lay_out", lay_out)
    with pytest.raises(LedgerStorageError, match="no room"):
        Ledger.create(tmp_path / "made", SQLITE)
    assert list(tmp_path.iterdir()) == []


def test_others_may_not_read_it(tmp_path: Path) -> None:
    assert (filled(tmp_path) / FILE).stat().st_mode & 0o007 == 0


# ---- readers


def crashed(folder: Path) -> Path:
    """Return a ledger whose writer was killed: what it wrote is still in the log of SQLite."""
    code = (
        "import os, sys\nfrom gateway.ledger import Ledger\nfrom gateway.ledger.base import Options\n"
        "ledger = Ledger.open(sys.argv[1], options=Options(backend='sqlite'))\n"
        "ledger.append_many([('note', None, n, 'state') for n in range(7)])\n"
        "ledger.append('note', None, 'was in memory')\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder)], check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert (folder / f"{FILE}-wal").stat().st_size > 0
    return folder


def bodies(folder: Path) -> list[Any]:
    with Ledger.open(folder, read_only=True) as ledger:
        return [each.body for each in ledger.read() if isinstance(each, Record)]


@pytest.mark.parametrize("missing", [[], ["-shm"]], ids=["whole", "without the index of its log"])
def test_what_a_killed_writer_left_is_read_whole_and_nothing_is_touched(tmp_path: Path, missing: list[str]) -> None:
    crashed(tmp_path)
    for name in missing:
        (tmp_path / f"{FILE}{name}").unlink()
    before = files(tmp_path)
    assert bodies(tmp_path) == list(range(7))
    assert look(tmp_path, deep=True).verdict == "intact"
    assert files(tmp_path) == before


def test_what_a_killed_writer_left_goes_on_where_it_ended(tmp_path: Path) -> None:
    with opened(crashed(tmp_path)) as ledger:
        assert ledger.append("note", None, "on", "state") == 8
    assert bodies(tmp_path) == [*range(7), "on"]


def test_a_closed_ledger_is_read_without_a_file_made_or_touched(tmp_path: Path) -> None:
    before = files(filled(tmp_path))
    assert len(bodies(tmp_path)) == 20
    assert files(tmp_path) == before


def test_a_copy_of_a_live_ledger_s_file_and_log_is_whole(tmp_path: Path) -> None:
    with opened(tmp_path / "live") as ledger:
        ledger.append("note", None, 1, "state")
        (tmp_path / "copy").mkdir()
        for name in (FILE, f"{FILE}-wal"):
            shutil.copyfile(tmp_path / "live" / name, tmp_path / "copy" / name)
    assert bodies(tmp_path / "copy") == [1]


def test_a_reader_goes_on_while_a_writer_comes_writes_and_goes(tmp_path: Path) -> None:
    filled(tmp_path)
    with Ledger.open(tmp_path, read_only=True) as reader:
        seen = [reader.durable_seq]
        with opened(tmp_path) as ledger:
            ledger.append("note", None, 1, "state")
            seen.append(reader.durable_seq)
            ledger.append("note", None, 1, "state")
            seen.append(reader.durable_seq)
        with opened(tmp_path) as ledger:
            ledger.append("note", None, 1, "state")
        seen.append(reader.durable_seq)
        assert (seen, reader.verify().verdict) == ([20, 21, 22, 23], "intact")


def test_many_records_are_read_while_more_are_written_and_retention_takes_others(tmp_path: Path) -> None:
    clock = FakeClock()
    with opened(tmp_path, clock, keep_ns=NS) as ledger:
        ledger.append_many([("note", None, number) for number in range(3 * BATCH)])
        ledger.append("state", ROUTE, "kept", "state")
        ledger.flush()
        with Ledger.open(tmp_path, read_only=True) as reader:
            reading = reader.read()
            first = [next(reading) for _ in range(BATCH)]
            clock.advance(10)
            ledger.append("note", None, "later", "state")
            ledger.compact()
            rest = list(reading)
    assert [each.seq for each in first] == list(range(1, BATCH + 1))
    assert [(type(each), each.seq) for each in rest] == [(Gap, BATCH + 1), (Record, 3 * BATCH + 1)]


def test_after_closing_a_reader_answers_with_an_error_of_ours(tmp_path: Path) -> None:
    with Ledger.open(filled(tmp_path), read_only=True) as reader:
        pass
    with pytest.raises(LedgerStorageError, match="closed"):
        list(reader.read())


def test_a_folder_without_a_ledger_is_told_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(LedgerMissingError, match="tidegate ledger init"):
        Ledger.open(tmp_path, read_only=True, options=SQLITE)


# ---- damage


@pytest.mark.parametrize(
    "change",
    [
        "body = x'00'",
        "wall_ns = wall_ns + 1000000",
        "kind = kind + 1",
        "flags = flags | 1",
        "flags = flags | 128",
        "route = NULL",
        "cause = 1",
        "boot_no = boot_no + 1",
        "incarnation = 2",
        "chain = zeroblob(32)",
        "kind = 99",
        "cause = -1",
        "wall_ns = -1",
        "route = 77",
    ],
)
def test_a_row_that_is_not_what_was_written_is_named_by_reading_and_by_verifying(tmp_path: Path, change: str) -> None:
    edit(filled(tmp_path), f"UPDATE records SET {change} WHERE seq = 7")
    with Ledger.open(tmp_path, read_only=True) as ledger:
        told = [each for each in ledger.read() if isinstance(each, Gap)]
    found = look(tmp_path)
    assert told == [Gap(7, 7, "not what was written")]
    assert (found.verdict, hurt(found), found.records) == ("damaged", [(7, "not what was written")], 19)


def test_every_bit_of_a_row_counts(tmp_path: Path) -> None:
    filled(tmp_path, 3)
    body = b'{"value":2}'
    silent = []
    for bit in range(len(body) * 8):
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        edit(tmp_path, "UPDATE records SET body = ? WHERE seq = 2", bytes(flipped))
        if look(tmp_path).verdict != "damaged":
            silent.append(bit)
    assert silent == []


def test_a_flipped_bit_anywhere_in_the_file_is_told_or_changes_nothing_that_is_read(tmp_path: Path) -> None:
    """All 14,600 bits of the bytes that are not zero were tried once; here every eleventh byte is, one bit of each."""
    data = (filled(tmp_path, 12) / FILE).read_bytes()
    with Ledger.open(tmp_path, read_only=True) as reader:
        expected = list(reader.read())
    silent = []
    for place in [place for place, byte in enumerate(data) if byte][::11]:
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        (tmp_path / FILE).write_bytes(flipped)
        try:
            with Ledger.open(tmp_path, read_only=True) as reader:
                if reader.verify(deep=True).verdict == "intact" and list(reader.read()) != expected:
                    silent.append(place)
        except LedgerFormatError:
            pass
    assert silent == []


def test_rows_that_were_taken_out_are_missed(tmp_path: Path) -> None:
    edit(filled(tmp_path), "DELETE FROM records WHERE seq BETWEEN 4 AND 6")
    assert hurt(look(tmp_path)) == [(4, "not there")]


def test_rows_that_were_taken_out_as_if_by_retention_are_missed_too(tmp_path: Path) -> None:
    filled(tmp_path)
    edit(tmp_path, "INSERT INTO gone SELECT 4, 6, chain FROM records WHERE seq = 6")
    edit(tmp_path, "DELETE FROM records WHERE seq BETWEEN 4 AND 6")
    assert hurt(look(tmp_path)) == [(4, "records were taken out, and none tells of it")]


def test_a_row_that_was_put_in_is_named(tmp_path: Path) -> None:
    filled(tmp_path)
    edit(
        tmp_path,
        "INSERT INTO records SELECT 21, 1, 1, wall_ns, kind, flags, route, cause, body, chain FROM records "
        "WHERE seq = 3",
    )
    assert (21, "not what was written") in hurt(look(tmp_path))


def test_an_end_that_was_taken_off_is_missed_without_a_kept_head(tmp_path: Path) -> None:
    edit(filled(tmp_path), "DELETE FROM records WHERE seq > 15")
    assert hurt(look(tmp_path)) == [(16, "the end of the log is gone")]


def test_an_end_that_was_taken_off_is_declared_by_the_next_writer_who_skips_its_numbers(tmp_path: Path) -> None:
    edit(filled(tmp_path), "DELETE FROM records WHERE seq > 15")
    with opened(tmp_path) as ledger:
        assert [ledger.append("note", None, 1, "state"), ledger.status()["incarnation"]] == [22, 2]
    with opened(tmp_path) as ledger:
        told = [each for each in ledger.read(15) if isinstance(each, Gap) or each.kind == "damage"]
        found = ledger.verify()
    assert [(each.kind, each.seq) for each in told] == [("gap", 16), ("damage", 21)]
    assert (found.verdict, found.gaps[0]["from_seq"], found.gaps[0]["to_seq"]) == ("declared", 16, 20)


def test_a_changed_word_of_the_ledger_about_itself_is_named(tmp_path: Path) -> None:
    edit(filled(tmp_path), "UPDATE about SET last_seq = 3")
    found = look(tmp_path)
    assert (found.verdict, len(found.damage)) == ("damaged", 1)


def test_what_is_readable_is_read_though_the_ledger_s_word_about_itself_is_hurt(tmp_path: Path) -> None:
    edit(filled(tmp_path), "UPDATE about SET log_id = zeroblob(16)")
    assert len(bodies(tmp_path)) == 20


def test_a_changed_route_hurts_all_its_records(tmp_path: Path) -> None:
    edit(filled(tmp_path, 3), "UPDATE routes SET route = 'pump-2/motor/speed'")
    assert [seq for seq, _ in hurt(look(tmp_path))] == [1, 2, 3]


def test_a_kept_head_catches_a_ledger_that_was_written_anew(tmp_path: Path) -> None:
    filled(tmp_path / "a")
    filled(tmp_path / "b")
    with Ledger.open(tmp_path / "a", read_only=True) as ledger:
        head = ledger.head()
    assert [look(tmp_path / each, against=head).verdict for each in "ab"] == ["intact", "forged"]


def test_a_kept_head_catches_an_older_copy(tmp_path: Path) -> None:
    shutil.copytree(filled(tmp_path / "a"), tmp_path / "old")
    with opened(tmp_path / "a") as ledger:
        ledger.append("note", None, 1, "state")
        head = ledger.head()
    assert hurt(look(tmp_path / "old", against=head))[0][0] == 21


@pytest.fixture
def overwritten(tmp_path: Path) -> Callable[[bytes], Path]:
    """Many records, and one page in the middle of the table written over."""

    def make(page: bytes) -> Path:
        filled(tmp_path, 2000)
        with (tmp_path / FILE).open("r+b") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(size // 2 // 4096 * 4096)
            file.write(page)
        return tmp_path

    return make


def test_around_a_page_that_is_no_page_any_more_everything_is_read(overwritten: Callable[[bytes], Path]) -> None:
    folder = overwritten(b"\xff" * 4096)
    with Ledger.open(folder, read_only=True) as ledger:
        found = list(ledger.read())
    (gap,) = [each for each in found if isinstance(each, Gap)]
    assert gap.reason == "the database is damaged here"
    assert len(found) - 1 + gap.to_seq - gap.from_seq + 1 == 2000
    assert gap.to_seq - gap.from_seq < 60
    assert look(folder).verdict == "damaged"


def test_a_page_of_zeros_is_not_taken_for_an_empty_one(overwritten: Callable[[bytes], Path]) -> None:
    assert look(overwritten(bytes(4096))).verdict == "damaged"


def test_compacting_declares_what_is_hurt_once(tmp_path: Path) -> None:
    edit(filled(tmp_path), "UPDATE records SET body = x'00' WHERE seq = 7")
    with opened(tmp_path) as ledger:
        assert [ledger.compact()["damage"] for _ in range(2)] == [1, 1]
        told = [each for each in ledger.read() if each.kind == "damage"]
        found = ledger.verify()
    assert (len(told), found.verdict) == (1, "declared")


# ---- retention, snapshots


def test_telemetry_goes_when_its_time_is_over_and_the_rest_stays_verifiable(tmp_path: Path) -> None:
    clock = FakeClock()
    with opened(tmp_path, clock, keep_ns=DAY_NS, keep={"b/c/d": 3 * DAY_NS}) as ledger:
        ledger.append_many([("reading", route, b"x") for route in ("a/b/c", "b/c/d", "a/b/c", "a/b/c")])
        ledger.append("state", "a/b/c", 1, "state")
        clock.advance(2 * 86_400)
        ledger.append("note", None, "now", "state")
        ledger.compact()
        found = ledger.verify()
        kept = [(each.kind, each.seq) for each in ledger.read()]
    assert kept == [("gap", 1), ("reading", 2), ("gap", 3), ("state", 5), ("note", 6), ("snapshot", 7), ("gap", 8)]
    assert (found.verdict, found.damage) == ("declared", [])


def test_a_changed_row_behind_what_retention_took_is_still_named(tmp_path: Path) -> None:
    clock = FakeClock()
    with opened(tmp_path, clock, keep_ns=DAY_NS) as ledger:
        ledger.append_many([("reading", "a/b/c", b"x")] * 4)
        ledger.append("state", "a/b/c", 1, "state")
        clock.advance(2 * 86_400)
        ledger.append("note", None, "now", "state")
        ledger.compact()
    edit(tmp_path, "UPDATE records SET body = x'32' WHERE seq = 5")
    assert hurt(look(tmp_path)) == [(5, "not what was written")]


def test_what_retention_took_is_in_the_folded_state_still(tmp_path: Path) -> None:
    clock = FakeClock()
    with opened(tmp_path, clock, keep_ns=DAY_NS) as ledger:
        ledger.append("reading", "a/b/c", b"last words")
        clock.advance(2 * 86_400)
        ledger.append("note", None, "now", "state")
        before = ledger.replay().latest("reading")
        ledger.compact()
        assert ledger.replay().latest("reading") == before


def test_a_snapshot_that_is_hurt_is_not_in_the_way(tmp_path: Path) -> None:
    with opened(tmp_path, keep_ns=0) as ledger:
        ledger.append("state", "a/b/c", 5, "state")
        ledger._keeper.take_snapshot()
    edit(tmp_path, "UPDATE snapshots SET state = x'00'")
    with Ledger.open(tmp_path, read_only=True) as reader:
        assert reader.replay().latest("state")["a/b/c"].body == 5


def test_replay_up_to_a_number_uses_no_later_snapshot(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        for number in range(5):
            ledger.append("state", "a/b/c", number, "state")
        ledger._keeper.take_snapshot()
        assert [ledger.replay(seq).latest("state")["a/b/c"].body for seq in (1, 4)] == [0, 3]


def test_a_clock_that_jumps_ahead_for_a_moment_deletes_nothing(tmp_path: Path) -> None:
    clock = FakeClock()
    with opened(tmp_path, clock, keep_ns=DAY_NS) as ledger:
        ledger.append("reading", "a/b/c", b"x")
        clock.step_wall(10 * 365 * 86_400)
        assert ledger.compact()["freed_records"] == 0


def test_retention_comes_by_itself(tmp_path: Path) -> None:
    clock = FakeClock()
    with opened(tmp_path, clock, keep_ns=DAY_NS) as ledger:
        ledger.append("reading", "a/b/c", b"x")
        clock.advance(2 * 86_400)
        ledger.append("reading", "a/b/c", b"y")
        ledger.tick()
        assert [each.kind for each in ledger.read()][:2] == ["gap", "reading"]


def test_a_ledger_that_is_too_large_gives_its_oldest_telemetry_first(tmp_path: Path) -> None:
    with opened(tmp_path, archive_bytes=2 << 20) as ledger:
        ledger.append("state", "a/b/c", 1, "state")
        for _ in range(5):
            ledger.append_many([("reading", "a/b/c", bytes(1000))] * 1000)
        ledger.append("state", "a/b/c", 2, "state")
        done = ledger.compact()
        states = [each.body for each in ledger.read() if each.kind == "state"]
        found = ledger.verify()
    assert done["used_bytes"] <= 2 << 20
    assert (states, found.verdict) == ([1, 2], "declared")


def test_where_there_is_no_telemetry_left_to_give_the_oldest_of_all_goes_declared(tmp_path: Path) -> None:
    with opened(tmp_path, archive_bytes=2 << 20) as ledger:
        for _ in range(10):
            ledger.append_many([("state", "a/b/c", bytes(1000), "state")] * 600)
        done = ledger.compact()
        found = ledger.verify()
        first = next(iter(ledger.read()))
    assert (done["used_bytes"] <= 2 << 20, found.verdict, first.kind) == (True, "declared", "gap")


def test_compacting_gives_free_pages_back(tmp_path: Path) -> None:
    clock = FakeClock()
    with opened(tmp_path, clock, keep_ns=DAY_NS) as ledger:
        ledger.append_many([("reading", "a/b/c", bytes(1000))] * 2000)
        clock.advance(2 * 86_400)
        ledger.append("note", None, 1, "state")
        assert ledger.compact()["freed_bytes"] > 1_500_000


# ---- failures


def failing(monkeypatch: pytest.MonkeyPatch, code: int, name: str) -> None:
    """Have every commit fail as SQLite would."""

    def insert(*_: Any) -> None:
        error = sqlite3.OperationalError("as the test wants it")
        error.sqlite_errorcode = code  # type: ignore[misc]
        error.sqlite_errorname = name  # type: ignore[misc]
        raise error

    monkeypatch.setattr("gateway.ledger.sqlite_log._Laid.insert", insert)


def test_on_a_full_disk_nothing_is_acknowledged_and_afterwards_nothing_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as ledger:
        ledger.append("reading", ROUTE, b"waits")
        with monkeypatch.context() as full:
            failing(full, sqlite3.SQLITE_FULL, "SQLITE_FULL")
            with pytest.raises(LedgerStorageError, match="make room"):
                ledger.append("state", ROUTE, 1, "state")
            assert (ledger.durable_seq, ledger.status()["failures"]) == (0, 1)
        assert ledger.append("state", ROUTE, 2, "state") == 3
        assert ([each.seq for each in ledger.read()], ledger.verify().verdict) == ([1, 2, 3], "intact")


def test_a_full_disk_stops_no_telemetry_until_memory_is_full_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as ledger:
        with monkeypatch.context() as full:
            failing(full, sqlite3.SQLITE_FULL, "SQLITE_FULL")
            for _ in range(52):
                ledger.append_many([("reading", ROUTE, bytes(1000))] * 20)
            with pytest.raises(LedgerStorageError, match="make room"):
                ledger.append("reading", ROUTE, b"x")
        ledger.flush()
        assert len(list(ledger.read())) == 52 * 20


def test_what_is_durable_is_read_from_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as ledger:
        ledger.append("state", ROUTE, 1, "state")
        with monkeypatch.context() as full:
            failing(full, sqlite3.SQLITE_FULL, "SQLITE_FULL")
            ledger.append("reading", ROUTE, b"waits")
            assert [each.seq for each in ledger.read()] == [1]


def test_after_a_failed_flush_nothing_is_acknowledged_until_it_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = opened(tmp_path)
    with monkeypatch.context() as broken:
        failing(broken, sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC")
        with pytest.raises(LedgerStorageError, match="opened again"):
            ledger.append("state", ROUTE, 1, "state")
    with pytest.raises(LedgerReadOnlyError, match="opened again"):
        ledger.append("state", ROUTE, 2, "state")
    assert ledger.status()["mode"] == "read-only"
    ledger.close()
    with opened(tmp_path) as again:
        assert again.append("state", ROUTE, 3, "state") == 1


def test_a_medium_that_turned_read_only_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as ledger:
        failing(monkeypatch, sqlite3.SQLITE_READONLY, "SQLITE_READONLY")
        with pytest.raises(LedgerReadOnlyError, match="may not be written"):
            ledger.append("state", ROUTE, 1, "state")


def test_a_shell_that_holds_the_file_a_while_holds_up_and_breaks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.ledger.sqlite_file.BUSY_TIMEOUT_S", 0.01)
    with opened(tmp_path) as ledger:
        shell = sqlite3.connect(tmp_path / FILE, isolation_level=None)
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerStorageError, match="another program"):
            ledger.append("state", ROUTE, 1, "state")
        shell.close()
        ledger.flush()
        assert ledger.durable_seq == 1


def test_the_background_does_not_try_a_full_disk_without_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    with opened(tmp_path, clock) as ledger:
        ledger.append("reading", ROUTE, b"waits")
        clock.advance(6)
        with monkeypatch.context() as full:
            failing(full, sqlite3.SQLITE_FULL, "SQLITE_FULL")
            with pytest.raises(LedgerStorageError):
                ledger.tick()
            assert ledger._idle_s() == pytest.approx(2)


def test_a_record_that_cannot_be_costs_no_number(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        with pytest.raises(RecordError):
            ledger.append("note", None, bytes(40_000), "state")
        assert ledger.append("note", None, 1, "state") == 1


# ---- wear, threads


def test_the_bytes_that_are_reckoned_are_near_those_that_are_written(tmp_path: Path) -> None:
    with opened(tmp_path) as ledger:
        before = (tmp_path / f"{FILE}-wal").stat().st_size
        for _ in range(100):
            ledger.append("state", ROUTE, bytes(32), "state")
        in_log = (tmp_path / f"{FILE}-wal").stat().st_size - before
        reckoned = ledger.status()["wear"]["bytes_written"]
    assert reckoned == pytest.approx(in_log, rel=0.2)


def test_where_the_day_s_budget_is_spent_telemetry_waits_longer_and_that_is_recorded(tmp_path: Path) -> None:
    with opened(tmp_path, budget_bytes_per_day=500_000) as ledger:
        for _ in range(100):
            ledger.append("state", ROUTE, 1, "state")
        status = ledger.status()
        told = [each.body["level"] for each in ledger.read() if each.kind == "note"]
    assert status["guarantees"]["telemetry"]["loss_window"] > 5
    assert told[0] == "saving"


def test_threads_get_numbers_of_their_own_without_holes(tmp_path: Path) -> None:
    with Ledger.open(tmp_path, options=SQLITE) as ledger:
        got: list[int] = []

        def work(number: int) -> None:
            got.extend(
                ledger.append("note", None, [number, each], "state" if each % 7 == 0 else "telemetry")
                for each in range(50)
            )

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (sorted(got), ledger.verify().verdict) == (list(range(1, 201)), "intact")


def test_the_window_is_kept_by_the_background(tmp_path: Path) -> None:
    with Ledger.open(tmp_path, options=Options(backend="sqlite", window_ns=NS // 100)) as ledger:
        ledger.append("note", None, 1)
        done = threading.Event()
        for _ in range(1000):
            if ledger.durable_seq == 1:
                break
            done.wait(0.01)
        assert ledger.durable_seq == 1
