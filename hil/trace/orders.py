"""The two orders in which a trace is played: which record is to be sent when, and which is expected. Pure."""

from __future__ import annotations

from bisect import insort
from collections import deque
from typing import Final, NamedTuple, Protocol

from hil.trace.record import Record

_FACTS: Final = ("id", "dlc", "address", "uuid", "descriptor")  # beside kind and data, of what was sent


class Step(NamedTuple):
    """One record that is played."""

    number: int  # of the record in the trace, from 1
    record: Record


class Times(Protocol):
    """The player, as an order needs it."""

    last_number: int  # of the trace's records

    def time_of(self, record: Record) -> int:
        """Return when a record is due."""

    def lead_ns(self, record: Record) -> int:
        """Return how long before its time a record is to be sent."""

    def scaled(self, span_ns: int) -> int:
        """Return how long a span of the trace takes."""

    def anchor(self, record: Record, now_ns: int) -> None:
        """Have the times of all records count from this one, which was heard now."""


def agrees(expected: Record, got: Record) -> bool:
    """Whether what was heard is what the trace has: kind, data, and what else the sender decided.

    Not every link tells an FD frame from a classic one of the same bytes.
    """
    kinds = {expected.kind, got.kind}
    if (expected.bus, expected.data) != (got.bus, got.data) or (len(kinds) > 1 and kinds != {"data", "fd"}):
        return False
    return all(expected.get(key) == got.get(key) for key in _FACTS if key in expected and key in got)


class Strict:
    """All in the trace's order."""

    def __init__(self, steps: list[Step], player: Times) -> None:
        self._player = player
        self._sending = deque(step for step in steps if step.record.dir == "rx")
        self._hearing = deque(step for step in steps if step.record.dir == "tx")

    @property
    def is_done(self) -> bool:
        """Whether everything was sent and heard."""
        return not self._sending and not self._hearing

    @property
    def expected(self) -> Step | None:
        """What is to be heard next."""
        return self._hearing[0] if self._hearing else None

    @property
    def position(self) -> int:
        """The number of the record that would come next."""
        return self._sending[0].number if self._sending else self._player.last_number + 1

    def expected_on(self, bus: str) -> Step | None:
        """What is to be heard next where a bus heard something else."""
        del bus
        return self.expected

    def next_ns(self) -> int | None:
        """Return when there is something to send; None: not before something is heard."""
        if not self._sending or (self._hearing and self._hearing[0].number < self._sending[0].number):
            return None
        return self._player.time_of(self._sending[0].record)

    def due(self, now_ns: int) -> list[Record]:
        """Return what is to be sent now."""
        records: list[Record] = []
        while (at_ns := self.next_ns()) is not None and at_ns <= now_ns:
            records.append(self._sending.popleft().record)
        return records

    def due_of(self, record: Record) -> int:
        """Return when a record that `due` gave should be sent."""
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

    def item(self, got: Record, now_ns: int) -> Step | None:
        """Return the record that was heard; None when it differs."""
        if not self._hearing or not agrees(self._hearing[0].record, got):
            return None
        return self._pass(now_ns)

    def _pass(self, now_ns: int) -> Step:
        step = self._hearing.popleft()
        is_next = not self._sending or step.number < self._sending[0].number
        if is_next:  # nothing was on its way: what follows, follows from now
            self._player.anchor(step.record, now_ns)
        return step


class Group:
    """A request with the replies that followed it."""

    def __init__(self, request: Step) -> None:
        self.request = request
        self.replies: list[Step] = []


class Matched:
    """Requests in any order, each with its replies."""

    def __init__(self, steps: list[Step], player: Times) -> None:
        self._player = player
        self._waiting: list[Group] = []
        self._free: deque[Step] = deque()  # what was sent before anything was heard, at its own times
        self._released: list[tuple[int, int, Record]] = []  # (when, number, record)
        self._times: dict[int, int] = {}  # of those that `due` gave last
        last: dict[str, Group] = {}
        for step in steps:
            bus = step.record.bus
            if step.record.dir == "tx":
                last[bus] = Group(step)
                self._waiting.append(last[bus])
            elif bus in last:
                last[bus].replies.append(step)
            else:
                self._free.append(step)

    @property
    def is_done(self) -> bool:
        """Whether everything was sent and heard."""
        return not self._waiting and not self._free and not self._released

    @property
    def expected(self) -> Step | None:
        """What is to be heard next."""
        return self._waiting[0].request if self._waiting else None

    @property
    def position(self) -> int:
        """The number of the record that would come next."""
        return self._player.last_number + 1

    def expected_on(self, bus: str) -> Step | None:
        """What is to be heard next where a bus heard something else."""
        return next((group.request for group in self._waiting if group.request.record.bus == bus), None)

    def next_ns(self) -> int | None:
        """Return when there is something to send; None: not before something is heard."""
        times = [self._released[0][0]] if self._released else []
        times += [self._player.time_of(self._free[0].record)] if self._free else []
        return min(times, default=None)

    def due(self, now_ns: int) -> list[Record]:
        """Return what is to be sent now."""
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
        """Return when a record that `due` gave should be sent."""
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

    def item(self, got: Record, now_ns: int) -> Step | None:
        """Return the record that was heard; None when it differs."""
        group = next((group for group in self._waiting if agrees(group.request.record, got)), None)
        if group is None:
            return None
        self._release(group, now_ns)
        return group.request

    def _release(self, group: Group, now_ns: int) -> None:
        self._waiting.remove(group)
        begun_ns = group.request.record.t_ns
        for step in group.replies:
            span_ns = self._player.scaled(step.record.t_ns - begun_ns) - self._player.lead_ns(step.record)
            at_ns = now_ns + max(0, span_ns)
            insort(self._released, (at_ns, step.number, step.record), key=lambda each: each[:2])
