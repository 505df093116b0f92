"""The profile obd2 against the formulas of SAE J1979, annex B, written down a second time, over ISO-TP as recorded."""

from __future__ import annotations

import json
import random
from functools import cache

import pytest
from click.testing import CliRunner

from gateway.cli.decode import command
from gateway.framing.isotp import segments
from gateway.profile.build import CompiledProfile
from gateway.profile.load import load_profile, shipped_profiles
from gateway.schema.plan import values_of
from tests.conformance.obd2_pids import ANNOUNCED, ENUMERATED, FLAGGED, FORMULAS, SPELLED, UNASSIGNED

pytestmark = pytest.mark.conformance


@cache
def compiled() -> CompiledProfile:
    return CompiledProfile(load_profile(shipped_profiles()["obd2"]))


def read(body: bytes) -> dict:
    plan = compiled().messages["current_data"]
    return values_of(plan, plan.decode(body))


def test_every_pid_that_the_standard_assigns_is_described():
    tested = FORMULAS.keys() | ENUMERATED.keys() | FLAGGED.keys() | ANNOUNCED.keys() | SPELLED.keys()
    tags = {field.tag for field in compiled().profile.message["current_data"].fields if field.tag is not None}
    assert set(range(0xC9)) - UNASSIGNED - tested == set()
    assert tags == tested


@pytest.mark.parametrize("pid", sorted(FORMULAS))
def test_a_pid_is_read_by_the_formula_of_the_standard(pid):
    size, formula = FORMULAS[pid]
    made = random.Random(pid)
    for data in [bytes(size), b"\xff" * size, *(made.randbytes(size) for _ in range(30))]:
        expected = formula(*data)
        expected = expected if isinstance(expected, tuple) else (expected,)
        assert list(read(bytes((0x41, pid)) + data).values()) == [
            None if each is None else pytest.approx(each, rel=1e-12, abs=1e-9) for each in expected
        ]


@pytest.mark.parametrize("pid", sorted(ANNOUNCED))
def test_a_pid_of_several_sensors_gives_those_that_its_first_byte_announces(pid):
    places = ANNOUNCED[pid]
    made = random.Random(pid)
    for supports in (0xFF, 0x01, 0x00, *(made.randrange(256) for _ in range(12))):
        raws = [made.randbytes(size) for _, size, _ in places]
        expected = [
            pytest.approx(formula(int.from_bytes(raw)), rel=1e-12, abs=1e-9)
            for (bit, _, formula), raw in zip(places, raws, strict=True)
            if supports >> bit & 1
        ]
        answer = bytes((0x41, pid, supports)) + b"".join(raws) + bytes.fromhex("0d32")
        assert list(read(answer).values()) == [50, *expected]


@pytest.mark.parametrize("pid", sorted(SPELLED))
def test_a_pid_of_mixed_places_says_what_stands_in_them(pid):
    data, expected = SPELLED[pid]
    found = read(bytes((0x41, pid)) + bytes.fromhex(data + "0d32"))
    assert found.pop("vehicle_speed") == 50
    assert found == {
        name: pytest.approx(value) if isinstance(value, float) else value for name, value in expected.items()
    }


@pytest.mark.parametrize("pid", sorted(ENUMERATED | FLAGGED))
def test_a_pid_of_flags_or_labels_takes_its_bytes_and_no_more(pid):
    size = (ENUMERATED | FLAGGED)[pid]
    found = read(bytes((0x41, pid)) + b"\x01" * size + bytes.fromhex("0d32"))
    assert found["vehicle_speed"] == 50
    assert len(found) > 1


def test_a_bitmap_names_the_pids_it_supports():
    assert read(bytes.fromhex("410080000001"))["supported_01_20"] == ["pid_01", "pid_20"]
    assert read(bytes.fromhex("414040000000"))["supported_41_60"] == ["pid_42"]


def test_every_answer_of_several_units_is_one_record_whatever_stands_between(tmp_path, monkeypatch):
    """Eight units answer with many PIDs at once, their frames interleaved, with flow control between."""
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path / "data"))
    made = random.Random(15765)
    answers = {}
    for unit in range(8):
        pids = made.sample(sorted(FORMULAS), 6)
        data = {pid: made.randbytes(FORMULAS[pid][0]) for pid in pids}
        answers[f"{0x7E8 + unit:03X}"] = b"\x41" + b"".join(bytes((pid,)) + some for pid, some in data.items())
    queues = {address: segments(body) for address, body in answers.items()}
    frames = [("7DF", bytes.fromhex("0201040000000000"))]
    while any(queues.values()):
        address = made.choice([each for each, queue in queues.items() if queue])
        frames.append((address, queues[address].pop(0)))
        if frames[-1][1][0] >> 4 == 1:
            frames.append((f"{int(address, 16) - 8:03X}", bytes.fromhex("3000000000000000")))
    log = tmp_path / "car.candump"
    log.write_text("".join(f"({n / 1000:.6f}) can0 {name}#{data.hex()}\n" for n, (name, data) in enumerate(frames)))
    records = [json.loads(line) for line in CliRunner().invoke(command, ["obd2", str(log)]).stdout.splitlines()]
    assert [record["reason"] for record in records if "reason" in record] == ["unknown id"]
    last = {name: n / 1000 for n, (name, _) in enumerate(frames)}
    decoded = {record["address"]: record for record in records if "message" in record}
    assert decoded.keys() == answers.keys()
    assert {address: record["values"] for address, record in decoded.items()} == {
        address: json.loads(json.dumps(read(body))) for address, body in answers.items()
    }
    assert all(record["t"] == pytest.approx(last[address]) for address, record in decoded.items())


def test_a_broken_answer_is_one_garbage_record_and_a_pending_one_is_cut(tmp_path, monkeypatch):
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path / "data"))
    frames = segments(b"\x49\x02\x01" + b"1D4GP00R55B123456")
    log = tmp_path / "car.candump"
    times = (0, 0, 1, 1, 1, 2, 3, 4, 4)
    sent = [frames[0], frames[2], *frames, bytes.fromhex("037f0112"), frames[1], *frames[:2]]
    log.write_text("".join(f"({n}.0) can0 7E8#{frame.hex()}\n" for n, frame in zip(times, sent, strict=True)))
    result = CliRunner().invoke(command, ["obd2", str(log)])
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record.get("reason", record.get("message")) for record in records] == [
        "missing",
        "identity",
        "refusal",
        "no start",
        "cut",
    ]
    assert result.exit_code == 1


def test_one_unit_alone_and_extended_ids_are_a_matter_of_parameters(tmp_path, monkeypatch):
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path / "data"))
    log = tmp_path / "car.candump"
    log.write_text("(0.0) can0 18DAF128#03410D32\n(0.1) can0 18DA28F1#300000\n(0.2) can0 7E8#03410D32\n")
    params = [f"--param={text}" for text in ("tx=0x18da10f1", "rx=0x18daf110", "mask=0x1fffff00")]
    records = [
        json.loads(each) for each in CliRunner().invoke(command, ["obd2", str(log), *params]).stdout.splitlines()
    ]
    assert [record.get("values", record.get("reason")) for record in records] == [{"vehicle_speed": 50}, "unknown id"]


@pytest.mark.parametrize("arguments", [["--hex", "03410d32"], ["--payload", "--hex", "410d32"]])
def test_bytes_without_an_id_are_what_the_receiver_hears(arguments, monkeypatch, tmp_path):
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path / "data"))
    result = CliRunner().invoke(command, ["obd2", *arguments])
    assert json.loads(result.stdout)["values"] == {"vehicle_speed": 50}
