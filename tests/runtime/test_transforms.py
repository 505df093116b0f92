"""Transforms in a running gateway: a device's samples use the calibration that this device told last."""

from __future__ import annotations

import pytest

from gateway.lifecycle import Event
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.runtime.device import Device
from gateway.runtime.parcel import Parcel
from gateway.schema.plan import Row
from gateway.taint import DELIVERY_GARBAGE, TRUST_ADJUSTED
from gateway.testing import FakeClock

STAMP = Parcel([], None, received_ns=5_000_000_000, wall_ns=1_700_000_000_000_000_000)
WRONG = ("identity", b"\x60")
TRIM = ("trim", bytes.fromhex("706b436718fc7d8e43d6d00b270b8c00f9ff8c3cf8c67017"))
SAMPLE = ("sample", bytes.fromhex("655ac07eed00"))
EXAMPLE = [pytest.approx(25.08, abs=0.005), pytest.approx(100653.27, abs=0.01)]  # BMP280 datasheet, section 3.12


@pytest.fixture(scope="module")
def profile() -> CompiledProfile:
    return CompiledProfile(load_profile(find_profile("bmp280")))


def device(profile: CompiledProfile, **options: object) -> Device:
    return Device("baro", profile, FakeClock(), **options)


def serve(device: Device, *frames: tuple[str, bytes]) -> None:
    for mailbox, parcel in device.parcels([body for _, body in frames], [name for name, _ in frames], STAMP):
        device.in_hand -= len(parcel)
        mailbox.put_nowait(parcel)
        for taken in mailbox.drain():
            device.serve(taken)


def row_of(device: Device) -> Row:
    row = device.messages["sample"].row
    assert row is not None
    return row


def test_a_sample_before_the_calibration_is_null(profile):
    baro = device(profile)
    serve(baro, SAMPLE)
    assert row_of(baro) == (None, None, 0)


def test_a_sample_uses_the_calibration_read_before_it_in_the_same_batch_or_an_earlier_one(profile):
    baro = device(profile)
    serve(baro, TRIM, SAMPLE)
    assert list(row_of(baro)[:2]) == EXAMPLE
    serve(baro, SAMPLE, SAMPLE)
    assert list(row_of(baro)[:2]) == EXAMPLE


def test_two_devices_of_one_profile_do_not_share_their_calibration(profile):
    one, other = device(profile), device(profile)
    serve(one, TRIM)
    serve(other, SAMPLE)
    assert row_of(other) == (None, None, 0)


def test_a_refused_frame_beside_them_changes_nothing(profile):
    baro = device(profile)
    serve(baro, TRIM, WRONG, SAMPLE)
    assert list(row_of(baro)[:2]) == EXAMPLE
    assert baro.frames()[:4] == (3, 2, 0, 1)


@pytest.mark.parametrize("event", [Event.LOST, Event.CLOSED])
def test_after_the_port_was_away_the_calibration_is_to_be_read_again(profile, event):
    baro = device(profile)
    for step in (Event.SEEK, Event.ATTEMPT, Event.OPENED):
        baro.happened(step)
    serve(baro, TRIM, SAMPLE)
    baro.happened(event)
    serve(baro, SAMPLE)
    assert row_of(baro)[:2] == (None, None)


def test_an_adjusted_value_is_the_computed_one_adjusted(profile):
    baro = device(profile, adjust={"temperature": (1.0, -0.5)})
    serve(baro, TRIM, SAMPLE)
    temperature, pressure, taints = row_of(baro)
    assert temperature == pytest.approx(24.58, abs=0.005)
    assert pressure == EXAMPLE[1]
    assert taints & ~DELIVERY_GARBAGE == TRUST_ADJUSTED


def test_computed_values_have_routes_and_units(profile):
    latest = device(profile).messages["sample"].latest(0)
    assert latest["units"] == {"temperature": "Cel", "pressure": "Pa"}
    assert latest["streams"] == {"temperature": "temperature", "pressure": "pressure"}
