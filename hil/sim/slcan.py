"""A CAN adapter on a serial line: the LAWICEL protocol from the adapter's side, FD as CANable writes it. Pure.

    t iii l dd..   T iiiiiiii l dd..   data, standard and extended     d D: FD     b B: FD with bit rate switch
    r iii l        R iiiiiiii l        remote
    O L open, C close, S n and s xxyy bit rate, Y n data bit rate, V version, N serial number

Every command ends in CR and is answered by CR (`z` or `Z` before it for a frame taken), or by BEL when it is refused.

Source: LAWICEL AB, CAN232 manual version 3 (March 2013); CANable 2.0 firmware for d D b B Y.
"""

from __future__ import annotations

from typing import Final

from gateway.frame import CAN_EXTENDED, CAN_ID_MASK, CAN_REMOTE

FD_LENGTHS: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)  # ISO 11898-1, by length code
MOST_PENDING: Final = 256  # bytes without a CR, after which they are no command
_OK, _REFUSED = b"\r", b"\a"


class SlcanAdapter:
    """The adapter. `frames` is what the host sent onto the bus: id with linux/can.h flags, data."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, bytes]] = []
        self.is_open = False
        self._pending = b""

    def feed(self, data: bytes) -> bytes:
        """Take what the host wrote, return the answers."""
        *lines, self._pending = (self._pending + data).split(b"\r")
        if len(self._pending) > MOST_PENDING:
            self._pending = b""
        return b"".join(map(self._answer, lines))

    def line(self, can_id: int, data: bytes) -> bytes:
        """Return the line that tells the host of a frame on the bus, b"" while the channel is closed."""
        if not self.is_open:
            return b""
        letter = "r" if can_id & CAN_REMOTE else "t" if len(data) <= 8 else "b"
        code = f"{FD_LENGTHS.index(len(data)):X}"
        number = f"{can_id & CAN_ID_MASK:03X}"
        if can_id & CAN_EXTENDED:
            letter, number = letter.upper(), f"{can_id & CAN_ID_MASK:08X}"
        body = "" if can_id & CAN_REMOTE else data.hex().upper()
        return f"{letter}{number}{code}{body}\r".encode()

    def _answer(self, line: bytes) -> bytes:
        command = line[:1]
        if command in {b"O", b"L", b"C"}:
            self.is_open = command != b"C"
            return _OK
        if command in {b"S", b"s", b"Y", b"Z"}:
            return _OK if not self.is_open else _REFUSED
        if command in {b"V", b"N"}:
            return {b"V": b"V1013", b"N": b"NA123"}[command] + _OK
        frame = self._frame(line) if self.is_open else None
        if frame is None:
            return _REFUSED if line else _OK
        self.frames.append(frame)
        return (b"Z" if frame[0] & CAN_EXTENDED else b"z") + _OK

    def _frame(self, line: bytes) -> tuple[int, bytes] | None:
        letter = line[:1].decode("latin-1")
        if not letter or letter not in "tTrRdDbB":
            return None
        digits = 8 if letter.isupper() else 3
        try:
            can_id = int(line[1 : 1 + digits], 16)
            size = FD_LENGTHS[int(line[1 + digits : 2 + digits], 16)]
            data = bytes.fromhex(line[2 + digits :].decode("ascii"))
        except ValueError:
            return None
        is_remote = letter in "rR"
        if len(data) != (0 if is_remote else size) or (size > 8 and letter in "tTrR") or can_id > CAN_ID_MASK:
            return None
        return can_id | (CAN_EXTENDED if digits == 8 else 0) | (CAN_REMOTE if is_remote else 0), data
