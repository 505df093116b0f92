"""Layer 6: what lies in a mailbox: some frames that came together. Pure values, split at the grain of one frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

NO_KEY: Final = ""


class Parcel(msgspec.Struct, frozen=True, gc=False):
    """Frames of one read, for one receiver. `items`, `keys` and `stamps_ns` run in parallel."""

    items: list[Any]
    keys: list[str] | None = None  # the message of each item: what order `keyed` and policy `coalesce_latest` go by
    received_ns: int = 0  # monotonic, of the read
    wall_ns: int = 0  # since 1970, same instant
    stamps_ns: list[int] | None = None  # wall time of each item where the source knows it
    producer: str = ""  # port name: what order `round_robin` goes by
    priority: int = 0  # larger is served first under order `priority`
    taints: int = 0  # of every item
    marks: dict[str, int] | None = None  # further taints of the first item of each key
    is_stored: bool = False  # every item waited in the ledger, and is recorded

    def __len__(self) -> int:
        """Return how many frames."""
        return len(self.items)

    def kinds(self) -> set[str]:
        """Return the keys that occur."""
        if self.keys is None:
            return {NO_KEY} if self.items else set()
        return set(self.keys)

    def split(self, at: int) -> tuple[Parcel, Parcel]:
        """Return the first `at` frames and the rest; a mark stays with the first item of its key."""
        size = len(self.items)
        head, tail = self._cut(slice(0, at)), self._cut(slice(at, size))
        if self.marks is None:
            return head, tail
        here = head.kinds()
        return (
            head.marked({key: bits for key, bits in self.marks.items() if key in here}),
            tail.marked({key: bits for key, bits in self.marks.items() if key not in here}),
        )

    def select(self, indices: list[int]) -> Parcel:
        """Return the frames at `indices`, in that order, without marks."""
        items, keys, stamps = self.items, self.keys, self.stamps_ns
        return Parcel(
            [items[index] for index in indices],
            None if keys is None else [keys[index] for index in indices],
            self.received_ns,
            self.wall_ns,
            None if stamps is None else [stamps[index] for index in indices],
            self.producer,
            self.priority,
            self.taints,
            None,
            self.is_stored,
        )

    def part(self, chosen: set[str]) -> tuple[Parcel, Parcel]:
        """Return the frames whose key is in `chosen`, and the others; marks go with their key."""
        keys = self.keys
        if keys is None:
            nothing = self.select([])
            return (self, nothing) if NO_KEY in chosen else (nothing, self)
        with_them = self.select([index for index, key in enumerate(keys) if key in chosen])
        without = self.select([index for index, key in enumerate(keys) if key not in chosen])
        if self.marks is None:
            return with_them, without
        return (
            with_them.marked({key: bits for key, bits in self.marks.items() if key in chosen}),
            without.marked({key: bits for key, bits in self.marks.items() if key not in chosen}),
        )

    def marked(self, marks: dict[str, int]) -> Parcel:
        """Return this parcel with `marks` joined to its own."""
        if not marks:
            return self
        joined = dict(self.marks or {})
        for key, bits in marks.items():
            joined[key] = joined.get(key, 0) | bits
        return self._with(joined, self.taints)

    def tainted(self, bits: int) -> Parcel:
        """Return this parcel with `bits` on every item."""
        return self._with(self.marks, self.taints | bits)

    def _with(self, marks: dict[str, int] | None, taints: int) -> Parcel:
        return Parcel(
            self.items,
            self.keys,
            self.received_ns,
            self.wall_ns,
            self.stamps_ns,
            self.producer,
            self.priority,
            taints,
            marks,
            self.is_stored,
        )

    def _cut(self, piece: slice) -> Parcel:
        return Parcel(
            self.items[piece],
            None if self.keys is None else self.keys[piece],
            self.received_ns,
            self.wall_ns,
            None if self.stamps_ns is None else self.stamps_ns[piece],
            self.producer,
            self.priority,
            self.taints,
            None,
            self.is_stored,
        )


def kinds_of(parcels: Iterable[Parcel]) -> set[str]:
    """Return every key that occurs in `parcels`."""
    found: set[str] = set()
    for parcel in parcels:
        found |= parcel.kinds()
    return found
