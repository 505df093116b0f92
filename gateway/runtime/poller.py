"""Layer 6: connects the devices of one wire and asks them, one question at a time.

A device with connect steps is CONNECTED when they have succeeded; until then it is asked nothing else, and its steps
are tried again with the profile's `reconnect` backoff. Under the wire's lock a request is written and its answer
awaited. When what is asked is decided in `polls`, what it looks like on the wire in `asking`, whose answer a frame is
in `hearing`. Ports are opened and read elsewhere.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import takewhile
from typing import Final

from gateway.clock import Clock
from gateway.errors import PortOptionError, PortRefusedError, PortTimeoutError
from gateway.framing.base import Framer
from gateway.framing.modbus_pdu import Question
from gateway.lifecycle import Event, State
from gateway.notation import duration_ns
from gateway.port import Port, Sample, SamplingPort
from gateway.profile.model import ConnectStep
from gateway.runtime.asking import WRITE, Speech, Target, send
from gateway.runtime.backoff import Backoff, bounds_s
from gateway.runtime.device import Device
from gateway.runtime.hearing import Hearing, Outcome, Verdict
from gateway.runtime.isotp import IsoTpLink
from gateway.runtime.polls import NS, Ask, PollPlan
from gateway.schema.identity import identity_fault

BITS_PER_CHARACTER: Final = 11  # start, eight bits, parity or second stop, stop
_FOREVER_S: Final = 3600.0


class _Connecting:
    """Where the connect steps of one device stand."""

    def __init__(self, device: Device, rand: Callable[[], float], now_ns: int) -> None:
        self.steps = device.profile.profile.lifecycle.connect
        is_due = self.steps and device.lifecycle.state is not State.CONNECTED
        self.due_ns: int | None = now_ns if is_due else None  # None: connected, or nothing to do
        self.is_doubted = False  # connected, and to show once more that it is the right device
        self.backoff = Backoff(*bounds_s(device.profile.profile.lifecycle.reconnect), rand)

    def next_steps(self) -> list[ConnectStep]:
        """Return what to do now: all steps, or the first questions only, which change nothing."""
        return list(takewhile(lambda step: step.ask is not None, self.steps)) if self.is_doubted else self.steps


class _StepError(Exception):
    """A connect step failed; the text says which and why."""


class Poller:
    """One wire's questions. Made anew for every open."""

    def __init__(
        self,
        devices: Sequence[Device],
        framer: Framer,
        lock: asyncio.Lock,
        clock: Clock,
        *,
        baud: int | None = None,
        gap_s: float = 0.0,
        links: Mapping[str, IsoTpLink] | None = None,
        on_shown: Mapping[str, Callable[[], None]] | None = None,
        rand: Callable[[], float] = random.random,
    ) -> None:
        """Take the devices of one wire with its framing and lock.

        `baud`: of a serial line; `gap_s`: silence owed before a Modbus request; `links`: our side of ISO-TP, by device;
        `on_shown`: by device, called when it has shown that it is the right one.
        """
        self._devices = devices
        self._lock = lock
        self._clock = clock
        self._wake = asyncio.Event()
        self._plan: PollPlan | None = None  # while it runs
        self._on_shown = on_shown or {}
        character_s = BITS_PER_CHARACTER / baud if baud else 0.0
        self._speeches: dict[str, Speech] = {}
        self._targets: dict[tuple[str, str], Target] = {}
        self._connecting: dict[str, _Connecting] = {}
        units: dict[int, Device] = {}
        for device in devices:
            speech = Speech(device, framer, (links or {}).get(device.name), character_s=character_s)
            self._speeches[device.name] = speech
            self._connecting[device.name] = _Connecting(device, rand, clock.monotonic_ns())
            units.setdefault(speech.unit if speech.is_modbus else len(units), device)
            self._targets |= {(device.name, name): target for name, target in speech.targets().items()}
        is_modbus = any(speech.is_modbus for speech in self._speeches.values())
        self._gap_s = gap_s if is_modbus else 0.0
        self._hearing = Hearing(units, is_modbus=is_modbus)

    @property
    def sets_up(self) -> Collection[Device]:
        """The devices with connect steps: this says when they are connected."""
        return [device for device in self._devices if self._connecting[device.name].steps]

    def hear(self, body: bytes, received_ns: int) -> Verdict | None:
        """Return what a frame of a stream is; None: nothing that was asked for."""
        return self._hearing.hear(body, received_ns)

    def saw(self, device: Device, names: Sequence[str], bodies: Sequence[bytes]) -> None:
        """Take what messages of one device came on a packet port."""
        self._hearing.saw(device, names, bodies)

    def doubt(self, device: Device) -> None:
        """Let a connected device show once more that it is there: what it says looks like a line that is stuck."""
        connecting = self._connecting[device.name]
        if connecting.steps and connecting.due_ns is None:
            connecting.is_doubted = True
            connecting.due_ns = self._clock.monotonic_ns()
            self._wake.set()

    def lead(self, device: Device) -> None:
        """Ask a device again, or nothing more, as it is wanted."""
        connecting = self._connecting[device.name]
        if not device.is_wanted:
            connecting.due_ns = None
            if self._plan is not None:
                self._plan.hold(device.name)
        elif connecting.steps:
            connecting.due_ns, connecting.is_doubted = self._clock.monotonic_ns(), False
        elif self._plan is not None:
            self._plan.release(device.name, self._clock.monotonic_ns())
        self._wake.set()

    async def write(self, port: Port, device: Device, question: Question, frame: bytes) -> Outcome:
        """Write registers or coils, return the unit's answer; the caller holds the wire's lock. Raises: PortError."""
        return await self._transact(port, self._speeches[device.name].writing(question, frame))

    async def run(self, port: Port) -> None:
        """Connect and ask until cancelled or the port fails, whose error comes out."""
        samples = isinstance(port, SamplingPort)
        plan = PollPlan(
            [target.poll for target in self._targets.values() if _is_polled(target, samples=samples)],
            self._clock.monotonic_ns(),
            [device.name for device in self._devices],
        )
        self._plan = plan
        for device in self._devices:
            if self._connecting[device.name].due_ns is not None or not device.is_wanted:
                plan.hold(device.name)
            else:
                self._sample(port, device)
            if not device.is_wanted:
                self._connecting[device.name].due_ns = None
        while True:
            if (due := self._due_to_connect()) is not None:
                await self._connect(port, due, plan)
                continue
            step = plan.next(self._clock.monotonic_ns())
            if not isinstance(step, Ask):
                await self._pause(step.until_ns)
                continue
            target = self._targets[step.poll.device, step.poll.message]
            connecting = self._connecting[step.poll.device]
            if plan.failures(step.poll.device) and connecting.steps:
                await self._connect(port, target.device, plan)  # it may have lost its power, and what it was told
                if connecting.due_ns is not None:
                    continue
            async with self._lock:
                outcome = await self._transact(port, target)
            self._settle(plan, target, outcome)

    # ---- connecting

    def _due_to_connect(self) -> Device | None:
        now_ns = self._clock.monotonic_ns()
        for device in self._devices:
            due_ns = self._connecting[device.name].due_ns
            if due_ns is not None and due_ns <= now_ns:
                return device
        return None

    async def _connect(self, port: Port, device: Device, plan: PollPlan) -> None:
        """Run the connect steps of one device; it is CONNECTED afterwards, or held until the next attempt."""
        connecting = self._connecting[device.name]
        is_new = device.lifecycle.state is not State.CONNECTED
        if is_new and device.lifecycle.state is not State.CONNECTING:  # else whoever opened the port has told it
            device.tell(Event.ATTEMPT, port.name)
        try:
            for number, step in enumerate(connecting.next_steps(), 1):
                await self._step(port, device, number, step)
        except (_StepError, PortRefusedError, PortTimeoutError, PortOptionError, ValueError) as error:
            self._failed(port, device, plan, str(error))
            return
        connecting.due_ns, connecting.is_doubted = None, False
        connecting.backoff.reset()
        if device.name in self._on_shown:
            self._on_shown[device.name]()
        if is_new:
            device.tell(Event.OPENED, port.name)
            plan.release(device.name, self._clock.monotonic_ns())
            self._sample(port, device)

    async def _step(self, port: Port, device: Device, number: int, step: ConnectStep) -> None:
        """Do one connect step. Raises: _StepError, PortError."""
        if step.wait is not None:
            await asyncio.sleep(duration_ns(step.wait) / NS)
        elif step.ask is not None:
            target = self._targets.get((device.name, step.ask))
            if target is None:
                raise _StepError(f"connect step {number}: message {step.ask!r} cannot be asked for on this bus")
            await self._question(port, f"connect step {number}, ask {step.ask!r}", target)
        else:
            planned = self._speeches[device.name].step(step)
            if isinstance(planned, Target):
                await self._question(port, f"connect step {number}, write", planned)
            else:
                async with self._lock:
                    await send(port, planned, asks=False)

    async def _question(self, port: Port, what: str, target: Target) -> None:
        """Ask what a step asks, as often as its message says. Raises: _StepError."""
        outcome = Outcome("silent")
        for _ in range(target.poll.attempts):
            async with self._lock:
                outcome = await self._transact(port, target)
            if outcome.kind != "silent":
                break
        target.device.polls.settle(target.poll.message or "write", outcome.kind, outcome.reason)
        fault = outcome.reason if outcome.kind != "answered" else ""
        if not fault and target.poll.message != WRITE:
            plan = target.device.profile.messages[target.poll.message]
            fault = identity_fault(target.spec, plan, outcome.body) or ""
        if fault:
            raise _StepError(f"{what}: {fault}")

    def _failed(self, port: Port, device: Device, plan: PollPlan, reason: str) -> None:
        connecting = self._connecting[device.name]
        connecting.due_ns = self._clock.monotonic_ns() + int(connecting.backoff.delay_s() * NS)
        connecting.is_doubted = False
        plan.hold(device.name)
        if isinstance(port, SamplingPort):
            port.sample(())
        event = Event.LOST if device.lifecycle.state is State.CONNECTED else Event.REFUSED
        device.tell(event, port.name, reason)

    # ---- asking

    def _sample(self, port: Port, device: Device) -> None:
        """Let a port that keeps time itself repeat what is due again and again."""
        if isinstance(port, SamplingPort):
            mine = [target for target in self._targets.values() if target.device is device and target.poll.every_ns]
            port.sample([Sample(target.request.data, target.poll.every_ns or NS) for target in mine])

    async def _transact(self, port: Port, target: Target) -> Outcome:
        await asyncio.sleep(self._seconds_until(self._hearing.heard_ns + int(self._gap_s * NS)))
        answer = self._hearing.ask(target)
        target.device.polls.asked += 1
        try:
            async with asyncio.timeout(target.timeout_s):
                await send(port, target.request, asks=True)
                return await answer
        except PortRefusedError as error:
            return Outcome("refused", error.cause)
        except PortTimeoutError:
            return Outcome("silent", "the wire did not take the request")
        except TimeoutError:
            self._hearing.owe(target, self._clock.monotonic_ns())
            return Outcome("silent", "no answer")
        finally:
            self._hearing.close()

    def _settle(self, plan: PollPlan, target: Target, outcome: Outcome) -> None:
        now_ns = self._clock.monotonic_ns()
        counts = target.device.polls
        decide = {"answered": plan.answered, "refused": plan.refused, "silent": plan.silent}
        decide[outcome.kind](target.poll, now_ns)
        counts.settle(target.poll.message, outcome.kind, outcome.reason)
        counts.failures = plan.failures(target.poll.device)

    async def _pause(self, until_ns: int | None) -> None:
        """Wait until something is due, or somebody doubts."""
        waits = [each.due_ns for each in self._connecting.values() if each.due_ns is not None]
        soonest = min(waits if until_ns is None else [*waits, until_ns], default=None)
        self._wake.clear()
        try:
            async with asyncio.timeout(self._seconds_until(soonest)):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _seconds_until(self, at_ns: int | None) -> float:
        return _FOREVER_S if at_ns is None else max(0.0, (at_ns - self._clock.monotonic_ns()) / NS)


def _is_polled(target: Target, *, samples: bool) -> bool:
    """Return whether a message is asked for in turns: by a duration where the port keeps no time itself, or once."""
    every = target.spec.every
    if every == "never":
        return False
    if every == "connect":
        return all(step.ask != target.poll.message for step in target.device.profile.profile.lifecycle.connect)
    return not samples
