"""The portable half of the firmware, compiled for this machine, against the profile and the framer of the gateway."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.framing.cobs import stuff, unstuff
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.plan import values_of
from hil.kernel.firmware import SOURCES
from hil.sim.node import CobsNode
from tests.hil.test_cobs_node import EXAMPLES, crc_of

PROFILE = CompiledProfile(load_profile(find_profile("cobs-node")))
IDENTITY, STATUS, ORDERS, MEASUREMENT = 1, 2, 3, 4
HOLDING, MOVING, MANUAL, BLOCKED = range(4)

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc: sudo apt install gcc libc6-dev")


class Identity(ctypes.Structure):
    _fields_ = [("serial_number", ctypes.c_uint8 * 6), ("hardware", ctypes.c_uint8), ("firmware", ctypes.c_char * 12)]


class Readings(ctypes.Structure):
    _fields_ = [
        ("temperature", ctypes.c_int16),
        ("humidity", ctypes.c_uint16),
        ("pressure", ctypes.c_uint32),
        ("flow", ctypes.c_uint16),
        ("supply", ctypes.c_uint16),
        ("valve", ctypes.c_uint8),
        ("mode", ctypes.c_int),
        ("is_heater_on", ctypes.c_bool),
        ("alarms", ctypes.c_uint8),
    ]


class Vitals(ctypes.Structure):
    _fields_ = [
        ("restarts", ctypes.c_uint16),
        ("cause", ctypes.c_int),
        ("load", ctypes.c_uint8),
        ("free_memory", ctypes.c_uint16),
    ]


class NodeState(ctypes.Structure):
    """The part of `struct node` that its users look at, and room for the rest."""

    _fields_ = [
        ("position", ctypes.c_uint8),
        ("ramp", ctypes.c_uint8),
        ("has_new_order", ctypes.c_bool),
        ("mode", ctypes.c_int),
        ("frames_refused", ctypes.c_uint32),
        ("rest", ctypes.c_uint8 * 256),
    ]


@pytest.fixture(scope="module")
def firmware(tmp_path_factory):
    library = tmp_path_factory.mktemp("firmware") / "protocol.so"
    sources = sorted(Path(SOURCES, "protocol").glob("*.c"))
    strict = [
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Wconversion",
        "-Werror",
        "-fsanitize-undefined-trap-on-error",
    ]
    command = ["gcc", *strict, "-O1", "-fsanitize=undefined", "-shared", "-fPIC", "-o", library, *sources]
    subprocess.run(command, check=True, timeout=120)
    loaded = ctypes.CDLL(str(library))
    for name in ("cobs_stuff", "node_take", "node_identity", "node_status", "node_orders", "node_measurement"):
        getattr(loaded, name).restype = ctypes.c_size_t
    loaded.crc16.restype = ctypes.c_uint16
    return loaded


class Node:
    """The firmware's node, driven byte by byte."""

    def __init__(self, firmware, now_ms=0):
        self.firmware = firmware
        self.state = NodeState()
        identity = Identity((ctypes.c_uint8 * 6)(*bytes.fromhex("7d00c0b51e55")), 3, b"1.4.0")
        firmware.node_init(ctypes.byref(self.state), ctypes.byref(identity), now_ms, 70)

    def take(self, data):
        """Return the answers to `data`, as bodies."""
        wire = (ctypes.c_uint8 * 64)()
        answers = b""
        for byte in data:
            size = self.firmware.node_take(ctypes.byref(self.state), byte, wire)
            answers += bytes(wire[:size])
        return PROFILE.framer().feed(answers)

    def due(self, now_ms):
        return self.firmware.node_due(ctypes.byref(self.state), ctypes.c_uint32(now_ms))

    def say(self, name, *arguments):
        wire = (ctypes.c_uint8 * 64)()
        size = getattr(self.firmware, f"node_{name}")(ctypes.byref(self.state), *arguments, wire)
        return bytes(wire[:size])

    def settle(self, now_ms=0):
        """Say everything that is due."""
        while message := self.due(now_ms):
            if message == IDENTITY:
                self.say("identity")
            elif message == STATUS:
                self.say("status", now_ms, ctypes.byref(Vitals()))
            elif message == ORDERS:
                self.say("orders", 0)
            else:
                self.say("measurement", now_ms, ctypes.byref(Readings()))


@pytest.fixture
def node(firmware):
    return Node(firmware)


def decoded(body):
    name = PROFILE.match(body, None)
    return name, values_of(PROFILE.messages[name], PROFILE.messages[name].decode(body))


def set_valve(counter=7, position=125, ramp=10):
    return PROFILE.framer().encode(bytes([0x10, counter, position, ramp]))


@given(st.binary(max_size=600))
def test_the_firmware_s_crc_is_the_document_s(firmware, data):
    assert firmware.crc16(data, len(data)) == crc_of(data)


@given(st.lists(st.binary(max_size=300) | st.integers(250, 260).map(lambda count: b"\x01" * count)).map(b"\0".join))
def test_the_firmware_stuffs_and_unstuffs_as_the_gateway_does(firmware, data):
    stuffed = (ctypes.c_uint8 * (len(data) + len(data) // 254 + 1))()
    size = firmware.cobs_stuff(data, len(data), stuffed)
    assert bytes(stuffed[:size]) == stuff(data)
    assert firmware.cobs_unstuff(stuffed, size) == len(data)
    assert bytes(stuffed[: len(data)]) == data


@given(st.binary(min_size=1, max_size=600).map(lambda piece: piece.replace(b"\0", b"\1")))
def test_the_firmware_refuses_the_stuffing_that_the_gateway_refuses(firmware, piece):
    frame = (ctypes.c_uint8 * len(piece))(*piece)
    size = firmware.cobs_unstuff(frame, len(piece))
    assert (None if size < 0 else bytes(frame[:size])) == unstuff(piece)


def test_the_firmware_says_the_document_s_examples(firmware):
    measurement, missing, status, identity, *_, orders = (wire for _, _, wire in EXAMPLES)
    full = Readings(2137, 4525, 101325, 320, 23984, 70, HOLDING, True, 0)
    nothing = Readings(-32768, 65535, 0xFFFFFF, 65535, 65535, 255, HOLDING, False, 8)
    node = Node(firmware)
    for _ in range(42):
        node.say("identity")
    assert node.say("measurement", 123456, ctypes.byref(full)) == measurement
    node.state.frames_refused = 5
    assert node.say("status", 3_600_000, ctypes.byref(Vitals(2, 2, 34, 11264))) == status
    assert node.say("orders", 12) == orders
    node = Node(firmware)
    assert node.say("measurement", 0, ctypes.byref(nothing)) == missing
    assert node.say("identity") == identity


def test_a_valve_that_is_set_is_acknowledged_as_in_the_document_s_example(node):
    assert node.take(EXAMPLES[4][2]) == [EXAMPLES[5][1]]
    assert (node.state.has_new_order, node.state.position, node.state.ramp) == (True, 125, 10)


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (bytes([0x10, 9, 201, 0]), "out_of_range"),
        (bytes([0x10, 9, 200, 241]), "out_of_range"),
        (bytes([0x10, 9, 200]), "out_of_range"),
        (bytes([0x33, 9]), "unknown"),
    ],
)
def test_a_command_that_cannot_be_is_refused_with_its_counter_and_the_setpoint_that_holds(node, body, result):
    ((_, ack),) = map(decoded, node.take(PROFILE.framer().encode(body)))
    assert (ack["counter"], ack["result"], ack["position"]) == (9, result, 35)
    assert not node.state.has_new_order


@pytest.mark.parametrize(("mode", "result"), [(MANUAL, "manual"), (BLOCKED, "valve_blocked"), (MOVING, "accepted")])
def test_a_valve_that_cannot_move_takes_no_order(node, mode, result):
    node.state.mode = mode
    ((_, ack),) = map(decoded, node.take(set_valve()))
    assert ack["result"] == result
    assert node.state.has_new_order is (result == "accepted")


def test_a_body_longer_than_its_table_is_read_as_far_as_the_table_goes(node):
    ((_, ack),) = map(decoded, node.take(PROFILE.framer().encode(bytes([0x10, 7, 125, 10, 99, 98]))))
    assert (ack["result"], ack["position"]) == ("accepted", 62.5)


def test_a_node_that_is_asked_answers_with_its_identity(node):
    assert [decoded(body)[0] for body in node.take(EXAMPLES[6][2])] == ["identity"]


@pytest.mark.parametrize(
    "wire",
    [
        set_valve()[:-2] + b"\x01\0",  # wrong CRC
        b"\x05\x10\x07\0",  # a code that points past the end
        b"\x01\0",  # nothing but a zero
        PROFILE.framer().encode(b"\x10"),  # a type without a counter
        b"\x02" * 200 + b"\0",  # too long
    ],
)
def test_a_bad_frame_is_counted_and_not_answered_and_the_next_one_is_obeyed(node, wire):
    assert node.take(wire) == []
    assert node.state.frames_refused == 1
    assert len(node.take(set_valve())) == 1


def test_the_longest_packet_is_taken_and_one_byte_more_is_refused(node):
    longest = PROFILE.framer().encode(bytes([0x10, 7, 125, 10]) + b"\x01" * 56)
    assert len(longest) == 64
    assert len(node.take(longest)) == 1
    assert node.take(longest[:1] + b"\x01" + longest[1:]) == []
    assert node.state.frames_refused == 1


@given(st.binary(max_size=300))
def test_noise_never_upsets_the_firmware(firmware, noise):
    node = Node(firmware)
    node.take(noise + b"\0")
    node.state.mode = HOLDING
    assert [body[:3] for body in node.take(set_valve())] == [b"\x11\x07\x10"]


def test_empty_frames_are_ignored(node):
    assert node.take(b"\0\0\0") == []
    assert node.state.frames_refused == 0


def test_identity_status_and_orders_come_first_after_power_on(node):
    order = []
    for _ in range(4):
        order.append(node.due(0))
        message = ["", "identity", "status", "orders", "measurement"][order[-1]]
        facts = {"status": (0, ctypes.byref(Vitals())), "orders": (0,), "measurement": (0, ctypes.byref(Readings()))}
        node.say(message, *facts.get(message, ()))
    assert [*order, node.due(0)] == [IDENTITY, STATUS, ORDERS, MEASUREMENT, 0]


def test_orders_are_due_after_one_that_is_accepted_and_not_after_one_that_is_refused(node):
    node.settle(0)
    node.take(set_valve(position=201))
    assert node.due(0) == 0
    node.take(set_valve())
    assert node.due(0) == ORDERS


def test_late_measurements_are_skipped_and_not_caught_up(node):
    node.settle(0)
    assert node.due(99) == 0
    assert node.due(100) == MEASUREMENT
    node.say("measurement", 345, ctypes.byref(Readings()))
    assert node.due(399) == 0
    assert node.due(400) == MEASUREMENT


def test_two_measurements_are_never_so_near_that_a_moving_valve_seems_to_stand(node):
    node.settle(0)
    node.say("measurement", 195, ctypes.byref(Readings()))
    assert node.due(200) == 0
    assert node.due(300) == MEASUREMENT


def test_the_grid_survives_the_wrap_of_the_clock(firmware):
    start_ms = 2**32 - 150
    node = Node(firmware, ctypes.c_uint32(start_ms))
    node.settle(start_ms)
    assert node.due(start_ms + 99) == 0
    assert node.due(start_ms + 100) == MEASUREMENT
    node.settle(start_ms + 100)
    assert node.due(49) == 0
    assert node.due(50) == MEASUREMENT
    ((_, values),) = map(decoded, PROFILE.framer().feed(node.say("measurement", 50, ctypes.byref(Readings()))))
    assert values["uptime"] == 200


def test_the_counter_counts_every_frame_but_the_answers_to_commands(node):
    node.settle(0)
    node.take(set_valve())
    node.settle(100)
    (body,) = PROFILE.framer().feed(node.say("identity"))
    assert body[1] == 6  # identity, status, orders, measurement; orders again, measurement


# ---- the simulation beside it


class Both:
    """The firmware's node and the simulated one, at the same place, told the same."""

    def __init__(self, firmware):
        self.real = Node(firmware)
        self.simulated = CobsNode(PROFILE)

    def take(self, wire):
        """Return what each answers, as bodies."""
        frames = b"".join(self.simulated.receive(wire, 0.0))
        return self.real.take(wire), PROFILE.framer().feed(frames)


def told(bodies):
    """Return answers without what only one node has: its label and its own frames' counter."""
    return [body if body[0] == 0x11 else body[:1] for body in bodies]


BODIES = st.one_of(
    st.tuples(st.just(0x10), st.integers(0, 255), st.integers(0, 255), st.integers(0, 255)).map(bytes),
    st.tuples(st.sampled_from([0x10, 0x12, 0x33]), st.binary(max_size=12)).map(lambda two: bytes([two[0]]) + two[1]),
    st.binary(max_size=70),
)
LINES = st.lists(
    BODIES.map(PROFILE.framer().encode) | st.binary(max_size=80).map(lambda noise: noise + b"\0"), max_size=12
)


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 240)), max_size=4), LINES)
def test_the_simulated_node_answers_whatever_comes_as_the_firmware_does(firmware, orders, lines):
    both = Both(firmware)
    both.take(set_valve(counter=0, position=70))
    for number, (position, ramp) in enumerate(orders):
        real, simulated = both.take(set_valve(number, position, ramp))
        assert told(simulated) == told(real)
    for line in lines:
        real, simulated = both.take(line)
        assert told(simulated) == told(real)
    assert both.simulated._refused == both.real.state.frames_refused
    assert both.simulated.target_percent == both.real.state.position / 2
