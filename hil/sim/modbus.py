"""Modbus RTU devices on one simulated wire: each answers the reads of its profile with values that a test sets.

Their registers are encoded by the profile that decodes them; a read that no message of the profile asks for is refused
as a real meter refuses it. Pure but for the cable: bytes come in, bytes go out.
"""

from __future__ import annotations

from typing import Any, Final

from gateway.framing.modbus import ModbusRtuFramer
from gateway.framing.modbus_pdu import Question, question_in, sealed
from gateway.profile.build import CompiledProfile
from gateway.schema.asked import question_of
from hil.sim.pty import Cable

ILLEGAL_ADDRESS: Final = 2


class ModbusSlave:
    """One device with its unit address. `is_silent`: it hears and says nothing."""

    def __init__(self, profile: CompiledProfile, values: dict[str, dict[str, Any]]) -> None:
        """Take the profile with its unit, and the values of each message that can be read."""
        unit = profile.profile.unit
        self.unit = 1 if unit is None else unit
        self.values = values
        self.is_silent = False
        self.exception = 0  # answered to everything, where not 0
        self.asked: list[Question] = []
        self._profile = profile

    def answer(self, question: Question) -> bytes:
        """Return the whole frame that answers, b"" for silence."""
        self.asked.append(question)
        if self.is_silent:
            return b""
        body = None if self.exception else self._registers(question)
        if body is None:
            return sealed(bytes([self.unit, question.function | 0x80, self.exception or ILLEGAL_ADDRESS]))
        return sealed(bytes([self.unit, question.function, len(body)]) + body)

    def _registers(self, question: Question) -> bytes | None:
        for name, values in self.values.items():
            ask = self._profile.profile.message[name].ask
            if ask is not None and question_of(ask, self.unit) == question:
                body = self._profile.messages[name].encode(values)
                return body.ljust(question.answer_bytes, b"\0")
        return None


class ModbusWire:
    """Several slaves on one cable."""

    def __init__(self, cable: Cable, slaves: list[ModbusSlave]) -> None:
        self.cable = cable
        self.slaves = slaves
        self._framer = ModbusRtuFramer()

    def step(self) -> None:
        """Answer what the master has asked since the last step."""
        for body in self._framer.feed(self.cable.receive()):
            if not isinstance(body, bytes):
                continue
            question = question_in(sealed(body))
            if isinstance(question, Question):
                for slave in self.slaves:
                    if slave.unit == question.unit:
                        self.cable.send(slave.answer(question))
