"""Layer 2: whether commits are what was appended: numbers, links, chain hashes, records. Pure.

`gateway.ledger.recovery` decides which commits count and what is missing, exactly as it does for opening; here every
one that counts is hashed again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from fastcrc.crc32 import iscsi as crc32c

from gateway.ledger.archive import ArchiveInfo
from gateway.ledger.base import Head
from gateway.ledger.findings import DECLARING_KINDS, Findings, declared_by, is_number, runs_of
from gateway.ledger.frame import (
    DECLARES,
    HEADER_BYTES,
    LINK_BYTES,
    THINNED,
    Body,
    Header,
    has_true_chain,
    leaves_of,
    records_of,
)
from gateway.ledger.recovery import Recovery
from gateway.ledger.segment import Placed, Tail, Walk, tail_of

SNAPSHOT_MARK: Final = b'"snap/'  # in every frame that holds a record of a snapshot
FOREIGN_LINK: Final = "whole, and does not continue the commit before it"


class Told(NamedTuple):
    """What a record of kind snapshot says."""

    seq: int  # of the state
    file: str
    sha256: str


class Scrutiny:
    """One pass over the commits of a log, oldest first."""

    def __init__(self, findings: Findings, recovery: Recovery, against: Head | None = None) -> None:
        self.recovery = recovery
        self.sealed_seq = 0  # what is numbered up to here may lie about in spare segments too
        self.records = 0
        self.first_seq = 0
        self.is_against_met = False  # a commit was seen that ends where `against` does, or that holds its number
        self.findings = findings
        self.snapshots: dict[str, Told] = {}  # what records of the log say of snapshots, by file
        self._against = against
        self._marks: dict[int, list[tuple[bytes, str]]] = {}

    def mark(self, seq: int, chain: bytes, file: str) -> None:
        """Have the commit that ends at `seq`, if there is one, held against what a file tells of it."""
        self._marks.setdefault(seq, []).append((chain, file))

    def segment(self, name: str, data: bytes, walked: Walk, limit_seq: int | None) -> None:
        """Look at the next segment of the ring."""
        missing = len(self.recovery.missing)
        kept = self._follow(name, walked, limit_seq, lambda each: _raw_of(data, each))
        self._repeated(name, walked.frames, kept, limit_seq)
        for each in kept:
            if each.header.flags & THINNED:
                self.findings.forge(each.header.base_seq, name, each.offset, "thinned, and only archives are")
        if walked.holes and len(self.recovery.missing) == missing:
            hole, seq = walked.holes[0], self.recovery.next_seq - 1
            self.findings.hurt_at(name, hole.offset, "bytes between two commits that are none", seq)

    def block(self, name: str, frames: list[tuple[Placed, bytes]]) -> None:
        """Look at the commits of the next block of an archive."""
        raws = {id(each): raw for each, raw in frames}
        placed = [each for each, _ in frames]
        kept = self._follow(name, Walk(0, placed, [], 0, False, 0, None), None, lambda each: raws[id(each)])
        self.recovery.live.clear()
        self._repeated(name, placed, kept, None)

    def archive(self, info: ArchiveInfo, offset: int) -> None:
        """Look at an archive by its footer alone, which lies at `offset`: to the chain it is one thinned frame."""
        tail = Tail(self.recovery.next_seq, self.recovery.chain, self.recovery.incarnation)
        placed, is_kept = self.recovery.add_archive(info, offset)
        header = placed.header
        self._repeated(info.name, [placed], [placed] if is_kept else [], None)
        self.first_seq = self.first_seq or info.first_seq
        self.records += info.records
        if is_kept and tail.is_joined_by(header) and header.link != tail.chain[:LINK_BYTES]:
            self.findings.forge(info.first_seq, info.name, offset, FOREIGN_LINK)
        if is_kept:
            self._compare(info.name, placed)

    def _follow(
        self, name: str, walked: Walk, limit_seq: int | None, raw_of: Callable[[Placed], bytes]
    ) -> list[Placed]:
        """Have recovery decide, and look at each commit that counts; return them."""
        tail = Tail(self.recovery.next_seq, self.recovery.chain, self.recovery.incarnation)
        kept = self.recovery.add(name, walked, limit_seq)
        for each in kept:
            self._commit(name, each, raw_of(each), tail.chain if tail.is_joined_by(each.header) else None)
            tail = tail_of(each.header, tail)
        return kept

    def _commit(self, file: str, placed: Placed, raw: bytes, previous: bytes | None) -> None:
        """Look at one commit; `previous` is the chain hash before it, None where that is gone."""
        header = placed.header
        self.first_seq = self.first_seq or header.base_seq
        self._compare(file, placed)
        if not placed.is_whole:
            self._hurt(file, placed, raw, previous)
            return
        self.records += header.records
        if not _is_true(header, raw, previous):
            if previous is not None and header.link != previous[:LINK_BYTES]:
                reason = FOREIGN_LINK
            else:
                reason = "whole, and its records are not those that were appended"
            self.findings.forge(header.base_seq, file, placed.offset, reason)
        if SNAPSHOT_MARK in raw:
            self._snapshots(records_of(header, raw))
        if header.flags & (DECLARES | THINNED):
            body = records_of(header, raw)
            self._declare(body)
            if header.flags & THINNED:
                self._absent(file, placed, body)

    def _hurt(self, file: str, placed: Placed, raw: bytes, previous: bytes | None) -> None:
        header = placed.header
        body = records_of(header, raw)
        self.records += len(body.records)
        self._declare(body)
        for first, last in runs_of(body.hurt):
            self.findings.hurt_at(file, placed.offset, "the record's checksum is wrong", first, last)
        if body.hurt:
            return
        if previous is not None and not has_true_chain(header, raw, previous):
            reason = "its records are whole, and are not those that were appended"
            self.findings.forge(header.base_seq, file, placed.offset, reason)
            return
        is_body_whole = crc32c(raw) == header.body_crc
        what = "the padding is not zero" if is_body_whole else "the commit's checksum is wrong"
        self.findings.hurt_at(file, placed.offset, what, header.base_seq)

    def _absent(self, file: str, placed: Placed, body: Body) -> None:
        """Note the numbers that a thinned frame stands for and has no records of."""
        next_seq = placed.header.base_seq
        for seq in (*(record.seq for record in body.records), placed.header.next_seq):
            if seq > next_seq:
                self.findings.absent(file, placed.offset, next_seq, seq - 1)
            next_seq = seq + 1

    def _snapshots(self, body: Body) -> None:
        for record in body.records:
            if record.kind == "snapshot":
                told = declared_by(record)
                if is_number(told.get("seq")) and isinstance(told.get("file"), str):
                    self.snapshots[told["file"]] = Told(told["seq"], told["file"], str(told.get("sha256")))

    def _declare(self, body: Body) -> None:
        for record in body.records:
            if record.kind in DECLARING_KINDS:
                self.findings.declare(record)

    def _repeated(self, name: str, frames: list[Placed], kept: list[Placed], limit_seq: int | None) -> None:
        """Note whole commits of this lap whose numbers were given before: nothing that recovery does leaves them."""
        counted = {id(each) for each in kept}
        for each in frames:
            seq = each.header.base_seq
            if id(each) in counted or not each.is_whole or (limit_seq is not None and seq >= limit_seq):
                continue
            if seq > self.sealed_seq:
                self.findings.forge(seq, name, each.offset, "whole, and repeats numbers that stand before it")

    def _compare(self, file: str, placed: Placed) -> None:
        """Hold a commit against what META tells of it and against the head that was kept elsewhere."""
        against, header = self._against, placed.header
        for chain, name in self._marks.get(header.next_seq - 1, ()):
            if chain != header.chain:
                self.findings.forge(header.next_seq - 1, name, 0, f"tells another hash than {file} has for this number")
        if against is None or not header.base_seq <= against.seq < header.next_seq:
            return
        self.is_against_met = True
        if against.seq == header.next_seq - 1:
            if header.chain.hex() != against.head:
                self.findings.forge(against.seq, file, placed.offset, "not the log that the kept head is of")
        elif header.flags & THINNED:
            self.findings.gaps.append(
                {"from_seq": against.seq, "to_seq": against.seq, "reason": "the kept head cannot be compared: thinned"}
            )
        else:
            self.findings.forge(against.seq, file, placed.offset, "no commit ends where the kept head does")


def _is_true(header: Header, raw: bytes, previous: bytes | None) -> bool:
    """Return whether the records of a commit with right checksums are those that its chain hash is of."""
    if header.flags & THINNED:
        return not records_of(header, raw).hurt and (previous is None or header.link == previous[:LINK_BYTES])
    if previous is None:
        return leaves_of(header, raw) is not None
    return has_true_chain(header, raw, previous)


def _raw_of(data: bytes, placed: Placed) -> bytes:
    start = placed.offset + HEADER_BYTES
    return data[start : start + placed.header.body_bytes]
