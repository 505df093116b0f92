"""Layer 6: what one gateway gives to its ledger, and what it takes from it at start.

Readings (`recording`), the layouts and profiles they need, connections, the clock, boots and stops, and what was lost.
Once a second it looks after what has no event of its own. The loop never waits here; the ledger's thread is
`committer`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from typing import Any, Final, Protocol

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.ledger.base import LedgerLike
from gateway.ledger.fold import State as Folded
from gateway.ledger.record import MAX_BODY_BYTES
from gateway.profile.recorded import Transforms
from gateway.route import Route, Variant
from gateway.runtime.batch import Batch
from gateway.runtime.chronicle import Chronicle
from gateway.runtime.committer import Committer
from gateway.runtime.device import Device
from gateway.runtime.digest import digest_of
from gateway.runtime.parting import Known
from gateway.runtime.record_rule import spill_bytes
from gateway.runtime.recording import Recording, recordings_of
from gateway.runtime.restoring import Remembered
from gateway.runtime.spill import Spill
from gateway.runtime.timekeeping import Quality, Timekeeper, clock_quality
from gateway.taint import DELIVERY_DEFERRED, DELIVERY_DROPPED

TICK_S: Final = 1.0
OPEN_WAIT_S: Final = 5.0  # a card that takes longer holds up no device: its values come back when it answers
STOP_S: Final = 1.2  # of the 1.7 s that a stop may take in all

log = logging.getLogger(__name__)


class Follower(Protocol):
    """Who hears of every record as it is numbered: before it is durable, on the loop."""

    def opened(self, state: Folded, log_id: str, incarnation: int) -> None:
        """Take what a ledger holds that was just opened; what was heard before and is not in it is lost."""
        ...

    def appended(self, first: int, batches: Sequence[Batch]) -> None:
        """Take records numbered from `first` on. Numbers that nobody tells of are the ledger's own."""
        ...


class Recorder:
    """One per gateway."""

    def __init__(
        self,
        opener: Callable[[], LedgerLike],
        clock: Clock,
        *,
        boot: dict[str, Any],
        reader: Callable[[], LedgerLike] | None = None,
        gather_s: float = 0.02,
        quality: Callable[[], Quality] = clock_quality,
        transforms: Transforms | None = None,
        committer: Callable[..., Committer] = Committer,
    ) -> None:
        """Take how the ledger is opened and what a `boot` record says of this run.

        `reader` opens it for reading: latest values come back from a ledger that cannot be written now, too.
        """
        self.recorded = 0  # readings handed over
        self.shed: dict[str, int] = {}  # readings that were not kept since the start, by reason
        self.committer = committer(self._open, clock, on_open=self._opened, on_lost=self._lost, gather_s=gather_s)
        self._opener = opener
        self._reader = self._looker = reader
        self._clock = clock
        self._boot = boot
        self._quality = quality
        self._is_saving = False
        self._transforms = transforms
        self._started_ns = clock.monotonic_ns()
        self._timekeeper = Timekeeper()
        self._remembered: Remembered | None = None
        self._restored: set[str] = set()  # devices
        self.on_discovered: Callable[[list[Known], int], None] | None = (
            None  # told once: who is known, this run's number
        )
        self.on_stop: Callable[[], Awaitable[None]] | None = None  # awaited before the ledger is closed
        self._devices: list[Device] = []
        self._recordings: dict[str, list[Recording]] = {}  # of each device
        self._introduced: set[str] = set()  # routes whose layout, devices whose profile this ledger knows
        self._undeclared: dict[tuple[str, str], int] = {}  # (route, reason) -> readings that no gap record tells yet
        self._dropped: dict[tuple[str, str], int] = {}  # (device, by whom) -> frames that gap records have told
        self._chronicle = Chronicle(clock, self._put)
        self._unsure = 0  # records of the committer's count that a gap record has told
        self._is_first = asyncio.Event()
        self.follower: Follower | None = None  # told of everything that this ledger takes
        self.on_known: Callable[[Folded], None] | None = None  # told once what the ledger knew, latest values restored

    # ---- wiring

    def attach(self, device: Device) -> None:
        """Record a device from now on; one that the ledger remembers gets its latest values."""
        known = recordings_of(device, partial(self._offer, device))
        kept = self._recordings[device.name] = [each for each in known.values() if each.keeps]
        for recording in kept:
            recording.message.recording = recording
        profile = device.profile.profile
        if profile.queue.when_full == "spill_to_store":
            for mailbox in device.mailboxes.values():
                mailbox.store = self._spill_of(device, known)
        self._devices.append(device)
        device.listeners.append(partial(self._chronicle.changed, device))
        if self._remembered is not None:
            self._restore(device)

    def lead(self, follower: Follower, wait_s: float) -> None:
        """Let one follow the ledger from its opening on; telemetry is numbered after `wait_s` then."""
        self.follower, self.committer.wait_s = follower, wait_s
        self.committer.on_appended = follower.appended

    def open_to_read(self) -> LedgerLike:
        """Return the ledger, opened for reading beside its writer. Raises: LedgerError, OSError."""
        assert self._looker is not None
        return self._looker()

    def detach(self, device: Device) -> None:
        """Let go of a device that is gone."""
        self._tell_drops(device)
        for recording in self._recordings[device.name]:
            recording.late(max(self._clock.monotonic_ns(), recording.due_ns))
        self._devices.remove(device)
        self._introduced -= {each.route for each in self._recordings.pop(device.name)}
        self._chronicle.forget(device.name)
        self._restored.discard(device.name)
        for by in device.dropped_by():
            self._dropped.pop((device.name, by), None)

    def remind(self, device: Device) -> None:
        """Give a device, which need not be attached, what the ledger knew of it when it was opened, if it did."""
        if self._remembered is not None:
            self._bring_back(recordings_of(device, lambda _recording, _bodies: False).values())

    def keeps(self) -> dict[str, int]:
        """Return for how long readings are kept, in nanoseconds by route, where a profile says so."""
        return {each.route: each.rule.keep_ns for each in self._all() if each.rule.keep_ns is not None}

    # ---- running

    async def start(self) -> None:
        """Open the ledger and bring latest values back; after `OPEN_WAIT_S` the gateway goes on without them."""
        loop = asyncio.get_running_loop()
        self.committer.start(partial(_post, loop))
        try:
            async with asyncio.timeout(OPEN_WAIT_S):
                await self._is_first.wait()
        except TimeoutError:
            log.warning("ledger: not open after %g s; the gateway goes on, and records when it is", OPEN_WAIT_S)

    async def run(self) -> None:
        """Look after what has no event, once a second, until cancelled."""
        while True:
            await asyncio.sleep(TICK_S)
            self.tick()

    def tick(self) -> None:
        """Tell of losses and of the clock; keep what came too soon to be kept at once."""
        now_ns = self._clock.monotonic_ns()
        for recording in self._all():
            recording.late(now_ns)
        self._look_at_clock(now_ns)
        self._look_at_wear()
        if self.committer.mode != "durable":
            return
        for device in self._devices:
            self._tell_drops(device)
        self._chronicle.catch_up(self._devices)
        unsure = self.committer.unsure - self._unsure
        if unsure:
            self._unsure += unsure
            self._put("gap", None, {"dropped": unsure, "reason": "the ledger failed"}, "telemetry")
        undeclared, self._undeclared = self._undeclared, {}
        for (route, reason), count in undeclared.items():
            self._put("gap", route, {"dropped": count, "reason": reason}, "telemetry")

    async def stop(self) -> None:
        """Say that this stop is meant, and close the ledger."""
        self.tick()
        if self.on_stop is not None:
            await self.on_stop()
        self._chronicle.catch_up(self._devices, is_ending=True)
        body = {"device": None, "state": "STOPPED", "reason": "stopped", "attempt": 0, "boot": self._boot["boot"]}
        self._put("lifecycle", None, body)
        if not await self.committer.stop(STOP_S):
            log.warning("ledger: not closed within %g s; what was not committed is lost", STOP_S)

    def status(self) -> dict[str, Any]:
        """Return the part `ledger` of `status --json`."""
        told = self.committer.status()
        return {**told, "readings": self.recorded, "shed": dict(self.shed)}

    # ---- the ledger opens

    def _open(self) -> LedgerLike:
        """Open the ledger; where it cannot be, look what can be read of it, once. In the committer's thread."""
        try:
            return self._opener()
        except (GatewayError, OSError):
            reader, self._reader = self._reader, None
            if reader is not None:
                with contextlib.suppress(GatewayError, OSError), reader() as ledger:
                    remembered = Remembered(ledger.replay(), self._transforms)
                    self.committer.post(partial(self._look_back, remembered))
            raise

    def _look_back(self, remembered: Remembered) -> None:
        """Bring values back from a ledger that is not open for writing."""
        if self._remembered is None:
            self._remembered = remembered
            self._tell_discovered()
            for device in self._devices:
                self._restore(device)

    def _opened(self, ledger: LedgerLike) -> Callable[[], None]:
        """Read what the ledger remembers; called in its thread."""
        state = ledger.replay()
        stopped = state.latest("lifecycle").get("")
        unclean = state.boot is not None and (stopped is None or stopped.seq < state.boot.seq)
        remembered = Remembered(state, self._transforms)
        facts = ledger.status() if self.follower is not None else {}
        return lambda: self._begin(remembered, state, facts, unclean=unclean)

    def _begin(self, remembered: Remembered, state: Folded, facts: dict[str, Any], *, unclean: bool) -> None:
        """Record in this ledger from now on."""
        self._remembered = remembered
        if self.follower is not None:
            self.follower.opened(state, facts["log_id"], facts["incarnation"])
        self._introduced = set()
        opening = self.committer.openings
        self._put("boot", None, {**self._boot, "unclean": unclean and opening == 1, "opening": opening})
        self._timekeeper = Timekeeper()
        self._look_at_clock(self._clock.monotonic_ns())
        for recording in self._all():
            recording.restart()
        self._tell_discovered()
        for device in self._devices:
            if device.name not in self._restored:
                self._restore(device)
            self._chronicle.tell_again(device, is_wanted=opening > 1)
        on_known, self.on_known = self.on_known, None
        if on_known is not None:
            on_known(state)
        self._is_first.set()

    def _tell_discovered(self) -> None:
        assert self._remembered is not None
        known, self._remembered.discovered = self._remembered.discovered, []
        on_discovered, self.on_discovered = self.on_discovered, None
        if on_discovered is not None:
            on_discovered(known, self._remembered.boots + 1)

    def _restore(self, device: Device) -> None:
        assert self._remembered is not None
        self._restored.add(device.name)
        if device.origin is None or device.origin.stub is not None:
            self._bring_back(self._recordings[device.name])
        self._remembered.forget(self._recordings[device.name])
        device.forget()

    def _bring_back(self, recordings: Iterable[Recording]) -> None:
        assert self._remembered is not None
        now_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        self._remembered.restore(recordings, now_ns, wall_ns, self._started_ns)

    def _introduce(self, device: Device, recording: Recording) -> None:
        """Tell the ledger what it needs to read the readings that follow."""
        self._introduced.add(recording.route)
        assert self._remembered is not None
        owner = device.name if device.origin is None else device.origin.discovery
        about = str(Route(owner, "lifecycle", "profile", Variant.STATE))
        if about not in self._introduced:
            self._introduced.add(about)
            digest = digest_of(device.profile.profile)
            if not self._remembered.has_profile(about, digest):
                head = device.profile.profile.profile
                self._put("profile", about, {"id": head.id, "digest": digest, "title": head.title})
        schema, route = recording.schema, recording.route
        if device.origin is not None:  # once for all that are discovered alike, and another one for another layout
            route = recording.shared_route(owner)
            if route in self._introduced:
                return
            self._introduced.add(route)
        if not self._remembered.has_schema(route, schema.digest):
            self.committer.put(Batch("schema", route, list(schema.bodies), "state"))

    # ---- what happens

    def _offer(self, device: Device, recording: Recording, bodies: list[bytes]) -> bool:
        size = sum(map(len, bodies))
        if self.committer.mode == "durable" and recording.route not in self._introduced:
            self._introduce(device, recording)
        if size > MAX_BODY_BYTES and any(len(body) > MAX_BODY_BYTES for body in bodies):
            fitting = [body for body in bodies if len(body) <= MAX_BODY_BYTES]
            self._not_kept(recording.route, "too long for a record", len(bodies) - len(fitting))
            bodies, size = fitting, sum(map(len, fitting))
        batch = Batch("reading", recording.route, bodies, recording.rule.record_class, size)
        is_open = self.committer.mode == "durable"
        if recording.rule.record_class == "state" and is_open and not self.committer.is_stuck:
            self.committer.put(batch)
        elif not self.committer.offer(batch):
            self._not_kept(recording.route, "the ledger is slow" if is_open else "no ledger", len(bodies))
            if is_open:
                device.owe(recording.message.name, DELIVERY_DROPPED)
            return not is_open  # without a ledger it is not tried again with every frame
        self.recorded += len(bodies)
        return True

    def _spill_of(self, device: Device, recordings: dict[str, Recording]) -> Spill:
        """Return where the frames of one mailbox wait when it is full."""

        def offer(batch: Batch) -> bool:
            if self.committer.mode == "durable":
                for recording in recordings.values():
                    if recording.route not in self._introduced and recording.route in set(batch.routes or ()):
                        self._introduce(device, recording)
            return self.committer.offer(batch)

        size = spill_bytes(device.profile.profile.record)
        return Spill(recordings, size, offer=offer, ask=self.committer.ask, post=self._to_loop)

    def _to_loop(self, run: Callable[[], None]) -> None:
        self.committer.post(run)

    def _all(self) -> Iterator[Recording]:
        return chain.from_iterable(self._recordings.values())

    def _not_kept(self, route: str, reason: str, count: int, *, is_declared: bool = False) -> None:
        self.shed[reason] = self.shed.get(reason, 0) + count
        if count and not is_declared:
            self._undeclared[route, reason] = self._undeclared.get((route, reason), 0) + count

    def _lost(self, reason: str, batches: list[Batch], is_declared: bool) -> None:
        """Readings that were handed over, and did not come to the ledger; or it did not open."""
        self._is_first.set()
        recordings = {each.route: each for each in self._all()}
        for batch in batches:
            if batch.kind != "reading" or batch.route is None:
                continue
            count = len(batch.bodies)
            self.recorded -= count
            self._not_kept(batch.route, reason, count, is_declared=is_declared)
            recording = recordings.get(batch.route)
            if recording is not None:
                recording.owed |= DELIVERY_DROPPED
                recording.restart()

    def _tell_drops(self, device: Device) -> None:
        for by, count in device.dropped_by().items():
            new = count - self._dropped.get((device.name, by), 0)
            if new:
                self._dropped[device.name, by] = count
                route = str(Route(device.name, "lifecycle", "frames", Variant.HEALTH))
                self._put("gap", route, {"dropped": new, "reason": by}, "telemetry")

    def _look_at_wear(self) -> None:
        was_saving, self._is_saving = self._is_saving, self.committer.is_saving
        if self._is_saving and not was_saving:
            for recording in self._all():
                recording.owed |= DELIVERY_DEFERRED

    def _look_at_clock(self, now_ns: int) -> None:
        wall_ns = self._clock.wall_ns()
        body = self._timekeeper.look(wall_ns, now_ns, self._quality())
        if body is None:
            return
        self._put("clock", None, body)
        self.committer.ask(lambda ledger: ledger.note_clock(body["quality"]) if ledger is not None else None)
        if body["reason"] == "step":
            for message in (each for device in self._devices for each in device.all_messages() if each.is_earlier):
                message.received_ns = now_ns - max(wall_ns - message.wall_ns, now_ns - self._started_ns)

    def _put(self, kind: str, route: str | None, body: dict[str, Any], class_: str = "state") -> None:
        self.committer.put(Batch(kind, route, [body], class_))


def _post(loop: asyncio.AbstractEventLoop, run: Callable[[], None]) -> None:
    """Run something on the loop, from another thread; a loop that has ended needs nothing any more."""
    try:
        loop.call_soon_threadsafe(run)
    except RuntimeError:
        return
