"""Layer 5: the rows of a ledger on SQLite, in order, each held against the chain; what is missing or hurt is named.

The chain: SHA-256(hash before || incarnation u32le || boot_no u32le || leaf), the leaf as in our own format; before
the first row stands SHA-256(log_id). Reading and verification see rows through the same scan.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import sha256
from struct import Struct
from typing import Any, Final, NamedTuple

from gateway.ledger.frame import first_chain
from gateway.ledger.record import CLASS_MASK, CLASSES, IS_JSON, KINDS, LEAF_FLAGS, Record, leaf_of
from gateway.ledger.sqlite_file import MalformedError, Row, Source

BATCH: Final = 128  # rows at a time: at most 4 MiB
STAMP: Final = Struct("<II")
NO_DIGEST: Final = bytes(32)
MAX_SEQ: Final = (1 << 63) - 1

RETENTION: Final = "retention"
LOST: Final = "not there"
HURT: Final = "not what was written"
MALFORMED: Final = "the database is damaged here"

_BEFORE: Final = "SELECT seq, chain, incarnation FROM records WHERE seq < ? ORDER BY seq DESC LIMIT 1"
_GONE_BEFORE: Final = "SELECT last_seq, chain, 0 FROM gone WHERE last_seq < ? ORDER BY first_seq DESC LIMIT 1"
_ROWS: Final = "SELECT * FROM records WHERE seq >= ? ORDER BY seq LIMIT ?"
_GONE: Final = """SELECT * FROM gone
 WHERE first_seq >= (SELECT coalesce(max(first_seq), 0) FROM gone WHERE first_seq <= ?) AND last_seq >= ?
 AND first_seq <= (SELECT max(seq) FROM (SELECT seq FROM records WHERE seq >= ? ORDER BY seq LIMIT ?))
 ORDER BY first_seq"""


class Found(NamedTuple):
    """One record, or one run of numbers without."""

    from_seq: int
    to_seq: int
    record: Record | None
    reason: str  # why there is none
    chain: bytes = b""  # behind the record, or behind a run that retention took


def link_of(before: bytes, incarnation: int, boot_no: int, leaf: bytes) -> bytes:
    """Return the chain hash behind a record."""
    return sha256(before + STAMP.pack(incarnation, boot_no) + leaf).digest()


class Scan:
    """One way through the rows."""

    def __init__(self, source: Source, log_id: bytes | None) -> None:
        self._source = source
        self._log_id = log_id
        self._routes: dict[int, tuple[str, bytes]] = {}
        self._next_seq = 1
        self._before: tuple[bytes, ...] = ()  # what may stand before the next row; (): that is not known
        self._incarnation = 1  # of the row before; 0: that is not known

    def run(self, from_seq: int = 1, last_seq: int = 0) -> Iterator[Found]:
        """Yield what is there from a number on. `last_seq` is known to have been durable, so that its loss is told."""
        self._next_seq = min(max(1, from_seq), MAX_SEQ)
        self._before = self._chains_before(self._next_seq)
        size, careful = BATCH, 0
        while self._next_seq < MAX_SEQ:
            try:
                rows, gone = self._batch(self._next_seq, size)
            except MalformedError:
                if size > 1:
                    size, careful = 1, BATCH
                    continue
                yield self._step_over(max(last_seq, self._next_seq))
                continue
            if not rows:
                break
            for row in rows:
                yield from self._row(row, gone)
            careful -= 1
            size = BATCH if careful <= 0 else 1
        if last_seq >= self._next_seq:
            yield Found(self._next_seq, last_seq, None, "the end of the log is gone")

    def _chains_before(self, seq: int) -> tuple[bytes, ...]:
        start = () if self._log_id is None else (first_chain(self._log_id),)
        if seq == 1:
            return start
        try:
            rows, gone = self._source.rows((_BEFORE, (seq,)), (_GONE_BEFORE, (seq,)))
        except MalformedError:
            return ()
        newest = max(rows + gone, key=lambda each: each[0], default=None)
        if newest is None:
            return start
        self._incarnation = newest[2]
        return (newest[1],)

    def _batch(self, from_seq: int, size: int) -> tuple[list[Row], list[Row]]:
        """Return rows from a number on, and the runs between. Raises: MalformedError, also for rows out of order."""
        rows, gone = self._source.rows((_ROWS, (from_seq, size)), (_GONE, (from_seq, from_seq, from_seq, size)))
        before = from_seq - 1
        for row in rows:
            if not isinstance(row[0], int) or row[0] <= before:
                raise MalformedError("rows are out of order")
            before = row[0]
        return rows, gone

    def _row(self, row: Row, gone: list[Row]) -> Iterator[Found]:
        seq, incarnation = row[0], row[1]
        record, leaf = self._parsed(row)
        if seq > self._next_seq:
            yield from self._hole(seq - 1, incarnation, gone)
        self._incarnation = incarnation
        self._next_seq = seq + 1
        chain = row[9] if isinstance(row[9], bytes) else b""
        if record is None:
            self._before = (chain,) if chain else ()
            yield Found(seq, seq, None, HURT)
            return
        told = [link_of(each, record.incarnation, record.boot_no, leaf) for each in self._before]
        if not told or chain in told:
            self._before = (chain,)
            yield Found(seq, seq, record, "", chain)
        else:  # the row, or the hash it was stored with: the next row tells whose chain goes on
            self._before = (chain, told[0])
            yield Found(seq, seq, None, HURT)

    def _hole(self, to_seq: int, incarnation: Any, gone: list[Row]) -> Iterator[Found]:
        """Yield the runs that are missing up to a number, the last one before the next row."""
        from_seq = self._next_seq
        for first, last, chain in gone:
            if last < from_seq or last > to_seq:
                continue
            if first > from_seq:
                yield Found(from_seq, first - 1, None, LOST)
            yield Found(max(first, from_seq), last, None, RETENTION, chain)
            self._before, self._incarnation = (chain,), 0
            from_seq = last + 1
        if from_seq <= to_seq:
            yield Found(from_seq, to_seq, None, LOST)
            if self._incarnation in {
                0,
                incarnation,
            }:  # no opening skipped them: what stood before the next row is gone too
                self._before = ()

    def _parsed(self, row: Row) -> tuple[Record | None, bytes]:
        """Return a row as a record, with its leaf; None where no record was ever written like this."""
        seq, incarnation, boot_no, wall_ns, kind, flags, route_id, cause, body, _ = row
        try:
            route, digest = self._route(route_id)
            is_ours = not flags & ~LEAF_FLAGS and 1 <= kind <= len(KINDS) and isinstance(body, bytes)
            leaf = leaf_of(seq, wall_ns, kind, flags, cause or 0, digest, body)
            STAMP.pack(incarnation, boot_no)
        except (TypeError, ValueError, struct.error, MalformedError):
            is_ours, leaf = False, b""
        if not is_ours:
            return None, leaf
        return Record(
            seq, incarnation, KINDS[kind - 1], route, CLASSES[flags & CLASS_MASK], wall_ns, boot_no, cause, body,
            bool(flags & IS_JSON),
        ), leaf  # fmt: skip

    def _route(self, route_id: int | None) -> tuple[str | None, bytes]:
        if route_id is None:
            return None, NO_DIGEST
        if route_id not in self._routes:
            (found,) = self._source.rows(("SELECT route FROM routes WHERE id = ?", (route_id,)))
            text = found[0][0] if found else None
            if not isinstance(text, str):
                raise TypeError("no route")
            self._routes[route_id] = (text, sha256(text.encode()).digest())
        return self._routes[route_id]

    def _step_over(self, last_seq: int) -> Found:
        """Return the numbers that cannot be read up to the next one that can: by ever larger steps, then back."""
        first = self._next_seq
        step = 1
        while first + step < MAX_SEQ and not self._can_read(first + step):
            step *= 2
        if first + step >= MAX_SEQ:
            self._next_seq = MAX_SEQ
            return Found(first, max(first, last_seq), None, MALFORMED)
        low, high = first + step // 2, first + step
        while low + 1 < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._can_read(middle) else (middle, high)
        self._next_seq = high
        self._before = ()
        return Found(first, high - 1, None, MALFORMED)

    def _can_read(self, seq: int) -> bool:
        try:
            self._batch(seq, 1)
        except MalformedError:
            return False
        return True
