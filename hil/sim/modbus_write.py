"""The requests of Modbus that write, from the device's side: what stands in the frame. Pure.

Source: MODBUS Application Protocol Specification V1.1b3, sections 6.5, 6.6, 6.11 and 6.12.
"""

from __future__ import annotations

from typing import Final, NamedTuple

WRITE_COIL: Final = 5
WRITE_REGISTER: Final = 6
WRITE_COILS: Final = 15
WRITE_REGISTERS: Final = 16
COILS: Final = 1  # the functions that read what the others write
HOLDING: Final = 3
_COIL: Final = {b"\xff\x00": b"\x01", b"\x00\x00": b"\x00"}


class Write(NamedTuple):
    """One request that writes, whole."""

    unit: int
    function: int
    start: int
    quantity: int  # of registers or coils
    data: bytes  # registers as on the wire; coils eight to a byte, the first in bit 0
    head: bytes  # the answer, which is the beginning of the request, without CRC

    @property
    def table(self) -> int:
        """Return the function that reads what this writes."""
        return COILS if self.function in {WRITE_COIL, WRITE_COILS} else HOLDING

    def onto(self, body: bytes, start: int) -> bytes:
        """Return `body`, which begins with register or coil `start`, with this written into it."""
        place = self.start - start
        if self.table == HOLDING:
            return body[: 2 * place] + self.data + body[2 * (place + self.quantity) :]
        mask = ((1 << self.quantity) - 1) << place
        bits = int.from_bytes(body, "little") & ~mask | int.from_bytes(self.data, "little") << place & mask
        return bits.to_bytes(len(body), "little")


def write_in(body: bytes) -> Write | None:
    """Return what a request without its CRC writes; None where it does not write, or not as the standard says."""
    if len(body) < 6 or body[1] not in {WRITE_COIL, WRITE_REGISTER, WRITE_COILS, WRITE_REGISTERS}:
        return None
    unit, function = body[:2]
    start, rest = int.from_bytes(body[2:4]), body[4:]
    if function == WRITE_COIL:
        data = _COIL.get(rest)
        return None if data is None else Write(unit, function, start, 1, data, body)
    if function == WRITE_REGISTER:
        return Write(unit, function, start, 1, rest, body) if len(rest) == 2 else None
    count, data = int.from_bytes(rest[:2]), rest[3:]
    size = 2 * count if function == WRITE_REGISTERS else (count + 7) // 8
    if not count or len(rest) < 3 or len(data) != size or rest[2] != size:
        return None
    return Write(unit, function, start, count, data, body[:6])
