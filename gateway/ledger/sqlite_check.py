"""Layer 5: what a ledger on SQLite says of itself when every row is looked at: its chain, holes and declarations."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from gateway.ledger.base import Damage, Head, Verdict, Verification
from gateway.ledger.frame import first_chain
from gateway.ledger.record import CLASS_MASK, CLASSES, IS_JSON, KINDS, Record, leaf_of

FILE: Final = "ledger.db"
NO_DIGEST: Final = bytes(32)


def record_of(row: tuple[Any, ...]) -> Record:
    """Return a row as a record."""
    seq, kind, flags, route, wall_ns, boot_no, cause, body, _ = row
    name = KINDS[kind - 1] if 1 <= kind <= len(KINDS) else f"kind-{kind}"
    return Record(
        seq, 1, name, route, CLASSES[flags & CLASS_MASK], wall_ns, boot_no, cause or None, body, bool(flags & IS_JSON)
    )


class ChainCheck:
    """One pass over all rows."""

    def __init__(self, log_id: bytes, against: Head | None) -> None:
        self._against = against
        self.damage: list[Damage] = []
        self.forged = False
        self.records = self.first_seq = self.last_seq = 0
        self._gaps: list[dict[str, Any]] = []
        self._holes: list[tuple[int, int]] = []
        self._chain = first_chain(log_id)
        self._met = against is None or against.seq == 0

    def run(self, rows_from: Callable[[int], list[tuple[Any, ...]]]) -> None:
        """Look at every row, in order; `rows_from` returns those from a number on, [] behind the last."""
        next_seq = 1
        is_known = True  # whether the chain before the next row is
        while rows := rows_from(next_seq):
            for row in rows:
                seq, kind, flags, route, wall_ns, _, cause, body, chain = row
                if seq > next_seq:
                    self._holes.append((next_seq, seq - 1))
                    is_known = False
                digest = sha256(route.encode()).digest() if route else NO_DIGEST
                leaf = leaf_of(seq, wall_ns, kind, flags, cause, digest, bytes(body))
                if is_known and sha256(self._chain + leaf).digest() != chain:
                    self.forged = True
                    self.damage.append(Damage(seq, FILE, 0, "does not follow from the record before it"))
                self._chain, is_known = bytes(chain), True
                self._take(record_of(row))
                next_seq = seq + 1

    def _take(self, record: Record) -> None:
        self.records += 1
        self.first_seq = self.first_seq or record.seq
        self.last_seq = record.seq
        if record.kind in {"gap", "damage"} and record.is_json and isinstance(record.body, dict):
            self._gaps.append({"seq": record.seq, "kind": record.kind} | record.body)
        if self._against is not None and record.seq == self._against.seq:
            self._met = self._chain.hex() == self._against.head

    def result(self, seconds: float) -> Verification:
        """Return the verdict."""
        told = [(gap["from_seq"], gap["to_seq"]) for gap in self._gaps if "from_seq" in gap and "to_seq" in gap]
        self.damage += [
            Damage(first, FILE, 0, "records are gone")
            for first, last in self._holes
            if not any(low <= first and last <= high for low, high in told)
        ]
        if not self._met:
            assert self._against is not None
            self.forged = True
            self.damage.append(Damage(self._against.seq, FILE, 0, "the head kept elsewhere is not on this chain"))
        verdict: Verdict = (
            "forged" if self.forged else "damaged" if self.damage else "declared" if self._gaps else "intact"
        )
        return Verification(
            verdict=verdict, records=self.records, first_seq=self.first_seq, last_seq=self.last_seq,
            head=self._chain.hex(), damage=self.damage, gaps=self._gaps, seconds=seconds,
        )  # fmt: skip
