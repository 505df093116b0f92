"""One history of one log: what it was asked, what it asked of its storage, and what was promised at every moment."""

from __future__ import annotations

import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any, NamedTuple

from gateway.errors import LedgerError, LedgerReadOnlyError
from gateway.ledger.base import Options
from gateway.ledger.record import Record, encode_body
from gateway.testing import FakeClock, Fault, FaultyStorage, MemoryStorage
from gateway.testing.storage import SECTOR_BYTES, Image, Operation
from tests.crash.oracle import Issue, Promise, issue_of
from tests.crash.power import image_of, pending_of, torn_choices
from tests.crash.subjects import Subject, durable_records, open_subject

DEVICES = ("pump/motor/speed", "pump/motor/temperature", "tank/level/height", "door/lock/state")


Numbers = Mapping[tuple[str, int], Iterable[int]]
"""Records that lie in a sector of a file, by name and sector."""


def sectors_of(operation: Operation) -> range:
    """Return the sectors that a write touches."""
    return range(operation.offset // SECTOR_BYTES, -(-(operation.offset + len(operation.data)) // SECTOR_BYTES))


class Step(NamedTuple):
    """What was promised when one call had returned."""

    operations: int  # of the storage, so far
    durable: int
    cursors: dict[str, int]


class Run(NamedTuple):
    """A whole history, to be cut anywhere."""

    subject: str
    options: Options
    base: Image  # what lay there when it began
    operations: list[Operation]
    steps: list[Step]
    known: dict[int, tuple[Record, ...]]
    attempts: frozenset[Issue]  # issued, and never seen on the medium
    clock: FakeClock
    base_numbers: Numbers = {}  # noqa: RUF012 - never changed; what of the base which records lay in
    struck: int | None = None  # the operation count when the fault struck
    problems: tuple[str, ...] = ()  # what was wrong before any cut
    is_foldable: bool = True  # False: there was no room for a snapshot of what was given up, again and again

    def promise_at(self, boundary: int, *, is_honest: bool = True) -> Promise:
        """Return what was promised when `boundary` operations were done and the power went."""
        place = bisect_left(self.steps, boundary, key=lambda step: step.operations)
        while place + 1 < len(self.steps) and self.steps[place + 1].operations == boundary:
            place += 1
        is_done = place < len(self.steps) and self.steps[place].operations == boundary
        step = self.steps[place] if is_done else self.steps[place - 1] if place else Step(0, 0, {})
        last = max(self.known, default=0)
        return Promise(
            step.durable, last, self.known, self.attempts, step.cursors,
            is_honest=is_honest, is_foldable=self.is_foldable,
        )  # fmt: skip

    def note_numbers(self, found: dict[tuple[str, int], Iterable[int]], number: int, storage: MemoryStorage) -> None:
        """Note which records an operation, which was just done, wrote where."""
        operation = self.operations[number - 1]
        if operation.kind == "write":
            name = dict(storage.named()).get(operation.node, "")
            for sector in sectors_of(operation):
                found[name, sector] = self.made_durable(number)
        elif operation.kind == "rename":
            moved = {key: value for key, value in found.items() if key[0] == operation.name}
            for key, value in moved.items():
                found[operation.other, key[1]] = value

    def numbers_at_end(self) -> Numbers:
        """Return which records lie where, as far as is known."""
        found = dict(self.base_numbers)
        storage = MemoryStorage(self.base)
        for number, operation in enumerate(self.operations, start=1):
            storage.apply(operation)
            self.note_numbers(found, number, storage)
        return found

    def made_durable(self, operation: int) -> range:
        """Return the numbers that were acknowledged when the call that this operation belongs to had returned."""
        place = bisect_left(self.steps, operation, key=lambda step: step.operations)
        if place == len(self.steps):
            return range(0)
        return range(self.steps[place - 1].durable + 1 if place else 1, self.steps[place].durable + 1)


class World:
    """A log, its storage and its clock, and the one who uses them."""

    def __init__(self, subject: str, seed: str, options: Options, fault: Fault | None = None) -> None:
        self.rng = Random(seed)
        self.options = options
        self.clock = FakeClock()
        self._subject_name = subject
        self._fault = fault
        self._log: Subject | None = None
        self._count = 0
        self._known: dict[int, tuple[Record, ...]] = {}
        self._issued: set[Issue] = set()
        self._acknowledged = 0
        self._cursors: dict[str, int] = {}
        self._problems: list[str] = []
        self._base_numbers: Numbers = {}
        self._begin({})

    def _begin(self, image: Image) -> None:
        self._base = image
        self._memory = MemoryStorage(image)
        self._storage = FaultyStorage(self._memory, [self._fault] if self._fault else [])
        self._steps: list[Step] = []
        self._struck: int | None = None

    # ---- what a history does

    def open(self) -> None:
        """Open the log."""

        def act() -> None:
            self._log = open_subject(self._subject_name, self._storage, self.clock, self.options)

        self._step(act)

    def append(self, class_: str = "state", *, size: int = 12, count: int = 1, cause: int | None = None) -> None:
        """Append `count` records at once."""
        items = [self._item(class_, size, cause) for _ in range(count)]
        self._issued.update(self._issue(item) for item in items)

        def act() -> None:
            if self._log is None:
                return
            if count == 1:
                self._log.append(*items[0])
            else:
                self._log.append_many(items)

        self._step(act)

    def flush(self) -> None:
        """Have everything durable."""
        self._step(lambda: self._log.flush() if self._log else None)

    def move_cursor(self, name: str) -> None:
        """Acknowledge everything durable to a consumer."""

        def act() -> None:
            if self._log is not None and self._acknowledged:
                seq = self._acknowledged
                self._log.cursor(name).advance(seq)  # type: ignore[attr-defined]
                self._cursors = {**self._cursors, name: seq}

        self._step(act)

    def do(self, action: Callable[[Any], object]) -> None:
        """Ask the log for anything else: upkeep, sealing."""
        self._step(lambda: action(self._log) if self._log is not None else None)

    def close(self) -> None:
        """Close the log in order."""

        def act() -> None:
            if self._log is not None:
                log, self._log = self._log, None
                try:
                    log.close()
                finally:
                    self._learn(log)

        self._step(act)

    def cut(self) -> None:
        """Cut the power, somehow; what follows is a new history on what that left."""
        self._log = None
        choices = list(torn_choices(pending_of(self._memory), self.rng))
        image = image_of(self._memory, self.rng.choice(choices))
        numbers = self.finish().numbers_at_end()
        self._begin(image)
        self._base_numbers = numbers
        self._known = {seq: found for seq, found in self._known.items() if seq <= self._acknowledged}
        self.clock = FakeClock(wall_ns=self.clock.wall_ns() + 3_000_000_000)
        self._steps.append(Step(0, self._acknowledged, self._cursors))

    # ---- keeping the books

    def _item(self, class_: str, size: int, cause: int | None) -> tuple[Any, ...]:
        self._count += 1
        route = self.rng.choice(DEVICES)
        if class_ == "telemetry":
            body: Any = self._count.to_bytes(4, "little") + self.rng.randbytes(size)
            return "reading", f"{route}@frame", body, class_, cause
        kind = {"state": "reported", "command": "command_intent", "audit": "note"}[class_]
        variant = "@desired" if class_ == "command" else "@reported"
        return kind, route + variant, {"n": self._count, "x": "v" * size}, class_, cause

    @staticmethod
    def _issue(item: tuple[Any, ...]) -> Issue:
        kind, route, body, class_, cause = item
        return kind, route, class_, cause, encode_body(body)[0]

    def _step(self, act: Callable[[], object]) -> None:
        try:
            act()
        except LedgerError as error:
            if self._fault is None:
                raise
            if isinstance(error, LedgerReadOnlyError) and self._log is not None and self._must_go_on:
                self._problems.append(f"R7 one failed sync ended everything: {error}")
        except Exception as error:
            if self._fault is None:
                raise
            self._problems.append(f"I7 {type(error).__name__} came out, which is no LedgerError: {error}")
        if self._struck is None and self._storage.failed:
            self._struck = len(self._memory.operations)
        if self._log is not None:
            self._learn(self._log)
        self._steps.append(Step(len(self._memory.operations), self._acknowledged, self._cursors))

    def _learn(self, log: Subject) -> None:
        """Note down what is on the medium now, and what is promised."""
        if log.durable_seq > self._acknowledged or self._fault is not None:
            for record in durable_records(self._subject_name, log, self._memory, self._acknowledged + 1):
                versions = self._known.get(record.seq, ())
                if record not in versions:
                    self._known[record.seq] = (*versions, record)
        self._acknowledged = max(self._acknowledged, log.durable_seq)

    def _learn_what_was_short_lived(self) -> None:
        """Note down what was committed and given up within one call, so that it was never seen behind one."""
        unseen = {seq for seq in range(1, self._acknowledged + 1) if seq not in self._known}
        if not unseen or self._log is None:
            return
        storage = MemoryStorage(self._base)
        before = Step(0, 0, {})
        place = 0
        for number, operation in enumerate(self._memory.operations, start=1):
            storage.apply(operation)
            while place < len(self._steps) and self._steps[place].operations < number:
                before = self._steps[place]
                place += 1
            after = self._steps[place] if place < len(self._steps) else before
            due = unseen & set(range(before.durable + 1, after.durable + 1))
            if operation.kind == "sync" and due:
                image = MemoryStorage(storage.image())
                for record in durable_records(self._subject_name, self._log, image, min(due)):
                    if record.seq in due:
                        self._known[record.seq] = (record,)
                        unseen.discard(record.seq)

    def finish(self) -> Run:
        """Return the history."""
        self._learn_what_was_short_lived()
        return Run(
            self._subject_name,
            self.options,
            self._base,
            self._memory.operations,
            self._steps,
            self._known,
            frozenset(self._issued - {issue_of(each) for versions in self._known.values() for each in versions}),
            self.clock,
            self._base_numbers,
            self._struck,
            tuple(self._problems),
            self._fault is None or not self._fault.lasts,
        )

    @property
    def _must_go_on(self) -> bool:
        """Return whether no more went wrong than one sync, which the spare segment is there for (toys have none)."""
        has_spare = not self._subject_name.startswith("toy")
        return has_spare and self._fault is not None and self._fault.calls == {"sync"} and not self._fault.lasts

    @property
    def counts(self) -> dict[str, int]:
        """Return how many calls of each kind the storage has seen."""
        return dict(self._storage.counts)


def seed_of(*parts: object) -> str:
    """Return a seed that any process makes of the same parts."""
    text = ":".join(map(str, parts))
    return f"{text}:{zlib.crc32(text.encode()):08x}"
