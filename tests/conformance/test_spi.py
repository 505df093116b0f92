"""SPI profiles against the worked examples of data sheets, as the vectors beside the repository tell them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.frame import Garbage
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.plan import Refused, values_of

DATA = Path(__file__).parents[3] / "shared" / "data" / "spi"
pytestmark = pytest.mark.conformance


def vectors(part: str) -> Any:
    path = DATA / "datasheet_vectors.json"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return json.loads(path.read_text())[part]


class Chip:
    """One device: transfers in, values out."""

    def __init__(self, name: str) -> None:
        self.profile = CompiledProfile(load_profile(find_profile(name)))
        self._transfers, self._memory = self.profile.transfers(), self.profile.memory()

    def read(self, tx: bytes, rx: bytes) -> tuple[str, dict[str, Any]]:
        found = self._transfers.read(tx, rx)
        assert not isinstance(found, Garbage), found
        name, body = found
        return name, values_of(self.profile.messages[name], self._memory.decoder(name)(body))

    def raw(self, tx: bytes, rx: bytes) -> dict[str, Any]:
        name, body = self._transfers.read(tx, rx)
        return self.profile.messages[name].decode_raw(body)


def test_max31855_reads_the_tables_of_its_data_sheet():
    chip, names = Chip("max31855"), {"OC": "open", "SCG": "short_gnd", "SCV": "short_vcc"}
    for frame in vectors("MAX31855")["frames"]:
        rx = bytes.fromhex(frame["miso"])
        expected = {
            "internal": frame["junction_c"],
            "fault": [names[each] for each in frame["fault"]],
            "thermocouple": frame.get("thermocouple_c"),
        }
        assert chip.read(bytes(4), rx) == ("reading", expected)


def test_max6675_reads_the_table_of_its_data_sheet():
    chip = Chip("max6675")
    for frame in vectors("MAX6675")["frames"]:
        expected = {"open": frame.get("open", False), "thermocouple": frame.get("temp_c")}
        assert chip.read(bytes(2), bytes.fromhex(frame["miso"])) == ("reading", expected)


def test_mcp3008_counts_as_its_data_sheet_shows():
    chip = Chip("mcp3008")
    for frame in vectors("MCP3008")["frames"]:
        found = chip.raw(bytes.fromhex(frame["mosi"]), bytes.fromhex(frame["miso"]))
        assert found == {f"channel_{frame['channel']}": frame["value"]}


def test_adxl345_is_itself_and_feels_gravity():
    identity, sample = vectors("ADXL345")["frames"]
    chip = Chip("adxl345")
    assert chip.read(bytes.fromhex(identity["mosi"]), bytes.fromhex(identity["miso"])) == ("identity", {})
    tx, rx = bytes.fromhex(sample["mosi"]), bytes.fromhex(sample["miso"])
    counts = [sample["x_lsb"], sample["y_lsb"], sample["z_lsb"]]
    assert list(chip.raw(tx, rx).values()) == counts
    assert list(chip.read(tx, rx)[1].values()) == [count / 256 for count in counts]


def test_another_chip_is_not_taken_for_an_adxl345():
    chip = Chip("adxl345")
    with pytest.raises(Refused):
        chip.read(b"\x80\x00", b"\x00\xe6")


def test_w25q_parts_tell_their_size():
    sizes = {"W25Q80": "1 MiB", "W25Q16": "2 MiB", "W25Q32": "4 MiB", "W25Q64": "8 MiB", "W25Q128": "16 MiB"}
    chip = Chip("w25q")
    for frame in vectors("W25Q_JEDEC")["frames"]:
        name, values = chip.read(bytes.fromhex(frame["mosi"]), bytes.fromhex(frame["miso"]))
        assert (name, values["manufacturer"], values["capacity"]) == ("identity", "Winbond", sizes[frame["part"]])


def test_every_known_flash_tells_its_raw_identity():
    path = DATA / "spi_nor_jedec_ids.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    chip = Chip("w25q")
    for line in path.read_text().splitlines():
        code = bytes.fromhex(json.loads(line)["jedec"])
        found = chip.raw(b"\x9f\x00\x00\x00", b"\x00" + code)
        assert list(found.values()) == list(code)


def test_a_capacity_code_is_the_size_that_parts_of_many_makers_are_listed_with():
    path = DATA / "spi_nor_jedec_ids.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    codes = [(row, int(row["jedec"][4:], 16)) for row in rows]
    powers = [row for row, code in codes if 0x11 <= code <= 0x19 and row["size_kib"] << 10 == 1 << code]
    assert len(powers) > 50
    chip = Chip("w25q")
    for row in powers:
        capacity = chip.read(b"\x9f\x00\x00\x00", b"\x00" + bytes.fromhex(row["jedec"]))[1]["capacity"]
        number, unit = capacity.split()
        assert int(number) * {"KiB": 1, "MiB": 1024}[unit] == row["size_kib"], row


def test_mfrc522_tells_its_version():
    chip = Chip("mfrc522")
    for frame in vectors("MFRC522")["frames"]:
        found = chip.read(bytes.fromhex(frame["mosi"]), bytes.fromhex(frame["miso"]))
        assert found == ("version", {"version": int(frame["version"])})


@pytest.mark.parametrize("name", ["bmp280", "bme280"])
def test_the_worked_example_of_bosch_comes_out_to_the_last_digit(name):
    row = vectors("BMP280/BME280")
    chip, rest = Chip(name), b"\x00\x4b" if name == "bme280" else b""
    t1, *t = row["dig_T"]
    p1, *p = row["dig_P"]
    words = [t1.to_bytes(2, "little"), *(word.to_bytes(2, "little", signed=True) for word in t)]
    words += [p1.to_bytes(2, "little"), *(word.to_bytes(2, "little", signed=True) for word in p)]
    trim = b"".join(words) + rest
    sample = (row["adc_P"] << 4).to_bytes(3, "big") + (row["adc_T"] << 4).to_bytes(3, "big")
    sample += b"\x69\x78" if name == "bme280" else b""

    assert chip.read(b"\x88" + bytes(len(trim)), b"\x00" + trim) == ("trim", {})
    _, values = chip.read(b"\xf7" + bytes(len(sample)), b"\x00" + sample)

    assert values["temperature"] == pytest.approx(row["temp_c"], abs=1e-9)
    assert values["pressure"] == pytest.approx(row["pressure_pa"], abs=1e-6)
