"""An accelerometer on SPI: a driver under test, the model of the chip behind it, and what goes wrong on four wires."""

from __future__ import annotations

import struct

import pytest

from hil.sim.spi.adxl345 import BW_RATE, DATA_FORMAT, DATAX0, DEVID, IDENTITY, POWER_CTL

READ, SEVERAL = 0x80, 0x40
ATTEMPTS = 3


class Accelerometer:
    """The driver: it trusts nothing that it has not read twice."""

    def __init__(self, spi):
        self._transfer = spi.transfer

    def begin(self):
        """Configure it. Raises: ConnectionError when no ADXL345 answers."""
        if self._registers(DEVID, 1) != bytes([IDENTITY]):
            raise ConnectionError("no ADXL345 answers")
        for register, value in ((DATA_FORMAT, 0x0B), (BW_RATE, 0x0A), (POWER_CTL, 0x08)):
            self._transfer(bytes([register, value]))

    def acceleration_g(self):
        """Return x, y, z. Raises: ConnectionError when two readings never agree."""
        for _ in range(ATTEMPTS):
            first, second = (self._registers(DATAX0, 6) for _ in range(2))
            if first == second and self._registers(POWER_CTL, 1) == b"\x08":
                return tuple(count / 256 for count in struct.unpack("<3h", first))
        raise ConnectionError("two readings never agree, or it does not measure")

    def _registers(self, register, count):
        return self._transfer(bytes([READ | SEVERAL | register, *bytes(count)]))[1:]


@pytest.fixture
def sensor(spi):
    """Give the chip's model, which lies flat."""
    return spi.peer.model("adxl345", mode=3)


@pytest.fixture
def driver(spi, sensor):
    """Give the driver, begun."""
    made = Accelerometer(spi)
    made.begin()
    sensor.counts = (26, -51, 256)
    return made


def test_it_reads_what_the_chip_measures(driver, recorder):
    x, y, z = driver.acceleration_g()
    assert (x, y) == (26 / 256, -51 / 256)
    recorder.measure("z", z, "g", minimum=0.9, maximum=1.1)


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        ("stuck_miso", {"value": 0x00}),
        ("stuck_miso", {"value": 0xFF}),
        ("mode", {"mode": 1}),
        ("bit_slip", {"bits": 1}),
    ],
)
def test_it_takes_broken_wires_for_no_chip(spi, sensor, faults, kind, params):
    faults.add(kind, **params)
    with pytest.raises(ConnectionError, match="no ADXL345"):
        Accelerometer(spi).begin()
    assert sensor.registers[POWER_CTL] == 0


@pytest.mark.parametrize(("kind", "params"), [("cs_glitch", {}), ("bit_slip", {"bits": 2})])
def test_a_passing_fault_costs_a_reading_and_no_value(driver, faults, kind, params):
    fault = faults.add(kind, count=1, **params)
    assert driver.acceleration_g() == (26 / 256, -51 / 256, 1.0)
    assert fault.hits == 1


def test_a_chip_that_has_restarted_is_no_chip_at_rest(driver, faults, clock):
    faults.add("brown_out")
    clock.sleep("1s")
    with pytest.raises(ConnectionError, match="does not measure"):
        driver.acceleration_g()
    driver.begin()
    assert driver.acceleration_g()[2] == 1.0
