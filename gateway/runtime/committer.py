"""Layer 6: the thread between the loop and the ledger. The loop never waits for a card.

What the loop hands over waits here, counted in records and bytes, until the thread appends it. Telemetry that finds no
room is refused, and who offered it says so in the ledger; everything else is always taken. A ledger that fails is
closed, told once, and opened again later: until then the gateway runs on memory alone, and only what is no telemetry
waits, at most `KEPT_MOST` batches of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from typing import Any, Final, Literal

from gateway.clock import Clock
from gateway.errors import GatewayError, LedgerBehindError, LedgerError, LedgerReadOnlyError, RecordError
from gateway.ledger.base import NS, LedgerLike
from gateway.runtime.backoff import Backoff
from gateway.runtime.batch import Batch

MOST_RECORDS: Final = 32_768  # waiting: at 200,000 a second what comes in a stall of 160 ms
MOST_BYTES: Final = 4 << 20
KEPT_MOST: Final = 4_096  # batches that wait for a ledger to come back
APPEND_BYTES: Final = 256 << 10  # handed to the ledger at once
TELEMETRY_WAIT_S: Final = 0.25  # nothing hurries: the window is longer
RETRY_FIRST_S: Final = 1.0
RETRY_MOST_S: Final = 60.0
LATE_S: Final = 0.1  # behind the end of a window: then its commit is done
LOOK_NS: Final = 1_000_000_000  # how old the ledger's own figures may be while it works

log = logging.getLogger(__name__)

Mode = Literal["opening", "durable", "memory"]
Post = Callable[[Callable[[], None]], None]  # run this on the loop


class Committer:
    """One per gateway. `offer`, `put`, `ask` and `status` are the loop's, the rest is the thread's."""

    def __init__(
        self,
        opener: Callable[[], LedgerLike],
        clock: Clock,
        *,
        on_open: Callable[[LedgerLike], Callable[[], None]],
        on_lost: Callable[[str, list[Batch], bool], None],
        gather_s: float = 0.02,
        rand: Callable[[], float] = random.random,
    ) -> None:
        """Take how the ledger is opened.

        `on_open` is called in the thread with each ledger that was opened; what it returns is called on the loop, and
        only then anything is taken. `on_lost` is called on the loop with why, the telemetry that was taken and is lost,
        and whether the ledger declares that itself; and with nothing lost where opening failed.
        """
        self.mode: Mode = "opening"
        self.reason = ""  # why the mode is no better
        self.openings = 0
        self.refused = 0  # records that the ledger does not take, whatever state it is in: a fault of ours
        self.forgotten = 0  # batches that waited for a ledger and had to make room
        self.unsure = 0  # records that a ledger had in memory when it failed: they may be lost
        self.wait_s = TELEMETRY_WAIT_S  # telemetry is numbered that late
        self.on_appended: Callable[[int, Sequence[Batch]], None] | None = None  # on the loop: numbered from this on
        self._opener = opener
        self._clock = clock
        self._on_open = on_open
        self._on_lost = on_lost
        self._gather_s = gather_s
        self._backoff = Backoff(RETRY_FIRST_S, RETRY_MOST_S, rand)
        self._queue: deque[Batch] = deque()
        self._jobs: deque[Callable[[LedgerLike | None], None]] = deque()
        self._first: deque[Callable[[LedgerLike | None], None]] = deque()
        self._records_in = self._bytes_in = 0  # the loop counts these
        self._records_out = self._bytes_out = 0  # and the thread those
        self._ledger: LedgerLike | None = None
        self._facts: dict[str, Any] = {}  # what the ledger said of itself last
        self._looked_ns = 0
        self._durable = (0, 0)  # what was on the medium last, and since when we know (monotonic)
        self._wake = threading.Condition()
        self._is_woken = self._is_stopping = False
        self._is_urgent = False  # something waits that waits for nothing but company
        self._is_now = False  # something waits that does not even wait for that, or much
        self._last_seq = 0  # handed to the ledger that is open
        self.post: Post = _at_once  # runs something on the loop
        self._thread: threading.Thread | None = None
        self._ended = asyncio.Event()

    # ---- the loop's

    def start(self, post: Post) -> None:
        """Start the thread; `post` brings a function to the loop."""
        self.post = post
        self._thread = threading.Thread(target=self.run, name="ledger", daemon=True)
        self._thread.start()

    async def stop(self, timeout_s: float) -> bool:
        """Append what waits and close the ledger; return whether that was done in time."""
        self._rouse(stopping=True)
        if self._thread is None:
            return True
        try:
            async with asyncio.timeout(timeout_s):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    def offer(self, batch: Batch) -> bool:
        """Take telemetry; False where there is no room or no ledger."""
        count = len(batch.bodies)
        waiting = self._records_in - self._records_out
        if (
            self.mode != "durable"
            or waiting + count > MOST_RECORDS
            or self._bytes_in - self._bytes_out + batch.size > MOST_BYTES
        ):
            return False
        self._records_in += count
        self._bytes_in += batch.size
        self._queue.append(batch)
        is_much = waiting > MOST_RECORDS // 4
        if not self._is_woken or (is_much and not self._is_now):
            self._rouse(now=is_much)
        return True

    def put(self, batch: Batch) -> None:
        """Take what is never refused. Where there is no ledger the oldest beyond `KEPT_MOST` batches is forgotten."""
        if self.mode != "durable" and len(self._queue) >= KEPT_MOST:
            gone = self._queue.popleft()
            self._records_in -= len(gone.bodies)
            self._bytes_in -= gone.size
            self.forgotten += 1
        self._records_in += len(batch.bodies)
        self._bytes_in += batch.size
        self._queue.append(batch)
        is_urgent, is_now = batch.class_ != "telemetry", batch.class_ in {"command", "audit"}
        if not self._is_woken or is_urgent > self._is_urgent or is_now > self._is_now:
            self._rouse(urgent=is_urgent, now=is_now)

    @property
    def is_stuck(self) -> bool:
        """Return whether so much waits that even what is never refused by itself must not come in streams."""
        return self._records_in - self._records_out > 2 * MOST_RECORDS or (
            self._bytes_in - self._bytes_out > 2 * MOST_BYTES
        )

    def ask(self, job: Callable[[LedgerLike | None], None], *, first: bool = False) -> None:
        """Let the thread do something with the ledger, None where there is none, behind what was put before.

        `first`: before all of it; that must raise nothing.
        """
        (self._first if first else self._jobs).append(job)
        self._rouse(now=True)

    def status(self) -> dict[str, Any]:
        """Return what is known: the mode and why, the ledger's own figures as they were a moment ago, the queue."""
        if self.mode == "durable":
            self._rouse()
        facts = self._facts if self.mode == "durable" else {"mode": self.mode, "reason": self.reason}
        return {
            **facts,
            "openings": self.openings,
            "refused": self.refused,
            "forgotten": self.forgotten,
            "unsure": self.unsure,
            "committed": self._committed_s(),
            "queue": {"records": self._records_in - self._records_out, "bytes": self._bytes_in - self._bytes_out},
        }

    @property
    def is_saving(self) -> bool:
        """Return whether the ledger makes records wait longer than it was asked to, to spare the medium."""
        return self.mode == "durable" and self._facts.get("wear", {}).get("level", "normal") != "normal"

    def _committed_s(self) -> float | None:
        """Return for how long nothing more came to the medium, in seconds; None: nothing did yet."""
        seq, since_ns = self._durable
        return (self._clock.monotonic_ns() - since_ns) / NS if seq else None

    def _rouse(self, *, urgent: bool = False, now: bool = False, stopping: bool = False) -> None:
        with self._wake:
            self._is_woken = True
            self._is_urgent = self._is_urgent or urgent
            self._is_now = self._is_now or now
            self._is_stopping = self._is_stopping or stopping
            self._wake.notify()

    def _fell(self, reason: str, batches: list[Batch]) -> None:
        """Go on without the ledger and say so once; keep what is no telemetry for the next one."""
        if self.mode != "memory" or self.reason != reason:
            log.error("ledger: %s; the gateway goes on in memory, nothing is kept until it is back", reason)
        self.mode, self.reason = "memory", reason
        everything = [*batches, *self._queue]
        self._queue.clear()
        self._queue.extend(batch for batch in everything if batch.class_ != "telemetry")
        self._records_in = self._records_out + sum(len(batch.bodies) for batch in self._queue)
        self._bytes_in = self._bytes_out + sum(batch.size for batch in self._queue)
        self._on_lost("the ledger failed", _settle(batch for batch in everything if batch.class_ == "telemetry"), False)

    def _behind(self, reason: str, batches: list[Batch]) -> None:
        self._on_lost(reason, _settle(batches), True)

    # ---- the thread's

    def run(self) -> None:
        """Work until stopped."""
        while not self._is_over():
            if self._ledger is not None or self.open():
                self._wait()
                self.work()
            if self._ledger is None:
                with self._wake:
                    self._wake.wait_for(lambda: self._is_stopping, self._backoff.delay_s())
        self._close()
        self.post(self._ended.set)

    def work(self) -> None:
        """Append what waits and do what was asked."""
        with self._wake:
            self._is_woken = self._is_urgent = self._is_now = False
        batches: list[Batch] = []
        with contextlib.suppress(IndexError):
            while True:
                batches.append(self._queue.popleft())
        is_idle = not batches
        try:
            self._append(batches)
            self._do_first()
            while self._jobs:
                self._jobs[0](self._ledger)
                self._jobs.popleft()
            self._look(now=is_idle)
        except Exception as error:  # noqa: BLE001 - supervisor: whatever breaks here costs the ledger, not the gateway
            self._fail(error, batches)
            while self._jobs:
                self._jobs.popleft()(None)

    def _do_first(self) -> None:
        while self._first:
            self._first.popleft()(self._ledger)

    def _is_over(self) -> bool:
        return self._is_stopping and (self._ledger is None or not (self._queue or self._jobs or self._first))

    def _wait(self) -> None:
        """Wait until there is something to do, and a little longer for company."""
        with self._wake:
            self._wake.wait_for(lambda: self._is_woken or self._is_stopping, self._until_committed_s())
            self._wake.wait_for(lambda: self._is_urgent or self._is_now or self._is_stopping, self.wait_s)
            if self._is_urgent:
                self._wake.wait_for(lambda: self._is_now or self._is_stopping, self._gather_now_s())

    def _until_committed_s(self) -> float | None:
        """Return when to look whether the ledger has committed what it holds in memory; None: it holds nothing."""
        waited_s = self._facts.get("waiting")
        if waited_s is None:
            return None
        window_s = float(self._facts["guarantees"]["telemetry"]["loss_window"])
        return max(window_s - float(waited_s), 0.0) + LATE_S

    def _gather_now_s(self) -> float:
        """Return for how long state waits for company: what the ledger asks for when its budget runs ahead."""
        state = self._facts.get("guarantees", {}).get("state", {})
        return max(self._gather_s, float(state.get("gather", 0.0)))

    def open(self) -> bool:
        """Open the ledger; return whether it is."""
        try:
            self._ledger = ledger = self._opener()
            ready = self._on_open(ledger)
            self._look(now=True)
        except Exception as error:  # noqa: BLE001 - supervisor, as in `work`
            self._fail(error, [])
            return False
        self._last_seq = ledger.durable_seq
        self.openings += 1

        def taken() -> None:
            if self.reason:
                log.warning("ledger: recording again")
            self.mode, self.reason = "durable", ""
            ready()

        self.post(taken)
        return True

    def _append(self, batches: list[Batch]) -> None:
        """Hand everything over, in order. What is refused for what it is does not hold up the rest."""
        while batches:
            self._do_first()
            some: list[Batch] = []
            size = 0
            while batches and (not some or size + batches[0].size <= APPEND_BYTES):
                some.append(batches.pop(0))
                size += some[-1].size
            try:
                self._append_some(some)
            except RecordError:
                for batch in some:
                    self._append_alone(batch)
            except (LedgerError, OSError):
                batches[:0] = some
                raise
            self._records_out += sum(len(batch.bodies) for batch in some)
            self._bytes_out += size
            self._backoff.reset()  # a ledger that opens and takes nothing is not tried again at once, for ever

    def _append_some(self, batches: list[Batch]) -> None:
        ledger = self._ledger
        if ledger is None or not batches:
            return
        try:
            seqs = ledger.append_many(chain.from_iterable(batch.items() for batch in batches))
        except LedgerBehindError as error:
            self.post(partial(self._behind, str(error), batches))
            return
        self._last_seq = seqs.stop - 1
        first = seqs.start
        self.tell(first, batches)
        for batch in batches:
            after = first + len(batch.bodies)
            if batch.on_settled is not None:
                self.post(partial(batch.on_settled, range(first, after)))
            first = after

    def tell(self, first: int, batches: Sequence[Batch]) -> None:
        """Let who follows the ledger hear of records that were numbered from `first` on."""
        if self.on_appended is not None:
            self.post(partial(self.on_appended, first, batches))

    def _append_alone(self, batch: Batch) -> None:
        try:
            self._append_some([batch])
        except RecordError as error:
            self.refused += len(batch.bodies)
            log.warning("ledger: refused: kind=%s route=%s: %s", batch.kind, batch.route, error)

    def _fail(self, error: Exception, batches: list[Batch]) -> None:
        reason = str(error)
        if not isinstance(error, (GatewayError, OSError)):
            reason = f"a fault of our own, {type(error).__name__}: {error}"
            log.error("fault: ledger", exc_info=error)
        self._close()
        self.post(partial(self._fell, reason, batches))
        self._do_first()  # with None: who waits for the medium hears that there is none

    def _look(self, *, now: bool = False) -> None:
        """Let the ledger tell its figures, once a second at most."""
        now_ns = self._clock.monotonic_ns()
        if self._ledger is not None and (now or now_ns - self._looked_ns >= LOOK_NS):
            self._looked_ns = now_ns
            self._facts = facts = self._ledger.status()
            if facts["durable_seq"] != self._durable[0]:
                self._durable = (facts["durable_seq"], now_ns)
            if facts["mode"] == "read-only":
                raise LedgerReadOnlyError(facts["reason"])

    def _close(self) -> None:
        ledger, self._ledger = self._ledger, None
        if ledger is None:
            return
        with contextlib.suppress(Exception):
            ledger.close()
        with contextlib.suppress(Exception):
            self.unsure += max(0, self._last_seq - ledger.durable_seq)


def _settle(lost: Iterable[Batch]) -> list[Batch]:
    """Tell those who wait for a batch that it is lost; return them."""
    batches = list(lost)
    for batch in batches:
        if batch.on_settled is not None:
            batch.on_settled(None)
    return batches


def _at_once(run: Callable[[], None]) -> None:
    run()
