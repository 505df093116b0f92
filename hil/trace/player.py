"""Plays a device's side of a trace: sends what it sent, expects what it was sent. Pure: no clock, no port.

The loop around it, on any clock, is

    player.start(now_ns)
    while not player.is_over:
        for record in player.due(now_ns): send it
        wait for what is heard, at most until player.next_ns(); give it to player.heard(now_ns, bus, ...)

Times are absolute, so that being late once makes nothing else late. `strict`: a record is sent when all that the device
had heard before it was heard now; if that takes longer than it did, the rest moves along. `matched`: each request
releases the replies that followed it on its bus, whatever the order of requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any, Final, NamedTuple

from hil.trace.orders import Matched, Step, Strict
from hil.trace.record import Record
from hil.trace.show import text_of

CONTEXT: Final = 5  # records before the one that diverged
PATIENCE_NS: Final = 5_000_000_000  # for what is expected, beyond when it is due
_SPEED: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)x?").fullmatch
ORDERS: Final = ("strict", "matched")
_MOST_HEARD_BYTES: Final = 4096  # of a stream, shown


class Divergence(NamedTuple):
    """Where a device's user did otherwise than the trace: the first record that differs."""

    record: int  # from 1
    expected: Record | None  # None: nothing more
    got: Record | None  # None: nothing came
    context: list[Record]  # the last records before it

    def document(self) -> dict[str, Any]:
        """Return it for JSON."""
        return {
            "record": self.record,
            "expected": None if self.expected is None else dict(self.expected.items()),
            "got": None if self.got is None else dict(self.got.items()),
            "context": [dict(record.items()) for record in self.context],
        }

    def __str__(self) -> str:
        """Return it for people, over several lines."""
        context = [f"           {text_of(record)}" for record in self.context]
        return "\n".join([f"diverged at record {self.record}:", *context, *self._parted("  ")])

    @property
    def line(self) -> str:
        """It in one line, without the context."""
        return " ".join(f"diverged at record {self.record}: {'; '.join(self._parted(''))}".split())

    def _parted(self, indent: str) -> list[str]:
        expected = "nothing more" if self.expected is None else text_of(self.expected)
        got = "nothing" if self.got is None else text_of(self.got)
        return [f"{indent}expected {expected}", f"{indent}got      {got}"]


class Player:
    """One playing of a trace; `buses` are those that are played, all others and all faults and notes stay silent."""

    def __init__(
        self,
        records: Iterable[Record],
        buses: Mapping[str, str],
        *,
        speed: Fraction | None = Fraction(1),
        order: str = "strict",
        patience_ns: int = PATIENCE_NS,
        lead_ns: Callable[[Record], int] | None = None,
        watches_on: bool = False,
    ) -> None:
        """Take the records, the protocol of each bus to play, and how fast: 2 in half the time, None at once.

        `lead_ns`: how long before its time a record is to be sent, for a bus on which it takes that long to arrive.
        `watches_on`: what is heard when everything was sent and heard diverges, too.
        """
        self.diverged: Divergence | None = None
        self.sent = self.matched = 0
        self._records = list(records)
        self._streams = {bus for bus, protocol in buses.items() if protocol == "uart"}
        steps = [
            Step(number, record)
            for number, record in enumerate(self._records, 1)
            if record.bus in buses and record.dir in ("rx", "tx") and (record.data or record.bus not in self._streams)
        ]
        self.last_number = len(self._records)
        self.played = [step.record for step in steps]  # and expected
        self._zero_ns = steps[0].record.t_ns if steps else 0
        self._lead_ns = lead_ns
        self._watches_on = watches_on
        self._speed = speed
        self._patience_ns = patience_ns
        self._started_ns = 0
        self._origin_ns = 0  # when the trace's first record is due
        self._moved_ns = 0  # when something last went on
        self._heard: dict[str, bytearray] = {}  # of streams, not yet a whole record
        self._order: Strict | Matched = Matched(steps, self) if order == "matched" else Strict(steps, self)

    # ---- what the loop calls

    @property
    def is_over(self) -> bool:
        """Whether it diverged, or everything was sent and heard."""
        return self.diverged is not None or self._order.is_done

    def start(self, now_ns: int) -> None:
        """Begin: the first record is due now."""
        self._started_ns = self._origin_ns = self._moved_ns = now_ns
        if self.played:
            self._origin_ns += now_ns - self.time_of(self.played[0])

    def due(self, now_ns: int) -> list[Record]:
        """Return what is to be sent now, in order. Diverges where what is expected stayed away for too long."""
        if self.is_over:
            return []
        records = self._order.due(now_ns)
        if records:
            self.sent += len(records)
            self._moved_ns = now_ns
        limit_ns = self._limit_ns()
        if not records and limit_ns is not None and now_ns >= limit_ns:
            expected = self._order.expected
            assert expected is not None
            self._diverge(expected, self._part(expected.record.bus, now_ns))
        return records

    def due_of(self, record: Record) -> int | None:
        """Return when a record that `due` gave should be sent; None where that is at once."""
        return None if self._speed is None else self._order.due_of(record)

    def next_ns(self) -> int | None:
        """Return when `due` has something to say if nothing is heard before; None when it is over."""
        if self.is_over:
            return None
        times = [at_ns for at_ns in (self._order.next_ns(), self._limit_ns()) if at_ns is not None]
        return min(times, default=None)

    def heard(self, now_ns: int, bus: str, kind: str, data: bytes, **facts: Any) -> Record | None:
        """Take what was sent to the device: bytes of a stream as they come, a frame, an operation.

        Return the record of the trace that a frame or an operation is; None where it diverges, and for a stream.
        """
        if self._is_deaf:
            return None
        if bus not in self._streams:
            return self._settle(Record(now_ns - self._started_ns, bus, "tx", kind, data.hex(), facts), now_ns)
        pending = self._heard.setdefault(bus, bytearray())
        pending += data
        while pending and not self._is_deaf:
            taken = self._order.stream(bus, bytes(pending), now_ns)
            if taken == 0:
                return None
            if taken is None:
                self._diverge(self._order.expected_on(bus), self._part(bus, now_ns))
                return None
            del pending[:taken]
            self.matched += 1
            self._moved_ns = now_ns
        return None

    # ---- for the orders

    def time_of(self, record: Record) -> int:
        """Return when a record is due."""
        return self._origin_ns + self.scaled(record.t_ns - self._zero_ns) - self.lead_ns(record)

    def lead_ns(self, record: Record) -> int:
        """Return how long before its time a record is to be sent."""
        return self._lead_ns(record) if self._lead_ns is not None and record.dir == "rx" else 0

    def scaled(self, span_ns: int) -> int:
        """Return how long a span of the trace takes."""
        return 0 if self._speed is None else int(span_ns / self._speed)

    def anchor(self, record: Record, now_ns: int) -> None:
        """Have the times of all records count from this one, which was heard now."""
        self._origin_ns += now_ns - self.time_of(record)

    # ---- inside

    @property
    def _is_deaf(self) -> bool:
        return self.diverged is not None or (self._order.is_done and not self._watches_on)

    def _settle(self, got: Record, now_ns: int) -> Record | None:
        step = self._order.item(got, now_ns)
        if step is None:
            self._diverge(self._order.expected_on(got.bus), got)
            return None
        self.matched += 1
        self._moved_ns = now_ns
        return step.record

    def _limit_ns(self) -> int | None:
        """Return when the patience for what is expected ends; None while there is something to send first."""
        expected = self._order.expected
        if expected is None or self._order.next_ns() is not None:
            return None
        due_ns = self.time_of(expected.record) if self._speed is not None else self._moved_ns
        return max(due_ns, self._moved_ns) + self._patience_ns

    def _part(self, bus: str, now_ns: int) -> Record | None:
        pending = bytes(self._heard.get(bus, b""))[:_MOST_HEARD_BYTES]
        return Record(now_ns - self._started_ns, bus, "tx", "bytes", pending.hex()) if pending else None

    def _diverge(self, expected: Step | None, got: Record | None) -> None:
        number = self._order.position if expected is None else expected.number
        context = self._records[max(0, number - 1 - CONTEXT) : number - 1]
        self.diverged = Divergence(number, None if expected is None else expected.record, got, context)


def speed_of(value: object) -> Fraction | None:
    """Return a speed: 1 as recorded, 2 or "2x" in half the time, None for "max". Raises: ValueError."""
    if value == "max":
        return None
    text = str(value) if isinstance(value, str | int | float | Fraction) and not isinstance(value, bool) else ""
    found = _SPEED(text)
    if found is None or not Fraction(found[1]):
        raise ValueError(f"{value!r} is no speed; write 1 (as recorded), 2x, 0.5x, or max")
    return Fraction(found[1])
