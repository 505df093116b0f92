"""Layer 2: what a verification has found so far, and the verdict it comes to. Pure.

Whatever should be there and is not, is hurt; it becomes declared where records of the log itself tell of it. Whatever
is whole and yet not what was appended, is forged, and no record excuses it.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, Final, NamedTuple, TypeGuard

from gateway.ledger.base import Damage, Verdict
from gateway.ledger.record import Record

DECLARING_KINDS: Final = ("gap", "damage")


class Ranges:
    """Sequence numbers."""

    def __init__(self) -> None:
        self._runs: list[tuple[int, int]] = []
        self._is_merged = True

    def add(self, first: int, last: int) -> None:
        """Take all numbers from one to another."""
        if first <= last:
            self._runs.append((first, last))
            self._is_merged = False

    def hold(self, first: int, last: int) -> bool:
        """Return whether all numbers from one to another were taken."""
        if not self._is_merged:
            self._runs, self._is_merged = merged(self._runs), True
        place = bisect_right(self._runs, (first, 1 << 64)) - 1
        return place >= 0 and last <= self._runs[place][1]


class Hurt(NamedTuple):
    """Damage, with the last sequence number it takes."""

    damage: Damage
    to_seq: int  # 0: it holds no numbers, so that nothing can declare it
    is_absence: bool  # a thinned frame stands for the numbers: retention may have taken them


class Findings:
    """One verification."""

    def __init__(self) -> None:
        self.forged: list[Damage] = []
        self.hurt: list[Hurt] = []
        self.gaps: list[dict[str, Any]] = []  # what records of kind gap and damage say, each once
        self._told: set[int] = set()  # the numbers of the declarations taken
        self._confirmed: set[int] = set()  # those whose record was read
        self._lost = Ranges()  # told to be lost or given up whole
        self._thinned = Ranges()  # these, and those of which retention took some

    def forge(self, seq: int, file: str, offset: int, reason: str) -> None:
        """Note something whole that is not what was appended here."""
        self.forged.append(Damage(seq, file, offset, reason))

    def hurt_at(self, file: str, offset: int, reason: str, seq: int = 0, to_seq: int = 0) -> None:
        """Note something that is missing or not whole; `seq` to `to_seq` are the numbers that cannot be read for it."""
        self.hurt.append(Hurt(Damage(seq, file, offset, reason), to_seq, is_absence=False))

    def absent(self, file: str, offset: int, first: int, last: int) -> None:
        """Note numbers without a record in a frame that was thinned; what was told before costs no memory."""
        if not self._thinned.hold(first, last):
            reason = "records were taken out, and none tells of it"
            self.hurt.append(Hurt(Damage(first, file, offset, reason), last, is_absence=True))

    def declare(self, record: Record) -> None:
        """Take a record of kind gap or damage."""
        self._confirmed.add(record.seq)
        self.take({**declared_by(record), "seq": record.seq})

    def take(self, told: dict[str, Any]) -> None:
        """Take what such a record says, with its own number, as an archive's footer lists it too."""
        seq = told.get("seq")
        if not is_number(seq) or seq in self._told:
            return
        self._told.add(seq)
        self.gaps.append(told)
        if (numbers := numbers_told(told)) is not None:
            self._thinned.add(*numbers)
            if tells_loss(told):
                self._lost.add(*numbers)

    def unconfirmed(self, listed: list[dict[str, Any]]) -> list[int]:
        """Return the numbers of declarations that were taken from a list and that no record made."""
        return [told["seq"] for told in listed if told.get("seq") in self._told - self._confirmed]

    def cover(self, from_seq: int, to_seq: int) -> None:
        """Take that the loss of these numbers is told somewhere else."""
        self._thinned.add(from_seq, to_seq)
        self._lost.add(from_seq, to_seq)

    def is_told(self, from_seq: int, to_seq: int) -> bool:
        """Return whether a record tells that all these numbers are lost."""
        return self._lost.hold(from_seq, to_seq)

    def undeclared(self) -> list[Damage]:
        """Return the damage that nothing in the log tells of, in the order of numbers."""
        found = [each.damage for each in self.hurt if not self._is_declared(each)]
        return sorted(found, key=lambda each: (each.seq, each.file, each.offset))

    def _is_declared(self, each: Hurt) -> bool:
        told = self._thinned if each.is_absence else self._lost
        return each.to_seq > 0 and told.hold(each.damage.seq, each.to_seq)

    def verdict(self) -> tuple[Verdict, list[Damage]]:
        """Return the verdict and what stands against the ledger, the worst first."""
        undeclared = self.undeclared()
        if self.forged:
            return "forged", [*sorted(self.forged, key=lambda each: each.seq), *undeclared]
        if undeclared:
            return "damaged", undeclared
        return ("declared" if self.gaps else "intact"), []


def declared_by(record: Record) -> dict[str, Any]:
    """Return what a record of kind gap or damage says; as text, where it is not as we write it."""
    if not record.is_json:
        return {"reason": record.raw.hex()}
    try:
        body = record.body
    except (ValueError, RecursionError):
        body = record.raw.decode("utf-8", "replace")
    return body if isinstance(body, dict) else {"reason": str(body)}


def numbers_told(told: dict[str, Any]) -> tuple[int, int] | None:
    """Return the numbers that a declaration is about."""
    first, last = told.get("from_seq"), told.get("to_seq")
    return (first, last) if is_number(first) and is_number(last) else None


def tells_loss(told: dict[str, Any]) -> bool:
    """Return whether a declaration excuses that nothing stands for its numbers, or that it is hurt.

    Retention that leaves a thinned archive tells only of what it took: the rest must still be there, and whole.
    """
    return told.get("reason") != "retention" or told.get("whole") is True


def is_number(value: Any) -> TypeGuard[int]:
    """Return whether a value can be a sequence number."""
    return isinstance(value, int) and not isinstance(value, bool)


def runs_of(numbers: list[int]) -> list[tuple[int, int]]:
    """Return numbers as ranges without holes."""
    return merged([(number, number) for number in numbers])


def merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return ranges of numbers joined where they touch, in order."""
    runs: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if runs and first <= runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], max(runs[-1][1], last))
        else:
            runs.append((first, last))
    return runs
