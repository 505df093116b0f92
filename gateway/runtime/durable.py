"""Layer 6: what must be on the medium before anybody hears of it: intents, results, refusals, walls.

Ahead of all telemetry that waits, on the ledger's own thread, and with the numbers back on the loop. What is asked for
while the thread is busy goes into one commit. A site without ledger has chosen to keep nothing: there everything counts
as kept, without a number.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from gateway.errors import LedgerReadOnlyError, RecordError
from gateway.ledger.base import LedgerLike
from gateway.runtime.batch import Batch
from gateway.runtime.committer import Committer

Item = tuple[str, str | None, Any, str, int | None]  # kind, route, body, class, cause
MOST_TOGETHER: Final = 512  # records in one commit


class _Asked(NamedTuple):
    items: Sequence[Item]
    done: asyncio.Future[list[int | None]]


class Durable:
    """The ledger, as those use it who wait for it."""

    def __init__(self, committer: Committer | None) -> None:
        """Take who writes the ledger; None: there is none."""
        self._committer = committer
        self._asked: deque[_Asked] = deque()  # the loop puts, the thread takes

    async def append(self, items: Sequence[Item]) -> list[int | None]:
        """Return the numbers of records that are on the medium. Raises: LedgerError where they are not."""
        committer = self._committer
        if committer is None:
            return [None] * len(items)
        if committer.mode == "memory":
            raise LedgerReadOnlyError(committer.reason or "the ledger does not open")
        asked = _Asked(items, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        committer.ask(partial(self._append, committer), first=True)
        return await asked.done

    def note(self, kind: str, route: str | None, body: dict[str, Any]) -> None:
        """Have something recorded that nobody waits for, if there is room for it."""
        if self._committer is not None:
            self._committer.offer(Batch(kind, route, [body], "telemetry"))

    def _append(self, committer: Committer, ledger: LedgerLike | None) -> None:
        """Append what was asked for, on the ledger's thread; a later call may find nothing left to do."""
        while self._asked:
            some: list[_Asked] = []
            count = 0
            while self._asked and (not some or count + len(self._asked[0].items) <= MOST_TOGETHER):
                some.append(self._asked.popleft())
                count += len(some[-1].items)
            try:
                self._append_some(committer, ledger, some)
            except RecordError:
                for each in some:  # one of them cannot be: the others can
                    self._append_alone(committer, ledger, each)
            except Exception as error:  # noqa: BLE001 - it is the callers', on the loop
                _answer(committer, some, error)

    def _append_some(self, committer: Committer, ledger: LedgerLike | None, some: Sequence[_Asked]) -> None:
        if ledger is None:
            _answer(committer, some, LedgerReadOnlyError(committer.reason or "the ledger is not open"))
            return
        seqs = ledger.append_many([item for each in some for item in each.items])
        committer.tell(seqs.start, [Batch(*item[:2], [item[2]], item[3]) for each in some for item in each.items])
        numbered = iter(seqs)
        numbers: list[list[int | None]] = [[next(numbered) for _ in each.items] for each in some]
        for each, mine in zip(some, numbers, strict=True):
            committer.post(partial(_settle, each.done, mine, None))

    def _append_alone(self, committer: Committer, ledger: LedgerLike | None, each: _Asked) -> None:
        try:
            self._append_some(committer, ledger, [each])
        except Exception as error:  # noqa: BLE001 - as above
            _answer(committer, [each], error)


def _answer(committer: Committer, some: Sequence[_Asked], error: Exception) -> None:
    for each in some:
        committer.post(partial(_settle, each.done, None, error))


def _settle(done: asyncio.Future[list[int | None]], numbers: list[int | None] | None, error: Exception | None) -> None:
    """Tell who waits, if anybody does still."""
    if done.done():
        return
    if error is not None:
        done.set_exception(error)
    else:
        done.set_result(numbers or [])
