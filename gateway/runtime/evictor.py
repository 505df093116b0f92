"""Layer 6: lets discovered devices go that are silent, and brings back what they knew when they are heard again.

What a device knows goes into the ledger with the record of its leaving; a stub stays in memory (`stubs`). Values are
read back on the ledger's thread, a few at a time: a device that is heard again is there at once, with its name and its
numbers, and has its older values a moment later. Without a ledger the stubs hold the values, as far as there is room.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Final, NamedTuple

import msgspec

from gateway.clock import Clock
from gateway.errors import GatewayError
from gateway.ledger.base import LedgerLike
from gateway.ledger.record import Record
from gateway.route import Route, Variant
from gateway.runtime.batch import Batch
from gateway.runtime.committer import Committer
from gateway.runtime.device import Device
from gateway.runtime.discovery import Discovery
from gateway.runtime.parting import Kept, Known, NotKeptError, body_of, give_back, kept_of, left_from, stub_of
from gateway.runtime.recorder import Recorder
from gateway.runtime.shadows import Twin
from gateway.runtime.stubs import Origin, Stub, unpacked

TICK_S: Final = 1.0
AT_ONCE: Final = 8  # devices that go before the rest of the loop runs
READ_AT_ONCE: Final = 16  # records read before what is more urgent is appended
ANSWER_S: Final = 3.0  # a caller waits at most so long for a card
PARTING_S: Final = 0.4  # a stop waits at most so long for values that are being read

log = logging.getLogger(__name__)


class _Wanted(NamedTuple):
    seq: int
    route: str
    give: Callable[[bytes | None], None]  # called on the loop


class Evictor:
    """One per gateway."""

    def __init__(
        self,
        clock: Clock,
        boot: str,
        discoveries: Callable[[], Iterable[Discovery]],
        recorder: Recorder | None,
        *,
        twin_of: Callable[[Device], Twin],
        attached: Callable[[str], Twin | None],
    ) -> None:
        """Take this run's id, who discovers, and who records.

        `twin_of` makes the shadow of a device that is nobody's, `attached` gives that of one that is here.
        """
        self.unreadable = 0  # devices whose values the ledger did not give back
        self._clock = clock
        self._boot = boot
        self._started_ns = clock.monotonic_ns()
        self._discoveries = discoveries
        self._recorder = recorder
        self._twin_of = twin_of
        self._attached = attached
        self._boot_no = 1
        self._wanted: deque[_Wanted] = deque()  # the loop puts, the ledger's thread takes
        self._is_given = asyncio.Event()  # set whenever a device got the values with which it left
        self._listen()
        if recorder is not None:
            recorder.on_discovered, recorder.on_stop = self._known, self._stopping

    async def run(self) -> None:
        """Let go of who is silent, until cancelled."""
        while True:
            has_more = self.tick()
            await asyncio.sleep(0 if has_more else TICK_S)

    def tick(self) -> bool:
        """Let some go who are silent; return whether there may be more of them."""
        self._listen()
        now_ns = self._clock.monotonic_ns()
        return any(discovery.let_idle_go(now_ns, AT_ONCE) for discovery in self._discoveries())

    def _listen(self) -> None:
        for discovery in self._discoveries():
            discovery.is_held = self._is_held

    # ---- devices come and go

    def left(self, device: Device) -> None:
        """Keep what a device knows; called before anything is detached from it."""
        if device.origin is not None:
            device.origin.parting = self._keep(device, device.origin.why_left)

    def came(self, device: Device) -> None:
        """Give a device what it knew when it left, now or when the ledger has been read; everything is attached."""
        origin = device.origin
        twin = self._attached(device.name)
        if twin is not None:
            twin.boot = self._boot_no
        if origin is None or origin.stub is None:
            return
        if (stub := origin.stub).body is not None:
            self._give(device, stub.body)
        elif stub.seq:
            origin.is_awaited = True
            self._want(stub, partial(self._give, device))

    async def recall(self, name: str) -> tuple[Device, Twin] | None:
        """Return a device that is remembered, as it left: nobody's, and only to be looked at. None: there is none."""
        found = ((each, stub) for each in self._discoveries() if (stub := each.stubs.named(name)) is not None)
        discovery, stub = next(found, (None, None))
        if discovery is None or stub is None:
            return None
        device = discovery.like(stub)
        twin = self._twin_of(device)
        twin.boot = self._boot_no
        if stub.body is None and not stub.seq and self._recorder is not None:
            self._recorder.remind(device)
            return device, twin
        body = stub.body or await self._read(stub)
        if (kept := self._kept_in(body)) is not None:
            self._restore(device, twin, kept)
        return device, twin

    def _is_held(self, device: Device) -> bool:
        """Return whether a device must not go: a command is open, or what it knew is still being read."""
        twin = self._attached(device.name)
        return (twin is not None and bool(twin.open)) or (device.origin is not None and device.origin.is_awaited)

    def _keep(self, device: Device, why: str) -> Stub:
        twin = self._attached(device.name)
        shadow = {} if twin is None or not twin.setpoints else twin.shadow.setpoints
        body = body_of(device, kept_of(device, self._boot, shadow), why)
        stub = stub_of(device, body)
        if self._recorder is not None:
            batch = Batch("lifecycle", _route(device.name), [msgspec.Raw(body)], "state", len(body))
            batch.on_settled = partial(self._settled, stub, device)
            self._recorder.committer.put(batch)
        return stub

    def _settled(self, stub: Stub, device: Device, seqs: range | None) -> None:
        """Take that a stub's values are on the medium."""
        if seqs is None or device.origin is None:
            return
        for discovery in self._discoveries():
            if discovery.name == device.origin.discovery:
                discovery.stubs.settled(stub, seqs.start)

    async def _stopping(self) -> None:
        """Keep what those know who are here: the next run goes on from it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PARTING_S):
                while any(origin.is_awaited for _, origin in self._discovered()):
                    self._is_given.clear()
                    await self._is_given.wait()
        for device, origin in self._discovered():
            if not origin.is_awaited:  # else the ledger knows more than it
                self._keep(device, "stopped")

    def _discovered(self) -> Iterator[tuple[Device, Origin]]:
        for discovery in self._discoveries():
            yield from ((device, device.origin) for device in discovery.devices if device.origin is not None)

    def _known(self, known: list[Known], boot_no: int) -> None:
        """Take who the ledger remembers, once it is open."""
        self._boot_no = boot_no
        by_name = {discovery.name: discovery for discovery in self._discoveries()}
        for each in known:
            discovery = by_name.get(each.discovery)
            device = None if discovery is None else discovery.learn(each)
            if device is None or device.origin is None or device.origin.stub is None:
                continue
            sequences = unpacked(device.origin.stub.numbers).sequences
            for message, sequence in zip(device.all_messages(), sequences, strict=False):
                message.sequence += sequence
            self.came(device)
        for discovery in self._discoveries():
            for device in discovery.devices:
                if (twin := self._attached(device.name)) is not None:
                    twin.boot = boot_no

    # ---- values come back

    def _give(self, device: Device, body: bytes | None) -> None:
        """Give a device the values with which it left."""
        assert device.origin is not None
        device.origin.is_awaited = False
        self._is_given.set()
        twin = self._attached(device.name)
        if (kept := self._kept_in(body)) is not None and twin is not None and twin.device is device:
            self._restore(device, twin, kept)

    def _kept_in(self, body: bytes | None) -> Kept | None:
        try:
            kept = None if body is None else left_from(body).kept
        except NotKeptError as error:
            log.warning("ledger: the record of a device that left %s", error)
            kept = None
        self.unreadable += kept is None
        return kept

    def _restore(self, device: Device, twin: Twin, kept: Kept) -> None:
        now_ns, wall_ns = self._clock.monotonic_ns(), self._clock.wall_ns()
        give_back(device, kept, self._boot, now_ns, wall_ns, started_ns=self._started_ns)
        twin.recall(kept.shadow)

    # ---- the ledger is read

    async def _read(self, stub: Stub) -> bytes | None:
        """Return the record that a stub stands for; None where it cannot be read, or not in time."""
        answer: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._want(stub, lambda body: None if answer.done() else answer.set_result(body))
        try:
            async with asyncio.timeout(ANSWER_S):
                return await answer
        except TimeoutError:
            return None

    def _want(self, stub: Stub, give: Callable[[bytes | None], None]) -> None:
        if self._recorder is None or self._recorder.committer.mode == "memory":
            give(None)
            return
        self._wanted.append(_Wanted(stub.seq, _route(stub.name), give))
        if len(self._wanted) == 1:
            self._ask(self._recorder.committer)

    def _ask(self, committer: Committer) -> None:
        committer.ask(partial(self._answer, committer))

    def _answer(self, committer: Committer, ledger: LedgerLike | None) -> None:
        """Read what is wanted, in the ledger's thread; not all of it before something more urgent."""
        for _ in range(READ_AT_ONCE):
            if not self._wanted:
                return
            wanted = self._wanted[0]
            body = None if ledger is None else _body_at(ledger, wanted.seq, wanted.route)
            self._wanted.popleft()
            committer.post(partial(wanted.give, body))
        if self._wanted:
            committer.post(partial(self._ask, committer))


def _body_at(ledger: LedgerLike, seq: int, route: str) -> bytes | None:
    """Return the body of one record; None where it is not there any more."""
    try:
        found = next(iter(ledger.read(seq, durable_only=True)), None)
    except (GatewayError, OSError) as error:
        log.warning("ledger: record %d does not come back: %s", seq, error)
        return None
    is_meant = isinstance(found, Record) and (found.seq, found.route) == (seq, route)
    return found.raw if is_meant and isinstance(found, Record) else None


def _route(device: str) -> str:
    return str(Route(device, "lifecycle", "state", Variant.STATE))
