"""Layer 7: what a sink has still to send, read from the medium: beside the ledger's writer, in a thread of its own.

One segment or one block of an archive is in memory at a time. What retention took, or what is damaged, comes as a gap.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from gateway.api.follow.decoder import Decoder, Run
from gateway.api.follow.values import Item, Missing, Span, Stretch
from gateway.ledger.base import LedgerLike
from gateway.ledger.record import Gap, Record

AT_ONCE: Final = 512  # records: what a sink asks for


class History:
    """One reader of one ledger."""

    def __init__(self, opener: Callable[[], LedgerLike], decoder: Decoder) -> None:
        """Take how the ledger is opened for reading, and a decoder that is nobody else's."""
        self._opener = opener
        self._decoder = decoder
        self._thread: ThreadPoolExecutor | None = None
        self._ledger: LedgerLike | None = None
        self._records: Iterator[Record | Gap] | None = None
        self._sought: set[bytes] = set()  # layouts that were looked for, and are met or nowhere
        self._next: Record | Gap | None = None  # read, and not given yet
        self._incarnation = 0  # of what was given last
        self._at = -1  # everything up to here was given

    async def take(self, after: int, at_most: int = AT_ONCE) -> Stretch | None:
        """Return what follows `after`; None: nothing that is durable does. Raises: LedgerError, OSError."""
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "history")
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.read, after, at_most)

    def restart(self) -> None:
        """Look anew: what follows may be another ledger."""
        if self._thread is not None:
            self._thread.submit(self.forget)

    def close(self) -> None:
        """Let go of the ledger and the thread."""
        if self._thread is not None:
            self._thread.submit(self.forget)
            self._thread.shutdown(wait=False)
            self._thread = None

    def forget(self) -> None:
        """Let go of the ledger: what follows may be another one. The thread's."""
        ledger, self._ledger, self._records, self._at = self._ledger, None, None, -1
        if ledger is not None:
            ledger.close()

    # ---- the thread's

    def read(self, after: int, at_most: int) -> Stretch | None:
        """Do what `take` promises, here and now."""
        try:
            return self._read(after, at_most)
        except BaseException:
            self.forget()
            raise

    def _read(self, after: int, at_most: int) -> Stretch | None:
        if self._ledger is None:
            self._ledger = ledger = self._opener()
            self._decoder.begin(ledger.replay(after))
        if self._records is None or after != self._at:
            self._records, self._next = self._ledger.read(after + 1, durable_only=True), None
            self._at, self._incarnation = after, self._incarnation or 1
        items: list[Item | Missing] = []
        last = after
        for found in self._some(at_most):
            if isinstance(found, Gap):
                items.append(Missing(Span(found.from_seq, found.to_seq, found.reason)))
                last = found.to_seq
            else:
                key = self._decoder.unknown(found)
                if key is not None and key not in self._sought:
                    self._look_for(found.route or "", key)
                items += self._decoder.items(found)
                last = found.last
        if last == after:
            self._records = None  # it ended; what comes later takes a new look
            return None
        self._at = last
        return Stretch(after + 1, last, items, self._incarnation)

    def _some(self, at_most: int) -> Iterator[Run | Gap]:
        """Yield the next records, neighbours of one kind and route as one; all are of one incarnation."""
        assert self._records is not None
        run: list[Record] = []
        for count in range(at_most):
            found, self._next = self._next or next(self._records, None), None
            if isinstance(found, Record) and found.incarnation != self._incarnation:
                if count:
                    self._next = found
                    break
                self._incarnation = found.incarnation
            if run and (not isinstance(found, Record) or not _continues(run[-1], found)):
                yield _as_run(run)
                run = []
            if found is None:
                break
            if isinstance(found, Gap):
                yield found
            else:
                run.append(found)
        if run:
            yield _as_run(run)

    def _look_for(self, route: str, key: bytes) -> None:
        """Learn a layout that stands before everything read so far; one that is nowhere is told by what needs it."""
        assert self._ledger is not None
        self._sought.add(key)
        for found in self._ledger.read(1, durable_only=True):
            if isinstance(found, Record) and found.kind == "schema" and found.route == route and found.is_json:
                self._decoder.learn(found.body)
                if self._decoder.knows(key):
                    return


def _continues(before: Record, record: Record) -> bool:
    return record.kind == before.kind and record.route == before.route and record.seq == before.seq + 1


def _as_run(records: list[Record]) -> Run:
    first = records[0]
    bodies: list[Any] = [each.raw if each.kind == "reading" else _body(each) for each in records]
    return Run(first.seq, first.kind, first.route, bodies, first.wall_ns)


def _body(record: Record) -> Any:
    try:
        return record.body
    except (ValueError, RecursionError):
        return None
