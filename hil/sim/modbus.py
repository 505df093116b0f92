"""Modbus RTU devices on one simulated wire: each answers the reads of its profile with values that a test sets.

Their registers are encoded by the profile that decodes them; a read that no message of the profile asks for is refused
as a real meter refuses it. What is written is read back from the same registers, unless `behaviour.py` says otherwise;
the answer to a write is its ack. Pure but for the cable: bytes come in, bytes go out.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any, Final

from gateway.framing.modbus import ModbusRtuFramer
from gateway.framing.modbus_pdu import Question, question_in, sealed
from gateway.profile.build import CompiledProfile
from hil.sim.behaviour import GOOD, Behaviour
from hil.sim.modbus_registers import ILLEGAL_ADDRESS, Registers
from hil.sim.modbus_write import Write, write_in
from hil.sim.obedience import Answers
from hil.sim.pty import Cable

BOOT_S: Final = 0.2
HEARD: Final = 65536  # questions and writes that are remembered


class ModbusSlave:
    """One device with its unit address. `is_silent`: it hears and says nothing."""

    def __init__(self, profile: CompiledProfile, values: dict[str, dict[str, Any]]) -> None:
        """Take the profile with its unit, and the values of each message that can be read."""
        unit = profile.profile.unit
        self.unit = 1 if unit is None else unit
        self.values = values
        self.is_silent = False
        self.exception = 0  # answered to everything, where not 0
        self.asked: deque[Question] = deque(maxlen=HEARD)
        self.written: deque[Write] = deque(maxlen=HEARD)  # obeyed or not
        self.behaviour = GOOD
        self._registers = Registers(profile, self.unit, values)
        self._answers: Answers[bytes] = Answers()
        self._boot_s = -math.inf  # it says and hears nothing before

    def behave(self, behaviour: Behaviour) -> None:
        """Treat writes so from now on. Raises: ValueError: it has no condition."""
        self.behaviour = behaviour.known_to(())

    def restart(self, now_s: float) -> None:
        """Begin anew after `BOOT_S`, with the values of the beginning."""
        self._registers.restart()
        self._answers.forget()
        self._boot_s = now_s + BOOT_S

    def answer(self, question: Question, now_s: float = 0.0) -> bytes:
        """Return the whole frame that answers a read, b"" for silence."""
        self.asked.append(question)
        if self.is_silent or now_s < self._boot_s:
            return b""
        body = None if self.exception else self._registers.read(question, self.behaviour, now_s)
        if body is None:
            return self._refusal(question.function, self.exception or ILLEGAL_ADDRESS)
        return sealed(bytes([self.unit, question.function, len(body)]) + body)

    def take(self, write: Write, now_s: float = 0.0) -> list[bytes]:
        """Carry out a write; return the frame that answers it, where it is prompt."""
        self.written.append(write)
        if self.is_silent or self.behaviour.ignores or now_s < self._boot_s:
            return []
        if self.behaviour.restarts:
            self.restart(now_s)
            return []
        code = self.exception or self._registers.write(write, self.behaviour, now_s)
        answer = self._refusal(write.function, code) if code else sealed(write.head)
        return self._answers.give(answer, self.behaviour, now_s)

    def due(self, now_s: float) -> list[bytes]:
        """Return the late answers whose time has come."""
        return self._answers.due(now_s)

    def value(self, message: str, field: str, now_s: float) -> Any:
        """Return what is true of a field, which is not always what is told."""
        return self._registers.value(message, field, self.behaviour, now_s)

    def _refusal(self, function: int, code: int) -> bytes:
        return sealed(bytes([self.unit, function | 0x80, code]))


class ModbusWire:
    """Several slaves on one cable."""

    def __init__(self, cable: Cable, slaves: list[ModbusSlave]) -> None:
        self.cable = cable
        self.slaves = slaves
        self._framer = ModbusRtuFramer()

    def step(self, now_s: float = 0.0) -> None:
        """Answer what the master has asked since the last step, and what is due by now.

        Slaves that behave well need no time.
        """
        for body in self._framer.feed(self.cable.receive()):
            if isinstance(body, bytes):
                self._serve(body, now_s)
        for slave in self.slaves:
            for answer in slave.due(now_s):
                self.cable.send(answer)

    def _serve(self, body: bytes, now_s: float) -> None:
        for slave in self.slaves:
            if slave.unit != body[0]:
                continue
            if (write := write_in(body)) is not None:
                answers = slave.take(write, now_s)
            else:
                question = question_in(sealed(body))
                answers = [slave.answer(question, now_s)] if isinstance(question, Question) else []
            for answer in answers:
                self.cable.send(answer)
