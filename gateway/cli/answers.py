"""Layer 9: whose answer a recorded body is, where the profile says only how it is asked for.

A gateway knows what it asked last; a recording has to be read for it: a Modbus request in the stream says it, else a
length that only one request has. Bodies of SPI and of `--payload` are the registers alone. Pairs of request and answer
need no such reading (`inputs_modbus`, `inputs_spi`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.framing.modbus_pdu import FUNCTIONS, REQUEST_BYTES, Question
from gateway.framing.spec import ModbusRtu
from gateway.profile.model import Profile
from gateway.schema.asked import question_of
from gateway.schema.spec import AskSpec, WhenSpec

_CRC_BYTES = 2


class Answers:
    """Messages of a profile with `ask` and without `when`, as answers in a recording."""

    def __init__(self, profile: Profile, given: Mapping[str, object], *, payload: bool) -> None:
        """Take the profile, the parameters given to it, and whether bodies come without unit and function."""
        asks = {
            name: spec.ask
            for name, spec in profile.message.items()
            if spec.direction != "out" and spec.ask and spec.when == WhenSpec()
        }
        self._sizes = {name: size for name, ask in asks.items() if (size := _bytes_asked(ask)) is not None}
        self._questions = {name: asked for name, ask in asks.items() if (asked := question_of(ask, 0)) is not None}
        self._is_wire = isinstance(profile.framing, ModbusRtu) and not payload
        self._unit = _number_of(given.get("unit", profile.params["unit"].default if "unit" in profile.params else None))
        self._open: Question | None = None  # the last request seen

    def find(self, body: bytes) -> tuple[str, bytes] | None:
        """Return the message that `body` answers and its registers, None where that is not certain."""
        if not self._is_wire:
            return self._only(body, self._sizes)
        if len(body) < 3 or self._unit not in {None, body[0]} or body[1] not in FUNCTIONS.values():
            return None
        if len(body) != 3 + body[2]:
            if len(body) == REQUEST_BYTES - _CRC_BYTES:
                start, quantity = int.from_bytes(body[2:4], "big"), int.from_bytes(body[4:6], "big")
                self._open = Question(0, body[1], start, quantity)
            return None
        asked, self._open = self._open, None
        if asked is not None:
            return self._only(body[3:], (name for name, known in self._questions.items() if known == asked))
        return self._only(body[3:], (name for name, known in self._questions.items() if known.function == body[1]))

    def _only(self, registers: bytes, possible: Iterable[str]) -> tuple[str, bytes] | None:
        found = [name for name in possible if self._sizes[name] == len(registers)]
        return (found[0], registers) if len(found) == 1 else None


def _number_of(value: object) -> int | None:
    try:
        return int(str(value), 0)
    except ValueError:
        return None


def _bytes_asked(ask: AskSpec) -> int | None:
    question = question_of(ask, 0)
    return question.answer_bytes if question is not None else ask.length if ask.register is not None else None
