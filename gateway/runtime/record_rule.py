"""Layer 6: which rows of one message are worth keeping: `[record]` (PROFILES 1), decided batch by batch. Pure.

A row is kept when a named field moved more than its deadband from the row kept last, not oftener than `at_most`, and
anyway once `at_least` has passed. What moved too soon is kept as soon as `at_most` allows, though nothing new came:
what is kept is never behind the device by more than that.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import msgspec
from msgspec import structs

from gateway.notation import duration_ns
from gateway.schema.plan import MessagePlan, Row
from gateway.schema.spec import RecordSpec

AT_MOST: Final = "1s"
AT_LEAST: Final = "5m"
SIZE_BYTES: Final = 16 << 20  # of frames that wait in the ledger for room in a mailbox

_SIZE: Final = re.compile(r"([0-9]{1,12}) ?(?:([kKMGT])(i)?)?B?")
_POWERS: Final = {"k": 1, "K": 1, "M": 2, "G": 3, "T": 4}


class Rule(msgspec.Struct, frozen=True):
    """What is kept of one message."""

    record_class: Literal["telemetry", "state"] = "telemetry"
    at_most_ns: int = duration_ns(AT_MOST)
    at_least_ns: int = duration_ns(AT_LEAST)
    keep_ns: int | None = None  # None: as long as the ledger keeps telemetry
    deadbands: tuple[float, ...] = ()  # parallel to the plan's names

    @property
    def keeps_all(self) -> bool:
        """Return whether every frame is kept, whatever it says."""
        return not self.at_most_ns and not any(self.deadbands)


def merged(own: RecordSpec | None, profile: RecordSpec) -> RecordSpec:
    """Return what holds for a message: its own keys, else its profile's."""
    if own is None:
        return profile
    written = {name: getattr(own, name) for name in RecordSpec.__struct_fields__ if getattr(own, name) is not None}
    return structs.replace(profile, **written)


def rule_of(spec: RecordSpec, plan: MessagePlan) -> Rule | None:
    """Return the rule of a message; None: nothing of it is kept."""
    if spec.record_class == "none":
        return None
    return Rule(
        spec.record_class or "telemetry",
        duration_ns(spec.at_most or AT_MOST),
        duration_ns(spec.at_least or AT_LEAST),
        None if spec.keep is None else duration_ns(spec.keep),
        tuple(float(getattr(field, "deadband", 0.0) or 0.0) for field in plan.fields),
    )


def spill_bytes(spec: RecordSpec) -> int:
    """Return how much may wait in the ledger for room in a mailbox: `size`."""
    if spec.size is None or isinstance(spec.size, int):
        return spec.size or SIZE_BYTES
    match = _SIZE.fullmatch(spec.size)
    assert match is not None  # profiles are checked
    size = int(match[1])
    for _ in range(_POWERS.get(match[2] or "", 0)):
        size *= 1024 if match[3] else 1000
    return size


class Judge:
    """Decides over the rows of one message as they come."""

    __slots__ = ("_at_least_ns", "_at_most_ns", "_deadbands", "_last", "_overdue_ns", "due_ns")

    def __init__(self, rule: Rule) -> None:
        """Take the rule; the first row is kept."""
        self.due_ns = 0  # before this instant (monotonic) no row is kept
        self._overdue_ns = 0  # from this one on any row is
        self._at_most_ns = rule.at_most_ns
        self._at_least_ns = rule.at_least_ns
        self._deadbands = rule.deadbands
        self._last: Row | None = None  # kept

    def choose(self, rows: list[Row], now_ns: int) -> list[int]:
        """Return the places of the rows that are kept of those that came at `now_ns`, in order."""
        chosen: list[int] = []
        if now_ns < self.due_ns:
            return chosen
        last = self._last
        if last is not None and now_ns < self._overdue_ns and rows.count(last) == len(rows):
            return chosen
        for place, row in enumerate(rows):
            if last is None or now_ns >= self._overdue_ns or self._moved(row, last):
                chosen.append(place)
                last = row
                self.kept(row, now_ns)
                if self._at_most_ns:
                    break
        return chosen

    def kept(self, row: Row, now_ns: int) -> None:
        """Take note that a row was kept, by whomever."""
        self._last = row
        self.due_ns = now_ns + self._at_most_ns
        self._overdue_ns = now_ns + self._at_least_ns

    def forget(self) -> None:
        """The row chosen last was not kept after all: the next one that is due is."""
        self._last = None

    def _moved(self, row: Row, last: Row) -> bool:
        return any(
            differs(value, before, deadband)
            for value, before, deadband in zip(row, last, self._deadbands, strict=False)  # without the taints
            if value is not before
        )


def differs(value: Any, before: Any, deadband: float) -> bool:
    """Return whether a value moved more than its deadband; what is no number moves with any change."""
    if value == before:
        return False
    if isinstance(value, int | float) and isinstance(before, int | float):
        return abs(value - before) > deadband
    if isinstance(value, list) and isinstance(before, list) and len(value) == len(before):
        return any(differs(*pair, deadband) for pair in zip(value, before, strict=True))
    return True
