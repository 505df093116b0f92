"""Layer 5: what a ledger on SQLite does beside its commits: retention by age and by size, snapshots, a scrub.

Rows leave in the transaction that brings the `gap` record, so that there is never one without the other.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, Final

from gateway.clock import Clock
from gateway.errors import LedgerError
from gateway.ledger.base import DAY_NS, NS, Damage, Options
from gateway.ledger.fold import State
from gateway.ledger.record import CLASS_MASK, CLASSES, Gap, Record
from gateway.ledger.retention import keep_ns_of
from gateway.ledger.sqlite_check import found_in
from gateway.ledger.sqlite_file import FILE, MalformedError, Row, Source
from gateway.ledger.sqlite_log import SqliteLog

log = logging.getLogger(__name__)

SNAPSHOTS_KEPT: Final = 2
MAX_STATE_BYTES: Final = 256 << 20
CHUNK: Final = 4096  # rows that one transaction lets go of: nobody waits long for it
EVERY_LEAST_NS: Final = 60 * NS
EVERY_MOST_NS: Final = DAY_NS
WASTE: Final = 4  # one page in so many free: then the file is written anew when it is compacted
_ROWS: Final = """SELECT seq, wall_ns, flags, (SELECT route FROM routes WHERE id = records.route), chain FROM records
 WHERE seq > ? ORDER BY seq LIMIT ?"""
Verdict = Callable[[int, int, str | None], bool]
"""Takes wall time, flags and route of a row; returns whether it goes."""


def load_state(source: Source, until: int | None = None) -> State:
    """Return the newest folded state that can be read, not beyond a number; an empty one where there is none."""
    try:
        (rows,) = source.rows(
            ("SELECT seq, state, digest FROM snapshots WHERE seq <= ? ORDER BY seq DESC",
             (until if until is not None else (1 << 63) - 1,))
        )  # fmt: skip
    except MalformedError:
        return State()
    for seq, packed, digest in rows:
        state = _unpacked(packed, digest)
        if state is not None and state.seq == seq:
            return state
    return State()


def _unpacked(packed: bytes, digest: bytes) -> State | None:
    try:
        raw = zlib.decompressobj().decompress(packed, MAX_STATE_BYTES)
        return State.from_json(json.loads(raw)) if sha256(raw).digest() == digest else None
    except (zlib.error, ValueError, TypeError, RecursionError):
        return None


def replayed(source: Source, read: Callable[[int], Iterator[Record | Gap]], until: int | None = None) -> State:
    """Return the folded state up to and with a number; `read` yields records from a number on."""
    state = load_state(source, until)
    for each in read(state.seq + 1):
        if until is not None and each.seq > until:
            break
        if isinstance(each, Record):
            state.apply(each)
    return state


class SqliteKeeper:
    """The upkeep of one log."""

    def __init__(
        self, log_: SqliteLog, options: Options, clock: Clock, read: Callable[[int], Iterator[Record | Gap]]
    ) -> None:
        """`read` yields durable records from a number on."""
        self._log = log_
        self._options = options
        self._clock = clock
        self._read = read
        self.error = ""  # of the last round; "" when it went well
        self._due_ns = clock.monotonic_ns() + EVERY_LEAST_NS

    @property
    def due_ns(self) -> int:
        """Return when there is something to do, on the monotonic clock."""
        return self._due_ns

    def work(self) -> None:
        """Do what is due. What fails is remembered, told in the status, and tried again later."""
        if self._clock.monotonic_ns() < self._due_ns or self._log.read_only_reason:
            return
        least_ns = min((self._options.keep_ns, *self._options.keep.values()))
        self._due_ns = self._clock.monotonic_ns() + min(max(least_ns // 24, EVERY_LEAST_NS), EVERY_MOST_NS)
        try:
            self.retain()
            self.error = ""
        except LedgerError as error:
            if str(error) != self.error:
                log.warning("the ledger's upkeep: %s", error)
            self.error = str(error)

    # ---- retention

    def retain(self) -> int:
        """Let telemetry go whose time is over, and the oldest where the file is too large; return how many records."""
        before = self._count()
        self._by_age()
        self._by_size()
        return max(0, before - self._count())

    def _by_age(self) -> None:
        (((newest,),),) = self._log.database.rows(
            ("SELECT coalesce(max(wall_ns), 0) FROM (SELECT wall_ns FROM records ORDER BY seq DESC LIMIT 1)", ())
        )
        now_ns = min(self._clock.wall_ns(), newest)  # a clock that jumps ahead for a moment deletes nothing

        def is_over(wall_ns: int, flags: int, route: str | None) -> bool:
            return not flags & CLASS_MASK and wall_ns + keep_ns_of(self._options, route) < now_ns

        self._sweep(is_over, lambda: True)

    def _by_size(self) -> None:
        def is_too_large() -> bool:
            return self.used_bytes > self._options.archive_bytes

        self._sweep(lambda _wall_ns, flags, _route: not flags & CLASS_MASK, is_too_large)
        self._sweep(lambda _wall_ns, _flags, _route: True, is_too_large, takes_all=True)

    def _sweep(self, goes: Verdict, goes_on: Callable[[], bool], *, takes_all: bool = False) -> None:
        """Look at all rows that are there now, the oldest first; those that go, go a chunk at a time."""
        after, end = 0, self._log.durable_seq
        is_folded = False
        while after < end and goes_on():
            (rows,) = self._log.database.rows((_ROWS, (after, CHUNK)))
            rows = [row for row in rows if row[0] < end]  # the newest stays: the chain goes on from it
            if not rows:
                return
            doomed = [row for row in rows if goes(row[1], row[2], row[3])]
            after = rows[-1][0]
            if doomed:
                if not is_folded:
                    self.take_snapshot()
                    is_folded = True
                self._let_go(doomed, takes_all=takes_all)

    def _let_go(self, doomed: list[Row], *, takes_all: bool) -> None:
        """Delete rows; where all go, the declarations among them go too, and this one speaks for them."""
        body: dict[str, Any] = {
            "from_seq": 1 if takes_all else doomed[0][0], "to_seq": doomed[-1][0], "reason": "retention",
            "classes": sorted({CLASSES[row[2] & CLASS_MASK] for row in doomed}, key=CLASSES.index),
            "records": len(doomed),
        }  # fmt: skip
        if takes_all:
            body["whole"] = True
        log_ = self._log
        with log_.database.lock:
            log_.put(log_.check([("gap", None, body, "state")]))
            log_.commit(_runs(doomed))

    # ---- snapshots

    def take_snapshot(self) -> None:
        """Keep the folded state, so that what goes stays known and replay is short. Raises: LedgerError."""
        log_ = self._log
        log_.commit()
        state = replayed(log_.database, self._read)
        raw = json.dumps(state.as_json(), separators=(",", ":"), ensure_ascii=False).encode()
        digest = sha256(raw).digest()
        with log_.database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO snapshots VALUES (?, ?, ?)", (state.seq, zlib.compress(raw), digest)
            )
            connection.execute(
                "DELETE FROM snapshots WHERE seq NOT IN (SELECT seq FROM snapshots ORDER BY seq DESC LIMIT ?)",
                (SNAPSHOTS_KEPT,),
            )
        body = {"seq": state.seq, "file": FILE, "sha256": digest.hex()}
        log_.put(log_.check([("snapshot", None, body, "state")]))
        log_.commit()

    # ---- on request

    def compact(self) -> dict[str, Any]:
        """Apply retention, look at every row, give free pages back; return what was done. Raises: LedgerError."""
        size = self.file_bytes
        freed = self.retain()
        hurt = self._scrub()
        database = self._log.database
        if database.pragma("freelist_count") * WASTE > database.pragma("page_count"):
            database.shrink()
        return {
            "freed_records": freed,
            "freed_bytes": max(0, size - self.file_bytes),
            "used_bytes": self.used_bytes,
            "damage": len(hurt),
        }

    def _scrub(self) -> list[Damage]:
        """Look at every row; declare what is hurt and not declared yet."""
        log_ = self._log
        findings, _ = found_in(log_.database, log_.about)
        hurt = [each for each in findings.hurt if each.to_seq]
        undeclared = set(findings.undeclared())
        for damage, to_seq, _ in hurt:
            if damage in undeclared:
                body = {"from_seq": damage.seq, "to_seq": to_seq, "reason": damage.reason, "file": FILE, "offset": 0}
                log_.put(log_.check([("damage", None, body, "state")]))
        log_.commit()
        return [each.damage for each in hurt]

    # ---- sizes

    def sizes(self) -> dict[str, Any]:
        """Return the file's size and how much of it rows take; None where that cannot be read."""
        try:
            return {"bytes": self.file_bytes, "used_bytes": self.used_bytes}
        except LedgerError:
            return {"bytes": None, "used_bytes": None}

    @property
    def used_bytes(self) -> int:
        """Return what rows take."""
        database = self._log.database
        pages: int = database.pragma("page_count") - database.pragma("freelist_count")
        return pages * int(database.pragma("page_size"))

    @property
    def file_bytes(self) -> int:
        """Return what the database takes on the medium, without its log."""
        return int(self._log.database.pragma("page_count")) * int(self._log.database.pragma("page_size"))

    def _count(self) -> int:
        (((count,),),) = self._log.database.rows(("SELECT count(*) FROM records", ()))
        return int(count)


def _runs(doomed: list[Row]) -> list[Row]:
    """Return rows as runs without holes: first number, last number, chain hash behind."""
    runs: list[Row] = []
    for seq, _, _, _, chain in doomed:
        if runs and runs[-1][1] == seq - 1:
            runs[-1] = (runs[-1][0], seq, chain)
        else:
            runs.append((seq, seq, chain))
    return runs
