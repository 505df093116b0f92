from __future__ import annotations

import pytest

from gateway.framing.checks import check_of
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.plan import values_of
from hil.sim.motor import ACK_ID, COMMAND_ID, PROGRAMME, STATUS_ID, CanFrame, MotorController


@pytest.fixture(scope="module")
def profile():
    return CompiledProfile(load_profile(find_profile("motor")))


def decoded(profile, frame):
    name = profile.match(frame.data, frame.can_id)
    return name, values_of(profile.messages[name], profile.messages[name].decode(frame.data))


def command(profile, speed, counter, *, enable="on", spoil=0):
    body = profile.messages["command"].encode(
        {"TargetSpeed": speed, "Enable": enable, "Counter": counter, "Checksum": 0}
    )
    return CanFrame(COMMAND_ID, body[:7] + bytes([check_of("crc-8-sae-j1850").compute(body[:7]) ^ spoil]))


def test_status_comes_every_20_ms_with_a_good_checksum(profile):
    motor = MotorController(profile)
    frames = [frame for step in range(500) for frame in motor.due(step / 100)]
    assert len(frames) == 250
    assert {frame.can_id for frame in frames} == {STATUS_ID}
    check = check_of("crc-8-sae-j1850")
    assert all(check.compute(frame.data[:7]) == frame.data[7] for frame in frames)
    counters = [decoded(profile, frame)[1]["Counter"] for frame in frames]
    assert counters == [(number + 1) % 16 for number in range(250)]


def test_without_commands_it_runs_its_own_programme(profile):
    motor = MotorController(profile)
    speeds = [motor.due(step / 50) and motor.speed_per_min for step in range(int(PROGRAMME[-1][0]) * 50)]
    assert max(speeds) == pytest.approx(2400, abs=5)
    assert min(speeds) == pytest.approx(-800, abs=5)


def test_a_command_is_acknowledged_once_and_obeyed_until_commands_stop(profile):
    motor = MotorController(profile)
    motor.due(0.0)
    ((name, ack),) = [decoded(profile, frame) for frame in motor.receive(command(profile, 500, 3), 0.0)]
    assert (name, ack["Command"], ack["Result"], ack["Counter"]) == ("ack", "set_speed", "accepted", 3)
    for step in range(1, 60):
        assert motor.receive(command(profile, 500, 3), step * 0.05) == []
        motor.due(step * 0.05)
    assert motor.speed_per_min == 500
    for step in range(60, 90):
        motor.due(step * 0.05)
    assert motor.speed_per_min == 0


def test_a_command_that_is_spoilt_or_too_fast_is_refused(profile):
    motor = MotorController(profile)
    motor.due(0.0)
    for frame, result in [
        (command(profile, 500, 1, spoil=0xFF), "bad_checksum"),
        (command(profile, 3500, 2), "out_of_range"),
    ]:
        ((_, ack),) = [decoded(profile, answer) for answer in motor.receive(frame, 0.0)]
        assert ack["Result"] == result


def test_frames_that_are_not_its_own_or_cut_short_are_left_alone(profile):
    motor = MotorController(profile)
    motor.due(0.0)
    assert motor.receive(CanFrame(0x123, b"12345678"), 0.0) == []
    assert [frame.can_id for frame in motor.receive(CanFrame(COMMAND_ID, b"\x01"), 0.0)] in ([], [ACK_ID])
