"""What the ledger costs: bytes and flushes at the medium, records a second, memory, opening and verifying."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gateway.ledger import Ledger
from gateway.ledger.base import MIB, Options
from tests.bench.medium import Medium, medium
from tests.bench.rows import Row
from tests.bench.stores import STORES, UNIT_BYTES

BODY_BYTES = 32
WINDOW_S = 5
RATES_HZ = {1: (1_100, 1_000), 10: (600, 500), 100: (200, 270), 1000: (30, 33)}
"""Commits before and while it is counted: SQLite resets its WAL (1,000 pages) before, and about twice meanwhile."""
COMMITS = 1_000
HISTORY_BYTES = 1 << 30
HISTORY_BODY = 16_384
APPENDED = 400_000


def bodies(count: int) -> list[bytes]:
    """Return records' bodies, all different."""
    return [place.to_bytes(8, "little") + os.urandom(BODY_BYTES - 8) for place in range(count)]


def ledger_rows(folder: Path) -> list[Row]:
    """Return all rows."""
    with medium(folder) as place:
        rows = wear_rows(place)
    return [*rows, *speed_rows(folder), *history_rows(folder)]


# ---- wear


def per_commit(
    place: Medium, name: str, group: int, warm: int = COMMITS + 100, commits: int = COMMITS
) -> tuple[float, float | None]:
    """Return bytes and flushes per commit of `group` records, in the steady state.

    Nothing waits for the clock: what a store writes depends on how records are grouped, not on when they come.
    """
    with _scratch(place.folder) as folder:
        store = STORES[name](folder)
        try:
            for _ in range(warm):
                store.commit(bodies(group))
            before = place.seen()
            flushes_before = place.seen(settle=False).flushes
            for _ in range(commits):
                store.commit(bodies(group))
            flushes = place.seen(settle=False).flushes
            after = place.seen()
        finally:
            store.close()
    spent = None if flushes is None or flushes_before is None else (flushes - flushes_before) / commits
    return (after.bytes_written - before.bytes_written) / commits, spent


def wear_rows(place: Medium) -> list[Row]:
    """Return bytes and flushes per durable commit, and bytes per reading under the telemetry window."""
    each = {name: per_commit(place, name, 1) for name in STORES}
    ours, flushes = each["ours"]
    rows = [Row("ledger_units_per_commit", ours / UNIT_BYTES, "units of 4 KiB", place.what, 1.01)]
    if flushes is not None:
        rows.append(Row("ledger_flushes_per_commit", flushes, "flushes", f"{COMMITS} durable commits", 1.01))
    for name, least in (("sqlite", 2.5), ("jsonl", 2.5), ("lmdb", 2.5)):
        told = f"bytes per durable commit: {each[name][0]:,.0f} to {ours:,.0f}"
        rows.append(Row(f"ledger_each_vs_{name}", each[name][0] / ours, "x", told, least, at_least=True))
    hundred = per_commit(place, "ours", 100, 200, 300)[0] / 100
    told = f"bytes per reading: {each['jsonl'][0]:,.0f} synced singly to {hundred:,.1f} at 100 a commit"
    rows.append(Row("ledger_100_vs_jsonl", each["jsonl"][0] / hundred, "x", told, 100, at_least=True))
    for rate, counts in RATES_HZ.items():
        group = rate * WINDOW_S
        spent = {name: per_commit(place, name, group, *counts)[0] / group for name in STORES}
        others = ", ".join(f"{name} {spent[name]:,.0f}" for name in STORES if name != "ours")
        told = f"bytes per reading in windows of {WINDOW_S} s: {spent['ours']:,.0f}; {others}"
        rows.append(Row(f"ledger_{rate}hz_vs_sqlite", spent["sqlite"] / spent["ours"], "x", told, 1.5, at_least=True))
    rows.append(sealed_row(place))
    return rows


def sealed_row(place: Medium) -> Row:
    """Return bytes per reading over whole laps of the ring: commits, archives, snapshots and META together."""
    with _scratch(place.folder) as folder:
        options = Options(ring_bytes=8 * MIB, segment_bytes=MIB, budget_bytes_per_day=0)
        Ledger.create(folder / "ledger", options)
        count = 0
        with Ledger.open(folder / "ledger", options=options) as ledger:
            before = place.seen()
            while count < APPENDED:
                ledger.append_many([("reading", "therm-1/climate/df5@frame", body) for body in bodies(1000)])
                count += 1000
            ledger.flush()
            after = place.seen()
    spent = (after.bytes_written - before.bytes_written) / count
    return Row("ledger_bytes_with_archives", spent, "B per reading", "random bodies of 32 B; archives included", 100)


# ---- speed


def speed_rows(folder: Path) -> list[Row]:
    """Return records a second and core, appended and verified."""
    with _scratch(folder) as scratch:
        options = Options(budget_bytes_per_day=0)
        Ledger.create(scratch / "ledger", options)
        batch = [("reading", f"therm-{place % 20}/climate/df5@frame", body) for place, body in enumerate(bodies(1000))]
        with Ledger.open(scratch / "ledger", options=options) as ledger:
            start = time.process_time()
            for _ in range(APPENDED // 1000):
                ledger.append_many(batch)
            ledger.flush()
            batched = APPENDED / (time.process_time() - start)
            start = time.process_time()
            for kind, route, body in batch * 100:
                ledger.append(kind, route, body)
            singly = len(batch) * 100 / (time.process_time() - start)
        with Ledger.open(scratch / "ledger", read_only=True) as ledger:
            start = time.process_time()
            told = ledger.verify(deep=True)
            verified = told.records / (time.process_time() - start)
            if told.verdict != "intact":
                raise AssertionError(f"verify says {told.verdict}: {told.damage[:3]}")
    return [
        Row("ledger_appends_batched", batched, "records/s per core", "32 B, batches of 1,000", 300_000, at_least=True),
        Row("ledger_appends_singly", singly, "records/s per core", "32 B, one by one", 60_000, at_least=True),
        Row(
            "ledger_verified", verified, "records/s per core", f"{told.records:,} records, deep", 300_000, at_least=True
        ),
    ]


def history_rows(folder: Path) -> list[Row]:
    """Return what opening a large ledger takes, and how much memory working with it takes."""
    with _scratch(folder) as scratch:
        path = scratch / "ledger"
        child = subprocess.run(
            [sys.executable, "-m", "tests.bench.ledger", str(path)], stdout=subprocess.PIPE, text=True, check=True
        )
        told = json.loads(child.stdout.splitlines()[-1])
    size = f"{told['bytes'] / 2**30:.2f} GiB of history"
    return [
        Row("ledger_open_ms", told["open_ms"], "ms", size, 1000),
        Row("ledger_open_read_mb", told["open_read"] / 1e6, "MB read", f"{size}; a ring of 64 MiB", 72),
        Row("ledger_memory_mb", told["memory"] / MIB, "MiB more", f"{size}: opened, appended, sealed, read", 16),
    ]


def child_main(path: Path) -> None:
    """Build a history, open it, work with it; say what that took, as one JSON line."""
    options = Options(archive_bytes=4 << 30, budget_bytes_per_day=0)
    Ledger.create(path, options)
    piece = os.urandom(HISTORY_BODY)
    with Ledger.open(path, options=options) as ledger:
        ledger.append("note", None, 1, "state")
        _ = [ledger.verify(), ledger.replay(), list(ledger.read())]
        before = _peak()
        for number in range(HISTORY_BYTES // HISTORY_BODY // 8):
            ledger.append_many([("reading", "cam-1/video/frame@frame", number.to_bytes(8, "little") + piece[8:])] * 8)
    size = sum(file.stat().st_size for file in (path / "arc").iterdir())
    read_before, start = _bytes_read(), time.perf_counter()
    ledger = Ledger.open(path, options=options)
    open_ms = (time.perf_counter() - start) * 1e3
    open_read = _bytes_read() - read_before
    count = sum(1 for _ in ledger.read())
    ledger.close()
    if count < HISTORY_BYTES // HISTORY_BODY:
        raise AssertionError(f"only {count} records came back")
    raw = HISTORY_BYTES // HISTORY_BODY * HISTORY_BODY
    del size
    print(json.dumps({"bytes": raw, "open_ms": open_ms, "open_read": open_read, "memory": _peak() - before}))


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().split("rchar: ")[1].split()[0])


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir=folder) as name:
        yield Path(name)


if __name__ == "__main__":
    child_main(Path(sys.argv[1]))
