"""A simulated Modbus device that is written to: by its own frames, and asked by the gateway's side of the protocol."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.framing.modbus_pdu import Question, answer_in, question_to_write, sealed, write_of
from gateway.profile.build import CompiledProfile
from gateway.profile.load import load_profile
from gateway.schema.plan import values_of
from hil.sim.behaviour import Behaviour
from hil.sim.modbus import ModbusWire
from hil.sim.modbus_write import write_in
from hil.sim.pty import Cable
from hil.sim.thermostat import PROFILE, Thermostat
from tests.waiting import heard, until

SETTING, SWITCH, ROOM = Question(1, 3, 0, 4), Question(1, 1, 0, 1), Question(1, 4, 0, 1)


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    path = tmp_path_factory.mktemp("profile") / "thermostat.toml"
    path.write_text(PROFILE)
    return CompiledProfile(load_profile(path))


class Master:
    """Asks and writes as the gateway does."""

    def __init__(self, profile):
        self.profile = profile
        self.thermostat = Thermostat(profile)
        self.slave = self.thermostat.slave

    def read(self, question=SETTING, message="setting", now_s=0.0):
        body = answer_in(self.slave.answer(question, now_s), question)
        plan = self.profile.messages[message]
        return values_of(plan, plan.decode(body)) if isinstance(body, bytes) else body

    def write(self, start, data, now_s=0.0):
        """Return the answer's body or reason, None where none is prompt."""
        question = question_to_write(1, start, data)
        answers = self.slave.take(write_in(write_of(question, data)[:-2]), now_s)
        return answer_in(answers[0], question) if answers else None


@pytest.fixture
def master(profile):
    return Master(profile)


def target(celsius):
    return struct.pack(">h", round(celsius * 10))


def test_one_register_that_is_written_is_read_back_and_the_others_stay(master):
    assert master.write(0, target(22.5)) == b"\x00\x00" + target(22.5)
    assert master.read() == {"target": 22.5, "fan": "low", "limit": 1500.0}


def test_a_value_of_two_registers_is_written_whole(master):
    assert master.write(2, struct.pack(">f", 750.5)) == b"\x00\x02\x00\x02"
    assert master.read() == {"target": 20.0, "fan": "low", "limit": 750.5}


def test_several_fields_are_written_at_once(master):
    master.write(0, target(18) + b"\x00\x02" + struct.pack(">f", 1.0))
    assert master.read() == {"target": 18.0, "fan": "high", "limit": 1.0}


@pytest.mark.parametrize("frame", ["01050000{}00", "010f0000000101{}"])
def test_a_coil_is_written_alone_or_among_several(master, frame):
    off, on = (frame.format(value) for value in (("00", "ff") if frame.startswith("0105") else ("00", "01")))
    for text, value in ((off, False), (on, True)):
        (answer,) = master.slave.take(write_in(bytes.fromhex(text)))
        assert answer == sealed(bytes.fromhex(text)[:6])
        assert master.read(SWITCH, "switch") == {"power": value}


@pytest.mark.parametrize(
    ("start", "data", "reason"),
    [
        (0, target(30.1), "exception 3 (illegal data value)"),
        (1, b"\x00\x07", "exception 3 (illegal data value)"),
        (2, struct.pack(">f", float("nan")), "exception 3 (illegal data value)"),
        (3, b"\0\0\0\0", "exception 2 (illegal data address)"),
        (9, b"\0\0", "exception 2 (illegal data address)"),
    ],
)
def test_what_cannot_be_written_is_refused_and_changes_nothing(master, start, data, reason):
    before = master.read()
    assert master.write(start, data) == reason
    assert master.read() == before


def test_a_device_that_lies_answers_yes_and_does_nothing(master):
    master.slave.behave(Behaviour(lies=True))
    assert master.write(0, target(25)) == b"\x00\x00" + target(25)
    assert master.read()["target"] == 20.0


def test_a_device_that_ignores_writes_answers_reads(master):
    master.slave.behave(Behaviour(ignores=True))
    assert master.write(0, target(25)) is None
    assert master.read()["target"] == 20.0
    assert len(master.slave.written) == 1


def test_a_device_that_refuses_says_that_it_failed(master):
    master.slave.behave(Behaviour(refuses=True))
    assert master.write(0, target(25)) == "exception 4 (server device failure)"
    assert master.read()["target"] == 20.0


def test_a_slow_device_reads_back_the_old_value_until_it_acts(master):
    master.slave.behave(Behaviour(slow_s=1.0))
    master.write(0, target(25), now_s=5.0)
    assert [master.read(now_s=now_s)["target"] for now_s in (5.9, 6.0)] == [20.0, 25.0]


def test_a_clamped_device_says_yes_and_reads_back_its_limit(master):
    master.slave.behave(Behaviour(clamp=(16, 22)))
    assert master.write(0, target(25)) == b"\x00\x00" + target(25)
    assert master.read()["target"] == 22.0


def test_a_device_that_drifts_stops_at_what_its_register_may_say(master):
    master.slave.behave(Behaviour(drift_per_s=1.0))
    master.write(0, target(25), now_s=0.0)
    assert [master.read(now_s=now_s)["target"] for now_s in (2.0, 4.0, 9.0)] == [27.0, 29.0, 29.0]


def test_a_device_that_lags_reads_back_what_was_before(master):
    master.slave.behave(Behaviour(lag_s=1.0))
    master.write(0, target(25), now_s=5.0)
    assert [master.read(now_s=now_s)["target"] for now_s in (5.1, 6.0, 6.2)] == [20.0, 20.0, 25.0]


def test_a_late_answer_is_of_a_write_that_was_obeyed(master):
    master.slave.behave(Behaviour(ack_after_s=0.5))
    assert master.write(0, target(25), now_s=5.0) is None
    assert master.read(now_s=5.1)["target"] == 25.0
    assert master.slave.due(5.4) == []
    assert master.slave.due(5.5) == [sealed(b"\x01\x06\x00\x00" + target(25))]


def test_a_device_that_restarts_on_a_write_forgets_what_was_written_before(master):
    master.write(0, target(25))
    master.slave.behave(Behaviour(restarts=True))
    assert master.write(0, target(26), now_s=1.0) is None
    assert master.read(now_s=1.1) == "no answer"
    assert master.read(now_s=1.3)["target"] == 20.0


def test_the_room_follows_what_the_device_does_not_what_it_was_told(master):
    master.slave.behave(Behaviour(lies=True))
    master.write(0, target(30))
    for second in range(200):
        master.thermostat.live(float(second))
    assert master.read(ROOM, "room") == {"temperature": 20.0}


def test_a_wire_serves_a_read_a_write_and_what_is_due(profile, tmp_path):
    with Cable(tmp_path / "wire") as cable, cable.path.open("r+b", buffering=0) as tty:
        os.set_blocking(tty.fileno(), False)
        thermostat = Thermostat(profile)
        wire = ModbusWire(cable, [thermostat.slave])
        thermostat.slave.behave(Behaviour(ack_after_s=0.1))
        request = write_of(question_to_write(1, 0, target(21)), target(21))
        tty.write(request)
        until(lambda: wire.step(1.0) or thermostat.slave.written)  # the kernel hands it on when it comes to it
        tty.write(sealed(b"\x01\x03\x00\x00\x00\x04"))
        answer = heard(lambda: wire.step(1.05) or tty.read(64), 13)
        assert answer_in(answer, SETTING)[:2] == target(21)
        wire.step(1.1)
        assert heard(lambda: tty.read(64), len(request)) == request


@pytest.mark.parametrize(
    "text",
    [
        "01030000000400",  # a read
        "0105000000aa",  # a coil is on or off
        "0106000000",  # half a value
        "011000000002021234",  # two registers, one given
        "01100000000103123456",  # the count of bytes is wrong
        "0110000000000000",  # none
        "010f0000000901ff",  # nine coils in one byte
    ],
)
def test_a_request_that_is_no_write_as_the_standard_says_is_none(text):
    assert write_in(bytes.fromhex(text)) is None


@given(st.binary(max_size=40))
def test_bytes_of_any_kind_are_a_write_or_none(body):
    write = write_in(body)
    assert write is None or (write.quantity >= 1 and body.startswith(write.head))


@given(
    width=st.integers(1, 40),
    start=st.integers(0, 39),
    bits=st.lists(st.booleans(), min_size=1, max_size=40),
    old=st.data(),
)
def test_coils_are_written_bit_by_bit_and_the_others_stay(width, start, bits, old):
    start %= width
    bits = bits[: width - start]
    before = old.draw(st.lists(st.booleans(), min_size=width, max_size=width))
    packed = sum(bit << place for place, bit in enumerate(bits)).to_bytes((len(bits) + 7) // 8, "little")
    head = b"\x01\x0f" + (100 + start).to_bytes(2) + len(bits).to_bytes(2)
    write = write_in(head + bytes([len(packed)]) + packed)
    body = sum(bit << place for place, bit in enumerate(before)).to_bytes((width + 7) // 8, "little")
    after = int.from_bytes(write.onto(body, 100), "little")
    wanted = before[:start] + bits + before[start + len(bits) :]
    assert [bool(after >> place & 1) for place in range(width)] == wanted
