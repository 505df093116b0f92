from __future__ import annotations

import json

import pytest

from hil.sim.spi.station import Station

ID = b"\xd0\x00"


def told(station, **order):
    return json.loads(station.command(json.dumps({"at": 0, **order})))


def test_a_station_tells_what_the_bus_saw():
    station = Station(["bme280"])
    station.lines[0].exchange(ID, 3, 1_000_000, 8)
    assert told(station, do="transfers") == {"transfers": [["d000", 3, 1_000_000, 8]]}


def test_faults_are_switched_on_and_off_by_commands():
    station = Station(["bme280"])
    told(station, do="error", errno=5)
    with pytest.raises(OSError, match="Input/output"):
        station.lines[0].exchange(ID)
    told(station, do="error", errno=None)
    told(station, do="stuck", level=0)
    assert station.lines[0].exchange(ID) == b"\0\0"
    told(station, do="hang")
    assert station.lines[0].hangs
    told(station, do="release")
    assert not station.lines[0].hangs


def test_another_model_takes_the_place_of_one_without_its_faults():
    station = Station(["bme280", "mailbag"])
    told(station, do="stuck", level=255)
    told(station, do="model", name="bmp280")
    assert station.lines[0].exchange(ID) == b"\xff\x58"


def test_a_mailbag_says_what_was_loaded_and_gives_what_it_heard_once():
    station = Station(["mailbag"])
    told(station, do="load", hex="aabb")
    assert station.lines[0].exchange(b"\0\0") == b"\xaa\xbb"
    station.lines[0].exchange(b"\x01\x02")
    assert [told(station, do="take")["hex"] for _ in range(2)] == ["0102", ""]


@pytest.mark.parametrize("order", [{"do": "dance"}, {"do": "take"}, {"do": "error"}])
def test_what_is_no_command_is_refused(order):
    with pytest.raises((ValueError, KeyError)):
        told(Station(["bme280"]), **order)
