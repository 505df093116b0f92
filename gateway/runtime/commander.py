"""Layer 6: commands under way: feeds each one's machine with what happens, and does what it asks for.

What is decided is in `gateway.shadow.command`. Here are the timers, the wire, the ledger and who waits. One command a
setpoint is open; a newer one takes its place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from gateway.clock import Clock
from gateway.errors import LedgerError, RecordError
from gateway.lifecycle import Event as Change
from gateway.lifecycle import Lifecycle
from gateway.profile.setpoint_value import Refusal
from gateway.profile.setpoint_wire import Write
from gateway.runtime.durable import Durable, Item
from gateway.runtime.message import Message
from gateway.runtime.outlet import WayOut
from gateway.runtime.parcel import Parcel
from gateway.runtime.running import Bar, Running, messages_of, stop_timer
from gateway.runtime.shadows import Twin, fact_body
from gateway.runtime.telling import told_of
from gateway.schema.plan import Row
from gateway.shadow.command import Command, begin, step
from gateway.shadow.document import Fact
from gateway.shadow.events import (
    Ack,
    Action,
    Barred,
    Due,
    Event,
    Finish,
    Gone,
    Granted,
    Postponed,
    Reachable,
    Report,
    Send,
    Superseded,
    WaitUntil,
    WriteFailed,
    Written,
)
from gateway.shadow.events import Write as LetOut
from gateway.shadow.intent import Intent, Outcome

KEPT_ENDED: Final = 1_000  # results that can still be asked for
RETRY_S: Final = 1.0  # until a result that the ledger did not take is offered again
_NS: Final = 1_000_000_000

log = logging.getLogger(__name__)


class Commander:
    """One per gateway."""

    def __init__(
        self,
        clock: Clock,
        durable: Durable,
        *,
        way_out: Callable[[str], WayOut | None],
        bars: Callable[[Running], Bar | None],
        on_written: Callable[[Running, int], None],
        on_moved: Callable[[Twin], None],
        on_ended: Callable[[Intent, Outcome, int | None], None],
    ) -> None:
        """Take how a device's wire is found while it is open, what may forbid an attempt, and who hears of what.

        `on_written` is told for how long an attempt held the bus, in nanoseconds; `on_moved` of a device that came or
        went.
        """
        self.open: dict[str, Running] = {}  # by the route of the setpoint
        self.by_id: dict[str, Running] = {}
        self.ended: dict[str, dict[str, Any]] = {}  # by id, as `set --json` tells it; the last KEPT_ENDED
        self._clock = clock
        self._durable = durable
        self._way_out = way_out
        self._bars = bars
        self._on_written = on_written
        self._on_moved = on_moved
        self._on_ended = on_ended
        self._group: asyncio.TaskGroup | None = None
        self.is_ready = asyncio.Event()  # commands can be begun
        self._listening: dict[Message, list[Running]] = {}  # who waits for what a message says

    async def run(self) -> None:
        """Do what commands ask for, until cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            self.is_ready.set()
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None
                for running in self.by_id.values():
                    stop_timer(running)

    # ---- devices

    def attach(self, twin: Twin) -> None:
        """Take that a device comes and goes."""
        twin.device.listeners.append(partial(self._changed, twin))

    def is_trying(self, twin: Twin, name: str) -> bool:
        """Return whether an open command of a setpoint may still be sent: what is desired is its to apply."""
        running = self.open.get(twin.route(name))
        return running is not None and running.command.attempt < running.policy.attempts

    def _changed(self, twin: Twin, before: Lifecycle, _event: Change) -> None:
        if not twin.changed(before):
            return
        self._on_moved(twin)
        for running in list(self.open.values()):
            if running.twin is twin:
                self.feed(running, Reachable(twin.is_up))

    def _heard(self, message: Message, rows: list[Row], items: list[bytes], parcel: Parcel) -> None:
        """Give what was just heard to the commands that wait for it."""
        for running in list(self._listening.get(message, ())):
            setpoint = running.twin.setpoints[running.name]
            if setpoint.reported_by is not None and setpoint.reported_by[0] == message.name:
                for row in rows:
                    if (value := setpoint.reported(row)) is not None:
                        self.feed(running, Report(value, parcel.received_ns))
            if setpoint.acked_by == message.name:
                self._acked(running, items, parcel.received_ns)

    def _acked(self, running: Running, items: list[bytes], received_ns: int) -> None:
        setpoint = running.twin.setpoints[running.name]
        for item in items:
            if running.attempt is None:
                return
            ack = setpoint.judge(item, running.attempt)
            if ack.answer != "foreign":
                accepted = ack.answer == "accepted"
                if not accepted:
                    running.twin.setpoints.withdraw(running.attempt)
                elif running.command.baseline_ns is not None and received_ns >= running.command.baseline_ns:
                    running.twin.shadow = running.twin.shadow.acknowledge(
                        running.name, running.version, self._fact(running, running.command.intent.value)
                    )
                self.feed(running, Ack(accepted, received_ns, ack.reason))

    # ---- commands

    def start(self, twin: Twin, name: str, intent: Intent, seq: int | None, version: int, *, made_ns: int) -> Running:
        """Begin a command whose intent is durable; the open one of the same setpoint ends as superseded.

        `made_ns`: when it was asked for (monotonic); its time runs from then on.
        """
        reported = twin.shadow.of(name).reported
        old = reported.value if reported is not None and reported.boot == twin.boot else None
        policy, now_ns = twin.policies[name], self._clock.monotonic_ns()
        command, actions = begin(intent, policy, now_ns, made_ns=made_ns, old=old, is_up=twin.is_up)
        running = self._take(Running(twin, name, command, seq, version))
        self._act(running, actions)
        return running

    def resume(self, twin: Twin, name: str, command: Command, actions: tuple[Action, ...], *, seq: int) -> Running:
        """Go on with a command that the ledger knows to be open."""
        running = self._take(Running(twin, name, command, seq, twin.shadow.of(name).version))
        self._act(running, actions)
        return running

    def lose(self, intent: Intent, seq: int) -> None:
        """End a command of an earlier run whose setpoint is gone: nobody can tell any more what became of it."""
        self._spawn(self._lost(intent, seq), f"{intent.route}/record")

    def move(self, before: Twin, twin: Twin | None) -> None:
        """Let what is under way go on at the device that takes the place of another one; without its setpoint it ends.

        None: nothing takes its place.
        """
        for running in [each for each in self.open.values() if each.twin is before]:
            if (
                twin is None
                or running.name not in twin.setpoints
                or twin.route(running.name) != before.route(running.name)
            ):
                self.feed(running, Gone())
                continue
            self._let_go(running)
            running.twin, running.attempt = twin, None
            self._take(running)
            self.feed(running, Reachable(twin.is_up))

    def _take(self, running: Running) -> Running:
        """Make it the open command of its setpoint, and listen for it as long as it is."""
        twin, name = running.twin, running.name
        before = self.open.pop(twin.route(name), None)
        self.open[twin.route(name)] = running
        self.by_id[running.command.intent.id] = running
        for message in messages_of(running):
            self._listening.setdefault(message, []).append(running)
            message.heard = partial(self._heard, message)
        if before is not None:
            self.feed(before, Superseded())
        twin.open.add(name)
        return running

    def _let_go(self, running: Running) -> None:
        """It has ended: nothing more is for it."""
        twin, name = running.twin, running.name
        for message in messages_of(running):
            waiting = self._listening[message]
            waiting.remove(running)
            if not waiting:
                del self._listening[message]
                message.heard = None
        if self.open.get(twin.route(name)) is running:
            del self.open[twin.route(name)]
            twin.open.discard(name)

    def feed(self, running: Running, event: Event) -> None:
        """Tell a command what happened."""
        running.command, actions = step(running.command, running.policy, event, self._clock.monotonic_ns())
        self._act(running, actions)

    def _act(self, running: Running, actions: tuple[Action, ...]) -> None:
        for action in actions:
            match action:
                case Send(attempt):
                    self._spawn(self._send(running, attempt), f"{running.command.intent.route}/send")
                case LetOut():
                    running.is_let_out = True
                case WaitUntil(at_ns):
                    self._wake_at(running, at_ns)
                case Finish():
                    self._finish(running, action)

    def spawn(self, work: Any) -> None:
        """Do something beside, as long as commands are done at all."""
        self._spawn(work, "commander/beside")

    def _spawn(self, work: Any, name: str) -> None:
        if self._group is None:
            work.close()  # the gateway ends; the ledger has the intent, and the next start goes on from it
        else:
            self._group.create_task(work, name=name)

    def _wake_at(self, running: Running, at_ns: int) -> None:
        stop_timer(running)
        delay_s = max(0.0, (at_ns - self._clock.monotonic_ns()) / _NS)
        running.timer = asyncio.get_running_loop().call_later(delay_s, self._due, running)

    def _due(self, running: Running) -> None:
        running.timer = None
        self.feed(running, Due())
        wake_ns = running.command.wake_ns
        if running.timer is None and wake_ns is not None:  # the timer was early
            self._wake_at(running, wake_ns)

    # ---- the wire

    async def _send(self, running: Running, attempt: int) -> None:
        """Write when the wire is ours. The ledger knows of the attempt before by then: a crash forgets one at most."""
        await running.is_noted.wait()
        outlet = self._way_out(running.twin.device.name)
        if outlet is None:
            self.feed(running, WriteFailed(attempt, "the port is not open for writing", may_have_sent=False))
            return
        result = await outlet.write(running.twin.device, attempt, partial(self._let_out, running, attempt))
        if result is None:
            return
        if isinstance(result, Written) or result.may_have_sent:
            self._note(running, attempt)
        if isinstance(result, Written) and running.attempt is not None:
            now_ns = self._clock.monotonic_ns()
            running.twin.setpoints.written(running.attempt, now_ns)
            self._on_written(running, now_ns - running.begun_ns)
        self.feed(running, result)

    def _let_out(self, running: Running, attempt: int) -> Write | None:
        """The wire is ours: return what is to be written, if it still is."""
        if not running.command.is_open:
            return None
        twin = running.twin
        built = self._bars(running) or twin.setpoints.attempt(running.name, running.command.intent.value, twin.latest)
        if isinstance(built, Bar | Refusal):
            self.feed(running, (Postponed if built.is_passing else Barred)(built.code, built.message))
            return None
        running.is_let_out = False
        self.feed(running, Granted(attempt))
        if not running.is_let_out:
            return None
        running.attempt = built
        running.begun_ns = self._clock.monotonic_ns()
        return built.write

    # ---- the ledger

    def _note(self, running: Running, attempt: int) -> None:
        """Let the ledger know that bytes went out, or may have; only the next attempt waits for it."""
        running.is_noted.clear()
        self._spawn(self._noted(running, attempt), f"{running.command.intent.route}/note")

    async def _noted(self, running: Running, attempt: int) -> None:
        intent = running.command.intent
        body = {"id": intent.id, "attempt": attempt}
        await self._kept([("command_sent", intent.route, body, "command", running.seq)])
        running.is_noted.set()

    async def _kept(self, items: list[Item]) -> int | None:
        """Return the number of a result when it is on the medium; a ledger that fails is waited for, however long."""
        while True:
            try:
                return (await self._durable.append(items))[0]
            except RecordError as error:
                log.warning("fault: not recorded: %s of %s: %s", items[0][0], items[0][1], error)
                return None
            except LedgerError as error:
                log.warning("%s waits for the ledger: %s", items[0][1], error)
                await asyncio.sleep(RETRY_S)

    def _finish(self, running: Running, finish: Finish) -> None:
        """One outcome: into the shadow now, on the medium next, and then to who waits."""
        stop_timer(running)
        twin = running.twin
        if finish.effective is not None:
            twin.shadow = twin.shadow.settle(running.name, running.version, self._fact(running, finish.effective))
        self._let_go(running)
        self._spawn(self._record(running, finish), f"{running.command.intent.route}/record")

    def _fact(self, running: Running, value: Any) -> Fact:
        return Fact(
            value, running.twin.boot, running.seq or 0, self._clock.wall_ns(), mono_ns=self._clock.monotonic_ns(),
            version=running.version,
        )  # fmt: skip

    async def _lost(self, intent: Intent, seq: int) -> None:
        body = {"id": intent.id, "route": intent.route, "outcome": str(Outcome.UNKNOWN), "reason": "no_setpoint"}
        receipt = await self._kept([("command_result", intent.route, body, "command", seq)])
        self._has_ended(intent, Outcome.UNKNOWN, told_of(intent, body, receipt))

    async def _record(self, running: Running, finish: Finish) -> None:
        intent = running.command.intent
        items: list[Item] = [
            ("command_result", intent.route, running.command.result(), "command", running.seq),
        ]
        if finish.effective is not None:
            body = fact_body(self._fact(running, finish.effective), intent.id)
            items.append(("effective", intent.route, body, "command", running.seq))
        receipt = await self._kept(items)
        answer = running.answer(receipt, is_recorded=True)
        self.by_id.pop(intent.id, None)
        assert finish.outcome is not None
        self._has_ended(intent, finish.outcome, answer)
        running.done.set_result(answer)

    def _has_ended(self, intent: Intent, outcome: Outcome, told: dict[str, Any]) -> None:
        """The result is on the medium: from now on it can be told."""
        self.ended[intent.id] = told
        while len(self.ended) > KEPT_ENDED:
            del self.ended[next(iter(self.ended))]
        self._on_ended(intent, outcome, told["receipt"])

    def listing(self) -> list[dict[str, Any]]:
        """Return the list of `commands --json`, ended ones first, as they ended."""
        open_ones = [running.answer() for running in self.by_id.values()]
        return [
            {"id": told["id"], "route": told["route"], "value": told["desired"]}
            | {key: told[key] for key in ("key", "outcome", "receipt")}
            for told in [*self.ended.values(), *open_ones]
        ]
