"""P1 telegrams of DSMR 2.2, 3 and 4 against what dsmr_parser read in them."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.frame import Garbage
from gateway.profile.build import CompiledProfile
from gateway.profile.load import load_profile, shipped_profiles
from gateway.schema.plan import values_of
from gateway.taint import names_of

VECTORS = Path(__file__).parents[3] / "shared" / "data" / "uart" / "dsmr" / "dsmr_parser.jsonl"
ROWS = [json.loads(line) for line in VECTORS.read_text().splitlines()] if VECTORS.is_file() else []

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not ROWS, reason=f"{VECTORS} is absent: telegrams with their expected objects"),
]

SAME = {  # ours -> dsmr_parser's
    "energy_import_t1": "ELECTRICITY_USED_TARIFF_1",
    "energy_import_t2": "ELECTRICITY_USED_TARIFF_2",
    "energy_export_t1": "ELECTRICITY_DELIVERED_TARIFF_1",
    "energy_export_t2": "ELECTRICITY_DELIVERED_TARIFF_2",
    "power_import": "CURRENT_ELECTRICITY_USAGE",
    "power_export": "CURRENT_ELECTRICITY_DELIVERY",
    "power_failures": "SHORT_POWER_FAILURE_COUNT",
    "voltage_l1": "INSTANTANEOUS_VOLTAGE_L1",
    "current_l1": "INSTANTANEOUS_CURRENT_L1",
    "current_l2": "INSTANTANEOUS_CURRENT_L2",
    "current_l3": "INSTANTANEOUS_CURRENT_L3",
    "power_import_l1": "INSTANTANEOUS_ACTIVE_POWER_L1_POSITIVE",
    "power_import_l2": "INSTANTANEOUS_ACTIVE_POWER_L2_POSITIVE",
    "power_import_l3": "INSTANTANEOUS_ACTIVE_POWER_L3_POSITIVE",
    "power_export_l1": "INSTANTANEOUS_ACTIVE_POWER_L1_NEGATIVE",
    "power_export_l2": "INSTANTANEOUS_ACTIVE_POWER_L2_NEGATIVE",
    "power_export_l3": "INSTANTANEOUS_ACTIVE_POWER_L3_NEGATIVE",
    "version": "P1_MESSAGE_HEADER",
}


@pytest.fixture(scope="module")
def profile() -> CompiledProfile:
    return CompiledProfile(load_profile(shipped_profiles()["dsmr-p1"]))


def decoded(profile: CompiledProfile, wire: bytes) -> tuple[dict[str, Any], list[str]]:
    framer = profile.framer()
    (body,) = framer.feed(wire) + framer.gap()
    plan = profile.messages["telegram"]
    assert not isinstance(body, Garbage)
    assert profile.match(body, None) == "telegram"
    row = plan.decode(body)
    return values_of(plan, row), names_of(row[-1])


def spelt(digits: str) -> str | None:
    """Return the text of an identifier as the standard says; dsmr_parser leaves the digits as they are."""
    try:
        return bytes.fromhex(digits).decode().strip("\0") or None
    except ValueError:
        return None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["test"].split("::")[1])
def test_values_are_those_of_dsmr_parser(profile, row):
    expect = row["expect"]
    values, taints = decoded(profile, row["telegram"].encode())
    for ours, theirs in SAME.items():
        assert values[ours] == expect.get(theirs, {"value": None})["value"], ours
    assert values["tariff"] == int(expect["ELECTRICITY_ACTIVE_TARIFF"]["value"])
    assert values["equipment_id"] == spelt(expect["EQUIPMENT_IDENTIFIER"]["value"])
    (device,) = expect["MBUS_DEVICES"]
    gas = device.get("HOURLY_GAS_METER_READING") or device["GAS_METER_READING"]
    assert values["gas_volume"] == gas["value"]
    if "P1_MESSAGE_TIMESTAMP" in expect:
        theirs = datetime.fromisoformat(expect["P1_MESSAGE_TIMESTAMP"]["value"])
        assert datetime.fromisoformat(values["timestamp"]) == theirs
    else:
        assert values["timestamp"] is None
    # one meter's identifier is digits that spell no text: null, and said so
    assert taints == (["trust.text"] if "KFM5" in row["telegram"] else [])


def test_a_slash_restarts_the_telegram(profile):
    wire = ROWS[0]["telegram"].encode()
    whole = decoded(profile, wire)
    framer = profile.framer()
    found = framer.feed(wire[: len(wire) // 2] + wire) + framer.gap()
    bodies = [item for item in found if not isinstance(item, Garbage)]
    plan = profile.messages["telegram"]
    assert [values_of(plan, plan.decode(body)) for body in bodies] == [whole[0]]


def test_a_flipped_digit_is_refused_by_the_check(profile):
    wire = ROWS[0]["telegram"].encode().replace(b"001581.123", b"001581.124")
    framer = profile.framer()
    found = framer.feed(wire) + framer.gap()
    assert found
    assert all(isinstance(item, Garbage) for item in found)
