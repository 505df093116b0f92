"""Not one sync of the ledger is there for nothing: without any of them cuts lose what was promised, and it shows."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.ledger import child
from gateway.ledger.base import Options
from gateway.ledger.child import _Job, _work
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.opening import create
from gateway.ledger.record import Record
from gateway.ledger.seal import name_archive
from gateway.testing import FakeClock, Fault
from gateway.testing.storage import MemoryFile, MemoryStorage
from tests.crash.mutants import Site, found_by_enumeration, sites, without
from tests.ledger import test_crash_findings as crash_findings
from tests.ledger.folders import archives

SEGMENTS = 8
OPTIONS = Options(ring_bytes=SEGMENTS * 4096, segment_bytes=4096, unit_bytes=512, budget_bytes_per_day=0)
ROOMLESS = msgspec.structs.replace(crash_findings.OPTIONS, archive_bytes=256)


class KilledError(BaseException):
    """The process is gone."""


def opened(storage: MemoryStorage) -> Ldg1Ledger:
    return Ldg1Ledger(storage, OPTIONS, FakeClock(), background=False)


def made() -> MemoryStorage:
    storage = MemoryStorage()
    create(storage, OPTIONS)
    return storage


def seqs(storage: MemoryStorage) -> list[int]:
    return [item.seq for item in opened(MemoryStorage(storage.cut())).read() if isinstance(item, Record)]


def killed_at(name: str, call: Callable[[], Any]) -> None:
    """Run something in a process that is killed when it first asks for a sync of that kind; nothing is synced."""
    owner: Any = MemoryStorage if name == "sync_folder" else MemoryFile
    real = getattr(owner, name)

    def die(*_: Any, **__: Any) -> None:
        raise KilledError

    setattr(owner, name, die)
    try:
        with pytest.raises(KilledError):
            call()
    finally:
        setattr(owner, name, real)


def killed_before_a_commit_was_synced() -> None:
    """Whoever opens the ledger next reads the record, so a cut may not take it any more."""
    storage = made()
    opened(storage).append("note", None, 1, "state")
    ledger = opened(storage)
    killed_at("sync", lambda: ledger.append("note", None, 2, "state"))
    assert opened(storage).durable_seq == 2
    assert seqs(storage) == [1, 2]


def grown(ledger: Ldg1Ledger, is_enough: Callable[[str], bool]) -> int:
    """Append until the current segment, by its name, is enough; return the last number."""
    for _ in range(SEGMENTS * 20):
        last = ledger.append("note", None, "x" * 200, "state")
        if is_enough(ledger.log.ring.live[-1].name):
            return last
    raise AssertionError("the ring did not come there")


def killed_before_an_archive_s_name_was_synced() -> None:
    """Whoever opens the ledger next recycles the segments that the archive holds."""
    storage = made()
    ledger = opened(storage)
    grown(ledger, lambda _name: len(ledger.log.ring.live) == SEGMENTS // 2 + 1)  # one more would be sealed by itself
    sealed = {each.name for each in ledger.log.ring.live[:-1]}
    killed_at("sync_folder", lambda: ledger.log.seal(everything=True))
    count = archives(storage)[-1].last_seq
    last = grown(opened(storage), sealed.__contains__)
    assert len(archives(storage)) == 1  # nothing was sealed since, which would have synced the folder
    found = seqs(storage)
    assert (found[:count], last in found) == (list(range(1, count + 1)), True)


def sealed_by_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent names what the child wrote, and trusts that it is on the medium."""
    storage = made()
    ledger = opened(storage)
    for _ in range(14):
        ledger.append("note", None, "x" * 200, "state")
    live = ledger.log.ring.live[:-1]
    monkeypatch.setattr(child, "OsStorage", lambda _path: storage)
    done = _work(_Job(str(Path("x")), ledger.log.meta.meta.log_id.hex(), 512, live, False, False))
    name_archive(storage, done.unfinished, done.info.name)
    assert [info.records for info in archives(MemoryStorage(storage.cut()))] == [done.info.records]


def stopped_before_a_snapshot_s_name_was_synced() -> None:
    """The next round of upkeep finds the snapshot there, and relies on it."""
    _, calls = crash_findings.lost_by(Fault(frozenset({"sync_folder"}), crash_findings.NOT_YET), ROOMLESS)
    for at in calls:
        assert (at, crash_findings.lost_by(Fault(frozenset({"sync_folder"}), at, errno.EIO), ROOMLESS)[0]) == (at, [])


def problems(monkeypatch: pytest.MonkeyPatch, site: Site | None) -> list[str]:
    """Return what the four cases say, without one sync."""
    found = []
    for case in (
        killed_before_a_commit_was_synced,
        killed_before_an_archive_s_name_was_synced,
        stopped_before_a_snapshot_s_name_was_synced,
        lambda: sealed_by_a_child(monkeypatch),
    ):
        try:
            if site is None:
                case()
            else:
                with without(site):
                    case()
        except Exception as error:  # noqa: BLE001 - whatever it is, it was noticed
            found.append(f"{type(error).__name__}: {error}")
    return found


def test_a_killed_process_leaves_nothing_that_a_later_cut_may_take(monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(monkeypatch, None) == []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("site", sites(), ids=lambda site: site.name)
def test_without_any_one_sync_it_is_noticed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert problems(monkeypatch, site) or found_by_enumeration(site)
