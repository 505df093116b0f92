"""Layer 6: asks the devices of one wire, one question at a time, and tells answers from everything else.

Under the wire's lock a request is written and its answer awaited; what is asked when is decided in `polls`. An answer
is what fits the open question (Modbus: unit, function and size; else `when`). Late answers, wrong units and echoes are
counted and never become values. A Modbus answer does not say which registers it holds: while an unanswered request to
the same unit may still be answered, what would fit that one too is taken for late; a unit answers in the order it was
asked, as a wire with one master does. Ports are opened and read elsewhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from gateway.clock import Clock
from gateway.errors import PortOptionError, PortTimeoutError
from gateway.framing.base import Framer
from gateway.framing.modbus_pdu import Question, answer_in, request_of, sealed
from gateway.framing.spec import ModbusRtu
from gateway.notation import duration_ns
from gateway.port import Port
from gateway.profile.model import ConnectStep
from gateway.runtime.device import Device
from gateway.runtime.polls import NS, Ask, Poll, PollPlan
from gateway.schema.asked import AskedMatcher, build_asked_matcher, question_of
from gateway.schema.match import tests_of
from gateway.schema.spec import AskSpec, MessageSpec

DEFAULT_UNIT: Final = 1  # of a profile without parameter `unit`
OWED_NS: Final = 10 * NS  # for so long an answer may still come
_FOREVER_S: Final = 3600.0


class Verdict(NamedTuple):
    """What a frame on a polled wire is: an answer, or with `message` None something that must not become a value."""

    device: Device | None
    message: str | None
    body: bytes


class _Target(NamedTuple):
    """One poll with what goes over the wire for it."""

    poll: Poll
    device: Device
    spec: MessageSpec
    question: Question | None  # Modbus only
    request: bytes
    timeout_s: float


class _Outcome(NamedTuple):
    kind: str  # "answered", "silent", "refused"
    reason: str = ""


_ANSWERED: Final = _Outcome("answered")


class Poller:
    """One wire's questions. Made anew for every open."""

    def __init__(
        self, devices: Sequence[Device], framer: Framer, lock: asyncio.Lock, clock: Clock, *, baud: int, gap_s: float
    ) -> None:
        """Take the devices of one wire with its framing and lock; `gap_s`: silence owed before a Modbus request."""
        self._devices = devices
        self._framer = framer
        self._lock = lock
        self._clock = clock
        self._is_modbus = isinstance(devices[0].profile.profile.framing, ModbusRtu)
        self._character_s = 11 / baud  # start, eight bits, parity or second stop, stop
        self._gap_s = gap_s if self._is_modbus else 0.0
        self._heard_ns = 0
        self._open: tuple[_Target, asyncio.Future[_Outcome]] | None = None
        self._owed: list[tuple[_Target, int]] = []  # timed out, and until when an answer to it is late; oldest first
        self._units: dict[int, Device] = {}
        self._matchers: dict[str, AskedMatcher] = {}
        self._targets: dict[Poll, _Target] = {}
        for device in devices:
            profile = device.profile.profile
            self._units.setdefault(_unit(device), device)
            self._matchers[device.name] = build_asked_matcher(profile.message)
            for target in self._targets_of(device):
                self._targets[target.poll] = target

    # ---- asking

    async def run(self, port: Port) -> None:
        """Ask until cancelled or the port fails, whose error comes out."""
        for device in self._devices:
            await self._prepare(port, device)
        plan = PollPlan(self._targets, self._clock.monotonic_ns())
        while True:
            step = plan.next(self._clock.monotonic_ns())
            if not isinstance(step, Ask):
                await asyncio.sleep(self._seconds_until(step.until_ns))
                continue
            target = self._targets[step.poll]
            if plan.failures(step.poll.device):
                await self._prepare(port, target.device)  # it may have lost its power, and with it what it was told
            async with self._lock:
                outcome = await self._transact(port, target)
            self._settle(plan, target, outcome)

    async def _prepare(self, port: Port, device: Device) -> None:
        """Run the connect steps of a device that only speak; what they ask for is among the polls."""
        for step in device.profile.profile.lifecycle.connect:
            if step.wait is not None:
                await asyncio.sleep(duration_ns(step.wait) / NS)
            elif step.send is not None:
                async with self._lock:
                    await port.write(self._wire(step))
            elif step.ask is None:
                raise PortOptionError(port.name, f"{device.name}: a serial port has no connect step 'write' or 'set'")

    async def _transact(self, port: Port, target: _Target) -> _Outcome:
        await asyncio.sleep(self._seconds_until(self._heard_ns + int(self._gap_s * NS)))
        answer: asyncio.Future[_Outcome] = asyncio.get_running_loop().create_future()
        self._open = target, answer
        target.device.polls.asked += 1
        try:
            await port.write(target.request)
            async with asyncio.timeout(target.timeout_s):
                return await answer
        except PortTimeoutError:
            return _Outcome("silent", "the wire did not take the request")
        except TimeoutError:
            now_ns = self._clock.monotonic_ns()
            self._owed = [owed for owed in self._owed if owed[1] > now_ns]
            span_ns = OWED_NS if self._is_modbus else min(OWED_NS, 4 * target.poll.timeout_ns)
            self._owed.append((target, now_ns + span_ns))
            return _Outcome("silent", "no answer")
        finally:
            self._open = None

    def _settle(self, plan: PollPlan, target: _Target, outcome: _Outcome) -> None:
        now_ns = self._clock.monotonic_ns()
        counts = target.device.polls
        decide: dict[str, Callable[[Poll, int], None]] = {
            "answered": plan.answered,
            "refused": plan.refused,
            "silent": plan.silent,
        }
        decide[outcome.kind](target.poll, now_ns)
        counts.settle(target.poll.message, outcome.kind, outcome.reason)
        counts.failures = plan.failures(target.poll.device)

    # ---- hearing

    def hear(self, body: bytes, received_ns: int) -> Verdict | None:
        """Return what a frame is; None: nothing that was asked for, a message may match it as on any other wire."""
        self._heard_ns = received_ns
        return self._hear_modbus(body, received_ns) if self._is_modbus else self._hear_raw(body, received_ns)

    def _hear_modbus(self, body: bytes, received_ns: int) -> Verdict:
        owner = self._units.get(body[0])
        if self._open is None or self._open[1].done():
            self._pays(body, received_ns, None)
            return self._stray(owner)
        target, answer = self._open
        assert target.question is not None
        if body == target.request[:-2]:  # a transceiver that hears itself
            return Verdict(None, None, body)
        found = answer_in(sealed(body), target.question)
        if isinstance(found, bytes):
            if self._pays(body, received_ns, target.question):
                return self._stray(owner)
            name = self._matchers[target.device.name](target.question, found)
            answer.set_result(_ANSWERED if name is not None else _Outcome("refused", "not as `when` says"))
            return Verdict(target.device, name, found)
        if found.startswith("exception"):
            answer.set_result(_Outcome("refused", found))
            return Verdict(target.device, None, body)
        self._pays(body, received_ns, target.question)
        return self._stray(owner)

    def _pays(self, body: bytes, received_ns: int, asked: Question | None) -> bool:
        """Return whether a frame may answer an earlier request, which then is owed no more; `asked` itself aside."""
        for place, (target, until_ns) in enumerate(self._owed):
            question = target.question
            if question is None or question == asked or received_ns > until_ns:
                continue
            if isinstance(answer_in(sealed(body), question), bytes):
                del self._owed[place]
                return True
        return False

    def _hear_raw(self, body: bytes, received_ns: int) -> Verdict | None:
        if self._open is not None and not self._open[1].done():
            target, answer = self._open
            if _fits(target.spec, body):
                answer.set_result(_ANSWERED)
                return Verdict(target.device, target.poll.message, body)
        for place, (target, until_ns) in enumerate(self._owed):
            if received_ns <= until_ns and _fits(target.spec, body):
                del self._owed[place]
                return self._stray(target.device)
        return None

    @staticmethod
    def _stray(owner: Device | None) -> Verdict:
        """A frame of a known unit that answers no open question: an answer to an earlier one."""
        if owner is not None:
            owner.polls.late += 1
        return Verdict(owner, None, b"")

    # ---- what is asked

    def _targets_of(self, device: Device) -> list[_Target]:
        profile = device.profile.profile
        at_connect = {step.ask for step in profile.lifecycle.connect if step.ask is not None}
        found = []
        for name, spec in profile.message.items():
            every = "connect" if name in at_connect and spec.every == "never" else spec.every or "1s"
            if spec.ask is None or spec.direction == "out" or every == "never":
                continue
            question = question_of(spec.ask, _unit(device)) if self._is_modbus else None
            if question is None and spec.ask.send is None:
                continue
            request = request_of(question) if question is not None else self._wire(spec.ask)
            poll = Poll(
                device.name,
                name,
                None if every == "connect" else duration_ns(every),
                duration_ns(spec.timeout),
                spec.attempts,
            )
            on_wire = len(request) + (question.frame_bytes if question is not None else 0)
            timeout_s = poll.timeout_ns / NS + on_wire * self._character_s
            found.append(_Target(poll, device, spec, question, request, timeout_s))
        return found

    def _wire(self, asked: ConnectStep | AskSpec) -> bytes:
        data = bytes.fromhex(asked.send or "")
        return self._framer.encode(data) if asked.framed else data

    def _seconds_until(self, at_ns: int | None) -> float:
        return _FOREVER_S if at_ns is None else max(0.0, (at_ns - self._clock.monotonic_ns()) / NS)


def _unit(device: Device) -> int:
    unit = device.profile.profile.unit
    return DEFAULT_UNIT if unit is None else unit


def _fits(spec: MessageSpec, body: bytes) -> bool:
    return all(test(body, None) for test in tests_of(spec))
