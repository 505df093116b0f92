"""The fault classes: which states each makes of a history, in an order that never changes, a number names one."""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Callable, Iterator
from functools import lru_cache
from random import Random
from typing import Final, NamedTuple

from gateway.testing import Fault, MemoryStorage
from gateway.testing.storage import SECTOR_BYTES, Image, Operation
from tests.crash.judge import Judge
from tests.crash.oracle import Answer, Promise, after_recovery
from tests.crash.power import Choice, image_of, pending_of, reordered_choices, torn_choices
from tests.crash.scenarios import play
from tests.crash.world import Run, Step, seed_of

LAST_SYNCS: Final = 5  # of which any subset may not have happened
PAGE_BYTES: Final = (512, 4096, 16_384)
DEAD: Final = ("zero", "ones", "random", "nicked")  # what a page holds that died; nicked: one byte of it is another
NESTED_PER_BOUNDARY: Final = 4


class State(NamedTuple):
    """One state of a medium, and what was promised before it came about."""

    path: str  # names it within its history
    image: Callable[[], Image]
    promise: Promise
    what: Callable[[], str]  # in words


@lru_cache(maxsize=128)
def history(subject: str, scenario: str, seed: int, fault: Fault | None = None) -> Run:
    """Return a history."""
    return play(subject, scenario, seed, fault).finish()


def replayed(run: Run) -> Iterator[tuple[int, MemoryStorage]]:
    """Yield the storage of a history at every moment, from before its first operation to behind its last."""
    storage = MemoryStorage(run.base)
    yield 0, storage
    for number, operation in enumerate(run.operations, start=1):
        storage.apply(operation)
        yield number, storage


class Selection(NamedTuple):
    """Which states of a nested class are looked at: those of these prefixes, and of each prefix at most so many."""

    prefixes: Callable[[list[str]], set[str]] = set
    most_each: int | None = None


ALL: Final = Selection()
Chooser = Callable[..., Iterator[Choice]]


def _choices(storage: MemoryStorage, choose: Chooser, boundary: int) -> Iterator[Choice]:
    return choose(pending_of(storage), Random(f"{choose.__name__}:{boundary}"))


def _cut_states(
    run: Run, choose: Chooser, prefix: str = "", moments: set[int] | None = None, most: int | None = None
) -> Iterator[State]:
    """Yield what cuts at some moments (None: all) leave: all choices there are, or so many of them."""
    chosen = _some(run, choose, prefix, moments, most) if most is not None else None
    for boundary, storage in replayed(run):
        if moments is not None and boundary not in moments:
            continue
        promise = run.promise_at(boundary)
        for place, choice in enumerate(_choices(storage, choose, boundary)):
            if chosen is not None and (boundary, place) not in chosen:
                continue
            yield State(
                f"{prefix}{boundary}.{place}",
                lambda storage=storage, choice=choice: image_of(storage, choice),
                promise,
                lambda boundary=boundary, choice=choice: (
                    f"cut behind operation {boundary} ({_say(run.operations, boundary)}): {_say_choice(choice)}"
                ),
            )


def _some(run: Run, choose: Chooser, prefix: str, moments: set[int] | None, most: int) -> set[tuple[int, int]]:
    there = [
        (boundary, place)
        for boundary, storage in replayed(run)
        if moments is None or boundary in moments
        for place, _ in enumerate(_choices(storage, choose, boundary))
    ]
    return set(Random(f"some:{prefix}").sample(there, min(most, len(there))))


def torn(subject: str, scenario: str, seed: int, _selection: Selection = ALL) -> Iterator[State]:
    """Cut at every moment; one file is torn by sector."""
    yield from _cut_states(history(subject, scenario, seed), torn_choices)


def reordered(subject: str, scenario: str, seed: int, _selection: Selection = ALL) -> Iterator[State]:
    """Cut at every moment; files and names reach the medium in any order."""
    yield from _cut_states(history(subject, scenario, seed), reordered_choices)


def recovery(subject: str, scenario: str, seed: int, selection: Selection = ALL) -> Iterator[State]:
    """Cut, and cut again at every moment of the recovery and of the first appends behind it."""
    run = history(subject, scenario, seed)
    judge = Judge(subject, run.options, run.clock)
    rng = Random(seed_of("nested", scenario, seed))
    places: dict[str, tuple[int, int]] = {}
    for boundary, storage in replayed(run):
        count = sum(1 for _ in _choices(storage, torn_choices, boundary))
        for place in sorted(rng.sample(range(count), min(NESTED_PER_BOUNDARY, count))):
            places[f"{boundary}.{place}/"] = boundary, place
    chosen = selection.prefixes(list(places))
    by_boundary: dict[int, list[tuple[str, int]]] = {}
    for prefix in sorted(chosen, key=places.__getitem__):
        by_boundary.setdefault(places[prefix][0], []).append((prefix, places[prefix][1]))
    for boundary, storage in replayed(run):
        if boundary not in by_boundary:
            continue
        choices = list(_choices(storage, torn_choices, boundary))
        for prefix, place in by_boundary[boundary]:
            inner = _recovered(run, judge, image_of(storage, choices[place]), run.promise_at(boundary))
            for choose, mark in ((torn_choices, "t"), (reordered_choices, "r")):
                yield from _cut_states(inner, choose, prefix + mark, most=selection.most_each)


def _recovered(run: Run, judge: Judge, image: Image, promise: Promise) -> Run:
    """Return the history of a recovery: opening, and two commits."""
    storage = MemoryStorage(image)
    steps = [Step(0, promise.durable, dict(promise.cursors))]
    log = judge.open(storage)
    answer = Answer(log.read(), promise)
    known = {**promise.known, **after_recovery(promise, answer, log.durable_seq).known}
    steps.append(Step(len(storage.operations), log.durable_seq, dict(promise.cursors)))
    for class_ in ("state", "command"):
        seq = log.append("note", None, {"in": "recovery"}, class_)
        known.update({record.seq: (record,) for record in log.read(seq)})
        steps.append(Step(len(storage.operations), log.durable_seq, dict(promise.cursors)))
    return Run(run.subject, run.options, image, storage.operations, steps, known, frozenset(), run.clock)


class _Synced(NamedTuple):
    """What one sync changed on the medium."""

    node: int
    sectors: dict[int, tuple[bytes, bytes]]  # before, after
    numbers: range  # of the records that it made durable


def lying(subject: str, scenario: str, seed: int, _selection: Selection = ALL) -> Iterator[State]:
    """Of the last syncs any subset never happened, though the medium said so."""
    run = history(subject, scenario, seed)
    ends = {step.operations for step in run.steps}
    last: deque[_Synced] = deque(maxlen=LAST_SYNCS)
    storage = MemoryStorage(run.base)
    for boundary, operation in enumerate(run.operations, start=1):
        before = storage.nodes[operation.node].durable if operation.kind == "sync" else b""
        storage.apply(operation)
        if operation.kind == "sync":
            changed = _changed(before, storage.nodes[operation.node].durable)
            last.append(_Synced(operation.node, changed, run.made_durable(boundary)))
        if boundary not in ends or not last:
            continue
        promise = run.promise_at(boundary, is_honest=False)
        for kept in range((1 << len(last)) - 1):
            events = list(last)
            lost = [event.numbers for place, event in enumerate(events) if not kept >> place & 1]
            yield State(
                f"{boundary}.{kept}",
                lambda events=events, kept=kept: storage.cut(_undone(storage, events, kept)),
                promise._replace(fragile=frozenset(seq for numbers in lost for seq in numbers)),
                lambda boundary=boundary, events=events, kept=kept: (
                    f"of the last {len(events)} syncs before operation {boundary} only those of bits {kept:b} happened"
                ),
            )


def _changed(before: bytes, after: bytes) -> dict[int, tuple[bytes, bytes]]:
    return {
        at // SECTOR_BYTES: (before[at : at + SECTOR_BYTES], after[at : at + SECTOR_BYTES])
        for at in range(0, len(after), SECTOR_BYTES)
        if before[at : at + SECTOR_BYTES] != after[at : at + SECTOR_BYTES]
    }


def _undone(storage: MemoryStorage, events: list[_Synced], kept: int) -> dict[int, bytes]:
    contents = {event.node: bytearray(storage.nodes[event.node].durable) for event in events}
    for event in reversed(events):
        for sector, (before, after) in event.sectors.items():
            at = sector * SECTOR_BYTES
            contents[event.node][at : at + len(after)] = before.ljust(len(after), b"\0")
    for place, event in enumerate(events):
        if kept >> place & 1:
            for sector, (_, after) in event.sectors.items():
                at = sector * SECTOR_BYTES
                contents[event.node][at : at + len(after)] = after
    return {number: bytes(content) for number, content in contents.items()}


def dead_page(subject: str, scenario: str, seed: int, _selection: Selection = ALL) -> Iterator[State]:
    """One page of what was synced is destroyed."""
    run = history(subject, scenario, seed)
    numbers = dict(run.base_numbers)
    ends = {step.operations for step in run.steps}
    for boundary, storage in replayed(run):
        if boundary:
            run.note_numbers(numbers, boundary, storage)
        if boundary not in ends:
            continue
        image = storage.cut()
        promise = run.promise_at(boundary, is_honest=False)
        for place, (name, at, size) in enumerate(_pages(image)):
            sectors = range(at // SECTOR_BYTES, (at + size) // SECTOR_BYTES)
            lost = {seq for sector in sectors for seq in numbers.get((name, sector), ())}
            for fill in DEAD:
                yield State(
                    f"{boundary}.{place}{fill[0]}",
                    lambda image=image, name=name, at=at, size=size, fill=fill: _destroyed(image, name, at, size, fill),
                    promise._replace(fragile=frozenset(lost)),
                    lambda boundary=boundary, name=name, at=at, size=size, fill=fill: (
                        f"behind operation {boundary}, {size} bytes of {name} from {at} on became {fill}"
                    ),
                )


def _pages(image: Image) -> list[tuple[str, int, int]]:
    """Return the pages that hold anything: file, offset, size."""
    return [
        (name, at, size)
        for name, data in sorted(image.items())
        for size in PAGE_BYTES
        for at in range(0, len(data), size)
        if any(data[at : at + size]) and (size == PAGE_BYTES[0] or at + size // 2 < len(data))
    ]


def _destroyed(image: Image, name: str, at: int, size: int, fill: str) -> Image:
    data = image[name]
    size = min(size, len(data) - at)
    rng = Random(f"{name}:{at}")
    page = bytearray(data[at : at + size])
    if fill == "nicked":
        page[rng.choice([place for place, byte in enumerate(page) if byte])] ^= 1 << rng.randrange(8)
    else:
        page[:] = {"zero": bytes(size), "ones": b"\xff" * size}.get(fill) or rng.randbytes(size)
    return {**image, name: data[:at] + page + data[at + size :]}


class Trouble(NamedTuple):
    """One way for a storage to fail."""

    calls: tuple[str, ...]
    error: int
    lasts: bool = False
    taken_bytes: int = 0
    reads_old: bool = False

    def at(self, number: int) -> Fault:
        """Return it for the call of that number."""
        return Fault(frozenset(self.calls), number, self.error, self.lasts, self.taken_bytes, self.reads_old)


EIO: Final = {
    "sync": Trouble(("sync",), errno.EIO),
    "sync-old": Trouble(("sync",), errno.EIO, reads_old=True),
    "sync-ever": Trouble(("sync",), errno.EIO, lasts=True),
    "write": Trouble(("write",), errno.EIO),
    "write-some": Trouble(("write",), errno.EIO, taken_bytes=512),
    "write-ever": Trouble(("write",), errno.EIO, lasts=True),
    "read": Trouble(("read",), errno.EIO),
    "open": Trouble(("open",), errno.EIO),
    "names": Trouble(("sync_folder", "rename", "remove", "make_folder", "create"), errno.EIO),
    "gone": Trouble(
        ("open", "create", "read", "write", "sync", "rename", "remove", "make_folder", "sync_folder"),
        errno.ENODEV,
        lasts=True,
    ),
    "read-only": Trouble(("create", "write", "sync", "rename", "remove", "make_folder"), errno.EROFS, lasts=True),
}
ENOSPC: Final = {
    "write": Trouble(("write",), errno.ENOSPC),
    "short": Trouble(("write",), errno.ENOSPC, taken_bytes=700),
    "create": Trouble(("create",), errno.ENOSPC),
    "names": Trouble(("create", "rename", "make_folder", "sync_folder"), errno.ENOSPC),
    "quota": Trouble(("write",), errno.EDQUOT),
    "full": Trouble(("create", "write"), errno.ENOSPC, lasts=True),
    "no-files": Trouble(("create",), errno.ENOSPC, lasts=True),  # what is there already can be written
}
MOMENTS_BEHIND: Final = 6


def _failing(
    subject: str, scenario: str, seed: int, troubles: dict[str, Trouble], selection: Selection
) -> Iterator[State]:
    counts = play(subject, scenario, seed).counts
    ways = {
        f"{name}.{at}/": (trouble, at)
        for name, trouble in troubles.items()
        for at in range(1, sum(counts.get(call, 0) for call in trouble.calls) + 1)
    }
    chosen = selection.prefixes(list(ways))
    for prefix, (trouble, at) in ways.items():
        if prefix in chosen:
            yield from _failed(history(subject, scenario, seed, trouble.at(at)), prefix, selection.most_each)


def _failed(run: Run, prefix: str, most: int | None) -> Iterator[State]:
    """Cut a history in which something failed, soon after that and at its end."""
    end = len(run.operations)
    if run.problems:
        yield State(f"{prefix}run", dict, run.promise_at(end), lambda: "; ".join(run.problems))
    first = max(0, (run.struck or 0) - 1)
    moments = {*range(first, min(first + MOMENTS_BEHIND, end)), end}
    yield from _cut_states(run, torn_choices, prefix, moments, most)


def eio(subject: str, scenario: str, seed: int, selection: Selection = ALL) -> Iterator[State]:
    """A call fails, once or for ever, and the power goes soon afterwards or at the end."""
    yield from _failing(subject, scenario, seed, EIO, selection)


def enospc(subject: str, scenario: str, seed: int, selection: Selection = ALL) -> Iterator[State]:
    """There is no room, once or for ever, and the power goes soon afterwards or at the end."""
    yield from _failing(subject, scenario, seed, ENOSPC, selection)


def _say(operations: list[Operation], boundary: int) -> str:
    if not boundary:
        return "before the first"
    kind, name, node, offset, data, other = operations[boundary - 1]
    where = name or f"file {node}"
    return f"{kind} {where}" + (f" -> {other}" if other else f" {len(data)} bytes at {offset}" if data else "")


def _say_choice(choice: Choice) -> str:
    files = [f"file {number} keeps sectors {sorted(way.kept)}, rest {way.fill}" for number, way in choice.files.items()]
    names = [f"folder {name or '.'} keeps changes {kept:b}" for name, kept in choice.names.items()]
    return "; ".join(files + names) or "nothing unsynced is kept"


FAULTS: Final[dict[str, Callable[[str, str, int, Selection], Iterator[State]]]] = {
    "torn": torn,
    "reordered": reordered,
    "recovery": recovery,
    "lying": lying,
    "dead-page": dead_page,
    "eio": eio,
    "enospc": enospc,
}
__all__ = ["ALL", "FAULTS", "Selection", "State", "history"]
