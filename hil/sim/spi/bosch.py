"""Bosch BMP280 and BME280 with the trimming words and readings of the data sheet's worked example.

Registers: BST-BMP280-DS001 and BST-BME280-DS002, section 4.2 and 5.3 (memory map); SPI: sections 5.3 and 6.3. Bit 7 of
an address is not part of it: 0xf7 is 0x77 with the read bit. A write is pairs of address and value.
"""

from __future__ import annotations

from typing import Final

from hil.sim.spi.model import RegisterModel

# BST-BMP280-DS001 section 3.12: dig_T1 27504, dig_T2 26435, dig_T3 -1000, dig_P1 36477 ... dig_P9 6000
TRIM: Final = bytes.fromhex("706b436718fc7d8e43d6d00b270b8c00f9ff8c3cf8c67017")
PRESSURE_COUNTS: Final = 415148  # the same section: 100,653 Pa
TEMPERATURE_COUNTS: Final = 519888  # 25.08 Cel
HUMIDITY_COUNTS: Final = 0x6978  # ours: 39.12 %RH with the words below
TRIM_HUMIDITY: Final = bytes.fromhex("7201001329031e")  # dig_H2 370, dig_H3 0, dig_H4 313, dig_H5 50, dig_H6 30
TRIM_HUMIDITY_1: Final = 75  # dig_H1, at 0xa1

ID, RESET, CTRL_HUM, CTRL_MEAS, DATA = 0xD0, 0xE0, 0xF2, 0xF4, 0xF7
SKIPPED_COUNTS: Final = 0x80000  # the reading of a measurement that was not made; humidity: 0x8000
_RESET_VALUE: Final = 0xB6


class Bmp280(RegisterModel):
    """The pressure sensor. It measures nothing before it is told to."""

    chip_id = 0x58

    def __init__(self) -> None:
        super().__init__()
        self.pressure_counts = PRESSURE_COUNTS
        self.temperature_counts = TEMPERATURE_COUNTS
        self.resets = 0
        self.registers[ID] = self.chip_id
        self.registers[0x88 : 0x88 + len(TRIM)] = TRIM
        self._measure()

    def register_of(self, byte: int) -> int:
        """Return the register: all of them have the top bit set, which on the wire is the read bit."""
        return byte | 0x80

    def write(self, register: int, value: int) -> None:
        """Reset, or take a setting; identity, trimming words and readings cannot be written."""
        if register == RESET:
            if value == _RESET_VALUE:
                self.resets += 1
                self.registers[CTRL_HUM:DATA] = bytes(DATA - CTRL_HUM)
        elif CTRL_HUM <= register < DATA:
            self.registers[register] = value
        self._measure()

    def _take(self, byte: int) -> None:
        """A value after its address; the byte after that is the next address."""
        super()._take(byte)
        self._address = None

    def set_counts(self, *, pressure: int | None = None, temperature: int | None = None) -> None:
        """Change what is measured, in counts of 20 bits."""
        self.pressure_counts = self.pressure_counts if pressure is None else pressure
        self.temperature_counts = self.temperature_counts if temperature is None else temperature
        self._measure()

    def _measure(self) -> None:
        """Fill in the readings: osrs_t in bits 7..5 of ctrl_meas, osrs_p in bits 4..2, mode in bits 1..0."""
        control = self.registers[CTRL_MEAS]
        measures = control & 0x03 != 0
        pressure = self.pressure_counts if measures and control & 0x1C else SKIPPED_COUNTS
        temperature = self.temperature_counts if measures and control & 0xE0 else SKIPPED_COUNTS
        self.registers[DATA : DATA + 3] = (pressure << 4).to_bytes(3, "big")
        self.registers[DATA + 3 : DATA + 6] = (temperature << 4).to_bytes(3, "big")


class Bme280(Bmp280):
    """The same with humidity."""

    chip_id = 0x60

    def __init__(self) -> None:
        self.humidity_counts = HUMIDITY_COUNTS
        super().__init__()
        self.registers[0xA1] = TRIM_HUMIDITY_1
        self.registers[0xE1 : 0xE1 + len(TRIM_HUMIDITY)] = TRIM_HUMIDITY

    def _measure(self) -> None:
        super()._measure()
        measures = self.registers[CTRL_MEAS] & 0x03 and self.registers[CTRL_HUM] & 0x07
        counts = self.humidity_counts if measures else SKIPPED_COUNTS >> 4
        self.registers[DATA + 6 : DATA + 8] = counts.to_bytes(2, "big")
