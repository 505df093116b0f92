"""Layer 9: a ledger that keeps nothing: the model that the real ones are held against, and a fake for other tests."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any, Self

from gateway.clock import Clock
from gateway.errors import LedgerReadOnlyError
from gateway.ledger.base import Damage, Head, Item, Options, Verification
from gateway.ledger.cursor import StoredCursor
from gateway.ledger.draft import Checker, Entry, Routes
from gateway.ledger.findings import DECLARING_KINDS, declared_by
from gateway.ledger.fold import State
from gateway.ledger.frame import MILLISECOND_NS
from gateway.ledger.record import CLASS_MASK, CLASSES, IS_JSON, KINDS, Gap, Record, leaf_of
from gateway.testing.clock import FakeClock


class MemoryLedger:
    """A `LedgerLike` as plain as it can be: a list. `reopen` starts it again, `cut` takes what was not durable."""

    def __init__(self, clock: Clock | None = None, options: Options | None = None) -> None:
        """Start empty; telemetry is durable after the window of `options`, as the clock of the next call tells."""
        self._clock = clock or FakeClock()
        self._window_ns = (options or Options()).window_ns
        self._checker = Checker(Routes())
        self._records: list[Record] = []
        self._chains = [sha256(b"in memory").digest()]  # behind each record
        self._durable_seq = 0
        self._oldest_ns: int | None = None  # of what is not durable
        self._boot_no = 1
        self._is_closed = False

    def append(
        self, kind: str, route: str | None, body: Any, class_: str = "telemetry", cause: int | None = None
    ) -> int:
        """Return the sequence number."""
        return self.append_many([(kind, route, body, class_, cause)]).start

    def append_many(self, records: Iterable[Item]) -> range:
        """Return the sequence numbers. Raises: RecordError, LedgerReadOnlyError."""
        checked = self._checker.check(list(records))
        if self._is_closed:
            raise LedgerReadOnlyError("it is closed")
        first = len(self._records) + 1
        if checked.records and self._oldest_ns is None:
            self._oldest_ns = self._clock.monotonic_ns()
        for entry in checked.records:
            self._take(entry)
        if checked.is_urgent:
            self.flush()
        self.tick()
        return range(first, len(self._records) + 1)

    def _take(self, entry: Entry) -> None:
        code, route, cause, raw = entry
        kind, flags, seq = code >> 8, code & 0xFF, len(self._records) + 1
        wall_ns = self._clock.wall_ns() // MILLISECOND_NS * MILLISECOND_NS
        digest = bytes(32) if route is None else sha256(route.encode()).digest()
        leaf = leaf_of(seq, wall_ns, kind, flags, cause, digest, raw)
        self._chains.append(sha256(self._chains[-1] + leaf).digest())
        class_, is_json = CLASSES[flags & CLASS_MASK], bool(flags & IS_JSON)
        self._records.append(
            Record(seq, 1, KINDS[kind - 1], route, class_, wall_ns, self._boot_no, cause or None, raw, is_json)
        )

    def note_clock(self, quality: str) -> None:
        """Do nothing: what the time is worth, the records of kind clock tell."""

    def flush(self, seq: int | None = None) -> None:
        """Call everything durable."""
        del seq
        self._durable_seq, self._oldest_ns = len(self._records), None

    def tick(self) -> None:
        """Call durable what has waited for its window."""
        if self._oldest_ns is not None and self._clock.monotonic_ns() - self._oldest_ns >= self._window_ns:
            self.flush()

    @property
    def durable_seq(self) -> int:
        """Return the last sequence number that would be on the medium."""
        return self._durable_seq

    def read(self, from_seq: int = 1, *, durable_only: bool = False) -> Iterator[Record | Gap]:
        """Yield records in order."""
        if not durable_only:
            self.flush()
        return iter(self._records[max(1, from_seq) - 1 : self._durable_seq])

    def verify(self, *, deep: bool = False, against: Head | None = None) -> Verification:
        """Say that all is well, unless `against` is another's head."""
        del deep
        self.flush()
        gaps = [declared_by(each) | {"seq": each.seq} for each in self._records if each.kind in DECLARING_KINDS]
        damage = []
        if against is not None and (
            against.seq >= len(self._chains) or self._chains[against.seq].hex() != against.head
        ):
            damage.append(Damage(against.seq, "", 0, "not the chain that the kept head is of"))
        return Verification(
            verdict="forged" if damage else "declared" if gaps else "intact", records=len(self._records),
            first_seq=min(1, len(self._records)), last_seq=len(self._records), head=self.head().head, damage=damage,
            gaps=gaps, seconds=0.0,
        )  # fmt: skip

    def replay(self, until: int | None = None) -> State:
        """Return the folded state."""
        self.flush()
        state = State()
        state.apply_many(self._records[:until] if until is None or until >= 0 else [])
        return state

    def cursor(self, name: str) -> StoredCursor:
        """Return where the consumer of that name stands."""
        return StoredCursor(self, name)

    def head(self) -> Head:
        """Return the end of what is durable."""
        return Head(self._durable_seq, self._chains[self._durable_seq].hex())

    def status(self) -> dict[str, Any]:
        """Return what every ledger says of itself."""
        return {
            "backend": "memory",
            "mode": "read-only" if self._is_closed else "recording",
            "reason": "it is closed" if self._is_closed else "",
            "boot_no": self._boot_no,
            "last_seq": len(self._records),
            "durable_seq": self._durable_seq,
            "guarantees": {
                name: {"loss_window": self._window_ns / 1e9 if name == "telemetry" else 0.0} for name in CLASSES
            },
            "shed": 0,
            "damage": [],
        }

    def close(self) -> None:
        """Call everything durable and take nothing more."""
        self.flush()
        self._is_closed = True

    def reopen(self) -> Self:
        """Start again, as the next process would."""
        self._boot_no += 1
        self._is_closed = False
        return self

    def cut(self) -> None:
        """Lose what a power cut would take now."""
        del self._records[self._durable_seq :], self._chains[self._durable_seq + 1 :]
        self._oldest_ns = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()
