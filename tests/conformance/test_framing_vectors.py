"""Framings and checksums against vectors that other implementations made."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gateway.frame import CAN_EXTENDED, Garbage
from gateway.framing.build import build_framer
from gateway.framing.checks import check_of, known_checks
from gateway.framing.cobs import stuff, unstuff
from gateway.framing.slip import unescape
from gateway.framing.spec import (
    CheckSpec,
    DsmrP1,
    Hdlc,
    Length,
    LengthField,
    ModbusRtu,
    Nmea0183,
    Slip,
    VeDirect,
)
from gateway.framing.transport import Joiner, Pdu

DATA = Path(__file__).parents[3] / "shared" / "data" / "uart"

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"{DATA} is absent: vectors of other implementations"),
]

UBX = Length(
    start="b5 62",
    length=LengthField(at=4, type="u16le", adds=8),
    check=CheckSpec(kind="fletcher-8-pair", from_=2),
    body="2:-2",
    max=65543,
)


def rows(*path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in DATA.joinpath(*path).read_text().splitlines()]


def data_of(value: dict[str, str]) -> bytes:
    return bytes.fromhex(value["hex"])


def frames(found: list[bytes | Garbage]) -> list[bytes]:
    return [item for item in found if isinstance(item, bytes)]


def test_every_catalogued_crc_has_its_published_check_value():
    catalogue = json.loads((DATA / "crc" / "reveng_catalogue.json").read_text())
    expected = {row["name"].lower().replace("/", "-"): row["check"] for row in catalogue["algorithms"]}
    assert len(expected) > 100
    assert {kind: check_of(kind).compute(b"123456789") for kind in expected} == expected
    assert expected.keys() <= set(known_checks())


def test_cobs_encodes_and_decodes_as_the_cobs_package_does():
    pairs = [(data_of(row["decoded"]), data_of(row["encoded"])) for row in rows("framing", "cobs.jsonl")]
    plain = [pair for pair in pairs if len(pair[1]) > len(pair[0])]  # the shorter ones are COBS/R
    assert len(plain) > 20
    for decoded, encoded in plain:
        assert stuff(decoded) == encoded
        assert unstuff(encoded) == decoded


def test_slip_decodes_as_sliplib_does():
    vectors = [row for row in rows("framing", "sliplib.jsonl") if row["op"] == "decode"]
    assert vectors
    for row in vectors:
        packet = data_of(row["data"])
        if row["error"] is None:
            assert unescape(packet) == data_of(row["expect"]), row["test"]
        elif b"\xc0" not in packet:  # an END within a packet is the splitter's to see, not the decoder's
            assert unescape(packet) is None, row["test"]


def test_slip_escapes_as_sliplib_does():
    vectors = [row for row in rows("framing", "sliplib.jsonl") if row["op"] == "encode"]
    assert vectors
    framer = build_framer(Slip())
    for row in vectors:
        body, wire = data_of(row["data"]), data_of(row["expect"])
        if body:
            assert framer.encode(body).strip(b"\xc0") == wire.strip(b"\xc0"), row["test"]


def test_hdlc_frames_of_yahdlc_come_out_whole():
    for row in rows("framing", "hdlc_yahdlc.jsonl"):
        wire = data_of(row["frame"])
        [body] = build_framer(Hdlc()).feed(wire)
        assert body[:1] == b"\xff"
        assert body[2:] == (data_of(row["payload"]) if row["type"] == "data" else b"")
        assert build_framer(Hdlc()).encode(body) == wire


def test_modbus_rtu_units_are_framed_as_pymodbus_does():
    encoded = [
        row
        for row in rows("modbus", "pymodbus.jsonl")
        if row["op"] == "frame_encode" and row["framer"] == "FramerRTU" and not row["error"]
    ]
    assert len(encoded) > 5
    for row in encoded:
        body = bytes((row["args"][1],)) + data_of(row["args"][0])
        framer = build_framer(ModbusRtu())
        assert framer.encode(body) == data_of(row["expect"])
        assert framer.feed(data_of(row["expect"])) == [body]


def test_modbus_rtu_units_are_found_where_pymodbus_finds_them():
    decoded = [
        row
        for row in rows("modbus", "pymodbus.jsonl")
        if row["op"] == "frame_decode" and row["framer"] == "FramerRTU" and row["expect"] and data_of(row["expect"][3])
    ]
    assert len(decoded) > 1
    for row in decoded:
        if row["test"].endswith("test_handleFrame2"):
            # eight bytes are a whole request; a zero behind any good unit makes another with a good CRC, and
            # pymodbus takes the longer one since it looks at all bytes that came
            continue
        framer = build_framer(ModbusRtu())
        unit = bytes((row["expect"][1],)) + data_of(row["expect"][3])
        assert unit in framer.feed(data_of(row["data"])) + framer.gap(), row["test"]


def test_modbus_crcs_are_pymodbus_ones():
    vectors = [row for row in rows("modbus", "pymodbus.jsonl") if row["op"] == "crc"]
    assert vectors
    for row in vectors:
        crc = check_of("crc-16-modbus").compute(data_of(row["data"]))
        assert crc.to_bytes(2, "little") == row["expect"].to_bytes(2, "big")  # theirs stands as it is sent


def test_ubx_frames_are_those_that_pyubx2_finds():
    expected: dict[str, list[bytes]] = {}
    for row in rows("ubx", "expected_frames.jsonl"):
        if row["kind"] == "UBXMessage":
            expected.setdefault(row["file"], []).append(data_of(row["raw"])[2:-2])
    assert expected
    for name, bodies in expected.items():
        framer = build_framer(UBX)
        stream = (DATA / "ubx" / "pyubx2" / "tests" / name).read_bytes()
        found = [item for place in range(0, len(stream), 1000) for item in framer.feed(stream[place : place + 1000])]
        assert set(bodies) <= set(frames(found + framer.gap())), name


def test_good_sentences_of_pynmea2_are_found_and_bad_ones_are_not():
    vectors = rows("nmea0183", "pynmea2.jsonl")
    for row in vectors:
        sentence = row["sentence"].strip().encode()
        found = frames(build_framer(Nmea0183()).feed(sentence + b"\r\n"))
        body, star, digits = sentence[1:].partition(b"*")
        good = sentence[:1] in b"$!" and star and int(digits[:2], 16) == check_of("xor-8").compute(body)
        assert found == ([body] if good else []), sentence


def test_every_block_of_a_recorded_battery_monitor_is_found():
    expected = json.loads((DATA / "vedirect" / "expected_blocks.jsonl").read_text())
    stream = (DATA / "vedirect" / "karioja" / "test" / expected["file"]).read_bytes()
    framer = build_framer(VeDirect())
    found = [item for place in range(0, len(stream), 61) for item in framer.feed(stream[place : place + 61])]
    fields = [dict(line.split("\t", 1) for line in body.decode("latin-1").split("\r\n")) for body in frames(found)]
    assert fields == [block["fields"] for block in expected["blocks"] if block["valid"]]
    assert len(fields) == expected["valid"]


@pytest.mark.parametrize("row", [0, 1, 2])
def test_recorded_telegrams_are_whole_and_their_crc_holds(row: int):
    telegram = rows("dsmr", "dsmr_parser.jsonl")[row]["telegram"].encode()
    assert build_framer(DsmrP1()).feed(telegram) == [telegram[1 : telegram.index(b"!")]]


def test_every_fast_packet_of_a_recorded_boat_is_joined():
    folder = DATA.parent / "can" / "nmea2000" / "canboat"
    described = json.loads((folder / "docs" / "canboat.json").read_text())["PGNs"]
    joiner = Joiner({row["PGN"] for row in described if row["Type"] == "Fast"})
    line = re.compile(r"\((\d+\.\d+)\) \S+ ([0-9A-F]{8})#([0-9A-F]*)$", re.MULTILINE)
    joined = [
        item
        for seconds, can_id, data in line.findall((folder / "samples" / "candumpSample3.txt").read_text())
        for item in joiner.feed(CAN_EXTENDED | int(can_id, 16), bytes.fromhex(data), int(float(seconds) * 1e9))
    ]
    assert [item for item in joined if isinstance(item, Garbage)] == []
    assert sum(len(item.payload) > 8 for item in joined if isinstance(item, Pdu)) > 100
    assert joiner.gap() == []
