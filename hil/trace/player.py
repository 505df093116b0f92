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

from bisect import insort
from collections import deque
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any, Final, NamedTuple

from hil.trace.record import Record

CONTEXT: Final = 5  # records before the one that diverged
PATIENCE_NS: Final = 5_000_000_000  # for what is expected, beyond when it is due
_MOST_HEARD_BYTES: Final = 4096  # of a stream, shown
_FACTS: Final = ("id", "dlc", "address", "characteristic", "handle")  # beside kind and data, of what was sent


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


class _Step(NamedTuple):
    number: int  # of the record in the trace, from 1
    record: Record


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
    ) -> None:
        """Take the records, the protocol of each bus to play, and how fast: 2 in half the time, None at once."""
        self.diverged: Divergence | None = None
        self.sent = self.matched = 0
        self._records = list(records)
        self._streams = {bus for bus, protocol in buses.items() if protocol == "uart"}
        steps = [
            _Step(number, record)
            for number, record in enumerate(self._records, 1)
            if record.bus in buses and record.dir in ("rx", "tx") and (record.data or record.bus not in self._streams)
        ]
        self.last_number = len(self._records)
        self._zero_ns = steps[0].record.t_ns if steps else 0
        self._speed = speed
        self._patience_ns = patience_ns
        self._started_ns = 0
        self._origin_ns = 0  # when the trace's first record is due
        self._moved_ns = 0  # when something last went on
        self._heard: dict[str, bytearray] = {}  # of streams, not yet a whole record
        self._order: _Strict | _Matched = _Matched(steps, self) if order == "matched" else _Strict(steps, self)

    # ---- what the loop calls

    @property
    def is_over(self) -> bool:
        """Whether it diverged, or everything was sent and heard."""
        return self.diverged is not None or self._order.is_done

    def start(self, now_ns: int) -> None:
        """Begin: the first record is due now."""
        self._started_ns = self._origin_ns = self._moved_ns = now_ns

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

    def heard(self, now_ns: int, bus: str, kind: str, data: bytes, **facts: Any) -> None:
        """Take what was sent to the device: bytes of a stream as they come, a frame, an operation."""
        if self.is_over:
            return
        if bus not in self._streams:
            self._settle(Record(now_ns - self._started_ns, bus, "tx", kind, data.hex(), facts), now_ns)
            return
        pending = self._heard.setdefault(bus, bytearray())
        pending += data
        while pending and not self.is_over:
            taken = self._order.stream(bus, bytes(pending), now_ns)
            if taken == 0:
                return
            if taken is None:
                self._diverge(self._order.expected_on(bus), self._part(bus, now_ns))
                return
            del pending[:taken]
            self.matched += 1
            self._moved_ns = now_ns

    # ---- for the orders

    def time_of(self, record: Record) -> int:
        """Return when a record is due."""
        return self._origin_ns + self.scaled(record.t_ns - self._zero_ns)

    def scaled(self, span_ns: int) -> int:
        """Return how long a span of the trace takes."""
        return 0 if self._speed is None else int(span_ns / self._speed)

    def anchor(self, record: Record, now_ns: int) -> None:
        """Have the times of all records count from this one, which was heard now."""
        self._origin_ns += now_ns - self.time_of(record)

    # ---- inside

    def _settle(self, got: Record, now_ns: int) -> None:
        if self._order.item(got, now_ns):
            self.matched += 1
            self._moved_ns = now_ns
        else:
            self._diverge(self._order.expected_on(got.bus), got)

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

    def _diverge(self, expected: _Step | None, got: Record | None) -> None:
        number = self._order.position if expected is None else expected.number
        context = self._records[max(0, number - 1 - CONTEXT) : number - 1]
        self.diverged = Divergence(number, None if expected is None else expected.record, got, context)


def agrees(expected: Record, got: Record) -> bool:
    """Whether what was heard is what the trace has: kind, data, and what else the sender decided.

    Not every link tells an FD frame from a classic one of the same bytes.
    """
    kinds = {expected.kind, got.kind}
    if (expected.bus, expected.data) != (got.bus, got.data) or (len(kinds) > 1 and kinds != {"data", "fd"}):
        return False
    return all(expected.get(key) == got.get(key) for key in _FACTS if key in expected and key in got)


class _Strict:
    """All in the trace's order."""

    def __init__(self, steps: list[_Step], player: Player) -> None:
        self._player = player
        self._sending = deque(step for step in steps if step.record.dir == "rx")
        self._hearing = deque(step for step in steps if step.record.dir == "tx")

    @property
    def is_done(self) -> bool:
        return not self._sending and not self._hearing

    @property
    def expected(self) -> _Step | None:
        return self._hearing[0] if self._hearing else None

    @property
    def position(self) -> int:
        """The number of the record that would come next."""
        return self._sending[0].number if self._sending else self._player.last_number + 1

    def expected_on(self, bus: str) -> _Step | None:
        del bus
        return self.expected

    def next_ns(self) -> int | None:
        if not self._sending or (self._hearing and self._hearing[0].number < self._sending[0].number):
            return None
        return self._player.time_of(self._sending[0].record)

    def due(self, now_ns: int) -> list[Record]:
        records: list[Record] = []
        while (at_ns := self.next_ns()) is not None and at_ns <= now_ns:
            records.append(self._sending.popleft().record)
        return records

    def due_of(self, record: Record) -> int:
        return self._player.time_of(record)

    def stream(self, bus: str, pending: bytes, now_ns: int) -> int | None:
        """Return how many bytes are the record that is expected: 0 when it is not whole yet, None when they differ."""
        if not self._hearing or self._hearing[0].record.bus != bus:
            return None
        wanted = self._hearing[0].record.payload
        if len(pending) < len(wanted) and wanted.startswith(pending):
            return 0
        if not pending.startswith(wanted):
            return None
        self._pass(now_ns)
        return len(wanted)

    def item(self, got: Record, now_ns: int) -> bool:
        if not self._hearing or not agrees(self._hearing[0].record, got):
            return False
        self._pass(now_ns)
        return True

    def _pass(self, now_ns: int) -> None:
        step = self._hearing.popleft()
        is_next = not self._sending or step.number < self._sending[0].number
        if is_next:  # nothing was on its way: what follows, follows from now
            self._player.anchor(step.record, now_ns)


class _Group:
    """A request with the replies that followed it."""

    def __init__(self, request: _Step) -> None:
        self.request = request
        self.replies: list[_Step] = []


class _Matched:
    """Requests in any order, each with its replies."""

    def __init__(self, steps: list[_Step], player: Player) -> None:
        self._player = player
        self._waiting: list[_Group] = []
        self._free: deque[_Step] = deque()  # what was sent before anything was heard, at its own times
        self._released: list[tuple[int, int, Record]] = []  # (when, number, record)
        self._times: dict[int, int] = {}  # of those that `due` gave last
        last: dict[str, _Group] = {}
        for step in steps:
            bus = step.record.bus
            if step.record.dir == "tx":
                last[bus] = _Group(step)
                self._waiting.append(last[bus])
            elif bus in last:
                last[bus].replies.append(step)
            else:
                self._free.append(step)

    @property
    def is_done(self) -> bool:
        return not self._waiting and not self._free and not self._released

    @property
    def expected(self) -> _Step | None:
        return self._waiting[0].request if self._waiting else None

    @property
    def position(self) -> int:
        return self._player.last_number + 1

    def expected_on(self, bus: str) -> _Step | None:
        return next((group.request for group in self._waiting if group.request.record.bus == bus), None)

    def next_ns(self) -> int | None:
        times = [self._released[0][0]] if self._released else []
        times += [self._player.time_of(self._free[0].record)] if self._free else []
        return min(times, default=None)

    def due(self, now_ns: int) -> list[Record]:
        records: list[Record] = []
        self._times.clear()
        while self._free and self._player.time_of(self._free[0].record) <= now_ns:
            records.append(self._free.popleft().record)
            self._times[id(records[-1])] = self._player.time_of(records[-1])
        while self._released and self._released[0][0] <= now_ns:
            at_ns, _, record = self._released.pop(0)
            records.append(record)
            self._times[id(record)] = at_ns
        return records

    def due_of(self, record: Record) -> int:
        return self._times[id(record)]

    def stream(self, bus: str, pending: bytes, now_ns: int) -> int | None:
        """Return how many bytes are a request that is open: 0 when none is whole yet, None when none begins so."""
        here = [group for group in self._waiting if group.request.record.bus == bus]
        whole = [group for group in here if pending.startswith(group.request.record.payload)]
        if whole:
            longest = max(whole, key=lambda group: len(group.request.record.payload))
            self._release(longest, now_ns)
            return len(longest.request.record.payload)
        return 0 if any(group.request.record.payload.startswith(pending) for group in here) else None

    def item(self, got: Record, now_ns: int) -> bool:
        group = next((group for group in self._waiting if agrees(group.request.record, got)), None)
        if group is None:
            return False
        self._release(group, now_ns)
        return True

    def _release(self, group: _Group, now_ns: int) -> None:
        self._waiting.remove(group)
        begun_ns = group.request.record.t_ns
        for step in group.replies:
            at_ns = now_ns + self._player.scaled(step.record.t_ns - begun_ns)
            insort(self._released, (at_ns, step.number, step.record), key=lambda each: each[:2])
