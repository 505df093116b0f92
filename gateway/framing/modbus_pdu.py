"""Layer 2: what one Modbus RTU request asks, and whether a frame is the answer to it. No I/O, no time.

request: [unit:1] [function:1] [start:2] [count:2] [CRC-16/MODBUS:2, low byte first]
answer:  [unit:1] [function:1] [bytes:1] [registers or coils:bytes] [CRC:2]
write:   [unit:1] [06] [register:2] [value:2] [CRC:2], answered by itself; or
         [unit:1] [10] [start:2] [count:2] [bytes:1] [registers:bytes] [CRC:2], answered up to the count
switch:  [unit:1] [05] [coil:2] [ff00 on, 0000 off:2] [CRC:2], answered by itself; or
         [unit:1] [0f] [start:2] [count:2] [bytes:1] [coils, first one lowest:bytes] [CRC:2], answered up to the count
refusal: [unit:1] [function | 80:1] [exception code:1] [CRC:2]

A frame that is no answer is a few stable words, never an exception of ours: bad input from a wire is a value.

Source: MODBUS Application Protocol Specification V1.1b3, sections 6.1 to 6.6, 6.11, 6.12 and 7; Serial Line V1.02,
section 2.5.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from gateway.framing.checks import check_of

FUNCTIONS: Final = {"coils": 1, "discrete": 2, "holding": 3, "input": 4}  # PROFILES 4: the keys of `ask`
MAX_COUNTS: Final = {1: 2000, 2: 2000, 3: 125, 4: 125}
MAX_WRITTEN: Final = 123  # registers in one request
MAX_SWITCHED: Final = 1968  # coils in one request
REQUEST_BYTES: Final = 8
SWITCH_ONE: Final = 5
WRITE_ONE: Final = 6
SWITCH_MANY: Final = 15
WRITE_MANY: Final = 16
WRITES: Final = frozenset({SWITCH_ONE, WRITE_ONE, SWITCH_MANY, WRITE_MANY})
COIL_ON: Final = 0xFF00  # what function 5 writes; 0 is off
EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "server device failure",
    5: "acknowledge",
    6: "server device busy",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target device failed to respond",
}
_CRC: Final = check_of("crc-16-modbus").compute
_LEAST_BYTES: Final = 5  # of an answer: the refusal


class Question(NamedTuple):
    """What a request asks for."""

    unit: int
    function: int  # 1 coils, 2 discrete inputs, 3 holding, 4 input registers; `WRITES` write holding registers or coils
    start: int
    quantity: int  # of registers or bits; functions 5 and 6: the value

    @property
    def answer_bytes(self) -> int:
        """Return how many bytes of registers or bits the answer carries; a write's carries two numbers."""
        if self.function in WRITES:
            return 4
        return 2 * self.quantity if self.function in {3, 4} else (self.quantity + 7) // 8

    @property
    def frame_bytes(self) -> int:
        """Return the size of the whole answer on the wire."""
        return self.answer_bytes + (4 if self.function in WRITES else 5)


def sealed(unit: bytes) -> bytes:
    """Return a unit with its CRC behind it."""
    return unit + _CRC(unit).to_bytes(2, "little")


def request_of(question: Question) -> bytes:
    """Return the request's whole frame."""
    unit, function, start, quantity = question
    return sealed(bytes([unit, function]) + start.to_bytes(2) + quantity.to_bytes(2))


def question_to_write(unit: int, start: int, data: bytes) -> Question:
    """Return what asks `unit` to write whole registers, as one or as many. Raises: ValueError for half a register."""
    count, half = divmod(len(data), 2)
    if half or not 1 <= count <= MAX_WRITTEN or start + count > 0x10000:
        raise ValueError(f"{len(data)} bytes at register {start:#x} are no 1 to {MAX_WRITTEN} whole registers")
    return (
        Question(unit, WRITE_ONE, start, int.from_bytes(data))
        if count == 1
        else Question(unit, WRITE_MANY, start, count)
    )


def question_to_switch(unit: int, start: int, states: Sequence[bool]) -> Question:
    """Return what asks `unit` to switch coils, one or many. Raises: ValueError for none, too many, or none such."""
    count = len(states)
    if not 1 <= count <= MAX_SWITCHED or not 0 <= start <= 0x10000 - count:
        raise ValueError(f"{count} coils from {start} on are no 1 to {MAX_SWITCHED} coils")
    if count == 1:
        return Question(unit, SWITCH_ONE, start, COIL_ON if states[0] else 0)
    return Question(unit, SWITCH_MANY, start, count)


def coil_bytes(states: Sequence[bool]) -> bytes:
    """Return coils as they are packed on the wire: the first one is the lowest bit of the first byte."""
    number = sum(bool(state) << place for place, state in enumerate(states))
    return number.to_bytes((len(states) + 7) // 8, "little")


def write_of(question: Question, data: bytes) -> bytes:
    """Return the whole frame that writes `data`: registers, or coils as `coil_bytes` packs them."""
    unit, function, start, quantity = question
    head = bytes([unit, function]) + start.to_bytes(2) + quantity.to_bytes(2)
    return sealed(head if function in {SWITCH_ONE, WRITE_ONE} else head + bytes([len(data)]) + data)


def question_in(frame: bytes) -> Question | str:
    """Return what a request's whole frame asks for, or the few words why it is none that reads."""
    if len(frame) < 4:
        return "request cut"
    if _CRC(frame):
        return "request check"
    if frame[1] not in MAX_COUNTS:
        return "request function"
    if len(frame) != REQUEST_BYTES:
        return "request length"
    question = Question(frame[0], frame[1], int.from_bytes(frame[2:4]), int.from_bytes(frame[4:6]))
    if not 1 <= question.quantity <= MAX_COUNTS[question.function] or question.start + question.quantity > 0x10000:
        return "request count"
    return question


def answer_in(frame: bytes, question: Question) -> bytes | str:
    """Return the register or coil bytes of an answer's whole frame, or the few words why it does not answer.

    Reasons: "no answer", "cut", "check", "unit", "function", "length", "other registers" (of a write), "exception N"
    with the name of code N. A write's answer is the four bytes that name what was written.
    """
    if not frame:
        return "no answer"
    if len(frame) < _LEAST_BYTES:
        return "cut"
    if _CRC(frame):
        return "check"
    if frame[0] != question.unit:
        return "unit"
    if frame[1] & 0x7F != question.function:
        return "function"
    if frame[1] & 0x80:
        return exception_of(frame[2]) if len(frame) == _LEAST_BYTES else "length"
    if question.function in WRITES:
        return _echo_in(frame, question)
    if frame[2] != question.answer_bytes or len(frame) != question.frame_bytes:
        return "length"
    return frame[3:-2]


def _echo_in(frame: bytes, question: Question) -> bytes | str:
    if len(frame) != question.frame_bytes:
        return "length"
    written = question.start.to_bytes(2) + question.quantity.to_bytes(2)
    return written if frame[2:6] == written else "other registers"


def exception_of(code: int) -> str:
    """Return the few words for an exception code: "exception 2 (illegal data address)"."""
    return f"exception {code} ({EXCEPTIONS.get(code, 'unknown')})"
