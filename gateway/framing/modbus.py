"""Layer 2: Modbus RTU application data units as they pass on the wire.

[unit:1] [function:1] [data] [CRC-16/MODBUS:2, low byte first]

A unit says its size only through its function code, and requests and answers of one function differ: every size that
the function allows is tried, shortest first, and the CRC decides. Known are the public functions whose size can be told
from their bytes; others, and user-defined ones, are refused. Silence (`gap`) brings the search back in step. Asking,
timeouts and matching answers to questions are not here; `expect` is told of the question.

Source: MODBUS Application Protocol Specification V1.1b3, section 6; MODBUS over Serial Line V1.02, section 2.5.1.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.errors import EncodeError
from gateway.framing.checks import check_of
from gateway.framing.scanner import IMPOSSIBLE, MORE, Scanner

MAX_ADU_BYTES: Final = 256
_READS: Final = frozenset({1, 2, 3, 4, 23})  # answers: count of bytes, then the bytes
_WHOLE_REGISTERS: Final = frozenset({3, 4, 23})  # counts are even


class _Shape(NamedTuple):
    """Size of a whole unit: `size` bytes, plus a number that stands in its bytes."""

    size: int
    count_at: int = 0  # 0: none
    count_bytes: int = 1


_ANSWER: Final = _Shape(5, count_at=2)
_SHAPES: Final[dict[int, tuple[_Shape, ...]]] = {
    **dict.fromkeys((1, 2, 3, 4), (_Shape(8), _ANSWER)),
    **dict.fromkeys((5, 6, 8), (_Shape(8),)),
    7: (_Shape(4), _Shape(5)),
    11: (_Shape(4), _Shape(8)),
    12: (_Shape(4), _ANSWER),
    **dict.fromkeys((15, 16), (_Shape(8), _Shape(9, count_at=6))),
    17: (_Shape(4), _ANSWER),
    **dict.fromkeys((20, 21), (_ANSWER,)),
    22: (_Shape(10),),
    23: (_ANSWER, _Shape(13, count_at=10)),
    24: (_Shape(6), _Shape(6, count_at=2, count_bytes=2)),
}
_EXCEPTION: Final = (_Shape(5),)


class ModbusRtuFramer(Scanner):
    """Body = the unit without its CRC, or after `expect` the bytes that were asked for."""

    def __init__(self, max_bytes: int = MAX_ADU_BYTES) -> None:
        super().__init__(min(max_bytes, MAX_ADU_BYTES), b"")
        self._crc = check_of("crc-16-modbus").compute
        self._expected: tuple[int, int] | None = None

    def expect(self, unit: int, function: int) -> None:
        """Tell of an open request: its answer's body is the bytes behind the count (reads), else behind the function.

        An exception answer still comes whole, its function code with the high bit set, and closes the request too.
        """
        self._expected = (unit, function)

    def _sizes(self, data: bytes, place: int) -> list[int]:
        """Return the sizes possible for the unit at `place`, shortest first; MORE among them if bytes are missing."""
        function = data[place + 1]
        sizes: list[int] = []
        for shape in _EXCEPTION if function & 0x80 else _SHAPES.get(function, ()):
            behind = place + shape.count_at + shape.count_bytes
            if shape.count_at and len(data) < behind:
                return [*sorted(sizes), MORE]
            count = int.from_bytes(data[place + shape.count_at : behind]) if shape.count_at else 0
            if shape.size + count <= self.max_frame_bytes:
                sizes.append(shape.size + count)
        return sorted(sizes)

    def _size_at(self, data: bytes, place: int) -> int:
        if len(data) < place + 2:
            return MORE
        longest = IMPOSSIBLE
        for size in self._sizes(data, place):
            if size == MORE or place + size > len(data):
                return MORE
            if self._crc(data[place : place + size]) == 0:  # a CRC over its own bytes leaves nothing
                return size
            longest = size
        return longest

    def _body_of(self, frame: bytes) -> bytes | None:
        if self._crc(frame):
            return None
        unit, function, *_ = frame
        if self._expected != (unit, function & 0x7F):
            return frame[:-2]
        if function & 0x80:
            self._expected = None
            return frame[:-2]
        return self._answer(frame, function)

    def _answer(self, frame: bytes, function: int) -> bytes:
        """Return what was asked for; a request heard back on the wire is none and comes whole."""
        if function not in _READS:
            self._expected = None
            return frame[2:-2]
        if len(frame) != 5 + frame[2] or (function in _WHOLE_REGISTERS and frame[2] % 2):
            return frame[:-2]
        self._expected = None
        return frame[3:-2]

    def encode(self, body: bytes) -> bytes:
        """Return unit, function and data with the CRC. Raises: EncodeError where its function has no such size."""
        frame = body + self._crc(body).to_bytes(2, "little")
        if len(body) < 2 or len(frame) not in self._sizes(frame, 0):
            raise EncodeError(f"{body[:24].hex(' ')} is no Modbus unit: its function has no unit of {len(frame)} bytes")
        return frame
