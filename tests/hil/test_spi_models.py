"""The SPI models against the profiles that read them, which are held to the data sheets elsewhere."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.frame import Garbage
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.plan import values_of
from hil.sim.spi.adxl345 import Adxl345
from hil.sim.spi.analog import Max31855, Mcp3008
from hil.sim.spi.bosch import Bme280, Bmp280
from hil.sim.spi.fake import FakeBus
from hil.sim.spi.line import Line
from hil.sim.spi.model import SpiModel
from hil.sim.spi.w25q import W25q


class Reader:
    """A device as its profile reads it: connect steps, then messages."""

    def __init__(self, name, model):
        self.compiled = CompiledProfile(load_profile(find_profile(name)))
        self.transfers, self.memory = self.compiled.transfers(), self.compiled.memory()
        self.model = model

    def connect(self):
        for step in self.compiled.profile.lifecycle.connect:
            if step.ask is not None:
                self.ask(step.ask)
            elif step.write is not None:
                self.model.transfer(self.transfers.write(step.write.register, bytes.fromhex(step.write.data)))
        return self

    def ask(self, message):
        tx = self.transfers.request(self.compiled.profile.message[message].ask)
        found = self.transfers.read(tx, self.model.transfer(tx))
        assert not isinstance(found, Garbage), found
        name, body = found
        assert name == message
        return values_of(self.compiled.messages[name], self.memory.decoder(name)(body))


def test_a_bme280_measures_as_the_worked_example_of_its_data_sheet():
    values = Reader("bme280", Bme280()).connect().ask("sample")
    assert abs(values["temperature"] - 25.08) < 0.011
    assert abs(values["pressure"] - 100_653) < 3
    assert abs(values["humidity"] - 39.12) < 0.05


def test_a_bmp280_measures_as_the_worked_example_of_its_data_sheet():
    values = Reader("bmp280", Bmp280()).connect().ask("sample")
    assert abs(values["temperature"] - 25.08) < 0.011
    assert abs(values["pressure"] - 100_653) < 3


def test_a_bosch_sensor_that_was_not_configured_measures_nothing():
    reader = Reader("bme280", Bme280())
    reader.ask("trim")
    reader.ask("trim_humidity")
    assert reader.ask("sample") == {"temperature": None, "pressure": None, "humidity": None}


def test_a_bosch_sensor_forgets_its_settings_at_a_reset():
    reader = Reader("bmp280", Bmp280()).connect()
    reader.model.transfer(b"\x60\xb6")
    assert reader.ask("sample") == {"temperature": None, "pressure": None}
    assert reader.model.resets == 2  # one of them by connecting


def test_a_bosch_sensor_takes_pairs_of_address_and_value_in_one_write():
    model = Bme280()
    model.transfer(b"\x72\x01\x74\x27")
    assert model.transfer(b"\xf2\x00\x00\x00")[1::2] == b"\x01\x27"


def test_a_bosch_sensor_reads_what_it_is_set_to():
    model = Bmp280()
    reader = Reader("bmp280", model).connect()
    warm = reader.ask("sample")["temperature"]
    model.set_counts(temperature=530_000)
    assert reader.ask("sample")["temperature"] > warm + 1


def test_nobody_writes_the_identity_of_a_bosch_sensor():
    model = Bme280()
    model.transfer(b"\x50\x00")
    assert model.transfer(b"\xd0\x00")[1] == 0x60


def test_an_adxl345_feels_gravity_once_it_measures():
    reader = Reader("adxl345", Adxl345())
    assert set(reader.ask("acceleration").values()) == {0.0}
    assert list(reader.connect().ask("acceleration").values()) == [0.0, 0.0, 1.0]
    assert reader.ask("settings")["range"] == "16 g"


def test_an_adxl345_stays_at_a_register_unless_asked_for_several():
    assert Adxl345().transfer(b"\x80\x00\x00") == b"\xff\xe5\xe5"


@pytest.mark.parametrize("channel", range(8))
def test_an_mcp3008_gives_each_channel_its_own_count(channel):
    counts = [channel * 100 + 7 for channel in range(8)]
    reader = Reader("mcp3008", Mcp3008(counts))
    body = reader.model.transfer(reader.transfers.request(reader.compiled.profile.message[f"channel_{channel}"].ask))
    assert reader.compiled.messages[f"channel_{channel}"].decode_raw(body) == {f"channel_{channel}": counts[channel]}


@given(st.integers(0, 1023), st.integers(0, 7), st.integers(0, 12))
def test_an_mcp3008_answers_wherever_the_start_bit_stands(count, channel, leading):
    counts = [0] * 8
    counts[channel] = count
    command = (0b11000 | channel) << (40 - 5 - leading)
    answer = int.from_bytes(Mcp3008(counts).transfer(command.to_bytes(5, "big")), "big")
    lowest = 40 - leading - 17  # behind start, single, three of channel, sampling, null and nine of the ten bits
    assert answer >> lowest & 0x3FF == count
    assert answer >> (lowest + 10) & 1 == 0


def test_an_mcp3008_measures_pairs_against_each_other():
    answer = Mcp3008([300, 100, 0, 0, 0, 0, 0, 0]).transfer(b"\x01\x00\x00")
    assert int.from_bytes(answer, "big") & 0x3FF == 200


@pytest.mark.parametrize(("thermocouple", "internal"), [(1600.0, 127.0), (-250.0, -55.0), (0.0, -0.0625)])
def test_a_max31855_shifts_out_both_temperatures(thermocouple, internal):
    values = Reader("max31855", Max31855(thermocouple, internal)).ask("reading")
    assert values == {"internal": internal, "fault": [], "thermocouple": thermocouple}


def test_a_max31855_with_a_broken_wire_says_so():
    model = Max31855()
    model.fault = 1
    assert Reader("max31855", model).ask("reading") == {"internal": 25.0, "fault": ["open"], "thermocouple": None}


def test_a_w25q_tells_who_it_is():
    reader = Reader("w25q", W25q()).connect()
    assert reader.ask("identity") == {"manufacturer": "Winbond", "memory_type": 64, "capacity": "1 MiB"}
    assert reader.ask("unique_id") == {"unique_id": "d1674c3f8b5a2e19"}


def test_a_w25q_programs_only_what_was_enabled_and_clears_bits_only():
    flash = W25q()
    flash.transfer(b"\x02\x00\x01\x00\x55")
    assert flash.transfer(b"\x03\x00\x01\x00\x00")[-1:] == b"\xff"
    for value in (b"\xf0", b"\x3c"):
        flash.transfer(b"\x06")
        flash.transfer(b"\x02\x00\x01\x00" + value)
    assert flash.transfer(b"\x03\x00\x01\x00\x00\x00")[-2:] == b"\x30\xff"


def test_a_w25q_page_wraps_and_a_sector_is_erased_whole():
    flash = W25q()
    flash.transfer(b"\x06")
    flash.transfer(b"\x02\x00\x10\xff\x01\x02")
    assert (flash.memory[0x10FF], flash.memory[0x1000]) == (1, 2)
    flash.transfer(b"\x06")
    flash.transfer(b"\x20\x00\x1f\x00")
    assert set(flash.memory) == {0xFF}
    assert flash.transfer(b"\x05\x00") == b"\xff\x00"


@pytest.mark.parametrize("make", [Bmp280, Bme280, Adxl345, Mcp3008, Max31855, lambda: W25q(0x11)])
@given(data=st.binary(min_size=1, max_size=40), cut=st.integers(0, 40))
def test_a_transfer_may_come_in_pieces(make, data, cut):
    whole, pieces = make(), make()
    pieces.select()
    rx = pieces.exchange(data[:cut]) + pieces.exchange(data[cut:])
    pieces.deselect()
    assert rx == whole.transfer(data)
    assert len(rx) == len(data)


def test_a_stuck_line_reads_the_same_whatever_the_device_says():
    line = Line(Bme280())
    line.stuck = 0xFF
    assert line.exchange(b"\xd0\x00") == b"\xff\xff"


def test_an_unplugged_line_fails_as_the_kernel_does(tmp_path):
    bus = FakeBus(tmp_path)
    bus.plug("spidev0.0", Bme280())
    device = bus.device()
    device.open(0, 0)
    bus.unplug("spidev0.0")
    with pytest.raises(OSError, match="shutdown") as caught:
        device.xfer2([0xD0, 0])
    assert caught.value.errno == errno.ESHUTDOWN
    with pytest.raises(FileNotFoundError):
        bus.device().open(0, 0)
    bus.replug("spidev0.0")
    again = bus.device()
    again.open(0, 0)
    assert again.xfer3(b"\xd0\x00") == (0xFF, 0x60)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda device: device.xfer2([]), TypeError),
        (lambda device: device.xfer2([0] * 4097), OverflowError),
        (lambda device: setattr(device, "mode", 4), TypeError),
        (lambda device: setattr(device, "bits_per_word", 7), TypeError),
        (lambda device: setattr(device, "bits_per_word", 12), OSError),
        (lambda device: device.xfer([0]), AttributeError),  # would hold the interpreter's lock
    ],
)
def test_the_fake_refuses_what_py_spidev_refuses(tmp_path, call, error):
    bus = FakeBus(tmp_path)
    bus.plug("spidev0.0", SpiModel())
    device = bus.device()
    device.open(0, 0)
    with pytest.raises(error):
        call(device)
