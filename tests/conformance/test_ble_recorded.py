"""Advertisements recorded from the tests of bthome-ble, govee-ble and beacontools, against what those read in them.

Where we differ on purpose: BTHome v1 (another layout under other UUIDs), Estimote, exposure notification and encrypted
telemetry frames are not ours; an object cut off is null here and left out there; Eddystone's uptime counts tenths of a
second; a Govee temperature that cannot be is marked here and "error" there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.advert import elements_of
from gateway.schema.cipher import Opened
from gateway.schema.plan import Refused, values_of
from gateway.taint import TRUST_TRUNCATED

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "ble" / "recorded"
pytestmark = pytest.mark.conformance

Row = dict[str, Any]
NAMES = {  # theirs to the specification's
    "carbon_dioxide": "co2",
    "dew_point": "dewpoint",
    "volatile_organic_compounds": "tvoc",
    "temperature_1": "temperature",
}
TIMESTAMPS = {"2023-05-14T19:41:17+00:00": 1684093277}
CUT_OFF = {"test_bthome_invalid_object_payload_data_length": {"humidity": None}}
UNVERIFIED = {  # a message that their parser has no opinion on by itself, and what we say
    "test_bindkey_wrong": "wrong key",
    "test_incorrect_bthome_version": "const",
}


def rows_of(name: str) -> list[Row]:
    path = FOLDER / name
    if not path.exists():
        pytest.skip(f"{path} is absent")
    return [json.loads(line) for line in path.read_text().splitlines()]


def compiled(name: str, key: str | None = None) -> CompiledProfile:
    return CompiledProfile(load_profile(find_profile(name), {} if key is None else {"key": key}))


def advert(row: Row) -> Row:
    adv = dict(row["adv"])
    for key in ("manufacturer_data", "service_data"):
        adv[key] = {name: data["hex"] for name, data in adv[key].items()}
    return adv


def read(profile: CompiledProfile, adv: Row) -> list[tuple[dict[str, Any], int] | str]:
    """Return what each element of an advertisement is to a profile: values and taints, or why it is none."""
    found: list[tuple[dict[str, Any], int] | str] = []
    unsealer = profile.unsealer()
    for body, element in elements_of(adv):
        opened = Opened(body) if unsealer is None else unsealer.open(body, element)
        if isinstance(opened, str):
            found.append(opened)
            continue
        name = profile.match(opened.body, element)
        if name is None:
            found.append("unknown")
            continue
        plan = profile.messages[name]
        try:
            row = plan.decode(profile.body_seen(name, opened.body, element))
        except Refused as refusal:
            found.append(refusal.reason)
        else:
            found.append((values_of(plan, row), row[-1]))
    return found


def near(values: Row) -> Row:
    return {name: pytest.approx(each) if isinstance(each, float) else each for name, each in values.items()}


def bthome_values(expect: Row) -> Row:
    """Return what bthome-ble read, in our names and forms."""
    told = {
        NAMES.get(key, key): TIMESTAMPS.get(value["native_value"], value["native_value"])
        for table in ("entity_values", "binary_entity_values")
        for key, value in expect[table].items()
        if key != "signal_strength"
    }
    for key, event in expect["events"].items():
        told[key] = event["event_type"]
        told |= {f"{key}_{name}": value for name, value in (event["event_properties"] or {}).items()}
    return told


def test_bthome_reads_what_bthome_ble_reads():
    rows = [row for row in rows_of("bthome-ble.jsonl") if "test_parser_v2" in row["test"]]
    seen = 0
    for row in rows:
        test = row["test"].rpartition("::")[2]
        profile = compiled("bthome", (row["bindkey"] or {}).get("hex"))
        (result,) = read(profile, advert(row))
        if test in UNVERIFIED:
            assert result == UNVERIFIED[test], test
        elif test == "test_downgrade_detected_flag_v2":
            continue  # two messages of one device: below
        else:
            assert not isinstance(result, str), test
            values, taints = result
            assert values == near(bthome_values(row["expect"]) | CUT_OFF.get(test, {})), test
            assert bool(taints & TRUST_TRUNCATED) is (test in CUT_OFF), test
            seen += 1
    assert seen >= 24


def test_a_plain_message_after_encrypted_ones_is_a_downgrade():
    rows = [row for row in rows_of("bthome-ble.jsonl") if "test_downgrade_detected_flag_v2" in row["test"]]
    profile = compiled("bthome", rows[0]["bindkey"]["hex"])
    unsealer = profile.unsealer()
    assert unsealer is not None
    outcomes = [unsealer.open(*item) for row in rows for item in elements_of(advert(row))]
    assert outcomes == ["wrong key", "not encrypted"]


def test_other_layouts_of_bthome_are_left_alone():
    rows = [row for row in rows_of("bthome-ble.jsonl") if "test_parser_v1" in row["test"]]
    assert rows
    for row in rows:
        assert set(read(compiled("bthome"), advert(row))) == {"unknown"}


GOVEE = {
    "govee-h5074": {"test_gvh5074"},
    "govee-h5075": {
        "test_gvh5075",
        "test_gvh5072",
        "test_gvh5072_75_generic_by_mfr_id",
        "test_gvh5075_2",
        "test_gvh5075_other_values",
    },
}


@pytest.mark.parametrize("name", GOVEE)
def test_govee_reads_what_govee_ble_reads(name):
    rows = [row for row in rows_of("govee-ble.jsonl") if row["test"].rpartition("::")[2] in GOVEE[name]]
    assert len(rows) == len(GOVEE[name])
    for row in rows:
        told = row["expect"]["entity_values"]
        expected = {key: told[key]["native_value"] for key in ("temperature", "humidity", "battery")}
        (values, taints) = next(result for result in read(compiled(name), advert(row)) if not isinstance(result, str))
        assert values == near(expected), row["test"]
        assert taints == 0


def test_a_govee_value_that_cannot_be_is_marked():
    rows = [row for row in rows_of("govee-ble.jsonl") if "test_gvh5075_oversized_values" in row["test"]]
    assert rows
    for row in rows:
        (values, taints) = next(r for r in read(compiled("govee-h5075"), advert(row)) if not isinstance(r, str))
        assert row["expect"]["entity_values"]["temperature"]["native_value"] == "error"
        assert taints != 0, values


def structures(packet: bytes) -> Row:
    """Return the advertisement in a raw packet: [length] [type] [data] ... (Core Specification, Vol 3, Part C, 11)."""
    adv: Row = {"address": "AA:BB:CC:DD:EE:FF", "manufacturer_data": {}, "service_data": {}}
    while len(packet) > 1 and 1 < packet[0] < len(packet):
        kind, data, packet = packet[1], packet[2 : packet[0] + 1], packet[packet[0] + 1 :]
        if kind == 0x16:
            adv["service_data"][data[1::-1].hex()] = data[2:].hex()
        elif kind == 0xFF:
            adv["manufacturer_data"][str(int.from_bytes(data[:2], "little"))] = data[2:].hex()
    return adv


def test_beacons_read_as_beacontools_reads_them():
    profiles = {"IBeaconAdvertisement": "ibeacon"} | dict.fromkeys(
        ["EddystoneUIDFrame", "EddystoneURLFrame", "EddystoneTLMFrame", "EddystoneEIDFrame"], "eddystone"
    )
    seen = set()
    for row in rows_of("beacontools.jsonl"):
        expect = row["expect"] or {"type": None}
        adv = structures(bytes.fromhex(row["packet"]["hex"]))
        if expect["type"] not in profiles:
            results = [result for name in ("ibeacon", "eddystone") for result in read(compiled(name), adv)]
            assert all(isinstance(result, str) for result in results), row["test"]
            continue
        seen.add(expect["type"])
        (result,) = read(compiled(profiles[expect["type"]]), adv)
        assert not isinstance(result, str)
        assert {name: result[0][name] for name in beacon_values(expect)} == near(beacon_values(expect)), row["test"]
    assert len(seen) == 5


def beacon_values(expect: Row) -> Row:
    """Return what beacontools read, in our names, units and forms."""
    renamed = {"voltage": "battery_voltage", "advertising_count": "advertisements", "eid": "ephemeral_id"}
    told = {renamed.get(key, key): value for key, value in expect.items() if not key.startswith(("type", "cypress"))}
    if "uuid" in told:
        told["uuid"] = told["uuid"].replace("-", "")
    if "ephemeral_id" in told:
        told["ephemeral_id"] = told["ephemeral_id"]["hex"]
    if "battery_voltage" in told:
        told["battery_voltage"] /= 1000
        told["uptime"] = told.pop("seconds_since_boot") / 10
    return told
