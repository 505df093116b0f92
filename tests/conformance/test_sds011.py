"""SDS011 against frames recorded from a real sensor and the values an independent decoder read from them."""

import json
from pathlib import Path

import pytest

from gateway.frame import Garbage
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.plan import Refused, values_of

FOLDER = find_profile("sds011").parent
DATA = Path(__file__).parents[3] / "shared" / "data" / "uart" / "pms"
pytestmark = pytest.mark.conformance


def recorded():
    path = DATA / "expected_observations.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if row["sensor"] == "SDS01x"]


def compiled():
    return CompiledProfile(load_profile(FOLDER / "profile.toml"))


def test_every_recorded_frame_reads_as_the_independent_decoder_reads_it():
    rows = recorded()
    profile = compiled()
    framer, plan = profile.framer(), profile.messages["data"]

    bodies = framer.feed(b"".join(bytes.fromhex(row["raw_hex"]) for row in rows))

    found = [values_of(plan, plan.decode(body)) for body in bodies]
    assert found == [
        pytest.approx({"pm2_5": row["expect"]["pm25"], "pm10": row["expect"]["pm10"]}, rel=1e-9) for row in rows
    ]


def test_a_frame_with_a_wrong_check_is_no_frame_and_one_with_a_wrong_tail_is_refused():
    wire = bytes.fromhex(recorded()[0]["raw_hex"])
    profile = compiled()

    unchecked = profile.framer().feed(wire[:8] + bytes([wire[8] ^ 1]) + wire[9:])
    [tailless] = profile.framer().feed(wire[:9] + b"\xac")

    assert {piece.reason for piece in unchecked if isinstance(piece, Garbage)} <= {"check", "noise"}
    assert all(isinstance(piece, Garbage) for piece in unchecked)
    with pytest.raises(Refused, match="const"):
        profile.messages["data"].decode(tailless)
