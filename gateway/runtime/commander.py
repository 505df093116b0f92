"""Layer 6: commands under way: feeds each one's machine with what happens, and does what it asks for.

What is decided is in `gateway.shadow.command`. Here are the timers, the wire, the ledger and who waits. One command a
setpoint is open; a newer one takes its place.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Any, Final, NamedTuple

from gateway.clock import Clock
from gateway.errors import LedgerError
from gateway.lifecycle import Event as Change
from gateway.lifecycle import Lifecycle
from gateway.profile.setpoint import Attempt
from gateway.profile.setpoint_value import Refusal
from gateway.profile.setpoint_wire import Write
from gateway.runtime.durable import Durable, Item
from gateway.runtime.message import Message
from gateway.runtime.outlet import WayOut
from gateway.runtime.parcel import Parcel
from gateway.runtime.shadows import Twin, fact_body
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
    Granted,
    Reachable,
    Report,
    Send,
    Superseded,
    WaitUntil,
    WriteFailed,
    Written,
)
from gateway.shadow.events import Write as LetOut
from gateway.shadow.intent import Intent, Outcome, Policy

KEPT_ENDED: Final = 1_000  # results that can still be asked for
_NS: Final = 1_000_000_000

log = logging.getLogger(__name__)


class Bar(NamedTuple):
    """Why nothing may be written now."""

    code: str
    message: str


class Running:
    """One command that has no result on the medium yet."""

    __slots__ = ("attempt", "begun_ns", "command", "done", "is_let_out", "name", "seq", "timer", "twin", "version")

    def __init__(self, twin: Twin, name: str, command: Command, seq: int | None, version: int) -> None:
        self.twin = twin
        self.name = name  # of the setpoint
        self.command = command
        self.seq = seq  # of its intent
        self.version = version  # of the shadow that its desired value made
        self.attempt: Attempt | None = None  # the one that an ack may answer
        self.begun_ns = 0  # when its last attempt had the bus
        self.is_let_out = False
        self.timer: asyncio.TimerHandle | None = None
        self.done: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()

    @property
    def policy(self) -> Policy:
        """Return what the profile says of its setpoint."""
        return self.twin.policies[self.name]


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
        on_up: Callable[[Twin], None],
        on_ended: Callable[[Intent, Outcome, int | None], None],
    ) -> None:
        """Take how a device's wire is found while it is open, what may forbid an attempt, and who hears of what.

        `on_written` is told for how long an attempt held the bus, in nanoseconds.
        """
        self.open: dict[str, Running] = {}  # by the route of the setpoint
        self.by_id: dict[str, Running] = {}
        self.ended: dict[str, dict[str, Any]] = {}  # by id, as `set --json` tells it; the last KEPT_ENDED
        self._clock = clock
        self._durable = durable
        self._way_out = way_out
        self._bars = bars
        self._on_written = on_written
        self._on_up = on_up
        self._on_ended = on_ended
        self._group: asyncio.TaskGroup | None = None
        self.is_ready = asyncio.Event()  # commands can be begun
        self._by_message: dict[Message, list[tuple[Twin, str]]] = {}  # who hears of it: setpoints that report or ack

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
                    _stop_timer(running)

    # ---- devices

    def attach(self, twin: Twin) -> None:
        """Listen to a device with setpoints."""
        for name, setpoint in twin.setpoints.items():
            by = {setpoint.reported_by[0] if setpoint.reported_by else None, setpoint.acked_by} - {None}
            for key in by:
                message = twin.device.messages[key or ""]
                self._by_message.setdefault(message, []).append((twin, name))
                message.heard = partial(self._heard, message)
        twin.device.listeners.append(partial(self._changed, twin))

    def _changed(self, twin: Twin, before: Lifecycle, event: Change) -> None:
        if before.state == twin.device.lifecycle.state:
            return
        if twin.changed(before, event):
            self._on_up(twin)
        for running in list(self.open.values()):
            if running.twin is twin:
                self.feed(running, Reachable(twin.is_up))

    def _heard(self, message: Message, rows: list[Row], items: list[bytes], parcel: Parcel) -> None:
        """Take the rows of one message that was just heard."""
        for twin, name in self._by_message[message]:
            setpoint, running = twin.setpoints[name], self.open.get(twin.route(name))
            if setpoint.reported_by is not None and setpoint.reported_by[0] == message.name:
                self._reported(twin, name, running, message, rows)
            if setpoint.acked_by == message.name and running is not None:
                self._acked(running, items, parcel.received_ns)

    def _reported(self, twin: Twin, name: str, running: Running | None, message: Message, rows: list[Row]) -> None:
        """Give every report to the command that is open, and the last one to the shadow."""
        for row in rows if running is not None else ():
            assert running is not None
            fact = twin.reported(name, message, row)
            if fact is not None:
                self.feed(running, Report(fact.value, message.received_ns))
        fact = twin.reported(name, message, rows[-1])
        if fact is not None:
            is_open = running is not None and running.command.is_open
            twin.shadow = twin.shadow.report(name, fact, twin.rules[name].tolerance, is_open=is_open)

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
        route = twin.route(name)
        before = self.open.pop(route, None)
        reported = twin.shadow.of(name).reported
        old = reported.value if reported is not None and reported.boot == twin.boot else None
        policy, now_ns = twin.policies[name], self._clock.monotonic_ns()
        command, actions = begin(intent, policy, now_ns, made_ns=made_ns, old=old, is_up=twin.is_up)
        running = self._take(Running(twin, name, command, seq, version))
        if before is not None:
            self.feed(before, Superseded())
        self._act(running, actions)
        return running

    def resume(self, twin: Twin, name: str, command: Command, actions: tuple[Action, ...], *, seq: int) -> Running:
        """Go on with a command that the ledger knows to be open."""
        before = self.open.pop(twin.route(name), None)
        running = self._take(Running(twin, name, command, seq, twin.shadow.of(name).version))
        if before is not None:
            self.feed(before, Superseded())
        self._act(running, actions)
        return running

    def lose(self, intent: Intent, seq: int) -> None:
        """End a command of an earlier run whose setpoint is gone: nobody can tell any more what became of it."""
        body = {"id": intent.id, "route": intent.route, "outcome": "unknown", "reason": "no_setpoint"}
        self._spawn(self._keep([("command_result", intent.route, body, "command", seq)]), f"{intent.route}/record")

    def _take(self, running: Running) -> Running:
        self.open[running.twin.route(running.name)] = running
        self.by_id[running.command.intent.id] = running
        return running

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
        _stop_timer(running)
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
        outlet = self._way_out(running.twin.device.name)
        if outlet is None:
            self.feed(running, WriteFailed(attempt, "the port is not open for writing", may_have_sent=False))
            return
        result = await outlet.write(running.twin.device, attempt, partial(self._let_out, running, attempt))
        if result is None:
            return
        if isinstance(result, Written) and running.attempt is not None:
            now_ns = self._clock.monotonic_ns()
            running.twin.setpoints.written(running.attempt, now_ns)
            self._note(running, attempt)
            self._on_written(running, now_ns - running.begun_ns)
        self.feed(running, result)

    def _let_out(self, running: Running, attempt: int) -> Write | None:
        """The wire is ours: return what is to be written, if it still is."""
        if not running.command.is_open:
            return None
        twin = running.twin
        built = self._bars(running) or twin.setpoints.attempt(running.name, running.command.intent.value, twin.latest)
        if isinstance(built, Bar | Refusal):
            self.feed(running, Barred(built.code, built.message))
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
        """Let the ledger know that bytes went out; nobody waits for it."""
        intent = running.command.intent
        item: Item = ("command_sent", intent.route, {"id": intent.id, "attempt": attempt}, "command", running.seq)
        self._spawn(self._keep([item]), f"{intent.route}/note")

    async def _keep(self, items: list[Item]) -> list[int | None]:
        try:
            return await self._durable.append(items)
        except LedgerError as error:
            log.warning("not recorded: %s of %s: %s", items[0][0], items[0][1], error)
            return [None] * len(items)

    def _finish(self, running: Running, finish: Finish) -> None:
        """One outcome: into the shadow now, on the medium next, and then to who waits."""
        _stop_timer(running)
        twin, route = running.twin, twin_route(running)
        if self.open.get(route) is running:
            del self.open[route]
        if finish.effective is not None:
            twin.shadow = twin.shadow.settle(running.name, running.version, self._fact(running, finish.effective))
        self._spawn(self._record(running, finish), f"{route}/record")

    def _fact(self, running: Running, value: Any) -> Fact:
        return Fact(
            value, running.twin.boot, running.seq or 0, self._clock.wall_ns(), mono_ns=self._clock.monotonic_ns(),
            version=running.version,
        )  # fmt: skip

    async def _record(self, running: Running, finish: Finish) -> None:
        intent = running.command.intent
        items: list[Item] = [
            ("command_result", intent.route, running.command.result(), "command", running.seq),
        ]
        if finish.effective is not None:
            body = fact_body(self._fact(running, finish.effective), intent.id)
            items.append(("effective", intent.route, body, "command", running.seq))
        receipt = (await self._keep(items))[0]
        answer = self.answer(running, receipt)
        self.by_id.pop(intent.id, None)
        self.ended[intent.id] = answer
        while len(self.ended) > KEPT_ENDED:
            del self.ended[next(iter(self.ended))]
        assert finish.outcome is not None
        self._on_ended(intent, finish.outcome, receipt)
        running.done.set_result(answer)

    def answer(self, running: Running, receipt: int | None = None) -> dict[str, Any]:
        """Return what `set --json` tells of a command, ended or not."""
        command, twin = running.command, running.twin
        intent, finish = command.intent, command.finish
        reported = twin.shadow.of(running.name).reported
        return {
            "id": intent.id,
            "route": intent.route,
            "outcome": None if finish is None else str(finish.outcome),
            "reason": (finish.reason or None) if finish is not None else None,
            "desired": intent.value,
            "reported": finish.reported if finish is not None else (reported.value if reported is not None else None),
            "effective": finish.effective if finish is not None else None,
            "clamped": finish.clamped if finish is not None else False,
            "coherence": twin.coherence(running.name, is_open=twin.route(running.name) in self.open),
            "attempts": command.attempt,
            "receipt": receipt,
            "key": intent.key,
            "detail": (finish.detail or None) if finish is not None else None,
        }

    def listing(self) -> list[dict[str, Any]]:
        """Return the list of `commands --json`, ended ones first, as they ended."""
        open_ones = [self.answer(running) for running in self.by_id.values() if running.command.is_open]
        return [
            {"id": told["id"], "route": told["route"], "value": told["desired"]}
            | {key: told[key] for key in ("key", "outcome", "receipt")}
            for told in [*self.ended.values(), *open_ones]
        ]

    def open_of(self, twin: Twin) -> list[str]:
        """Return the setpoints of a device with a command under way."""
        return [running.name for running in self.open.values() if running.twin is twin]


def twin_route(running: Running) -> str:
    """Return the route of a command's setpoint."""
    return running.twin.route(running.name)


def _stop_timer(running: Running) -> None:
    if running.timer is not None:
        running.timer.cancel()
        running.timer = None
