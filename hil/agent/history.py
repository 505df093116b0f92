"""What a port gave lately: one bounded buffer for runners that are slow and for those that come back. Pure.

Every record has a number. Whoever reads has a place of its own; what fell out of the buffer before it got there is
told as a gap in that place.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from gateway.frame import Batch
from hil.agent.messages import Data, Gap

KEPT_BYTES: Final = 1 << 20
MOST_RECORDS: Final = 512  # in one message

BELIEVABLE_NS: Final = 5_000_000_000  # a stamp that is older, or of the future, is of another clock

_RECORD_BYTES: Final = 64  # what keeping one costs beside its payload
_MOST_PAYLOAD_BYTES: Final = 64 << 10  # in one message


class History:
    """The latest records of one opened port, oldest first."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._held_bytes = 0
        self._parts: list[Data | Gap] = []
        self._places: list[int] = []  # of each part, the sequence of its first record
        self.next_sequence = 1
        self.dropped = 0  # records that fell out, or that the port lost by itself

    def add(self, batch: Batch) -> None:
        """Keep what one read gave. What the port lost before it keeps its place too."""
        if batch.dropped:
            self.dropped += batch.dropped
            self._append(Gap(batch.dropped, "the port lost them"), batch.dropped)
        start, stamps = 0, _stamps(batch)
        for end in _cuts(batch.payloads):
            payloads = batch.payloads[start:end]
            addresses = batch.addresses[start:end] if batch.addresses is not None else None
            stamped = stamps[start:end] if stamps is not None else None
            part = Data(self.next_sequence, batch.received_ns, batch.wall_ns, payloads, addresses, stamped)
            self._append(part, len(payloads))
            start = end
        self._forget_oldest()

    def after(self, sequence: int) -> tuple[Data | Gap | None, int]:
        """Return what comes next for whoever has everything below `sequence`, in one message, and where it ends."""
        first = self._places[0] if self._places else self.next_sequence
        if sequence < first:
            return Gap(first - sequence, "the agent kept them no longer"), first
        index = bisect_right(self._places, sequence) - 1
        if sequence >= self.next_sequence or index < 0:
            return None, self.next_sequence
        part, place = self._parts[index], self._places[index]
        return _rest(part, sequence - place), place + _count(part)

    def _append(self, part: Data | Gap, count: int) -> None:
        self._parts.append(part)
        self._places.append(self.next_sequence)
        self._held_bytes += _cost(part)
        self.next_sequence += count

    def _forget_oldest(self) -> None:
        forgotten = 0
        while self._held_bytes > self._kept_bytes and forgotten < len(self._parts) - 1:
            part = self._parts[forgotten]
            self._held_bytes -= _cost(part)
            self.dropped += len(part.payloads) if isinstance(part, Data) else 0
            forgotten += 1
        del self._parts[:forgotten]
        del self._places[:forgotten]


def _stamps(batch: Batch) -> list[int] | None:
    """Return when each payload came, on the monotonic clock, where the port knows."""
    if batch.stamps_ns is None:
        return None
    ages_ns = (batch.wall_ns - stamp_ns for stamp_ns in batch.stamps_ns)
    return [batch.received_ns - (age_ns if 0 <= age_ns < BELIEVABLE_NS else 0) for age_ns in ages_ns]


def _cuts(payloads: list[bytes]) -> list[int]:
    """Return where a batch is cut so that each part fits into a message."""
    ends, size, start = [], 0, 0
    for index, payload in enumerate(payloads):
        if index > start and (index - start >= MOST_RECORDS or size + len(payload) > _MOST_PAYLOAD_BYTES):
            ends.append(index)
            start, size = index, 0
        size += len(payload)
    return [*ends, len(payloads)] if payloads else []


def _count(part: Data | Gap) -> int:
    return len(part.payloads) if isinstance(part, Data) else part.count


def _cost(part: Data | Gap) -> int:
    if isinstance(part, Gap):
        return _RECORD_BYTES
    return _RECORD_BYTES * len(part.payloads) + sum(map(len, part.payloads))


def _rest(part: Data | Gap, skipped: int) -> Data | Gap:
    if not skipped:
        return part
    if isinstance(part, Gap):
        return Gap(part.count - skipped, part.why)
    addresses = part.addresses[skipped:] if part.addresses is not None else None
    stamps = part.stamps_ns[skipped:] if part.stamps_ns is not None else None
    return Data(part.sequence + skipped, part.stamp_ns, part.wall_ns, part.payloads[skipped:], addresses, stamps)
