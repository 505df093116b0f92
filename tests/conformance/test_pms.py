"""PMS5003 against frames recorded from a real sensor and the values an independent decoder read from them."""

import json
from pathlib import Path

import pytest

from gateway.frame import Garbage
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.plan import values_of

FOLDER = find_profile("pms5003").parent
DATA = Path(__file__).parents[3] / "shared" / "data" / "uart" / "pms"
pytestmark = pytest.mark.conformance


def recorded():
    path = DATA / "expected_observations.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if row["sensor"] == "PMSx003"]


def decoded(stream):
    compiled = CompiledProfile(load_profile(FOLDER / "profile.toml"))
    framer = compiled.framer()
    found = []
    for body in [*framer.feed(stream), *framer.gap()]:
        name = None if isinstance(body, Garbage) else compiled.match(body, None)
        found.append(body if name is None else values_of(compiled.messages[name], compiled.messages[name].decode(body)))
    return found


def as_ours(expect):
    """pypms gives particles per cm3; the wire and the profile count per 0.1 L."""
    ours = {
        "pm1_0_cf1": expect["raw01"],
        "pm2_5_cf1": expect["raw25"],
        "pm10_cf1": expect["raw10"],
        "pm1_0": expect["pm01"],
        "pm2_5": expect["pm25"],
        "pm10": expect["pm10"],
    }
    for theirs, name in [("n0_3", "0_3um"), ("n0_5", "0_5um"), ("n1_0", "1_0um"), ("n2_5", "2_5um"), ("n5_0", "5_0um")]:
        ours[f"particles_{name}"] = round(expect[theirs] * 100)
    return ours | {"particles_10um": round(expect["n10_0"] * 100)}


def test_every_recorded_frame_reads_as_the_independent_decoder_reads_it():
    rows = recorded()

    assert [as_ours(row["expect"]) for row in rows] == decoded(b"".join(bytes.fromhex(row["raw_hex"]) for row in rows))


def test_frames_are_found_between_noise_and_behind_a_false_start():
    rows = recorded()[:3]
    stream = b"\x00\x42" + b"\x42\x4d\x00\x1c".join(bytes.fromhex(row["raw_hex"]) for row in rows) + b"\x42\x4d"

    found = decoded(stream)

    assert [piece for piece in found if not isinstance(piece, Garbage)] == [as_ours(row["expect"]) for row in rows]
    assert sum(len(piece.raw) for piece in found if isinstance(piece, Garbage)) == len(stream) - 32 * len(rows)


def test_a_changed_bit_anywhere_is_refused():
    wire = bytes.fromhex(recorded()[0]["raw_hex"])

    for bit in range(8 * len(wire)):
        broken = bytearray(wire)
        broken[bit // 8] ^= 1 << bit % 8
        assert all(isinstance(piece, Garbage) for piece in decoded(bytes(broken))), f"bit {bit}"
