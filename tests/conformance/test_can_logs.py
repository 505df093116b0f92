"""CAN logs of boats and trucks through `tidegate decode`: every frame becomes exactly one record, and the right one."""

from __future__ import annotations

import json
import re

import cantools.database
import pytest
from click.testing import CliRunner

from gateway.cli.decode import command
from tests.conformance.dbc_corpus import CAN, NEEDS_DATA, accepted, bodies, differences, meaning, oracle

pytestmark = [NEEDS_DATA, pytest.mark.conformance]

BOAT_LOGS = ["candumpSample2.txt", "candumpSample3.txt"]
SAMPLES = CAN / "nmea2000/canboat/samples"
TRUCK_DBC = CAN / "css-electronics/examples/data-processing/dbc_files/CSS-Electronics-SAE-J1939-DEMO.dbc"
TRUCK_LOG = CAN / "css-electronics/expected_asammdf.jsonl"
FRAME = re.compile(r"^(?:\((?P<t>[0-9.]+)\))?\s*\S+\s+(?P<id>[0-9A-F]{3,8})(?:#|\s+\[\d+\]\s+)(?P<data>[0-9A-F ]*)$")

# Vessel heading (PGN 127250), rate of turn (127251) and attitude (127257) as NMEA 2000 lays them out, at the ids at
# which the boats of these logs send them; "not available" is not declared, as cantools could not say it.
BOAT_DBC = """VERSION ""
BU_: BOAT
BO_ {heading} VESSEL_HEADING: 8 BOAT
 SG_ SID : 0|8@1+ (1,0) [0|0] "" BOAT
 SG_ Heading : 8|16@1+ (0.0001,0) [0|6.5535] "rad" BOAT
 SG_ Deviation : 24|16@1- (0.0001,0) [0|0] "rad" BOAT
 SG_ Variation : 40|16@1- (0.0001,0) [0|0] "rad" BOAT
 SG_ Reference : 56|2@1+ (1,0) [0|3] "" BOAT
BO_ {turn} RATE_OF_TURN: 8 BOAT
 SG_ SID : 0|8@1+ (1,0) [0|0] "" BOAT
 SG_ Rate : 8|32@1- (3.125E-08,0) [0|0] "rad/s" BOAT
BO_ {attitude} ATTITUDE: 8 BOAT
 SG_ SID : 0|8@1+ (1,0) [0|0] "" BOAT
 SG_ Yaw : 8|16@1- (0.0001,0) [0|0] "rad" BOAT
 SG_ Pitch : 24|16@1- (0.0001,0) [0|0] "rad" BOAT
 SG_ Roll : 40|16@1- (0.0001,0) [0|0] "rad" BOAT
VAL_ {heading} Reference 0 "True" 1 "Magnetic" 2 "Error" 3 "Unavailable" ;
"""


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path / "data"))


def decoded(dbc, log):
    """Return the records of a log, and the exit code."""
    result = CliRunner().invoke(command, [str(dbc), str(log), "--format", "candump"])
    assert result.exit_code in {0, 1}, result.output
    return [json.loads(line) for line in result.stdout.splitlines()], result.exit_code


def frames_of(log):
    found = (FRAME.match(line.strip()) for line in log.read_text().splitlines())
    return [(one["t"], one["id"], one["data"].replace(" ", "").lower()) for one in found if one]


def boat_dbc(tmp_path, source):
    ids = {"heading": 0x89F11200, "turn": 0x89F11300, "attitude": 0x89F11900}
    path = tmp_path / "boat.dbc"
    path.write_text(BOAT_DBC.format(**{name: frame_id + source for name, frame_id in ids.items()}))
    return path


@pytest.mark.parametrize("log", BOAT_LOGS)
def test_every_frame_of_a_boat_log_gives_one_record_in_order(log):
    frames = frames_of(SAMPLES / log)
    records, code = decoded(TRUCK_DBC, SAMPLES / log)
    assert [record["n"] for record in records] == list(range(1, len(frames) + 1))
    assert [(record["address"], record["garbage"], record["reason"]) for record in records] == [
        (address, data, "unknown id") for _, address, data in frames
    ]
    assert code == 1
    assert len(frames) > 390


@pytest.mark.parametrize(("log", "source"), [("candumpSample2.txt", 0x80), ("candumpSample3.txt", 0xCC)])
def test_boat_logs_decode_as_cantools_decodes_them(log, source, tmp_path):
    dbc = boat_dbc(tmp_path, source)
    database = cantools.database.load_file(dbc)
    known = {f"{message.frame_id:08X}": message for message in database.messages}
    records, _ = decoded(dbc, SAMPLES / log)
    frames = frames_of(SAMPLES / log)
    met = 0
    for record, (time, address, data) in zip(records, frames, strict=True):
        assert record["address"] == address
        assert record["t"] == (float(time) if time else None)
        if address not in known:
            assert record["reason"] == "unknown id"
            continue
        message = known[address]
        assert record["message"] == message.name
        assert differences(record["values"], meaning(message, bytes.fromhex(data))) == []
        met += 1
    assert met > 40


@pytest.fixture
def truck(tmp_path):
    """Return the recorded frames, the speeds that another decoder found in the recording, and a candump log."""
    expected = json.loads(TRUCK_LOG.read_text().splitlines()[0])
    frames = expected["first_frames"]
    (speeds,) = expected["decoded"].values()
    log = tmp_path / "truck.candump"
    log.write_text("".join(f"({frame['ts']:.6f}) can1 {frame['id']:08X}#{frame['data']}\n" for frame in frames))
    return frames, speeds, log


def assert_speeds(records, speeds):
    values = [(name, value) for record in records for name, value in record.get("values", {}).items()]
    assert {name for name, _ in values} == set(speeds)
    assert all(value == speeds[name]["mean"] == 0 for name, value in values)


def test_a_truck_log_decodes_to_the_speeds_another_decoder_found(truck, tmp_path):
    """The database names its messages for any source (address FE); here they get the addresses of this truck."""
    frames, speeds, log = truck
    text = TRUCK_DBC.read_text()
    for anywhere, here in ((0x8CF004FE, 0x8CF00400), (0x98FEF1FE, 0x98FEF147)):
        assert f"BO_ {anywhere} " in text
        text = text.replace(f" {anywhere} ", f" {here} ")
    dbc = tmp_path / "truck.dbc"
    dbc.write_text(text)
    records, _ = decoded(dbc, log)
    assert [record["n"] for record in records] == list(range(1, len(frames) + 1))
    assert_speeds(records, speeds)


def test_with_framing_j1939_the_database_is_used_as_it_is(truck, tmp_path):
    """Segments of a transfer are joined to one record, so there are fewer records than frames."""
    frames, speeds, log = truck
    (tmp_path / "truck.dbc").write_bytes(TRUCK_DBC.read_bytes())
    profile = tmp_path / "truck.toml"
    profile.write_text(
        '[profile]\nid = "example/truck@1.0.0"\n[link]\nbus = "can"\n'
        '[framing]\nkind = "j1939"\n[dbc]\nfile = "truck.dbc"\n'
    )
    records, _ = decoded(profile, log)
    assert 0 < len(records) < len(frames)
    assert_speeds(records, speeds)


def test_remote_error_and_foreign_frames_are_records_too(tmp_path):
    log = tmp_path / "odd.candump"
    log.write_text(
        "(1.0) can0 09F112CC#R8\n(1.1) can0 20000004#0004000000000000\n(1.2) can0 09F112CC##1FF725AFF7FFF7FFD\n"
        "(1.3) can0 09F112CC#FF725AFF7FFF7FFDAABB\n(1.4) can0 09F112CC#FF72\n(1.5) can0 1CC#00\n"
    )
    records, code = decoded(boat_dbc(tmp_path, 0xCC), log)
    assert [record["n"] for record in records] == [1, 2, 3, 4, 5, 6]
    assert [record.get("message") for record in records] == [None, None, *["VESSEL_HEADING"] * 3, None]
    assert records[4]["values"] == {"SID": 255, **dict.fromkeys(["Heading", "Deviation", "Variation", "Reference"])}
    assert records[4]["taints"] == ["trust.truncated"]
    assert code == 1


@pytest.mark.parametrize("file", [file for file in accepted() if oracle(file).messages])
def test_a_log_of_every_message_of_a_database_decodes_by_its_own_names(file, tmp_path):
    """What is read of two messages with one id is the later, in cantools and here."""
    sent = []
    for message in oracle(file).messages:
        width, mark = (8 if message.is_extended_frame else 3), ("#" if message.length <= 8 else "##0")
        wins = oracle(file).get_message_by_frame_id(message.frame_id, message.is_extended_frame)
        sent += [(f"{message.frame_id:0{width}X}{mark}{body.hex()}", wins, body) for body in bodies(message, 1)[1:]]
    log = tmp_path / "all.candump"
    log.write_text("".join(f"(12.5) can0 {frame}\n" for frame, _, _ in sent))
    records, code = decoded(CAN / file, log)
    assert (len(records), code) == (len(sent), 0)
    for record, (_, message, body) in zip(records, sent, strict=True):
        assert record["message"] == message.name
        assert differences(record["values"], meaning(message, body)) == [], message.name
