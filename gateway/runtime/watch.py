"""Layer 6: who looks on. A watcher has its own mailbox; what it is too slow for is dropped and counted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterable
from itertools import count, repeat
from typing import Any, Final

from gateway.clock import Clock
from gateway.route import RoutePattern
from gateway.runtime.mailbox import Mailbox
from gateway.runtime.message import Message
from gateway.runtime.parcel import Parcel
from gateway.schema.plan import Row

WATCH_FRAMES: Final = 2048  # how far a reader may lag behind before it is told of a gap
CHUNK_FRAMES: Final = 64  # records made at once: about 0.2 ms of the loop's time

Numbered = tuple[Message, int, Row]  # a row with its message and its number


def numbered(messages: list[Message], keys: list[str], rows: list[Row]) -> list[Numbered]:
    """Return rows that were just decoded, each with its message, one of `messages`, and the number that it gets."""
    if len(messages) == 1:
        first = messages[0].sequence + 1
        return list(zip(repeat(messages[0]), range(first, first + len(rows)), rows))
    known = {message.name: (message, count(message.sequence + 1)) for message in messages}
    return [(known[key][0], next(known[key][1]), row) for key, row in zip(keys, rows, strict=True)]


class Watcher:
    """One look at the stream of decoded rows, by route pattern."""

    def __init__(self, pattern: RoutePattern, clock: Clock, capacity: int = WATCH_FRAMES) -> None:
        """Take which routes are meant and how many rows may wait."""
        self.pattern = pattern
        self.mailbox = Mailbox(f"watch {pattern.text}", capacity, clock=clock)
        self._chosen: dict[Message, tuple[int, ...] | None] = {}
        self._told = 0

    def wants(self, message: Message) -> bool:
        """Return whether any field of that message is meant."""
        return self._places(message) != ()

    def offer(self, rows: list[Numbered], parcel: Parcel, messages: Collection[Message]) -> None:
        """Take numbered rows of these messages, in the order of the wire; never waits.

        The rows are shared among all who look on: one that takes nothing costs the loop next to nothing a row.
        """
        wanted = [message for message in messages if self._places(message) != ()]
        if len(wanted) == len(messages):
            self._put(rows, parcel)
        elif wanted:
            kept = [place for place, (message, _, _) in enumerate(rows) if message in wanted]
            stamps = None if parcel.stamps_ns is None else [parcel.stamps_ns[place] for place in kept]
            self._put([rows[place] for place in kept], parcel, stamps)

    async def records(self) -> AsyncIterator[dict[str, Any]]:
        """Give what `watch --json` prints, for ever; `{"dropped": N}` where N rows were dropped."""
        while True:
            for record in await self.chunk():
                yield record

    async def chunk(self) -> list[dict[str, Any]]:
        """Wait for rows and return some of them as records."""
        parcel = await self.mailbox.take(at_most=CHUNK_FRAMES)
        records: list[dict[str, Any]] = []
        missed, self._told = self.mailbox.dropped - self._told, self.mailbox.dropped
        if missed:
            records.append({"dropped": missed})
        stamps = parcel.stamps_ns or repeat(parcel.wall_ns)
        for (message, sequence, row), wall_ns in zip(parcel.items, stamps, strict=False):
            records.append(message.record(sequence, row, wall_ns, parcel.taints, self._places(message)))
        return records

    def forget(self, messages: Iterable[Message]) -> None:
        """Let go of messages whose device has left; what waits of theirs is still told."""
        for message in messages:
            self._chosen.pop(message, None)

    def _put(self, rows: list[Numbered], parcel: Parcel, stamps: list[int] | None = None) -> None:
        self.mailbox.put_nowait(
            Parcel(
                rows,
                None,
                parcel.received_ns,
                parcel.wall_ns,
                parcel.stamps_ns if stamps is None else stamps,
                taints=parcel.taints,
            )
        )

    def _places(self, message: Message) -> tuple[int, ...] | None:
        try:
            return self._chosen[message]
        except KeyError:
            places = self._chosen[message] = message.fields_for(self.pattern)
            return places
