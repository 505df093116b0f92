"""What a device knows when it leaves, and has again when it comes back."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.frame import Element
from gateway.profile.build import CompiledProfile
from gateway.runtime.device import Device
from gateway.runtime.parcel import Parcel
from gateway.runtime.parting import (
    Kept,
    NotKeptError,
    body_of,
    give_back,
    kept_of,
    known_from,
    left_from,
    number,
    stub_of,
)
from gateway.runtime.stubs import Origin
from gateway.schema.plan import ABSENT
from gateway.taint import COHERENCE_STALE, DELIVERY_DROPPED
from gateway.testing import FakeClock
from tests.runtime.kit import BEACON, compiled

PROFILE = compiled(BEACON)
ADDRESS = "00:00:00:00:88:4F"


def tag(clock: FakeClock, profile: CompiledProfile = PROFILE) -> Device:
    device = Device("tag-884f", profile, clock)
    device.origin = Origin("tag", ADDRESS, 1000)
    return device


def hear(device: Device, clock: FakeClock, name: str, value: int) -> None:
    stamp = Parcel([], None, clock.monotonic_ns(), clock.wall_ns())
    element = Element(ADDRESS, -60, manufacturer=0x0499)
    device.advertise([element], stamp)
    for _mailbox, parcel in device.parcels([bytes([value])], [name], stamp):
        device.in_hand -= 1
        device.serve(parcel)


def parted(device: Device, boot: str = "one") -> Kept:
    kept = left_from(body_of(device, kept_of(device, boot, {}), "idle")).kept
    assert kept is not None
    return kept


def back(clock: FakeClock, device: Device, boot: str = "one", profile: CompiledProfile = PROFILE) -> Device:
    again = tag(clock, profile)
    number(again, stub_of(device))
    give_back(again, parted(device), boot, clock.monotonic_ns(), clock.wall_ns(), started_ns=0)
    return again


def test_values_come_back_stale_with_their_own_times_and_numbers() -> None:
    clock = FakeClock(monotonic_ns=5)
    device = tag(clock)
    hear(device, clock, "a", 7)
    received_ns, wall_ns = clock.monotonic_ns(), clock.wall_ns()
    clock.advance(1000)
    message = back(clock, device).messages["a"]
    assert (message.row, message.sequence, message.taints) == ((7, 0), 1, COHERENCE_STALE)
    assert (message.received_ns, message.wall_ns, message.is_restored) == (received_ns, wall_ns, True)


def test_what_it_said_itself_since_it_came_back_is_newer() -> None:
    clock = FakeClock()
    device = tag(clock)
    hear(device, clock, "a", 7)
    hear(device, clock, "b", 8)
    again = tag(clock)
    number(again, stub_of(device))
    hear(again, clock, "a", 9)
    give_back(again, parted(device), "one", clock.monotonic_ns(), clock.wall_ns(), started_ns=0)
    assert [(message.row, message.sequence) for message in again.messages.values()] == [((9, 0), 2), ((8, 0), 1)]
    assert [message.is_restored for message in again.messages.values()] == [False, True]


def test_a_step_of_the_wall_clock_makes_nothing_older_that_was_heard_in_this_run() -> None:
    clock = FakeClock()
    device = tag(clock)
    hear(device, clock, "a", 7)
    clock.advance(100)
    clock.step_wall(1e6)
    message = back(clock, device).messages["a"]
    assert message.latest(clock.monotonic_ns())["age"] == pytest.approx(100)
    assert not message.is_earlier


def test_values_of_an_earlier_run_are_as_old_as_the_wall_clock_says_and_name_their_run() -> None:
    clock = FakeClock()
    device = tag(clock)
    hear(device, clock, "a", 7)
    clock.advance(100)
    message = back(clock, device, boot="two").messages["a"]
    assert message.latest(clock.monotonic_ns())["age"] == pytest.approx(100)
    assert (message.runtime, message.is_earlier) == ("one", True)


def test_a_value_that_came_back_and_leaves_again_still_names_the_run_that_heard_it() -> None:
    clock = FakeClock()
    device = tag(clock)
    hear(device, clock, "a", 7)
    again = back(clock, device, boot="two")
    said = kept_of(again, "two", {}).messages["a"]
    assert (said.boot, said.taints, said.seq) == ("one", 0, 1)


def test_taints_of_what_was_heard_come_back_with_it() -> None:
    clock = FakeClock()
    device = tag(clock)
    device.lose(1)
    hear(device, clock, "a", 7)
    row = back(clock, device).messages["a"].row
    assert row == (7, DELIVERY_DROPPED)


def test_the_account_of_frames_goes_on() -> None:
    clock = FakeClock()
    device = tag(clock)
    hear(device, clock, "a", 7)
    device.refuse(2)
    again = back(clock, device)
    hear(again, clock, "a", 7)
    assert again.frames() == (4, 2, 0, 2, 0)


def test_a_value_of_another_unit_is_null_and_one_that_was_not_there_is_absent() -> None:
    clock = FakeClock()
    device = tag(clock)
    hear(device, clock, "a", 7)
    text = BEACON.replace('"a", type = "u8"', '"a", type = "u8", units = "Cel"')
    assert back(clock, device, profile=compiled(text)).messages["a"].row == (None, 0)
    text = BEACON.replace('"a", type = "u8"', '"other", type = "u8"')
    assert back(clock, device, profile=compiled(text)).messages["a"].row == (ABSENT, 0)


@pytest.mark.parametrize("value", [None, "open", 1 << 90, -0.1, True, [1, 2.5]])
def test_every_kind_of_value_survives_the_record(value: Any) -> None:
    clock = FakeClock()
    device = tag(clock)
    hear(device, clock, "a", 7)
    device.messages["a"].row = (value, 0)
    assert parted(device).messages["a"].values == {"a": value}


def test_what_fits_into_no_record_leaves_without_its_values_and_is_still_known() -> None:
    clock = FakeClock()
    device = tag(clock)
    hear(device, clock, "a", 7)
    device.messages["a"].row = ("x" * 40_000, 0)
    left = left_from(body_of(device, kept_of(device, "one", {}), "idle"))
    assert left.kept is not None
    assert (left.address, left.kept.messages) == (ADDRESS, {})


def test_the_record_is_one_of_the_lifecycle_and_tells_why() -> None:
    clock = FakeClock()
    left = left_from(body_of(tag(clock), kept_of(tag(clock), "one", {}), "made room"))
    assert (left.device, left.state, left.event, left.reason, left.attempt) == (
        "tag-884f", "DISCONNECTED", "evicted", "made room", 0,
    )  # fmt: skip


def test_an_outline_tells_what_a_stub_needs() -> None:
    clock = FakeClock()
    device = tag(clock)
    hear(device, clock, "a", 7)
    known = known_from(body_of(device, kept_of(device, "one", {}), "idle"), 12)
    assert known == ("tag", ADDRESS, "tag-884f", 12, 1000, {"a": 1, "advertisement": 1})


@pytest.mark.parametrize("raw", [b"", b'{"device":"node","state":"CONNECTED"}', b'{"discovery":1}', b'{"discovery"'])
def test_a_record_of_no_discovered_device_tells_of_none(raw: bytes) -> None:
    assert known_from(raw, 12) is None


@pytest.mark.parametrize("raw", [b"", b"[]", b'{"device":1}', b"\xff"])
def test_bytes_that_are_no_record_of_a_device_are_refused_by_name(raw: bytes) -> None:
    with pytest.raises(NotKeptError):
        left_from(raw)
