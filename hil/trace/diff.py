"""Where two traces part: the first record that differs, with what stood before it. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Iterator
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from hil.trace.record import Record

CONTEXT: Final = 5  # records before the difference


class Difference(NamedTuple):
    """The first record that differs."""

    record: int  # from 1
    a: Record | None  # None: this trace has ended
    b: Record | None
    context: list[Record]  # of A, the last before it


def difference(a: Iterable[Record], b: Iterable[Record], ignore: Collection[str] = ()) -> Difference | None:
    """Return where two traces part, None where they are equal; the keys of `ignore` may differ."""
    before: deque[Record] = deque(maxlen=CONTEXT)
    for number, (ours, theirs) in enumerate(zip_longest(a, b), 1):
        if ours is None or theirs is None or _facts(ours, ignore) != _facts(theirs, ignore):
            return Difference(number, ours, theirs, list(before))
        before.append(ours)
    return None


def differing_keys(a: Record, b: Record) -> list[str]:
    """Return the keys in which two records differ."""
    ours, theirs = dict(a.items()), dict(b.items())
    return [key for key in {**ours, **theirs} if key not in ours or key not in theirs or ours[key] != theirs[key]]


def _facts(record: Record, ignore: Collection[str]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in ignore}


def chosen(records: Iterable[Record], buses: Collection[str], directions: Collection[str]) -> Iterator[Record]:
    """Give the records of some buses and directions; empty: of all."""
    for record in records:
        if (not buses or record.bus in buses) and (not directions or record.dir in directions):
            yield record
