"""Transports through the runtime: joined or opened before the mailbox, conserved, each broken one refused once."""

from __future__ import annotations

from gateway.frame import Batch, Element
from gateway.framing.isotp import segments
from gateway.profile.build import CompiledProfile
from gateway.profile.load import load_profile, shipped_profiles
from gateway.runtime.device import Device
from gateway.runtime.transports import transport_of
from gateway.testing import FakeClock
from tests.runtime.kit import Rig, compiled

ECU, TESTER, GO_ON = 0x7E8, 0x7E0, bytes.fromhex("3000000000000000")
ANSWER = bytes.fromhex("41 0c 0f a0 0d 32 05 7b 11 1a")


def car(clock: FakeClock) -> Device:
    return Device("car", CompiledProfile(load_profile(shipped_profiles()["obd2"])), clock)


def played(*frames: tuple[int, bytes]) -> tuple[Rig, Device]:
    clock = FakeClock()
    device = car(clock)
    batch = Batch([data for _, data in frames], 1, 2, [can_id for can_id, _ in frames])
    runtime = Rig([device], [[batch]], clock, transports=[transport_of(device.profile)])
    runtime.play_for(1)
    return runtime, device


def values(device: Device) -> dict[str, object]:
    message = device.messages["current_data"]
    assert message.row is not None
    named = zip(message.plan.names, message.row, strict=False)
    return {name: value for name, value in named if isinstance(value, int | float)}


def test_a_message_in_several_frames_is_one_frame_of_the_device() -> None:
    first, second = segments(ANSWER)
    runtime, device = played((ECU, first), (TESTER, GO_ON), (ECU, second))
    assert values(device)["engine_speed"] == 1000.0
    assert values(device)["vehicle_speed"] == 50
    assert device.frames() == (1, 1, 0, 0, 0)
    assert runtime.keeper.counts.unknown == 0


def test_a_broken_message_is_refused_once_and_the_next_is_whole() -> None:
    body = ANSWER + bytes.fromhex("2f80 33 65 46 41 5c 5a")
    frames = [(ECU, frame) for frame in segments(body)]
    _, device = played(frames[0], *frames[2:], *frames)
    assert values(device)["fuel_level"] == 128 * 100 / 255
    assert device.frames() == (2, 1, 0, 1, 0)


def test_frames_of_other_ids_are_not_taken_for_messages() -> None:
    runtime, device = played((0x123, ANSWER[:3]))
    assert device.messages["current_data"].row is None
    assert runtime.keeper.counts.unknown == 1


SEALED = """
[profile]
id     = "test/sealed@1.0.0"
[params]
key = { type = "key", default = "231d39c1d7cc1ab1aee224cd096db932" }
[link]
bus    = "ble"
mode   = "advertisement"
cipher = "bthome2"
key    = "{key}"
[message.m]
when   = { service = "fcd2" }
fields = [{ name = "info", type = "u8" }, { name = "objects", type = "bytes", length = "rest" }]
"""
# bthome.io, "Encryption": 54:48:E6:8F:80:A5, counter 00112233, temperature 25.06, humidity 50.55
SEALED_BODY = bytes.fromhex("41a47266c95f730011223378237214")
TAG = Element("54:48:E6:8F:80:A5", -60, service="fcd2")


def heard(profile: CompiledProfile, *bodies: bytes) -> tuple[Rig, Device]:
    clock = FakeClock()
    device = Device("tag", profile, clock)
    batch = Batch(list(bodies), 1, 2, [TAG] * len(bodies))
    runtime = Rig([device], [[batch]], clock, transports=[transport_of(device.profile)])
    runtime.play_for(1)
    return runtime, device


def test_a_sealed_advertisement_is_opened_before_it_is_matched() -> None:
    _, device = heard(compiled(SEALED), SEALED_BODY)
    row = device.messages["m"].row
    assert row is not None
    assert row[:2] == (0x40, "02ca0903bf13")


def test_a_sealed_advertisement_without_its_key_is_counted_and_gives_no_value() -> None:
    wrong = SEALED.replace("231d39", "000000")
    runtime, device = heard(compiled(wrong), SEALED_BODY)
    assert device.messages["m"].row is None
    assert runtime.keeper.counts.reasons == {"wrong key": 1}
    assert device.frames() == (1, 0, 0, 1, 0)
