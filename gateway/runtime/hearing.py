"""Layer 6: whose answer a frame is on a wire where one question is open at a time. Decisions only, no waiting.

An answer on a stream is what fits the open question (Modbus: unit, function and size; else `when`). Late answers, wrong
units and echoes are counted and never become values. A Modbus answer does not say which registers it holds: while an
unanswered request to the same unit may still be answered, what would fit that one too is taken for late; a unit answers
in the order it was asked, as a wire with one master does. Where frames name themselves (CAN ids, GATT characteristics,
SPI transfers) a late answer is as good as any.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from gateway.framing.modbus_pdu import Question, answer_in, sealed
from gateway.runtime.asking import WRITE, Target
from gateway.runtime.device import Device
from gateway.runtime.polls import NS
from gateway.schema.asked import AskedMatcher, build_asked_matcher
from gateway.schema.match import tests_of
from gateway.schema.spec import MessageSpec

OWED_NS: Final = 10 * NS  # for so long an answer may still come


class Verdict(NamedTuple):
    """What a frame on a polled stream is: an answer, or with `message` None something that must not become a value."""

    device: Device | None
    message: str | None
    body: bytes


class Outcome(NamedTuple):
    """What came of one question."""

    kind: str  # "answered", "silent", "refused"
    reason: str = ""
    body: bytes = b""


class Hearing:
    """The open question of one wire, and those that may still be answered late."""

    def __init__(self, devices: Mapping[int, Device], *, is_modbus: bool) -> None:
        """Take the devices by unit address."""
        self.heard_ns = 0  # monotonic, when the wire last spoke
        self._units = devices
        self._is_modbus = is_modbus
        self._open: tuple[Target, asyncio.Future[Outcome]] | None = None
        self._owed: list[tuple[Target, int]] = []  # timed out, and until when an answer to it is late; oldest first
        self._matchers: dict[str, AskedMatcher] = {
            device.name: build_asked_matcher(device.profile.profile.message) for device in devices.values()
        }

    def ask(self, target: Target) -> asyncio.Future[Outcome]:
        """Open a question; its outcome is the future's. `close` it in any case."""
        answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._open = target, answer
        return answer

    def close(self) -> None:
        """The question is open no more."""
        self._open = None

    def owe(self, target: Target, now_ns: int) -> None:
        """No answer came in time: one that comes now is late."""
        self._owed = [owed for owed in self._owed if owed[1] > now_ns]
        span_ns = OWED_NS if self._is_modbus else min(OWED_NS, 4 * target.poll.timeout_ns)
        self._owed.append((target, now_ns + span_ns))

    def hear(self, body: bytes, received_ns: int) -> Verdict | None:
        """Return what a frame is; None: nothing that was asked for, a message may match it as on any other wire."""
        self.heard_ns = received_ns
        return self._hear_modbus(body, received_ns) if self._is_modbus else self._hear_raw(body, received_ns)

    def saw(self, device: Device, names: Sequence[str], bodies: Sequence[bytes]) -> None:
        """Take what messages came on a packet port: one of them may be the answer that is awaited."""
        if self._open is None:
            return
        target, answer = self._open
        if target.device is device and not answer.done() and target.poll.message in names:
            answer.set_result(Outcome("answered", "", bodies[names.index(target.poll.message)]))

    def _hear_modbus(self, body: bytes, received_ns: int) -> Verdict:
        owner = self._units.get(body[0])
        if self._open is None or self._open[1].done():
            self._pays(body, received_ns, None)
            return self._stray(owner)
        target, answer = self._open
        assert target.question is not None
        if body == target.request.data[:-2] and target.poll.message != WRITE:  # a transceiver that hears itself
            return Verdict(None, None, body)
        found = answer_in(sealed(body), target.question)
        if isinstance(found, bytes):
            if self._pays(body, received_ns, target.question):
                return self._stray(owner)
            if target.poll.message == WRITE:
                answer.set_result(Outcome("answered", "", found))
                return Verdict(None, None, body)
            name = self._matchers[target.device.name](target.question, found)
            answer.set_result(Outcome("answered", "", found) if name else Outcome("refused", "not as `when` says"))
            return Verdict(target.device, name, found)
        if found.startswith("exception"):
            answer.set_result(Outcome("refused", found))
            return Verdict(target.device, None, body)
        self._pays(body, received_ns, target.question)
        return self._stray(owner)

    def _pays(self, body: bytes, received_ns: int, asked: Question | None) -> bool:
        """Return whether a frame may answer an earlier request for something else than `asked`.

        Then the oldest request that it may answer is owed no more, even one for the same: a unit answers in order, so
        whichever was answered, none before it still will be.
        """
        fitting: list[int] = []
        for place, (target, until_ns) in enumerate(self._owed):
            question = target.question
            if (
                question is not None
                and received_ns <= until_ns
                and isinstance(answer_in(sealed(body), question), bytes)
            ):
                fitting.append(place)
        if all(self._owed[place][0].question == asked for place in fitting):
            return False
        del self._owed[fitting[0]]
        return True

    def _hear_raw(self, body: bytes, received_ns: int) -> Verdict | None:
        if self._open is not None and not self._open[1].done():
            target, answer = self._open
            if _fits(target.spec, body):
                answer.set_result(Outcome("answered", "", body))
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


def _fits(spec: MessageSpec, body: bytes) -> bool:
    return all(test(body, None) for test in tests_of(spec))


def rest_ns(questions: Sequence[Question | None], timeouts_ns: Sequence[int]) -> int:
    """Return for how long a device that answers none of these is left alone, so that its next answer is beyond doubt.

    Where one answer could be another's, until no earlier one can be on its way.
    """
    shapes = [(each.function, each.answer_bytes) for each in questions if each is not None]
    is_ambiguous = len(set(shapes)) < len(shapes)
    return max([*timeouts_ns, OWED_NS * is_ambiguous])
