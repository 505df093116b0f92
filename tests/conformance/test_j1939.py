"""The profile j1939-engine on a truck's recording, against another decoder, and its trouble codes by arithmetic."""

from __future__ import annotations

import json
import random
from functools import cache

import cantools.database
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.cli.decode import command
from gateway.profile.build import CompiledProfile
from gateway.profile.load import load_profile, shipped_profiles
from gateway.schema.plan import values_of
from tests.conformance.dbc_corpus import CAN, NEEDS_DATA

pytestmark = pytest.mark.conformance

TRUCK_DBC = CAN / "css-electronics/examples/data-processing/dbc_files/CSS-Electronics-SAE-J1939-DEMO.dbc"
TRUCK_LOG = CAN / "css-electronics/expected_asammdf.jsonl"
RESERVED = {1: 0xFB, 2: 0xFB00, 4: 0xFB000000}  # SAE J1939-71, table 1: from here on a number says something else


@cache
def compiled() -> CompiledProfile:
    return CompiledProfile(load_profile(shipped_profiles()["j1939-engine"]))


def read(message: str, body: bytes) -> dict:
    plan = compiled().messages[message]
    return values_of(plan, plan.decode(body))


@NEEDS_DATA
@pytest.mark.parametrize(
    ("message", "name", "field", "place"),
    [("eec1", "EEC1", "engine_speed", 3), ("ccvs", "CCVS1", "wheel_based_speed", 1)],
)
def test_speeds_are_those_of_another_decoder_but_for_the_reserved_values(message, name, field, place):
    database = cantools.database.load_file(TRUCK_DBC)
    theirs = next(each for each in database.messages if each.name == name)
    (signal,) = [each.name for each in theirs.signals if each.name in {"EngineSpeed", "WheelBasedVehicleSpeed"}]
    made = random.Random(name)
    for _ in range(300):
        body = made.randbytes(8)
        value = read(message, body)[field]
        if int.from_bytes(body[place : place + 2], "little") >= RESERVED[2]:
            assert value is None  # the database does not know of reserved values
        else:
            assert value == pytest.approx(theirs.decode(body)[signal], rel=1e-12)


@NEEDS_DATA
def test_a_recorded_truck_stands_still_and_its_transfers_are_joined(tmp_path, monkeypatch):
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path / "data"))
    expected = json.loads(TRUCK_LOG.read_text().splitlines()[0])
    log = tmp_path / "truck.candump"
    frames = expected["first_frames"]
    log.write_text("".join(f"({frame['ts']:.6f}) can1 {frame['id']:08X}#{frame['data']}\n" for frame in frames))
    result = CliRunner().invoke(command, ["j1939-engine", str(log)])
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert 0 < len(records) < len(frames)
    assert {record["reason"] for record in records if "reason" in record} <= {"unknown id", "cut", "no start"}
    speeds = {"EngineSpeed": "engine_speed", "WheelBasedVehicleSpeed": "wheel_based_speed"}
    for name, other in next(iter(expected["decoded"].values())).items():
        values = [record["values"][speeds[name]] for record in records if speeds[name] in record.get("values", {})]
        assert values
        assert {value for value in values if value is not None} <= {other["mean"]} == {0}


@pytest.mark.parametrize("message", ["et1", "eflp1", "lfe", "ic1", "vep1", "hours", "amb", "vd", "lfc", "dd"])
def test_every_number_is_null_from_its_reserved_values_on_and_only_there(message):
    place = 0
    for field in compiled().profile.message[message].fields:
        size = field.length if field.type == "bytes" else int((field.type or "")[1:]) // 8
        for raw in (0, RESERVED[size] - 1, RESERVED[size], (1 << 8 * size) - 1) if field.name else ():
            body = bytes(place) + raw.to_bytes(size, "little") + bytes(8 - place - size)
            assert (read(message, body)[field.name] is None) == (raw >= RESERVED[size]), (field.name, raw)
        place += size
    assert place == 8


@settings(max_examples=60, deadline=None)
@given(
    codes=st.lists(st.tuples(st.integers(1, 0x7FFFF), st.integers(0, 31), st.integers(0, 126)), min_size=2, max_size=9)
)
def test_any_list_of_trouble_codes_is_read_as_it_was_packed(codes):
    packed = b"".join(bytes((spn & 0xFF, spn >> 8 & 0xFF, spn >> 16 << 5 | fmi, count)) for spn, fmi, count in codes)
    found = read("dm1_several", b"\x04\xff" + packed)
    assert found["amber_warning_lamp"] == "on"
    assert [(fault["spn"], fault["fmi"], fault["count"]) for fault in found["faults"]] == codes


def test_a_code_in_an_older_conversion_has_no_number_rather_than_a_wrong_one():
    assert read("dm1", bytes.fromhex("04ff6e000381ffff"))["faults"] == [{"fmi": 3, "count": 1}]


def test_codes_over_eight_bytes_come_by_broadcast_and_by_connection(tmp_path, monkeypatch):
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path / "data"))
    log = tmp_path / "truck.candump"
    body = bytes.fromhex("04ff6e0003016400010a")
    parts = ["01" + body[:7].hex(), "02" + body[7:].hex() + "ffffffff"]
    broadcast = ["18ECFF00#200A0002FFCAFE00", *(f"18EBFF00#{part}" for part in parts)]
    asked = ["18ECF900#100A0002FFCAFE00", "18EC00F9#110201FFFFCAFE00", *(f"18EBF900#{part}" for part in parts)]
    done, lost = ["18EC00F9#130A0002FFCAFE00"], broadcast[:2]
    frames = [*broadcast, *asked, *done, *lost]
    log.write_text("".join(f"({n / 10:.6f}) can0 {frame}\n" for n, frame in enumerate(frames)))
    records = [json.loads(line) for line in CliRunner().invoke(command, ["j1939-engine", str(log)]).stdout.splitlines()]
    assert [record.get("message", record.get("reason")) for record in records] == ["dm1_several", "dm1_several", "cut"]
    assert [record["t"] for record in records[:2]] == [pytest.approx(0.2), pytest.approx(0.6)]
    assert records[0]["values"] == records[1]["values"]
    assert [fault["spn"] for fault in records[0]["values"]["faults"]] == [110, 100]
