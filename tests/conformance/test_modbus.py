"""Our Modbus against what pymodbus gave for the same bytes, and MH-Z19B readings against pypms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.framing.checks import check_of
from gateway.framing.modbus import ModbusRtuFramer
from gateway.framing.modbus_pdu import Question, answer_in, question_in, sealed
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile

DATA = Path(__file__).parent.parent.parent.parent / "shared" / "data" / "uart"


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


MODBUS = rows(DATA / "modbus" / "pymodbus.jsonl")
READINGS = [row for row in rows(DATA / "pms" / "expected_observations.jsonl") if row["sensor"] == "MHZ19B"]
RTU = [row for row in MODBUS if row.get("framer") == "FramerRTU"]

pytestmark = pytest.mark.skipif(not MODBUS, reason=f"{DATA}/modbus/pymodbus.jsonl is not here")


def test_every_checksum_is_the_one_pymodbus_computes():
    checks = [row for row in MODBUS if row["op"] == "crc"]
    compute = check_of("crc-16-modbus").compute
    for row in checks:  # pymodbus gives the two bytes in wire order, as a big-endian number
        assert row["expect"] == int.from_bytes(compute(bytes.fromhex(row["data"]["hex"])).to_bytes(2, "little"))
    assert len(checks) == 8


def test_every_unit_is_framed_as_pymodbus_frames_it():
    framed = [row for row in RTU if row["op"] == "frame_encode"]
    for row in framed:
        pdu, unit, _ = row["args"]
        body = bytes([unit]) + bytes.fromhex(pdu["hex"])
        assert bytes.fromhex(row["expect"]["hex"]) == ModbusRtuFramer().encode(body) == sealed(body)
    assert len(framed) == 11


def test_the_unit_that_pymodbus_finds_is_found():
    (row,) = [row for row in RTU if row["op"] == "frame_decode" and row["expect"][3]["hex"] == "0100000001"]
    assert [b"\x00" + bytes.fromhex("0100000001")] == ModbusRtuFramer().feed(bytes.fromhex(row["data"]["hex"]))


def test_requests_and_answers_framed_by_pymodbus_belong_together():
    by_unit: dict[int, dict[str, bytes]] = {}
    for row in RTU:
        if row["op"] == "frame_encode":
            by_unit.setdefault(row["args"][1], {})[row["args"][0]["hex"]] = bytes.fromhex(row["expect"]["hex"])
    for unit, frames in by_unit.items():
        if "03007c0002" not in frames:
            continue
        question = question_in(frames["03007c0002"])
        assert Question(unit, 3, 0x7C, 2) == question
        assert isinstance(question, Question)
        if "0304008d008e" in frames:
            assert bytes.fromhex("008d008e") == answer_in(frames["0304008d008e"], question)
        if "8302" in frames:
            assert answer_in(frames["8302"], question) == "exception 2 (illegal data address)"
    assert set(by_unit) >= {0, 17, 255}


@pytest.mark.skipif(not READINGS, reason=f"{DATA}/pms/expected_observations.jsonl is not here")
def test_every_mh_z19b_reading_is_the_one_pypms_gives():
    profile = CompiledProfile(load_profile(find_profile("mh-z19b")))
    stream = b"".join(bytes.fromhex(row["raw_hex"]) for row in READINGS)
    bodies = profile.framer().feed(stream)
    assert all(profile.match(body, None) == "data" for body in bodies)  # type: ignore[arg-type] # no garbage in it
    values = [profile.messages["data"].decode(body)[0] for body in bodies]  # type: ignore[arg-type] # as above
    assert [row["expect"]["CO2"] for row in READINGS] == values
