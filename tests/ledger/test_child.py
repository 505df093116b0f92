"""Sealing in a process of its own: it ends whatever it sealed, says what came of it, and names nothing when killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from gateway.ledger.base import Options
from gateway.ledger.child import ChildSeal
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.log import Log
from gateway.ledger.opening import create
from gateway.ledger.recovery import Live
from gateway.ledger.shelf import archives_of
from gateway.ledger.storage import OsStorage
from gateway.testing import FakeClock

UNIT = 512
OPTIONS = Options(ring_bytes=4 * 65_536, segment_bytes=65_536, unit_bytes=UNIT)
PIPE_BYTES = 65_536
LIMIT_S = 120  # an end, not a speed


def filled(path: Path, *, routes: int = 3) -> tuple[OsStorage, Log]:
    """Return a folder with a ledger of which some segments are full, and its log."""
    storage = OsStorage(path)
    create(storage, OPTIONS, whole=True)
    ledger = Ldg1Ledger(storage, OPTIONS, FakeClock(), background=False)
    number = 0
    while len(ledger.log.ring.live) < 3:
        items = [("reading", f"plant-{(number + each) % routes:04d}/part/sensor@frame", b"x") for each in range(40)]
        ledger.append_many(items)
        ledger.log.commit()
        number += 40
    return storage, ledger.log


def started(storage: OsStorage, log: Log) -> tuple[ChildSeal, list[Live]]:
    live = log.ring.live[:-1]
    return ChildSeal(storage, log.meta.meta.log_id, UNIT, live), live


def test_it_ends_by_itself_and_its_archive_holds_the_segments(tmp_path: Path) -> None:
    storage, log = filled(tmp_path)
    child, live = started(storage, log)
    child._process.wait(LIMIT_S)
    info, told = child.result()
    assert (info.first_seq, info.last_seq) == (live[0].first_seq, live[-1].next_seq - 1)
    assert archives_of(storage, log.meta.meta.log_id) == [info]
    assert told is not None
    assert storage.names("snap") == [f"{info.last_seq:020d}.snap"]


def test_it_ends_by_itself_however_many_routes_it_sealed(tmp_path: Path) -> None:
    storage, log = filled(tmp_path, routes=2000)
    child, _ = started(storage, log)
    child._process.wait(LIMIT_S)
    info, _ = child.result()
    assert len(msgspec.json.encode(info)) > PIPE_BYTES


def test_a_child_that_cannot_seal_says_why_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    storage, log = filled(tmp_path)
    storage.remove(log.ring.live[0].name)
    child, _ = started(storage, log)
    with pytest.raises(OSError, match=r"sealing failed: .*No such file"):
        child.result()
    assert storage.names("arc") == []


def test_a_child_that_is_stopped_gives_nothing_a_name(tmp_path: Path) -> None:
    storage, log = filled(tmp_path)
    child, _ = started(storage, log)
    child.stop()
    assert not child.is_running
    assert archives_of(storage, log.meta.meta.log_id) == []


def test_a_job_that_makes_no_sense_is_refused_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway.ledger.child"], input=b"{}", capture_output=True, timeout=LIMIT_S, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count(b"\n")) == (1, b"", 1)
