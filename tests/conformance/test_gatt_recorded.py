"""GATT values from the tests of bluetooth-sig-python, against what it reads in them.

Where we differ on purpose: a value cut off gives what is there and is marked, there it is an error; values over the
declared range are kept and marked; bytes left over are counted, there they are an error; a sentinel is null. Of
revolutions and time of which only the first is there, it reads neither (test_undersized_data_handling), we the first.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.frame import Element, short_uuid
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.plan import Refused, values_of

DATA = Path(__file__).parents[3] / "shared" / "data" / "ble" / "recorded" / "bluetooth-sig-gatt.jsonl"
PROFILES = ["heart-rate", "battery", "environmental-sensing", "cycling-speed-cadence", "device-information"]
CSC = {
    "wheel_revolutions": "cumulative_wheel_revolutions",
    "wheel_event_time": "last_wheel_event_time",
    "crank_revolutions": "cumulative_crank_revolutions",
    "crank_event_time": "last_crank_event_time",
}
FLUX = {f"magnetic_flux_density_{axis}": f"{axis}_axis" for axis in "xyz"}
CUT_IN_A_PAIR = "TestCSCMeasurementCharacteristic::test_undersized_data_handling"
pytestmark = pytest.mark.conformance


def recorded() -> list[dict[str, Any]]:
    if not DATA.exists():
        pytest.skip(f"{DATA} is absent")
    rows = [json.loads(line) for line in DATA.read_text().splitlines()]
    return [row for row in rows if "data" in row]


def told_by(expect: Any, name: str) -> Any:
    """Return what the oracle says of one of our values."""
    if not isinstance(expect, dict):
        return expect
    if "enum" in expect:
        return (expect["enum"] or "").lower()
    return expect.get(CSC.get(name, FLUX.get(name, name)))


def test_values_read_as_bluetooth_sig_reads_them():
    compiled = [CompiledProfile(load_profile(find_profile(name))) for name in PROFILES]
    seen: dict[str, int] = {}
    for row in recorded():
        uuid, body = short_uuid(row["uuid"]), bytes.fromhex(row["data"]["hex"])
        element = Element("", characteristic=uuid)
        for profile in compiled:
            name = profile.match(body, element)
            if name is None:
                continue
            plan = profile.messages[name]
            try:
                decoded = plan.decode(body)
            except Refused:  # text that is not UTF-8
                assert row["error"] is not None, row["test"]
                continue
            if row["error"] is None and row["expect"] is not None and not row["test"].endswith(CUT_IN_A_PAIR):
                seen[uuid] = seen.get(uuid, 0) + 1
                for key, value in values_of(plan, decoded).items():
                    told = told_by(row["expect"], key)
                    assert value == (pytest.approx(told) if isinstance(told, float) else told), (row["test"], key)
    assert len(seen) >= 9
    assert sum(seen.values()) > 40
