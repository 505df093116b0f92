"""Layer 6: frames that found no room in a mailbox and wait in the ledger, in order, until there is some.

They are stored as readings, so that they are history already when the gateway is killed before it serves them. What
waits is bounded by bytes (`[record] size`); beyond that, and without a ledger, the mailbox drops and counts.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from msgspec import structs

from gateway.errors import LedgerError, RecordError
from gateway.ledger.base import LedgerLike
from gateway.ledger.reading import Reading, decode_reading, encode_reading
from gateway.ledger.record import MAX_BODY_BYTES, Gap, Record
from gateway.runtime.batch import Batch
from gateway.runtime.parcel import Parcel
from gateway.runtime.recording import Recording

Give = Callable[[Parcel, Parcel], None]  # frames that come back, and frames that were lost


class _Ticket:
    """Frames that were put together. `parcel.items` are the frames, and once they are stored their numbers."""

    __slots__ = ("bytes_each", "is_recorded", "is_stored", "parcel", "served")

    def __init__(self, parcel: Parcel, bytes_each: list[int]) -> None:
        self.parcel = parcel
        self.bytes_each = bytes_each
        self.served = 0
        self.is_stored = False
        self.is_recorded = True  # False: the ledger lost it, it is recorded when it is served


class Spill:
    """Behind one mailbox. Everything here runs on the loop, but for `_read`."""

    def __init__(
        self,
        recordings: dict[str, Recording],
        most_bytes: int,
        *,
        offer: Callable[[Batch], bool],
        ask: Callable[[Callable[[LedgerLike | None], None]], None],
        post: Callable[[Callable[[], None]], None],
    ) -> None:
        """Take the recording of each message; `offer` stores, `ask` runs with the ledger, `post` brings back."""
        self.pending = 0  # frames that wait here
        self.spilled = 0  # frames, since the start
        self.waiting_bytes = 0
        self._recordings = recordings
        self._most_bytes = most_bytes
        self._offer = offer
        self._ask = ask
        self._post = post
        self._tickets: deque[_Ticket] = deque()
        self._reading: tuple[int, LedgerLike, Iterator[Record | Gap]] | None = None  # the thread's: goes on from there

    def put(self, parcel: Parcel) -> int:
        """Take frames, of the front as many as fit; return how many."""
        routes, bodies, sizes = [], [], []
        size = 0
        keys = parcel.keys or []
        for place, (key, item) in enumerate(zip(keys, parcel.items, strict=True)):
            recording = self._recordings[key]
            wall_ns = parcel.wall_ns if parcel.stamps_ns is None else parcel.stamps_ns[place]
            body = encode_reading(Reading(recording.schema.key, 0, wall_ns, item, parcel.taints, is_spilled=True))
            if self.waiting_bytes + size + len(body) > self._most_bytes or len(body) > MAX_BODY_BYTES:
                break
            size += len(body)
            sizes.append(len(body))
            routes.append(recording.route)
            bodies.append(body)
        if not bodies:
            return 0
        ticket = _Ticket(parcel.split(len(bodies))[0], sizes)
        if not self._offer(
            Batch("reading", None, bodies, routes=routes, size=size, on_settled=partial(_settled, ticket))
        ):
            return 0
        self._tickets.append(ticket)
        self.waiting_bytes += size
        self.pending += len(bodies)
        self.spilled += len(bodies)
        return len(bodies)

    def fetch(self, at_most: int, give: Give) -> None:
        """Give the frames that waited longest, at most so many, now or soon; they wait no more."""
        ticket = self._tickets[0]
        piece, rest = ticket.parcel.split(at_most) if at_most < len(ticket.parcel.items) else (ticket.parcel, None)
        if rest is None:
            self._tickets.popleft()
        count = len(piece.items)
        self.waiting_bytes -= sum(ticket.bytes_each[ticket.served : ticket.served + count])
        ticket.served += count
        if rest is not None:
            ticket.parcel = rest
        if ticket.is_stored:
            self._ask(partial(self._read, piece, give))
        else:
            self._came(structs.replace(piece, is_stored=ticket.is_recorded), give, list(piece.items))

    def _read(self, piece: Parcel, give: Give, ledger: LedgerLike | None) -> None:
        """Read frames back by their numbers. In the ledger's thread."""
        found: dict[int, bytes] = {}
        with contextlib.suppress(LedgerError, RecordError, OSError):  # what was not found is lost, and told
            if ledger is not None:
                self._find(piece.items[0], piece.items[-1], ledger, found)
        back = structs.replace(piece, is_stored=True)
        self._post(partial(self._came, back, give, [found.get(seq) for seq in piece.items]))

    def _find(self, first: int, last: int, ledger: LedgerLike, found: dict[int, bytes]) -> None:
        """Fill in payloads by number. A look at the ledger is used until it ends: to begin one is what costs."""
        going_on = self._reading is not None and self._reading[1] is ledger and self._reading[0] <= first
        for is_fresh in (False, True) if going_on else (True,):
            if self._reading is None or is_fresh:
                self._reading = (first, ledger, ledger.read(first))
            for record in self._reading[2]:
                if isinstance(record, Record) and record.kind == "reading" and first <= record.seq <= last:
                    found[record.seq] = decode_reading(record.raw).payload
                if record.seq >= last:
                    self._reading = (record.seq + 1, ledger, self._reading[2])
                    break
            else:
                self._reading = None
            if len(found) == last - first + 1:
                return

    def _came(self, piece: Parcel, give: Give, payloads: list[Any]) -> None:
        self.pending -= len(payloads)
        if None not in payloads:
            give(structs.replace(piece, items=payloads), piece.select([]))
            return
        here = [place for place, payload in enumerate(payloads) if payload is not None]
        gone = [place for place, payload in enumerate(payloads) if payload is None]
        give(structs.replace(piece, items=payloads, marks=None).select(here), piece.select(gone))


def _settled(ticket: _Ticket, seqs: range | None) -> None:
    """Let go of the frames: from here on the ledger has them. None: it has not, they stay in memory."""
    if seqs is None:
        ticket.is_recorded = False
        return
    ticket.is_stored = True
    left = seqs[ticket.served : ticket.served + len(ticket.parcel.items)]
    ticket.parcel = structs.replace(ticket.parcel, items=left)
