"""How well profiles explain what is plugged in or heard: the right one first, with reasons."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.frame import CAN_ERROR, CAN_EXTENDED, Element
from gateway.profile.build import CompiledProfile
from gateway.profile.load import example_profile, shipped_profiles
from gateway.profile.model import MatchSpec
from gateway.profile.recognise import Evidence, Heard, Score, identity_asks, score
from gateway.profile.usb import contradiction
from gateway.schema.advert import elements_of
from gateway.udev.identity import UsbIdentity

SHIPPED = shipped_profiles()
FTDI = UsbIdentity(0x0403, 0x6001, "A1", "FT232R USB UART")


@cache
def compiled(name: str) -> CompiledProfile:
    return CompiledProfile(example_profile(SHIPPED[name]))


def rows(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SHIPPED[name].parent / "golden.jsonl").read_text().splitlines()]


def ranked(evidence: Evidence) -> list[tuple[str, int]]:
    found = [(name, score(compiled(name), evidence).points) for name in SHIPPED]
    return sorted([each for each in found if each[1]], key=lambda each: -each[1])


def stream_of(name: str) -> bytes:
    return b"".join(bytes.fromhex(row["hex"]) for row in rows(name) if "hex" in row and row.get("values"))


def frames_of(name: str) -> tuple[Heard, ...]:
    heard = []
    logged = [row["candump"] for row in rows(name)]
    for line in [line for each in logged for line in ([each] if isinstance(each, str) else each)]:
        can_id, _, data = line.split()[-1].partition("#")
        number = int(can_id, 16) | (CAN_EXTENDED if len(can_id) > 3 else 0)
        heard.append(Heard(bytes.fromhex(data.lstrip("#")), number))
    return tuple(heard)


@pytest.mark.parametrize("name", ["pms5003", "nmea-gnss", "ublox-nav", "ve-direct", "sds011", "cobs-node", "dsmr-p1"])
def test_a_serial_device_is_told_by_what_it_says(name: str):
    (best, points), *others = ranked(Evidence("uart", stream=stream_of(name) * 4))
    assert best == name
    assert points >= 90
    assert all(other < 90 for _, other in others)


@pytest.mark.parametrize("name", ["motor", "nmea2000"])
def test_a_bus_is_told_by_the_ids_on_it(name: str):
    assert ranked(Evidence("can", frames=frames_of(name)))[0][0] == name


@pytest.mark.parametrize(
    "name", ["ruuvitag-df5", "ruuvitag-df3", "govee-h5074", "govee-h5075", "ibeacon", "inkbird-ibs-th", "mopeka"]
)
def test_an_advertiser_is_told_by_its_elements(name: str):
    row = next(row for row in rows(name) if "adv" in row and row.get("values"))
    frames = tuple(Heard(body, element) for body, element in elements_of(row["adv"]))
    (best, points), *_ = ranked(Evidence("ble", frames=frames))
    assert best == name
    assert points >= 80


def test_a_usb_identity_alone_is_a_good_sign_and_no_proof():
    found = score(compiled("ublox-nav"), Evidence("uart", usb=UsbIdentity(0x1546, 0x01A9)))
    assert found == Score(60, ["vid_pid 1546:01a9"])


def test_another_adapter_says_nothing_for_a_profile_and_what_is_heard_still_does():
    silent = score(compiled("ve-direct"), Evidence("uart", usb=FTDI))
    speaking = score(compiled("ve-direct"), Evidence("uart", usb=FTDI, stream=stream_of("ve-direct") * 3))
    assert silent == Score(0, [])
    assert speaking.points >= 90


def test_identity_and_words_together_are_more_than_each():
    stream = stream_of("ublox-nav")
    usb = UsbIdentity(0x1546, 0x01A9)
    both = score(compiled("ublox-nav"), Evidence("uart", usb=usb, stream=stream))
    assert both.points >= score(compiled("ublox-nav"), Evidence("uart", stream=stream)).points
    assert len(both.reasons) == 2


def test_ids_that_the_profile_wants_and_nobody_sends_refuse_it():
    found = score(compiled("motor"), Evidence("can", frames=(Heard(bytes(8), 0x201),)))
    assert found == Score(0, ["0x202 was not heard"])


def test_error_frames_are_no_sign_of_anything():
    assert score(compiled("motor"), Evidence("can", frames=(Heard(bytes(8), 0x201 | CAN_ERROR),))).points == 0


def test_a_name_that_differs_refuses_an_advertiser_of_the_same_company():
    element = Element("AA:BB:CC:DD:EE:FF", -50, "GVH5075_DBF8", manufacturer=0xEC88)
    frames = (Heard(bytes.fromhex("000341c26400"), element),)
    assert score(compiled("govee-h5074"), Evidence("ble", frames=frames)).points == 0
    assert score(compiled("govee-h5075"), Evidence("ble", frames=frames)).points >= 60


@pytest.mark.parametrize(
    ("name", "body", "least", "most"),
    [
        ("bmp280", "58", 95, 99),
        ("bme280", "58", 0, 0),
        ("bme280", "60", 95, 99),
        ("mfrc522", "92", 95, 99),
        ("w25q", "ef4018", 70, 80),
        ("w25q", "ffffff", 0, 0),
        ("w25q", "000000", 0, 0),
        ("adxl345", "e5", 95, 99),
        ("bmp280", "", 0, 0),
    ],
)
def test_a_chip_is_told_by_its_own_id(name: str, body: str, least: int, most: int):
    profile = compiled(name)
    (asked,) = identity_asks(profile.profile)
    points = score(profile, Evidence("spi", answers={asked: bytes.fromhex(body)})).points
    assert least <= points <= most


def test_nothing_is_asked_of_a_chip_whose_profile_writes_first():
    assert identity_asks(compiled("mcp3008").profile) == []
    assert identity_asks(compiled("bmp280").profile) == ["identity"]


@pytest.mark.parametrize("name", ["pms5003", "motor", "ruuvitag-df5", "bmp280"])
def test_another_bus_is_no_place_for_a_profile(name: str):
    bus = compiled(name).profile.link.bus
    others = [other for other in ("uart", "can", "ble", "spi") if other != bus]
    assert [score(compiled(name), Evidence(other)).points for other in others] == [0, 0, 0]


@settings(deadline=None)  # the first example compiles the profiles
@given(stream=st.binary(max_size=300), data=st.binary(max_size=64), can_id=st.integers(0, 0xFFFFFFFF))
def test_noise_convinces_nobody_and_raises_nothing(stream: bytes, data: bytes, can_id: int):
    element = Element("AA:BB:CC:DD:EE:FF", None, None, manufacturer=can_id & 0xFFFF)
    for name in ("pms5003", "nmea-gnss", "cobs-node", "hpma115"):
        assert score(compiled(name), Evidence("uart", stream=stream)).points < 90
    for name in ("motor", "nmea2000", "obd2"):
        assert score(compiled(name), Evidence("can", frames=(Heard(data, can_id),))).points < 90
    for name in ("ruuvitag-df5", "bthome", "victron-ble"):
        assert 0 <= score(compiled(name), Evidence("ble", frames=(Heard(data, element),))).points < 100
    for name in ("bmp280", "w25q"):
        assert 0 <= score(compiled(name), Evidence("spi", answers={"identity": data})).points < 100


def test_a_contradiction_names_both_adapters():
    assert contradiction(MatchSpec(vid_pid="1546:01a9"), FTDI) == (
        "the adapter there is usb:0403:6001:A1 'FT232R USB UART', the profile is for vid_pid 1546:01a9"
    )
    assert contradiction(MatchSpec(vid_pid="0403:6001", serial="A1"), FTDI) is None
