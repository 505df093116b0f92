"""What a log must answer after a cut, as far as a model knows that keeps nothing but what was issued and promised."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from gateway.ledger.base import Verification
from gateway.ledger.fold import State
from gateway.ledger.record import Gap, Record

OWN_KINDS: Final = frozenset({"gap", "damage", "snapshot", "lifecycle", "clock", "boot", "cursor", "schema", "route"})
"""What a log may write by itself. The histories write none of these."""

Issue = tuple[str, str | None, str, int | None, bytes]  # kind, route, class, cause, raw


class Promise(NamedTuple):
    """What was issued and promised when the power went."""

    durable: int  # every number up to here was acknowledged
    last: int  # the highest number that was given
    known: Mapping[int, tuple[Record, ...]]  # by number, what it stood for; several where an attempt failed
    attempts: frozenset[Issue]  # issued, and never seen on the medium: it may be there or not
    cursors: Mapping[str, int]  # acknowledged moves
    issued: Mapping[int, Issue] = {}  # durable too, and known only by what the caller gave
    is_honest: bool = True  # the medium kept everything that it said it had kept
    is_foldable: bool = True  # what was given up is in a snapshot
    fragile: frozenset[int] = frozenset()  # what the medium lost: the newest of it may be missing without a word
    is_scarred: bool = False  # it did not always: what is hurt is told ever after
    hurt: frozenset[int] = frozenset()  # numbers that a lie of the medium took, and that were told as missing


def issue_of(record: Record) -> Issue:
    """Return what of a record was the caller's."""
    return record.kind, record.route, record.class_, record.cause, record.raw


class Answer:
    """The records and gaps that a log tells, held against a promise. `problems` says what is wrong, in words."""

    def __init__(self, items: Iterable[Record | Gap], promise: Promise) -> None:
        self.problems: list[str] = []
        self.unaccounted = ""
        self.undeclared: list[int] = []  # missing, told as a gap, but no record of the log says why
        self.records: dict[int, Record] = {}
        self.gaps: list[Gap] = []
        self.last = 0
        self._promise = promise
        self._forked = 0  # from this number on nothing is what was issued
        self._attempts = set(promise.attempts)
        self._declared: list[tuple[Record, int, int]] = []
        for item in items:
            self._take(item)
        self._check_acknowledged()
        self._check_gaps()
        self._check_incarnation()

    def _take(self, item: Record | Gap) -> None:
        if item.seq != self.last + 1:
            where = "out of order" if item.seq <= self.last else "behind numbers that are passed over in silence"
            self.problems.append(f"I2 {item.seq} ({item.kind}) follows {self.last}: {where}")
        if isinstance(item, Gap):
            self.gaps.append(item)
            self.last = item.to_seq
            return
        self.last = item.seq
        self.records[item.seq] = item
        if item.kind in {"gap", "damage"} and item.is_json and isinstance(body := item.body, dict) and "to_seq" in body:
            self._declared.append((item, body["from_seq"], body["to_seq"]))
        if not self._forked and item in self._promise.known.get(item.seq, ()):
            return
        if self._promise.issued and self._promise.issued.get(item.seq) == issue_of(item):
            return
        self._take_unknown(item)

    def _take_unknown(self, item: Record) -> None:
        issue = issue_of(item)
        if issue in self._attempts:
            self._attempts.discard(issue)
            self._forked = self._forked or item.seq
        elif item.kind in OWN_KINDS:
            self._forked = self._forked or item.seq
            if self._promise.is_honest and item.kind == "damage":
                self.problems.append(f"I1 damage is declared where the medium kept its word: {item.raw.decode()}")
        else:
            self.problems.append(f"I2 phantom: {item.seq} was never issued as {issue}")

    def _check_incarnation(self) -> None:
        """Numbers that somebody may have seen are jumped over, and the first record behind them says so (R6)."""
        item = self.records.get(self._forked)
        if item is None or item.seq == 1 or item.seq - 1 in self.records:
            return
        if any(each.kind == "gap" and first <= item.seq - 1 <= last for each, first, last in self._declared):
            return  # nobody lost them: retention took them
        earlier = [each.incarnation for each in self.records.values() if each.seq < item.seq]
        if item.incarnation <= max(earlier, default=1):
            self.problems.append(f"R6 {item.seq} goes on behind lost numbers in incarnation {item.incarnation}")

    def _lost(self) -> list[int]:
        """Return the acknowledged numbers that do not read as what they were."""
        known, stop = self._promise.known, self._promise.durable
        return [
            seq
            for seq in range(1, stop + 1)
            if (seq in known and (seq not in self.records or (self._forked and seq >= self._forked)))
            or (seq in self._promise.issued and seq not in self.records)
        ]

    def _check_acknowledged(self) -> None:
        covered = {seq for gap in self.gaps for seq in gap_range(gap, self._promise)}
        lost = [seq for seq in self._lost() if seq not in covered]
        if not self._promise.is_honest:
            behind = self._forked or self.last + 1
            lost = [seq for seq in lost if seq < behind or seq not in self._promise.fragile]  # as if never written
        if lost:
            self.unaccounted = f"I1 acknowledged and not there: {_shortly(lost)} of {self._promise.durable}"

    def _check_gaps(self) -> None:
        for gap in self.gaps:
            for seq in gap_range(gap, self._promise):
                if not self._is_declared(seq):
                    self.undeclared.append(seq)
                    break
        for record, from_seq, to_seq in self._declared:
            if record.kind == "damage" and (
                read := [seq for seq in range(from_seq, to_seq + 1) if seq in self.records]
            ):
                self.problems.append(f"I1 damage {record.seq} declares {_shortly(read)}, which read")

    def _is_declared(self, seq: int) -> bool:
        if seq in self._promise.hurt:
            return True
        classes = {each.class_ for each in self._promise.known.get(seq, ())}
        for record, from_seq, to_seq in self._declared:
            if not from_seq <= seq <= to_seq:
                continue
            if record.kind == "damage" or not classes or classes & set(record.body.get("classes", classes)):
                return True
        return False

    def check_verification(self, found: Verification) -> None:
        """Hold what `verify --deep` says against what was read."""
        expected = {"declared"} if self._declared or self.gaps else {"intact"}
        if not self._promise.is_honest or self._promise.is_scarred:
            expected |= {"declared", "damaged"}  # a place that held nothing may be hurt
        if self.undeclared and found.verdict == "damaged":
            self.undeclared = []  # what opening did not read, and so could not declare, verification finds
        if found.verdict not in expected:
            self.problems.append(
                f"I3 verify says {found.verdict}, not {'/'.join(sorted(expected))}: {found.damage} {found.gaps}"
            )
        if (found.records, found.last_seq) != (len(self.records), max(self.records, default=0)):
            self.problems.append(
                f"I3 verify tells {found.records} records up to {found.last_seq}; "
                f"{len(self.records)} up to {max(self.records, default=0)} were read"
            )

    def check_look(self, found: Verification) -> None:
        """Hold what `verify --deep` says before recovery: of what it reads nothing may be hurt."""
        if self._promise.is_honest and not self._promise.is_scarred:
            hurt = [each for each in found.damage if each.seq]
            if found.verdict == "forged" or hurt:
                self.problems.append(f"I3 verify says {found.verdict} of a ledger that was only cut: {found.damage}")
        elif found.verdict != "intact":
            self.undeclared, self.unaccounted = [], ""  # nothing was recovered yet; it is told all the same
        if found.records != len(self.records):
            self.problems.append(f"I3 verify tells {found.records} records; {len(self.records)} were read")

    def folded(self) -> State:
        """Return the state that all records leave, those too that retention has taken."""
        state = State()
        for seq in range(1, self.last + 1):
            record = self.records.get(seq) or next(iter(self._promise.known.get(seq, ())), None)
            if record is not None:
                state.apply(record)
        return state

    def conclude(self) -> list[str]:
        """Return everything that is wrong."""
        if self.unaccounted:
            self.problems.append(self.unaccounted)
        if self.undeclared:
            self.problems.append(f"I2 {_shortly(self.undeclared)} missing, and no record declares why ({self.gaps})")
        return self.problems

    def check_cursors(self, told: Mapping[str, int], durable_seq: int) -> None:
        """Hold cursors against what is durable and what was acknowledged."""
        for name, seq in told.items():
            if seq > durable_seq:
                self.problems.append(f"I6 cursor {name} stands at {seq}, beyond what is durable ({durable_seq})")
            if self._promise.is_honest and seq < self._promise.cursors.get(name, 0):
                self.problems.append(f"I1 cursor {name} went back to {seq} from {self._promise.cursors[name]}")


def after_recovery(promise: Promise, answer: Answer, durable: int) -> Promise:
    """Return what is promised from a recovery on: what it read, it must go on reading."""
    known: dict[int, tuple[Record, ...]] = {seq: (record,) for seq, record in answer.records.items()}
    retired = {
        seq: promise.known[seq] for gap in answer.gaps for seq in gap_range(gap, promise) if seq in promise.known
    }
    known = retired | known
    hurt = promise.hurt
    is_scarred = promise.is_scarred or not promise.is_honest
    if not promise.is_honest:
        hurt |= {seq for gap in answer.gaps for seq in gap_range(gap, promise)}
    return Promise(
        durable, answer.last, known, frozenset(), {}, is_scarred=is_scarred, hurt=hurt, is_foldable=promise.is_foldable
    )


def gap_range(gap: Gap, promise: Promise) -> range:
    """Return the numbers of a gap, as far as any were given."""
    return range(gap.seq, min(gap.to_seq, promise.last) + 1)


def _shortly(numbers: list[int]) -> str:
    shown = ", ".join(str(each) for each in numbers[:6])
    return shown + (f" ... ({len(numbers)})" if len(numbers) > 6 else "")
