"""Layer 5: reading a ledger of our own format: a copy, a read-only medium, beside its writer or without one.

Nothing is needed but the archives and the segments: no lock, no META. A reader beside a writer follows a plan that may
grow old while it is followed; before it says that numbers are missing it looks whether the plan still holds, and if
not, it goes on from where it stands with a new one. One segment or one block of an archive is in memory at a time.
"""

from __future__ import annotations

import contextlib
from bisect import bisect_right
from collections.abc import Collection, Iterator
from typing import Final, NamedTuple

from gateway.errors import LedgerError, LedgerFormatError, LedgerMissingError
from gateway.ledger import snapshot
from gateway.ledger.archive import ArchiveInfo
from gateway.ledger.base import Head
from gateway.ledger.fold import State
from gateway.ledger.frame import HEADER_BYTES, THINNED, Header, first_chain, records_of
from gateway.ledger.record import Gap, Record
from gateway.ledger.seal import Hurt, frames_of_archive
from gateway.ledger.segment import Tail, Walk, in_order, tail_of, walk
from gateway.ledger.shelf import in_line, shelf
from gateway.ledger.storage import Storage
from gateway.ledger.survey import Segment, is_unmade, read_whole, state_of, survey

MAX_PLANS: Final = 100  # one after another without coming further: then the numbers are called missing
HURT: Final = "hurt"
TAKEN_OUT: Final = "taken out of the archive"
RETENTION: Final = "retention"
GONE: Final = "not there"
JUMPED: Final = "passed over with a new incarnation: they were durable once, or may have been"


class Commit(NamedTuple):
    """One commit where it lies; in an archive the offset is that of its block."""

    file: str
    offset: int
    header: Header
    body: bytes


class Place(NamedTuple):
    """A record and where it lies."""

    file: str
    offset: int
    header: Header
    record: Record


class _StaleError(Exception):
    """The plan does not describe what lies there any more."""


class Reader:
    """One look at a ledger; each method sees what is there when it is called."""

    def __init__(self, storage: Storage) -> None:
        """Raises: LedgerMissingError, LedgerFormatError."""
        self._storage = storage
        self.log_id = _Plan(storage).found.log_id

    def read(self, from_seq: int = 1, *, routes: Collection[str] | None = None) -> Iterator[Record | Gap]:
        """Yield records from a number on, with a Gap where numbers are missing.

        With `routes` only records of these routes; archives that hold none of them are not opened, and nothing is
        said of gaps in those.
        """
        next_seq = max(1, from_seq)
        waiting: Gap | None = None
        for each in self.commits(next_seq, routes=routes):
            for found in (each,) if isinstance(each, Gap) else _items(each, next_seq):
                if isinstance(found, Gap):
                    if waiting is None or (found.from_seq, found.reason) == (waiting.to_seq + 1, waiting.reason):
                        waiting = Gap(
                            found.from_seq if waiting is None else waiting.from_seq, found.to_seq, found.reason
                        )
                        continue
                    yield waiting
                    waiting = found
                elif routes is None or found.route in routes:
                    if waiting is not None:
                        yield waiting
                        waiting = None
                    yield found
            next_seq = each.to_seq + 1 if isinstance(each, Gap) else each.header.next_seq
        if waiting is not None:
            yield waiting

    def commits(self, from_seq: int = 1, *, routes: Collection[str] | None = None) -> Iterator[Commit | Gap]:
        """Yield the commit that holds `from_seq` and what follows, with a Gap where numbers between are missing."""
        next_seq, idle = max(1, from_seq), 0
        while True:
            plan = _Plan(self._storage, is_final=idle >= MAX_PLANS)
            started = next_seq
            try:
                for each in plan.follow(next_seq, routes):
                    next_seq = each.to_seq + 1 if isinstance(each, Gap) else each.header.next_seq
                    yield each
            except _StaleError:
                idle = idle + 1 if next_seq == started else 0
            else:
                return

    def locate(self, seq: int) -> Place | None:
        """Return the record of that number and where it lies; None where there is none."""
        for each in self.commits(seq):
            if not isinstance(each, Gap):
                for record in records_of(each.header, each.body).records:
                    if record.seq == seq:
                        return Place(each.file, each.offset, each.header, record)
            return None
        return None

    def head(self) -> Head:
        """Return the end of what can be read."""
        for tries in range(MAX_PLANS + 1):
            with contextlib.suppress(_StaleError):
                return _Plan(self._storage, is_final=tries == MAX_PLANS).head()
        raise AssertionError("the last plan is final")

    @property
    def last_seq(self) -> int:
        """Return the last number that can be read; 0: none."""
        return self.head().seq

    @property
    def first_seq(self) -> int:
        """Return the first number that can be read; 0: none."""
        return next((each.seq for each in self.read() if isinstance(each, Record)), 0)

    def replay(self, until: int | None = None) -> State:
        """Return the folded state up to and with a number."""
        state = snapshot.load(self._storage, self.log_id, until) or State()
        for record in self.read(state.seq + 1):
            if until is not None and record.seq > until:
                break
            if isinstance(record, Record):
                state.apply(record)
        return state


def _items(commit: Commit, next_seq: int) -> Iterator[Record | Gap]:
    """Yield the records of a commit from a number on, with a Gap for those that cannot be read."""
    header = commit.header
    body = records_of(header, commit.body)
    if not body.hurt and not header.flags & THINNED:
        yield from body.records if header.base_seq >= next_seq else (r for r in body.records if r.seq >= next_seq)
        return
    reason = TAKEN_OUT if header.flags & THINNED else HURT
    next_seq = max(next_seq, header.base_seq)
    for record in body.records:
        if record.seq >= next_seq:
            if record.seq > next_seq:
                yield Gap(next_seq, record.seq - 1, reason)
            yield record
            next_seq = record.seq + 1
    if next_seq < header.next_seq:
        yield Gap(next_seq, header.next_seq - 1, reason)


class _Plan:
    """What lies in the folder at one moment, and one way through it."""

    def __init__(self, storage: Storage, *, is_final: bool = False) -> None:
        """Look. `is_final`: what is missing is missing, however the folder changes.

        Raises: LedgerMissingError, LedgerFormatError.
        """
        self._storage = storage
        self._is_final = is_final
        self._state = state_of(storage)
        shelved = shelf(storage)
        found = survey(storage, [bytes.fromhex(each.info.log_id) for each in shelved if each.info is not None])
        if found is None:
            raise _nothing(storage)
        self.found = found
        self._archives = in_line(shelved, found.log_id.hex())
        self._next_seq = 1  # what is to be told next
        self._tail: Tail | None = None  # the commit before; None: it is not known

    def follow(self, from_seq: int, routes: Collection[str] | None) -> Iterator[Commit | Gap]:
        """Yield commits and gaps from a number on. Raises: _StaleError, before calling missing what was only moved."""
        self._next_seq = from_seq
        sealed_seq = 0
        for info in self._archives:
            sealed_seq = info.last_seq
            if sealed_seq >= self._next_seq and _may_hold(info, routes):
                yield from self._archive(info)
            self._next_seq = max(self._next_seq, sealed_seq + 1)
            self._tail = Tail(sealed_seq + 1, bytes.fromhex(info.chain), info.incarnation)
        order = self.found.live(sealed_seq)
        while len(order) > 1 and order[1].first_seq <= self._next_seq:
            order.pop(0)
            self._tail = None
        for place, segment in enumerate(order):
            yield from self._segment(segment, order[place + 1].first_seq if place + 1 < len(order) else None)
        meta = self.found.meta
        if meta is not None and meta.last_seq >= self._next_seq:
            yield self._gap(meta.last_seq, "the end of the log is gone")

    def head(self) -> Head:
        """Return the end. Raises: _StaleError."""
        last = self._archives[-1] if self._archives else None
        sealed_seq = last.last_seq if last is not None else 0
        for segment in reversed(self.found.live(sealed_seq)):
            frames = self._walked(segment)[1].frames
            if frames and frames[-1].header.base_seq > sealed_seq:
                return Head(frames[-1].header.next_seq - 1, frames[-1].header.chain.hex())
        return Head(sealed_seq, last.chain if last is not None else first_chain(self.found.log_id).hex())

    def _archive(self, info: ArchiveInfo) -> Iterator[Commit | Gap]:
        """Yield what an archive holds."""
        if self._next_seq > info.first_seq:
            self._tail = None
        try:
            for found in frames_of_archive(self._storage, info, self._next_seq):
                if isinstance(found, Hurt):
                    if found.to_seq >= self._next_seq:
                        yield self._gap(found.to_seq, HURT)
                    continue
                header, body = found
                if self._tail is None and header.base_seq > self._next_seq:
                    self._tail = self._tail_before(info, header)
                place = bisect_right(info.blocks, header.base_seq, key=lambda block: block.first_seq) - 1
                yield from self._commit(Commit(info.name, info.blocks[max(0, place)].offset, header, body))
        except OSError:
            self._check()
        if info.last_seq >= self._next_seq:
            yield self._gap(info.last_seq, HURT)

    def _tail_before(self, info: ArchiveInfo, later: Header) -> Tail | None:
        """Return the commit before one of an archive, read again from its start."""
        tail = None
        for found in frames_of_archive(self._storage, info):
            if isinstance(found, Hurt):
                tail = None
            elif found[0].base_seq >= later.base_seq:
                break
            else:
                tail = tail_of(found[0], tail)
        return tail

    def _segment(self, segment: Segment, limit_seq: int | None) -> Iterator[Commit | Gap]:
        """Yield what a segment of the ring holds."""
        data, walked = self._walked(segment)
        if not walked.frames:
            self._tail = None
            return
        expected = self._tail.next_seq if self._tail is not None else walked.frames[0].header.base_seq
        for each in in_order(walked.frames, expected, limit_seq):
            if not each.is_whole:
                self._check()
            start = each.offset + HEADER_BYTES
            raw = data[start : start + each.header.body_bytes]
            yield from self._commit(Commit(segment.name, each.offset, each.header, raw))

    def _walked(self, segment: Segment) -> tuple[bytes, Walk]:
        """Return a segment's bytes and what they say, nothing where it cannot be read. Raises: _StaleError."""
        try:
            data = read_whole(self._storage, segment.name)
        except OSError:
            data = b""
        walked = walk(data, self.found.unit_bytes, self.found.log_id)
        if walked.epoch != segment.epoch:
            self._check()
        return data, walked

    def _commit(self, commit: Commit) -> Iterator[Commit | Gap]:
        """Yield a commit, after a gap where numbers before it are missing; nothing, where it was told before."""
        header, tail = commit.header, self._tail
        self._tail = tail_of(header, tail)
        if header.next_seq <= self._next_seq:
            return
        if header.base_seq > self._next_seq:
            is_jump = tail is not None and tail.is_joined_by(header)
            yield self._gap(header.base_seq - 1, JUMPED if is_jump else GONE)
        self._next_seq = header.next_seq
        yield commit

    def _gap(self, to_seq: int, reason: str) -> Gap:
        """Return a gap from what is to be told next. Raises: _StaleError, where the plan is old."""
        self._check()
        first, self._next_seq = self._next_seq, to_seq + 1
        meta = self.found.meta
        return Gap(first, to_seq, RETENTION if meta is not None and to_seq < meta.kept_from else reason)

    def _check(self) -> None:
        if not self._is_final and state_of(self._storage) != self._state:
            raise _StaleError


def _nothing(storage: Storage) -> LedgerError:
    """Return why nothing can be read in a folder."""
    if not is_unmade(storage):
        return LedgerFormatError("nothing of this ledger can be read; what is wrong tells: tidegate ledger verify DIR")
    return LedgerMissingError("no ledger here; make one with: tidegate ledger init DIR")


def _may_hold(info: ArchiveInfo, routes: Collection[str] | None) -> bool:
    return routes is None or info.routes is None or any(route in routes for route in info.routes)
