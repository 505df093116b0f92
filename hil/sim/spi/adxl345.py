"""Analog Devices ADXL345 accelerometer. Registers and SPI: data sheet rev. G, tables 19 to 21 and "SPI"."""

from __future__ import annotations

import struct
from typing import Final

from hil.sim.spi.model import RegisterModel

DEVID, BW_RATE, POWER_CTL, DATA_FORMAT, DATAX0 = 0x00, 0x2C, 0x2D, 0x31, 0x32
IDENTITY: Final = 0xE5
_SEVERAL: Final = 0x40  # in the address byte: go on to the next register
_MEASURE: Final = 0x08


class Adxl345(RegisterModel):
    """Three axes, in counts of 1/256 g. It measures nothing before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = (0, 0, 256)
        self.registers[DEVID] = IDENTITY
        self.registers[BW_RATE] = 0x0A
        self._goes_on = False

    def register_of(self, byte: int) -> int:
        """Return the register, and remember whether the next byte is the next one."""
        self._goes_on = bool(byte & _SEVERAL)
        return byte & 0x3F

    def after(self, register: int) -> int:
        """Return the next register, or the same where only one was asked for."""
        return (register + 1) & 0x3F if self._goes_on else register

    def read(self, register: int) -> int:
        """Return a register; the axes are zero until the device measures."""
        if DATAX0 <= register < DATAX0 + 6 and self.registers[POWER_CTL] & _MEASURE:
            return struct.pack("<3h", *self.counts)[register - DATAX0]
        return self.registers[register]

    def write(self, register: int, value: int) -> None:
        """Take a setting."""
        if register != DEVID:
            self.registers[register] = value
