"""VE.Direct blocks of a recorded BMV-700, against the labels and texts that another parser found in the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.frame import Garbage
from gateway.profile.build import CompiledProfile
from gateway.profile.load import load_profile, shipped_profiles
from gateway.schema.plan import values_of

DATA = Path(__file__).parents[3] / "shared" / "data" / "uart" / "vedirect"
DUMP = DATA / "karioja" / "test" / "bvm702.dump"
EXPECTED = DATA / "expected_blocks.jsonl"

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not EXPECTED.is_file(), reason=f"{DATA} is absent: a recorded battery monitor"),
]

# name -> label and divisor; written down again from the protocol's table, apart from the profile
STATUS = {
    "voltage": ("V", 1000),
    "current": ("I", 1000),
    "power": ("P", 1),
    "consumed_charge": ("CE", 1000),
    "state_of_charge": ("SOC", 10),
    "time_to_go": ("TTG", 1),
}
HISTORY = {
    "deepest_discharge": ("H1", 1000),
    "last_discharge": ("H2", 1000),
    "average_discharge": ("H3", 1000),
    "charge_cycles": ("H4", 1),
    "full_discharges": ("H5", 1),
    "cumulative_charge": ("H6", 1000),
    "minimum_voltage": ("H7", 1000),
    "maximum_voltage": ("H8", 1000),
    "time_since_full": ("H9", 1),
    "automatic_syncs": ("H10", 1),
    "low_voltage_alarms": ("H11", 1),
    "high_voltage_alarms": ("H12", 1),
    "discharged_energy": ("H17", 100),
    "charged_energy": ("H18", 100),
}


def expected_values(fields: dict[str, str]) -> tuple[str, dict[str, Any]]:
    if "H1" in fields:
        return "history", {name: int(fields[label]) / divisor for name, (label, divisor) in HISTORY.items()}
    values: dict[str, Any] = {name: int(fields[label]) / divisor for name, (label, divisor) in STATUS.items()}
    values["time_to_go"] = None if fields["TTG"] == "-1" else values["time_to_go"]
    switches = {"alarm": fields["Alarm"] == "ON", "relay": fields["Relay"] == "ON"}
    return "status", {**values, "temperature": None, **switches, "model": fields["BMV"], "firmware": fields["FW"]}


@pytest.fixture(scope="module")
def blocks() -> list[dict[str, Any]]:
    (recording,) = [json.loads(line) for line in EXPECTED.read_text().splitlines()]
    return [block for block in recording["blocks"] if block["valid"]]


@pytest.fixture(scope="module")
def profile() -> CompiledProfile:
    return CompiledProfile(load_profile(shipped_profiles()["ve-direct"]))


@pytest.mark.parametrize("step", [1 << 20, 61, 7])
def test_every_block_of_the_recording_has_its_values(profile, blocks, step):
    data = DUMP.read_bytes()
    framer = profile.framer()
    found = [item for at in range(0, len(data), step) for item in framer.feed(data[at : at + step])] + framer.gap()
    bodies = [item for item in found if not isinstance(item, Garbage)]
    assert len(bodies) == len(blocks) == 906
    for body, block in zip(bodies, blocks, strict=True):
        name, values = expected_values(block["fields"])
        assert profile.match(body, None) == name
        row = profile.messages[name].decode(body)
        got = values_of(profile.messages[name], row)
        assert got == {key: pytest.approx(v, rel=1e-9) if isinstance(v, float) else v for key, v in values.items()}
        assert row[-1] == 0
    # the recording stops within a block: that is all that is left over
    rest = b"".join(item.raw for item in found if isinstance(item, Garbage))
    assert data.endswith(rest)


def test_hex_frames_in_between_do_not_spoil_a_block(profile, blocks):
    data = DUMP.read_bytes()[: blocks[3]["offset"] + blocks[3]["len"]]
    hex_frame = b":A0102000543\n"  # BMV-7xx HEX Protocol: an asynchronous message
    for at in range(2, len(data), 5):
        framer = profile.framer()
        found = framer.feed(data[:at] + hex_frame + data[at:]) + framer.gap()
        assert [profile.match(body, None) for body in found if not isinstance(body, Garbage)] == [
            "status",
            "history",
            "status",
            "history",
        ], at


def test_every_block_is_built_again_from_its_values(profile, blocks):
    framer = profile.framer()
    for block in blocks[:50]:
        name, values = expected_values(block["fields"])
        plan = profile.messages[name]
        (body,) = framer.feed(framer.encode(plan.encode({key: v for key, v in values.items() if v is not None})))
        built = dict(line.split("\t") for line in body.decode().split("\r\n"))
        # the profile has no use for the product id beside the model, nor for the alarm's reason
        expected = {label: text for label, text in block["fields"].items() if label not in {"PID", "AR"}}
        assert built == expected
