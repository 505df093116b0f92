"""The registers and coils of a simulated Modbus device, as the values of its profile's messages. Pure."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from gateway.errors import EncodeError
from gateway.framing.modbus_pdu import Question
from gateway.profile.build import CompiledProfile
from gateway.schema.asked import question_of
from gateway.schema.plan import Refused, values_of
from hil.sim.behaviour import Behaviour
from hil.sim.modbus_write import Write
from hil.sim.obedience import Actuator, Echo

ILLEGAL_ADDRESS: Final = 2
ILLEGAL_VALUE: Final = 3
DEVICE_FAILURE: Final = 4


class Registers:
    """What can be read, and written where it is read back from. `values`: by message and field, for a test to set."""

    def __init__(self, profile: CompiledProfile, unit: int, values: dict[str, dict[str, Any]]) -> None:
        self.values = values
        self._profile = profile
        self._unit = unit
        self._first = copy.deepcopy(values)
        self._told: defaultdict[str, dict[str, Any]] = defaultdict(dict)  # by message and field
        self._written: dict[tuple[str, str], tuple[Actuator[Any], Echo[Any]]] = {}  # by message and field

    def restart(self) -> None:
        """Return to the values of the beginning."""
        self._written.clear()
        self._told.clear()
        self.values.update(copy.deepcopy(self._first))

    def value(self, message: str, field: str, behaviour: Behaviour, now_s: float) -> Any:
        """Return what a field is now."""
        if (message, field) in self._written:
            return self._written[message, field][0].target(behaviour, now_s)
        return self.values[message][field]

    def read(self, question: Question, behaviour: Behaviour, now_s: float) -> bytes | None:
        """Return the registers or coils that are asked for; None where no message asks just so."""
        for name, known in self._questions():
            if known == question:
                told = {
                    field: echo.told(actuator.target(behaviour, now_s), behaviour, now_s)
                    for (owner, field), (actuator, echo) in self._written.items()
                    if owner == name
                }
                try:
                    body = self._body(name, known, told)
                except EncodeError:  # clamped or drifted out of what its registers can say: they stay as they were
                    return self._body(name, known, self._told[name])
                self._told[name] = told
                return body
        return None

    def write(self, write: Write, behaviour: Behaviour, now_s: float) -> int:
        """Carry out a write; return the exception code, 0 for yes."""
        orders: dict[tuple[str, str], Any] = {}
        try:
            for name, question in self._questions():
                if write.table == question.function and _covers(question, write):
                    orders.update(self._orders(name, question, write))
        except Refused:
            return ILLEGAL_VALUE
        if not orders:
            return ILLEGAL_ADDRESS
        if behaviour.lies:
            return 0
        if behaviour.refuses:
            return DEVICE_FAILURE
        for (name, field), value in orders.items():
            actuator, echo = self._written.setdefault((name, field), (Actuator(self.values[name].get(field)), Echo()))
            echo.told(actuator.target(behaviour, now_s), behaviour, now_s)
            actuator.order(value, behaviour, now_s)
        return 0

    def _orders(self, name: str, question: Question, write: Write) -> dict[tuple[str, str], Any]:
        """Return the value of every field that stands in what is written. Raises: Refused for one that cannot be."""
        plan = self._profile.messages[name]
        ordered = {field: actuator.ordered for (owner, field), (actuator, _) in self._written.items() if owner == name}
        body = self._body(name, question, ordered)
        extremes = [
            plan.decode_raw(write._replace(data=bytes([byte]) * len(write.data)).onto(body, question.start))
            for byte in (0x00, 0xFF)
        ]
        row = plan.decode(write.onto(body, question.start))
        if row[-1] & ~plan.decode(body)[-1]:  # taints: out of range, no such label, not a number
            raise Refused("value")
        values = values_of(plan, row)
        return {(name, field): value for field, value in values.items() if extremes[0][field] != extremes[1][field]}

    def _body(self, name: str, question: Question, changed: dict[str, Any]) -> bytes:
        body = self._profile.messages[name].encode({**self.values[name], **changed})
        return body.ljust(question.answer_bytes, b"\0")

    def _questions(self) -> Iterator[tuple[str, Question]]:
        for name in self.values:
            ask = self._profile.profile.message[name].ask
            question = None if ask is None else question_of(ask, self._unit)
            if question is not None:
                yield name, question


def _covers(question: Question, write: Write) -> bool:
    return question.start <= write.start and write.start + write.quantity <= question.start + question.quantity
