"""Layer 5: whether a ledger is what was appended to it, told without changing anything. FORMAT.md section 9.

Beside a running writer too: what was sealed or recycled while it was read is read again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from gateway.errors import LedgerMissingError
from gateway.ledger.archivecheck import ArchiveCheck
from gateway.ledger.base import Head, Verification
from gateway.ledger.findings import Findings
from gateway.ledger.frame import first_chain
from gateway.ledger.meta import NAMES, Meta, newest
from gateway.ledger.recovery import Recovery
from gateway.ledger.ringcheck import RingCheck
from gateway.ledger.scrutiny import Scrutiny
from gateway.ledger.shelf import in_line, shelf
from gateway.ledger.snapcheck import check_snapshots
from gateway.ledger.storage import Storage
from gateway.ledger.survey import Survey, is_unmade, segment_files, state_of, survey

TRIES: Final = 5
HEALS: Final = "the other copy serves; opening the ledger for writing heals it"
NO_META: Final = "the commits tell the rest; opening the ledger for writing makes it again"

Progress = Callable[[int, int], None]
"""Is told how many bytes of how many were looked at."""


def verify(
    storage: Storage, *, deep: bool = False, against: Head | None = None, progress: Progress | None = None
) -> Verification:
    """Return what is there and what is wrong with it; whatever the files hold is an answer, never an error.

    Raises: LedgerMissingError, LedgerFormatError for what a newer version wrote.
    """
    for _ in range(TRIES):
        before = state_of(storage)
        found = _Pass(storage, deep=deep, against=against, progress=progress).run()
        if found.verdict in {"intact", "declared"} or state_of(storage) == before:
            break
    return found


class _Pass:
    """One verification."""

    def __init__(self, storage: Storage, *, deep: bool, against: Head | None, progress: Progress | None) -> None:
        self._started = time.monotonic()
        self._storage = storage
        self._deep = deep
        self._against = against
        self._findings = Findings()
        self._progress = progress
        self._done_bytes = self._total_bytes = 0

    def run(self) -> Verification:
        shelved = shelf(self._storage)
        found = survey(self._storage, [bytes.fromhex(each.info.log_id) for each in shelved if each.info is not None])
        if found is None:
            return self._nothing()
        self._total_bytes = sum(each.size for each in shelved) + sum(each.size for each in found.segments)
        findings = self._findings
        recovery = Recovery(found.log_id, 0, None, 1)
        scrutiny = Scrutiny(findings, recovery, self._against)
        for name, meta in self._metas(found).items():
            scrutiny.mark(meta.last_seq, meta.chain, name)
        against_seq = self._against.seq if self._against is not None else 0
        archives = ArchiveCheck(self._storage, shelved, scrutiny, step=self._step)
        top_epoch = archives.run(found.log_id, deep=self._deep, against_seq=against_seq)
        line = in_line(shelved, found.log_id.hex())
        scrutiny.sealed_seq = max([recovery.next_seq - 1, *(info.last_seq for info in line)])
        if found.meta is not None and found.meta.kept_from > 1:
            findings.cover(1, found.meta.kept_from - 1)
        self._sealed(found, scrutiny.sealed_seq)
        is_clean = found.meta is not None and found.meta.is_clean and None not in found.metas.values()
        ring = RingCheck(self._storage, found, scrutiny, top_epoch=top_epoch, step=self._step)
        ring.run(is_clean=is_clean)
        last_seq, head = recovery.next_seq - 1, recovery.chain.hex()
        self._end(found, recovery, ring, is_clean=is_clean)
        self._compare(scrutiny, found.log_id, last_seq, ring)
        check_snapshots(self._storage, found.log_id, scrutiny.snapshots, findings, deep=self._deep)
        verdict, damage = findings.verdict()
        return Verification(
            verdict=verdict, records=scrutiny.records, first_seq=scrutiny.first_seq, last_seq=last_seq, head=head,
            damage=damage, gaps=findings.gaps, seconds=round(time.monotonic() - self._started, 6), tail=ring.tail,
        )  # fmt: skip

    def _step(self, size: int) -> None:
        self._done_bytes += size
        if self._progress is not None:
            self._progress(min(self._done_bytes, self._total_bytes), self._total_bytes)

    def _nothing(self) -> Verification:
        """Return the verdict on a folder where nothing can be read. Raises: LedgerMissingError where nothing is."""
        files: list[str] = [name for name in NAMES if name in self._storage.names()]
        files += [name for _, name in segment_files(self._storage)]
        if is_unmade(self._storage):
            raise LedgerMissingError("no ledger here; make one with: tidegate ledger init DIR")
        for name in files:
            self._findings.hurt_at(name, 0, "nothing in it can be read")
        verdict, damage = self._findings.verdict()
        return Verification(
            verdict=verdict, records=0, first_seq=0, last_seq=0, head="", damage=damage, gaps=[],
            seconds=round(time.monotonic() - self._started, 6),
        )  # fmt: skip

    def _metas(self, found: Survey) -> dict[str, Meta]:
        """Look at META's two copies; return those that are whole and of this ledger."""
        there = set(self._storage.names())
        own: dict[str, Meta] = {}
        for name, meta in found.metas.items():
            if meta is None:
                what = "cannot be read" if name in there else "is gone"
                self._findings.hurt_at(name, 0, f"{what}; {HEALS if found.meta is not None else NO_META}")
            elif meta.log_id != found.log_id:
                self._findings.forge(
                    0, name, 0, f"of another ledger ({meta.log_id.hex()}; this one is {found.log_id.hex()})"
                )
            else:
                own[name] = meta
        generations = sorted(meta.generation for meta in own.values())
        if len(generations) == 2 and generations[1] != generations[0] + 1:
            older = min(own, key=lambda name: own[name].generation)
            self._findings.hurt_at(older, 0, f"older than the copy before the last one; {HEALS}")
        return own

    def _sealed(self, found: Survey, sealed_seq: int) -> None:
        """Hold the archives against what META knows; their numbers may still be in segments not yet recycled."""
        meta = found.meta
        if meta is not None and meta.sealed_seq > sealed_seq and meta.kept_from <= meta.sealed_seq:
            reason = f"META tells of archives up to {meta.sealed_seq}, and they end at {sealed_seq}"
            self._findings.hurt_at("arc", 0, reason)

    def _end(self, found: Survey, recovery: Recovery, ring: RingCheck, *, is_clean: bool) -> None:
        """Hold the end of the log against what META knows of it, and take over what is missing."""
        meta = found.meta
        if meta is not None:
            if is_clean and meta.last_seq < recovery.next_seq - 1:
                name = newest(found.metas)[0] or NAMES[0]
                self._findings.hurt_at(name, 0, "tells a clean end, and there are commits behind it", meta.last_seq + 1)
            recovery.lost_behind(meta.last_seq, "the end of the log is gone: META tells that it was durable")
        known = {(each.damage.seq, each.to_seq) for each in self._findings.hurt}
        for each in recovery.missing:
            if (each.from_seq, each.to_seq) in known:
                continue  # told with its place already: a block of an archive
            file, offset = (each.file, each.offset) if each.file else (ring.last_file, ring.last_end)
            self._findings.hurt_at(file, offset, each.reason, each.from_seq, each.to_seq)

    def _compare(self, scrutiny: Scrutiny, log_id: bytes, last_seq: int, ring: RingCheck) -> None:
        """Say what becomes of a kept head that no commit was held against."""
        against = self._against
        if against is None or scrutiny.is_against_met:
            return
        if against.seq < 1:
            if against.head != first_chain(log_id).hex():
                self._findings.forge(0, NAMES[0], 0, "not the ledger that the kept head is of")
        elif against.seq > last_seq:
            reason = f"the log ends at {last_seq}, and the kept head is of {against.seq}: its end was taken off"
            self._findings.forge(last_seq + 1, ring.last_file or NAMES[0], ring.last_end, reason)
        else:
            reason = "the kept head cannot be compared: its commit is gone"
            self._findings.gaps.append({"from_seq": against.seq, "to_seq": against.seq, "reason": reason})
