"""Winbond W25Q serial flash. Instructions: W25Q128JV data sheet rev. F, sections 8.1 and 8.2."""

from __future__ import annotations

from typing import Final

from hil.sim.spi.model import SpiModel

PAGE_BYTES: Final = 256
SECTOR_BYTES: Final = 4096
WRITE_ENABLED: Final = 0x02  # of status register 1
_ADDRESS_BYTES: Final = 3

_WRITE_ENABLE, _WRITE_DISABLE, _STATUS_1, _STATUS_2 = 0x06, 0x04, 0x05, 0x35
_READ, _FAST_READ, _PROGRAM, _ERASE_SECTOR, _ERASE_CHIP = 0x03, 0x0B, 0x02, 0x20, 0xC7
_IDENTITY, _UNIQUE_ID = 0x9F, 0x4B


class W25q(SpiModel):
    """One flash chip. Programming and erasing take no time; they take effect when the chip select is released."""

    def __init__(self, capacity_code: int = 0x14, unique_id: bytes = bytes.fromhex("d1674c3f8b5a2e19")) -> None:
        """Take the capacity as the chip tells it: 2 to that power bytes."""
        self.memory = bytearray(b"\xff" * (1 << capacity_code))
        self.status_1 = 0
        self.status_2 = 0x02
        self._identity = bytes([0xEF, 0x40, capacity_code])
        self._unique_id = unique_id
        self._received = bytearray()

    def select(self) -> None:
        """Expect an instruction."""
        self._received.clear()

    def exchange(self, tx: bytes) -> bytes:
        """Answer byte by byte."""
        out = bytearray()
        for byte in tx:
            out.append(self._answer(len(self._received)))
            self._received.append(byte)
        return bytes(out)

    def deselect(self) -> None:
        """Carry out what changes something."""
        if not self._received:
            return
        instruction, rest = self._received[0], bytes(self._received[1:])
        if instruction == _WRITE_ENABLE:
            self.status_1 |= WRITE_ENABLED
        elif instruction == _WRITE_DISABLE:
            self.status_1 &= ~WRITE_ENABLED
        elif instruction in (_PROGRAM, _ERASE_SECTOR, _ERASE_CHIP) and self.status_1 & WRITE_ENABLED:
            self._change(instruction, rest)
            self.status_1 &= ~WRITE_ENABLED

    def _answer(self, place: int) -> int:
        """Return what stands on the line while byte `place` of the transfer comes in."""
        if place == 0:
            return 0xFF
        instruction = self._received[0]
        if instruction == _IDENTITY:
            return self._identity[(place - 1) % 3]
        if instruction == _STATUS_1:
            return self.status_1
        if instruction == _STATUS_2:
            return self.status_2
        if instruction == _UNIQUE_ID and place > 4:
            return self._unique_id[(place - 5) % 8]
        begin = {_READ: 4, _FAST_READ: 5}.get(instruction)
        if begin is not None and place >= begin:
            return self.memory[(self._address() + place - begin) % len(self.memory)]
        return 0xFF

    def _address(self) -> int:
        return int.from_bytes(self._received[1 : 1 + _ADDRESS_BYTES], "big") % len(self.memory)

    def _change(self, instruction: int, rest: bytes) -> None:
        if instruction == _ERASE_CHIP:
            self.memory[:] = b"\xff" * len(self.memory)
        elif len(rest) >= _ADDRESS_BYTES:
            address = self._address()
            if instruction == _ERASE_SECTOR:
                begin = address - address % SECTOR_BYTES
                self.memory[begin : begin + SECTOR_BYTES] = b"\xff" * SECTOR_BYTES
            else:
                page = address - address % PAGE_BYTES
                for place, value in enumerate(rest[_ADDRESS_BYTES:]):  # wraps inside its page, clears bits only
                    self.memory[page + (address + place) % PAGE_BYTES] &= value
