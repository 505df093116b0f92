"""The profile obd2 against the formulas of SAE J1979, annex B, written down a second time, over ISO-TP as recorded."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from functools import cache

import pytest
from click.testing import CliRunner

from gateway.cli.decode import command
from gateway.framing.isotp import segments
from gateway.profile.build import CompiledProfile
from gateway.profile.load import load_profile, shipped_profiles
from gateway.schema.plan import values_of

pytestmark = pytest.mark.conformance

Formula = Callable[..., object]


def percent(a: int) -> float:
    return a * 100 / 255


def trim(a: int) -> float:
    return (a - 128) * 100 / 128


def temperature(a: int) -> int:
    return a - 40


def word(a: int, b: int) -> int:
    return 256 * a + b


def signed(a: int, b: int) -> int:
    return word(a, b) - (65536 if a > 127 else 0)


def same(a: int) -> int:
    return a


def ratio(a: int, b: int) -> float:
    return 2 / 65536 * word(a, b)


# PID: data bytes, and from them to the values in order (one value: itself)
FORMULAS: dict[int, tuple[int, Formula]] = {
    0x04: (1, percent),
    0x05: (1, temperature),
    **dict.fromkeys((6, 7, 8, 9, 45), (1, trim)),
    0x0A: (1, lambda a: 3 * a),
    **dict.fromkeys((11, 13, 48, 51, 95), (1, same)),
    0x0C: (2, lambda a, b: word(a, b) / 4),
    0x0E: (1, lambda a: a / 2 - 64),
    **dict.fromkeys((15, 70, 92), (1, temperature)),
    0x10: (2, lambda a, b: word(a, b) / 100),
    **dict.fromkeys((17, 44, 46, 47, 69, *range(71, 77), 82, 90, 91), (1, percent)),
    **{pid: (2, lambda a, b: (a / 200, None if b == 255 else trim(b))) for pid in range(0x14, 0x1C)},
    **dict.fromkeys((31, 33, 49, 77, 78, 99), (2, word)),
    0x22: (2, lambda a, b: 0.079 * word(a, b)),
    **{pid: (2, lambda a, b: 10 * word(a, b)) for pid in (0x23, 0x59)},
    **{pid: (4, lambda a, b, c, d: (ratio(a, b), 8 / 65536 * word(c, d))) for pid in range(0x24, 0x2C)},
    0x32: (2, lambda a, b: signed(a, b) / 4),
    **{pid: (4, lambda a, b, c, d: (ratio(a, b), word(c, d) / 256 - 128)) for pid in range(0x34, 0x3C)},
    **{pid: (2, lambda a, b: word(a, b) / 10 - 40) for pid in range(0x3C, 0x40)},
    0x42: (2, lambda a, b: word(a, b) / 1000),
    0x43: (2, lambda a, b: word(a, b) * 100 / 255),
    0x44: (2, ratio),
    0x4F: (4, lambda a, b, c, d: (a, b, c, 10 * d)),
    0x50: (4, lambda a, _b, _c, _d: 10 * a),
    0x53: (2, lambda a, b: word(a, b) / 200),
    0x54: (2, signed),
    **{pid: (2, lambda a, b: (trim(a), trim(b))) for pid in range(0x55, 0x59)},
    0x5D: (2, lambda a, b: word(a, b) / 128 - 210),
    0x5E: (2, lambda a, b: word(a, b) / 20),
    **{pid: (1, lambda a: a - 125) for pid in (0x61, 0x62, 0x8E)},
    0x64: (5, lambda *data: tuple(a - 125 for a in data)),
    0xA6: (4, lambda a, b, c, d: (word(a, b) * 65536 + word(c, d)) / 10),
}
ENUMERATED = {0x03: 2, 0x12: 1, 0x1C: 1, 0x51: 1}  # labels: PID and data bytes
FLAGGED = {0x00: 4, 0x01: 4, 0x02: 2, 0x13: 1, 0x1D: 1, 0x1E: 1, 0x20: 4, 0x40: 4, 0x41: 4, 0x60: 4}


@cache
def compiled() -> CompiledProfile:
    return CompiledProfile(load_profile(shipped_profiles()["obd2"]))


def read(body: bytes) -> dict:
    plan = compiled().messages["current_data"]
    return values_of(plan, plan.decode(body))


def test_every_pid_from_00_to_5f_is_described():
    assert sorted(set(range(0x60)) - FORMULAS.keys() - ENUMERATED.keys() - FLAGGED.keys()) == []
    tags = {field.tag for field in compiled().profile.message["current_data"].fields}
    assert set(range(0x60)) - tags == set()


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
    log.write_text("(0.0) can0 18DAF110#03410D32\n(0.1) can0 7E8#03410D32\n")
    params = [f"--param={text}" for text in ("tx=0x18da10f1", "rx=0x18daf110", "mask=0x1fffffff")]
    records = [
        json.loads(each) for each in CliRunner().invoke(command, ["obd2", str(log), *params]).stdout.splitlines()
    ]
    assert [record.get("values", record.get("reason")) for record in records] == [{"vehicle_speed": 50}, "unknown id"]


@pytest.mark.parametrize("arguments", [["--hex", "03410d32"], ["--payload", "--hex", "410d32"]])
def test_bytes_without_an_id_are_what_the_receiver_hears(arguments, monkeypatch, tmp_path):
    monkeypatch.setenv("TIDEGATE_DATA", str(tmp_path / "data"))
    result = CliRunner().invoke(command, ["obd2", *arguments])
    assert json.loads(result.stdout)["values"] == {"vehicle_speed": 50}
