"""SPI devices whose registers are written: with no answer on the wire, only what is read back tells."""

from __future__ import annotations

import errno
import json

import pytest

from hil.sim.behaviour import GOOD, Behaviour
from hil.sim.spi.adxl345 import BW_RATE, DEVID, IDENTITY, Adxl345
from hil.sim.spi.analog import Mcp3008
from hil.sim.spi.bosch import CTRL_MEAS, RESET, Bmp280
from hil.sim.spi.fake import FakeBus
from hil.sim.spi.station import Station


class Chip:
    """An accelerometer with a clock of ours."""

    def __init__(self):
        self.now_s = 10.0
        self.model = Adxl345()
        self.model.clock = lambda: self.now_s

    def write(self, value, register=BW_RATE):
        self.model.transfer(bytes([register, value]))

    def read(self, register=BW_RATE, *, after_s=0.0):
        self.now_s += after_s
        return self.model.transfer(bytes([0x80 | register, 0]))[1]


@pytest.fixture
def chip():
    return Chip()


def test_a_register_that_is_written_is_read_back(chip):
    chip.write(0x0F)
    assert chip.read() == 0x0F


@pytest.mark.parametrize("fault", ["ignores", "lies", "refuses"])
def test_a_write_that_is_not_obeyed_changes_nothing(chip, fault):
    chip.model.behave(Behaviour(**{fault: True}))
    chip.write(0x0F)
    assert chip.read() == 0x0A


def test_a_slow_chip_has_the_old_value_until_it_acts(chip):
    chip.model.behave(Behaviour(slow_s=0.5))
    chip.write(0x0F)
    assert [chip.read(), chip.read(after_s=0.4), chip.read(after_s=0.2)] == [0x0A, 0x0A, 0x0F]


def test_a_clamped_chip_goes_no_further(chip):
    chip.model.behave(Behaviour(clamp=(0, 12)))
    chip.write(0x0F)
    assert chip.read() == 12


def test_a_drifting_register_stays_a_byte(chip):
    chip.model.behave(Behaviour(drift_per_s=10))
    chip.write(0x0F)
    assert [chip.read(after_s=1), chip.read(after_s=100)] == [0x19, 0xFF]


def test_a_lagging_chip_tells_what_its_register_was(chip):
    chip.model.behave(Behaviour(lag_s=1.0))
    chip.write(0x0F)
    assert [chip.read(after_s=0.5), chip.read(after_s=0.4), chip.read(after_s=0.7)] == [0x0A, 0x0A, 0x0F]


def test_a_chip_that_has_restarted_is_silent_and_then_as_at_power_on(chip):
    chip.write(0x0F)
    chip.model.restart()
    assert chip.read(DEVID) == 0xFF
    assert (chip.read(DEVID, after_s=0.01), chip.read()) == (IDENTITY, 0x0A)


def test_a_chip_that_restarts_on_a_write_forgets_the_ones_before(chip):
    chip.write(0x0F)
    chip.model.behave(Behaviour(restarts=True))
    chip.write(0x01)
    assert chip.read(after_s=0.01) == 0x0A


def test_a_chip_that_is_good_again_obeys(chip):
    chip.model.behave(Behaviour(lies=True))
    chip.write(0x0F)
    chip.model.behave(GOOD)
    chip.write(0x0D)
    assert chip.read() == 0x0D


def test_a_reset_register_acts_once_however_often_the_chip_is_read_then():
    model, now_s = Bmp280(), 0.0
    model.clock = lambda: now_s
    model.behave(Behaviour(slow_s=1.0))
    model.transfer(bytes([RESET & 0x7F, 0xB6]))
    for now_s in (0.5, 1.0, 1.5, 2.0):  # noqa: B007 - the clock reads it
        model.transfer(bytes([CTRL_MEAS, 0]))
    assert model.resets == 1


def test_a_chip_without_registers_takes_no_orders():
    with pytest.raises(ValueError, match="a Mcp3008 takes no orders"):
        Mcp3008().behave(Behaviour(lies=True))
    with pytest.raises(ValueError, match="a Mcp3008 has nothing to forget"):
        Mcp3008().restart()


def test_a_device_returns_on_another_node_with_what_it_remembers(tmp_path):
    bus = FakeBus(tmp_path)
    line = bus.plug("spidev0.0", Adxl345())
    line.exchange(bytes([BW_RATE, 0x0F]))
    bus.unplug("spidev0.0")
    bus.replug("spidev0.0", at="spidev1.0")
    with pytest.raises(FileNotFoundError):
        bus.line_at(str(bus.path("spidev0.0")))
    found = bus.line_at(str(bus.path("spidev1.0")))
    assert found.exchange(bytes([0x80 | BW_RATE, 0]))[1] == 0x0F


def told(station, **order):
    return json.loads(station.command(json.dumps({"at": 0, **order})))


def test_a_station_tells_its_devices_how_to_behave():
    station = Station(["adxl345"])
    assert told(station, do="behave", behaviour={"clamp": [0, 12]}) == {}
    station.lines[0].exchange(bytes([BW_RATE, 0x0F]))
    assert station.lines[0].exchange(bytes([0x80 | BW_RATE, 0]))[1] == 12
    assert told(station, do="restart") == {}


def test_a_station_takes_a_device_off_its_line_and_brings_it_back():
    station = Station(["adxl345"])
    told(station, do="unplug")
    with pytest.raises(OSError, match="shutdown") as failure:
        station.lines[0].exchange(b"\x80\0")
    assert failure.value.errno == errno.ESHUTDOWN
    told(station, do="plug")
    assert station.lines[0].exchange(b"\x80\0")[1] == IDENTITY


def test_a_station_refuses_a_behaviour_that_is_none():
    with pytest.raises(ValueError, match="no behaviour 'lazy'"):
        told(Station(["adxl345"]), do="behave", behaviour={"lazy": True})
