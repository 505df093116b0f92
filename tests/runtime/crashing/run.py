"""One run of a gateway's commands on fake time: everything real between its caller, its ledger and its wire.

The ledger's thread is played on the loop: it works so long after it is woken, and what it then has to say reaches the
loop so long after that. A run is killed by letting go of it: what its storage held at any moment since is what is left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from gateway.authority.decision import Caller
from gateway.authority.settings import GrantConfig, grants_of
from gateway.ledger.base import Options
from gateway.ledger.ldg1 import Ldg1Ledger
from gateway.ledger.opening import create
from gateway.lifecycle import Event
from gateway.runtime.committer import Committer
from gateway.runtime.device import Device
from gateway.runtime.dispatch import Dispatch
from gateway.runtime.durable import Durable
from gateway.runtime.outlet import Outlet
from gateway.runtime.parcel import Parcel
from gateway.runtime.recorder import Recorder
from gateway.runtime.resuming import Resumer
from gateway.runtime.shadows import Twin
from gateway.runtime.warden import Warden
from gateway.testing import FakeClock, MemoryStorage, loop_on_fake_clock
from tests.runtime.crashing.doser import PROFILE, SETPOINTS, Doser, Frame, Wire

OPTIONS: Final = Options(ring_bytes=8 << 14, segment_bytes=1 << 14, unit_bytes=512, budget_bytes_per_day=0)
PRINCIPALS: Final = ("user:pi", "service:night")
ADMIN: Final = Caller(principal=PRINCIPALS[0], is_local=True)
_GRANTS: Final = {
    str(number): GrantConfig(principal=principal, routes="**", verbs=["read", "write", "admin"])
    for number, principal in enumerate(PRINCIPALS)
}
DEVICE: Final = "doser"


class HandCommitter(Committer):
    """A committer without a thread: `lag_s` after it is woken it works, `news_s` later the loop hears of it."""

    lag_s: float | None = 0.0  # None: it hangs
    news_s = 0.0
    is_due = False
    is_over = False
    loop: asyncio.AbstractEventLoop

    def _rouse(self, *, urgent: bool = False, now: bool = False, stopping: bool = False) -> None:
        super()._rouse(urgent=urgent, now=now, stopping=stopping)
        self.go_on()

    def go_on(self) -> None:
        """Work when it is time."""
        if self.lag_s is not None and not self.is_due and not self.is_over:
            self.is_due = True
            self.loop.call_later(self.lag_s, self._turn)

    def _turn(self) -> None:
        self.is_due = False
        if not self.is_over:
            self.work()

    @property
    def is_quiet(self) -> bool:
        """Return whether nothing waits, that anybody waits for."""
        return not (self.is_due or self._jobs or self._first or self._queue)


class Witnessed(Ldg1Ledger):
    """A ledger whose records are looked at as they come in, in the call that makes them durable."""

    def __init__(self, storage: Any, clock: FakeClock, witness: Callable[[int, str, str | None, Any], None]) -> None:
        self._witness = witness
        super().__init__(storage, OPTIONS, clock, background=False)

    def append_many(self, records: Iterable[Any]) -> range:
        """Append, then tell."""
        items = list(records)
        seqs = super().append_many(items)
        for seq, item in zip(seqs, items, strict=True):
            self._witness(seq, *item[:3])
        return seqs


class Run:
    """A gateway from its start to its end, however that comes."""

    def __init__(
        self,
        storage: MemoryStorage,
        clock: FakeClock,
        *,
        is_clock_trusted: bool,
        machine: str = "m",
        witness: Callable[[int, str, str | None, Any], None],
        on_write: Callable[[str, int], None],
        on_heard: Callable[[Frame], None],
    ) -> None:
        self.storage = storage
        self.clock = clock
        self.loop = loop_on_fake_clock(clock)
        self.doser = Doser(self._say)
        self.floor = 0  # operations of the storage behind what anybody heard of
        self._undelivered = 0
        self._heard_s = 0.0
        self._on_heard = on_heard
        self.device = Device(DEVICE, PROFILE, clock)
        self.wire = Wire(self.doser, on_write, self.lose)
        quality = "ntp" if is_clock_trusted else "none"
        if not storage.names():
            create(storage, OPTIONS)
        self.recorder = Recorder(
            lambda: Witnessed(storage, clock, witness), clock, boot={"boot": "b"}, quality=lambda: quality
        )
        self.committer = HandCommitter(
            self.recorder._open, clock, on_open=self.recorder._opened, on_lost=self.recorder._lost
        )
        self.committer.loop = self.loop
        self.recorder.committer = self.committer
        self.recorder.attach(self.device)
        durable = Durable(self.committer)
        self.warden = Warden(
            clock, durable, grants=grants_of(_GRANTS), devices=lambda: [DEVICE], ports_of=lambda _device: {"wire"},
            quality=lambda: quality, signing_key=_no_key, boot=machine,
        )  # fmt: skip
        self.dispatch = Dispatch(clock, durable, self.warden, way_out=self._way_out)
        self.twin = Twin(self.device, SETPOINTS, clock)
        self.dispatch.attach(self.twin)
        self.recorder.on_known = Resumer(self.dispatch).resume
        self._outlet: Outlet | None = None
        self.do(self._begin())

    async def _begin(self) -> None:
        self.committer.post = self._post
        self.tasks = [asyncio.ensure_future(self.dispatch.commander.run())]  # noqa: TID251 - ended by `kill`
        await self.dispatch.commander.is_ready.wait()
        self.committer.open()
        await self.recorder._is_first.wait()
        self.tasks.append(asyncio.ensure_future(self.recorder.run()))  # noqa: TID251 - as above
        self.dispatch.is_known.set()

    # ---- what happens

    def do(self, work: Awaitable[Any]) -> Any:
        """Do something to its end, and what follows from it at once."""

        async def doing() -> Any:
            found = await work
            for _ in range(16):
                await asyncio.sleep(0)
            return found

        return self.loop.run_until_complete(doing())

    def now(self, act: Callable[[], None]) -> None:
        """Do something on the loop, and what follows from it at once."""

        async def acting() -> None:
            act()

        self.do(acting())

    def ask(self, work: Any) -> asyncio.Task[Any]:
        """Begin something that somebody waits for."""
        return self.loop.create_task(work)

    def connect(self) -> None:
        """The wire is there."""
        self._outlet = Outlet(self.wire, asyncio.Lock())
        self.device.happened(Event.SEEK)
        self.device.happened(Event.ATTEMPT)
        self.device.happened(Event.OPENED)

    def lose(self) -> None:
        """The wire is gone."""
        self._outlet = None
        self.device.happened(Event.LOST, "unplugged")

    @property
    def is_up(self) -> bool:
        """Return whether the device can be spoken to."""
        return self._outlet is not None

    @property
    def is_quiet(self) -> bool:
        """Return whether ledger and memory should say the same: nothing is on its way between them."""
        commander = self.dispatch.commander
        is_told = all(running.command.is_open for running in commander.by_id.values())
        return self.committer.is_quiet and not self._undelivered and is_told and not self.dispatch._beginning

    def _way_out(self, _device: str) -> Outlet | None:
        return self._outlet

    def _say(self, frame: Frame) -> None:
        if self._outlet is None or self.wire.is_dead:
            return
        now_ns, wall_ns = self.clock.monotonic_ns(), self.clock.wall_ns()
        self.device.serve(Parcel([frame.body], [frame.key], received_ns=now_ns, wall_ns=wall_ns))
        self._on_heard(frame)

    def _post(self, run: Callable[[], None]) -> None:
        """Bring something from the ledger's thread to the loop."""
        behind = len(self.storage.operations)
        self._undelivered += 1

        def heard() -> None:
            self._undelivered -= 1
            if not self.committer.is_over:
                self.floor = max(self.floor, behind)
                run()

        self._heard_s = max(
            self._heard_s, self.loop.time() + self.committer.news_s
        )  # in the order in which it was said
        self.loop.call_at(self._heard_s, heard)

    # ---- how it ends

    def kill(self, *, works_on: bool) -> tuple[int, int]:
        """End it at once; return between which operations of its storage it may have ended."""
        self.wire.is_dead = True
        self.committer.post = lambda _run: None
        floor = self.floor
        if works_on and self.committer._ledger is not None:
            self.now(self.committer.work)
        self.committer.is_over = True
        self._let_go()
        return floor, len(self.storage.operations)

    def quit(self) -> None:
        """End it as SIGTERM does."""
        self.committer.lag_s = None
        for task in self.tasks:
            task.cancel()
        self.do(asyncio.gather(*self.tasks, return_exceptions=True))
        self.wire.is_dead = True
        self.do(self.recorder.stop())
        self.now(self.committer.run)
        self.committer.is_over = True
        self._let_go()

    def _let_go(self) -> None:
        async def ending() -> None:
            mine = asyncio.current_task()
            others = [task for task in asyncio.all_tasks() if task is not mine]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.loop.run_until_complete(ending())
        self.loop.close()


def _no_key() -> Any:
    raise AssertionError("nobody asks for a token here")
