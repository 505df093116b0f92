from __future__ import annotations

import pytest

from gateway.framing.checks import check_of
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.plan import values_of
from hil.sim.behaviour import GOOD, Behaviour
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


class Commanded:
    """A motor that has been commanded to 500/min and is told so every 50 ms; then it is made to behave otherwise."""

    def __init__(self, profile):
        self.profile = profile
        self.motor = MotorController(profile)
        self.now_s = 0.0
        self.counter = 0
        self.motor.due(0.0)
        self.run(500, 1.0)

    def run(self, speed, seconds, *, speaks=True):
        """Command a speed for so long; return what the motor said, by message."""
        said = {"status": [], "ack": []}
        end_s = self.now_s + seconds
        while self.now_s < end_s - 1e-9:
            frames = []
            if speaks and round(self.now_s * 100) % 5 == 0:
                self.counter = (self.counter + 1) & 0xF
                frames += self.motor.receive(command(self.profile, speed, self.counter), self.now_s)
            self.now_s += 0.01
            for frame in frames + self.motor.due(self.now_s):
                name, values = decoded(self.profile, frame)
                said[name].append(values)
        return said

    def behave(self, **facts):
        self.motor.behave(Behaviour(**facts))


@pytest.fixture
def commanded(profile):
    return Commanded(profile)


def near(speed):
    return pytest.approx(speed, abs=10)


def results(said):
    return {ack["Result"] for ack in said["ack"]}


def last_speed(said):
    return said["status"][-1]["speed"]


def test_a_motor_that_ignores_commands_says_nothing_and_coasts_to_a_stop(commanded):
    commanded.behave(ignores=True)
    said = commanded.run(1000, 1.0)
    assert (said["ack"], last_speed(said)) == ([], 0)


def test_a_motor_that_lies_says_yes_and_keeps_its_old_speed(commanded):
    commanded.behave(lies=True)
    said = commanded.run(1000, 1.0)
    assert (results(said), last_speed(said)) == ({"accepted"}, near(500))


def test_a_motor_that_was_never_commanded_and_lies_keeps_the_speed_it_has(profile):
    motor = MotorController(profile)
    motor.behave(Behaviour(lies=True))
    for step in range(300):
        motor.due(step / 50)
    before = motor.speed_per_min
    for step in range(300, 600):
        motor.receive(command(profile, -700, step % 16), step / 50)
        motor.due(step / 50)
    assert motor.speed_per_min == before == 1500


def test_a_motor_that_refuses_says_no_and_coasts_to_a_stop(commanded):
    commanded.behave(refuses=True)
    said = commanded.run(1000, 1.0)
    assert (results(said), last_speed(said)) == ({"fault_present"}, 0)


@pytest.mark.parametrize("fault", ["stall", "overheat"])
def test_a_motor_with_a_fault_reports_it_refuses_and_stops(commanded, fault):
    commanded.behave(condition=fault)
    said = commanded.run(1000, 1.0)
    assert (said["status"][-1]["fault"], results(said), last_speed(said)) == (fault, {"fault_present"}, 0)


def test_a_motor_that_is_slow_acks_at_once_and_begins_later(commanded):
    commanded.behave(slow_s=0.5)
    said = commanded.run(1000, 0.45)
    assert (results(said), last_speed(said)) == ({"accepted"}, near(500))
    assert last_speed(commanded.run(1000, 0.5)) == near(1000)


def test_a_motor_that_is_clamped_says_yes_and_goes_no_further(commanded):
    commanded.behave(clamp=(-800, 800))
    said = commanded.run(1000, 1.0)
    assert (results(said), last_speed(said)) == ({"accepted"}, near(800))


def test_a_motor_that_drifts_leaves_its_speed_though_the_command_is_repeated(commanded):
    commanded.behave(drift_per_s=100)
    assert last_speed(commanded.run(500, 2.0)) == near(700)
    assert last_speed(commanded.run(600, 0.5)) == pytest.approx(650, abs=15)


def test_a_motor_never_drifts_beyond_what_it_can(commanded):
    commanded.behave(drift_per_s=1e6)
    assert last_speed(commanded.run(500, 2.0)) == near(3000)


def test_late_acks_come_late_in_order_and_the_speed_at_once(commanded):
    commanded.behave(ack_after_s=0.3)
    said = commanded.run(1000, 0.25)
    assert (said["ack"], last_speed(said)) == ([], near(1000))
    later = [ack["Counter"] for ack in commanded.run(1000, 0.3)["ack"]]
    assert later == [(later[0] + number) % 16 for number in range(len(later))]
    assert len(later) > 1


def test_a_motor_that_never_acks_obeys_all_the_same(commanded):
    commanded.behave(ack_after_s=None)
    said = commanded.run(1000, 1.0)
    assert (said["ack"], last_speed(said)) == ([], near(1000))


def test_a_motor_that_lags_reports_the_speed_of_before(commanded):
    commanded.behave(lag_s=1.0)
    said = commanded.run(1000, 0.9)
    assert {status["speed"] for status in said["status"]} == {said["status"][0]["speed"]}
    assert last_speed(said) == near(500)
    assert last_speed(commanded.run(1000, 1.0)) == near(1000)


def test_a_motor_that_restarts_on_a_command_never_answers_it_and_begins_anew(commanded):
    commanded.behave(restarts=True)
    said = commanded.run(1000, 0.06)
    assert said["ack"] == []
    commanded.behave()
    said = commanded.run(0, 1.0, speaks=False)
    assert said["status"][0]["Counter"] == 1
    assert last_speed(said) == 0


def test_a_motor_that_has_restarted_stands_until_it_is_commanded(commanded):
    commanded.motor.restart(commanded.now_s)
    said = commanded.run(0, 20.0, speaks=False)
    assert {status["speed"] for status in said["status"][50:]} == {0}
    assert last_speed(commanded.run(300, 1.0)) == near(300)


def test_a_motor_has_no_condition_that_its_database_does_not_name(profile):
    motor = MotorController(profile)
    with pytest.raises(ValueError, match="no condition 'manual' here; there are overheat, stall"):
        motor.behave(Behaviour(condition="manual"))
    assert motor.behaviour == GOOD
