"""Layer 6: how parcels are kept until they are taken: the orders of a mailbox. No counting and no waiting here.

A shelf is a run of parcels served first come, first served; an order is how many shelves there are and which is next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Literal, get_args

from gateway.runtime.parcel import Parcel

Order = Literal["fifo", "priority", "keyed", "latest", "round_robin"]
ORDERS: tuple[str, ...] = get_args(Order)

_Entry = tuple[int, Parcel]  # ticket: place in the order of arrival
_Place = Any  # a shelf's name: a priority, a key, a producer, or None for the only shelf


class Shelves:
    """Parcels in one order.

    fifo         first come, first served
    priority     the highest priority first; within one priority fifo
    keyed        one key at a time, keys in turn; within one key fifo
    latest       the newest parcel first
    round_robin  producers in turn; within one producer fifo
    """

    def __init__(self, order: Order) -> None:
        """Take the order; a mailbox never changes it."""
        self._order = order
        self._shelves: dict[_Place, deque[_Entry]] = {}
        self._only: deque[_Entry] | None = None
        if order in {"fifo", "latest"}:
            self._only = self._shelves[None] = deque()  # never removed: the hot path needs no look-up
        self._ticket = 0

    def add(self, parcel: Parcel) -> None:
        """Put a parcel behind those of its shelf."""
        self._ticket += 1
        if self._only is not None:
            self._only.append((self._ticket, parcel))
        elif self._order == "keyed" and parcel.keys is not None:
            for key in dict.fromkeys(parcel.keys):
                self._shelf(key).append((self._ticket, parcel.part({key})[0]))
        else:
            self._shelf(self._place_of(parcel)).append((self._ticket, parcel))

    def pop(self, at_most: int | None) -> Parcel | None:
        """Return the next frames in order, of one parcel, at most `at_most`; None when there are none."""
        key = self._next()
        shelf = self._shelves.get(key)
        if not shelf:
            return None
        newest = self._order == "latest"
        ticket, parcel = shelf.pop() if newest else shelf.popleft()
        if at_most is not None and len(parcel.items) > at_most:
            if newest:
                rest, parcel = parcel.split(len(parcel.items) - at_most)
                shelf.append((ticket, rest))
            else:
                parcel, rest = parcel.split(at_most)
                shelf.appendleft((ticket, rest))
        self._served(key)
        return parcel

    def pop_matching(self, wanted: Callable[[str], bool], at_most: int | None) -> Parcel | None:
        """Return the next frames in order whose key is wanted, of one parcel; the others keep their places."""
        for key in self._serving_order():
            shelf = self._shelves[key]
            places = range(len(shelf))
            for place in reversed(places) if self._order == "latest" else places:
                ticket, parcel = shelf[place]
                chosen = {kind for kind in parcel.kinds() if wanted(kind)}
                if not chosen:
                    continue
                taken, left = parcel.part(chosen)
                if at_most is not None and len(taken.items) > at_most:
                    taken, left = _split_chosen(parcel, chosen, at_most)
                if left.items:
                    shelf[place] = (ticket, left)
                else:
                    del shelf[place]
                self._served(key)
                return taken
        return None

    def drop_oldest(self, count: int) -> list[Parcel]:
        """Remove and return the `count` frames that came first, whatever the order of service is."""
        gone: list[Parcel] = []
        while count > 0:
            key = self._oldest()
            shelf = self._shelves[key]
            ticket, parcel = shelf.popleft()
            if len(parcel.items) > count:
                parcel, rest = parcel.split(count)
                shelf.appendleft((ticket, rest))
            gone.append(parcel)
            count -= len(parcel.items)
            self._tidy(key)
        return gone

    def drop_before(self, received_ns: int) -> list[Parcel]:
        """Remove and return the parcels received before that instant."""
        return self._rebuild(lambda parcel: ([], [parcel]) if parcel.received_ns < received_ns else ([parcel], []))

    def keep_latest(self) -> list[Parcel]:
        """Keep the newest frame of each key; remove and return all others."""
        seen: set[str] = set()

        def newest(parcel: Parcel) -> tuple[list[Parcel], list[Parcel]]:
            keys = parcel.keys if parcel.keys is not None else [""] * len(parcel.items)
            kept = []
            for index in range(len(keys) - 1, -1, -1):
                if keys[index] not in seen:
                    seen.add(keys[index])
                    kept.append(index)
            kept.reverse()
            stay = set(kept)
            gone = [index for index in range(len(keys)) if index not in stay]
            staying, going = parcel.select(kept), parcel.select(gone)
            if parcel.marks:
                staying, going = _share_marks(parcel.marks, staying, going)
            return [staying], [going]

        return self._rebuild(newest)

    def _rebuild(self, judge: Callable[[Parcel], tuple[list[Parcel], list[Parcel]]]) -> list[Parcel]:
        """Judge every parcel, newest first: what stays and what goes."""
        entries = sorted(
            ((ticket, key, parcel) for key, shelf in self._shelves.items() for ticket, parcel in shelf),
            key=lambda entry: entry[0],
            reverse=True,
        )
        gone: list[Parcel] = []
        for shelf in self._shelves.values():
            shelf.clear()
        for ticket, key, parcel in entries:
            stay, go = judge(parcel)
            self._shelves[key].extendleft((ticket, each) for each in stay if each.items)
            gone += [each for each in go if each.items]
        for key in list(self._shelves):
            self._tidy(key)
        return gone

    def _shelf(self, key: _Place) -> deque[_Entry]:
        return self._shelves.setdefault(key, deque())

    def _place_of(self, parcel: Parcel) -> _Place:
        if self._order == "priority":
            return parcel.priority
        return parcel.producer if self._order == "round_robin" else ""

    def _next(self) -> _Place:
        if self._only is not None or not self._shelves:
            return None
        if self._order == "priority":
            return max(self._shelves)
        return next(iter(self._shelves))

    def _serving_order(self) -> list[_Place]:
        keys = list(self._shelves)
        if self._order == "priority":
            keys.sort(reverse=True)
        return keys

    def _oldest(self) -> _Place:
        if self._only is not None:
            return None
        return min(self._shelves, key=lambda key: self._shelves[key][0][0])

    def _served(self, key: _Place) -> None:
        """Whose turn it was stands last now."""
        if self._only is None:
            shelf = self._shelves.pop(key)
            if shelf:
                self._shelves[key] = shelf

    def _tidy(self, key: _Place) -> None:
        if self._only is None and not self._shelves[key]:
            del self._shelves[key]


def _split_chosen(parcel: Parcel, chosen: set[str], at_most: int) -> tuple[Parcel, Parcel]:
    """Return the first `at_most` frames of the chosen keys, and everything else in its order."""
    keys = parcel.keys
    if keys is None:
        return parcel.split(at_most)
    wanted = [index for index, key in enumerate(keys) if key in chosen][:at_most]
    others = set(range(len(keys))).difference(wanted)
    taken, left = parcel.select(wanted), parcel.select(sorted(others))
    return _share_marks(parcel.marks, taken, left) if parcel.marks else (taken, left)


def _share_marks(marks: dict[str, int], first: Parcel, second: Parcel) -> tuple[Parcel, Parcel]:
    """Return both with the marks of their keys; a key that occurs in both gives its mark to the first."""
    here = first.kinds()
    return (
        first.marked({key: bits for key, bits in marks.items() if key in here}),
        second.marked({key: bits for key, bits in marks.items() if key not in here}),
    )
