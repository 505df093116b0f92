"""The protocol of our own node: its document, its profile and its simulation say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.frame import Garbage
from gateway.profile.build import CompiledProfile
from gateway.profile.load import find_profile, load_profile
from gateway.schema.plan import values_of
from hil.sim.node import CobsNode

PROFILE = find_profile("cobs-node")
DOCUMENT = (Path(PROFILE).parent / "PROTOCOL.md").read_text(encoding="utf-8")
EXAMPLES = [
    (int(crc, 16), bytes.fromhex(body), bytes.fromhex(wire))
    for crc, body, wire in re.findall(
        r"CRC 0x([0-9a-f]{4})\.\n\n +body ((?:[0-9a-f]{2} ?)+)\n +wire ((?:[0-9a-f]{2} ?)+)\n", DOCUMENT
    )
]


def crc_of(data):
    """CRC-16/IBM-3740 bit by bit, as the document's C function says it."""
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = ((value << 1) ^ 0x1021 if value & 0x8000 else value << 1) & 0xFFFF
    return value


def stuffed(packet):
    """COBS as the document says it, for packets of less than 254 bytes."""
    return b"".join(bytes([len(piece) + 1]) + piece for piece in packet.split(b"\0")) + b"\0"


@pytest.fixture
def profile():
    return CompiledProfile(load_profile(PROFILE))


def decoded(profile, wire):
    found = []
    for body in profile.framer().feed(wire):
        name = profile.match(body, None)
        found.append((name, values_of(profile.messages[name], profile.messages[name].decode(body))))
    return found


def test_the_document_has_seven_examples_and_the_check_value():
    assert len(EXAMPLES) == 7
    assert crc_of(b"123456789") == 0x29B1
    assert "0x29b1" in DOCUMENT


@pytest.mark.parametrize(("crc", "body", "wire"), EXAMPLES)
def test_an_example_is_framed_as_the_document_and_the_profile_say(profile, crc, body, wire):
    assert crc_of(body) == crc
    assert stuffed(body + crc.to_bytes(2)) == wire
    assert profile.framer().feed(wire) == [body]
    assert profile.framer().encode(body) == wire


def test_the_examples_mean_what_the_document_says(profile):
    measurement, missing, status, identity, _, ack, _ = (wire for _, _, wire in EXAMPLES)
    ((_, values),) = decoded(profile, measurement)
    assert (values["counter"], values["uptime"], values["temperature"]) == (42, 123456, pytest.approx(21.37))
    assert (values["valve_position"], values["mode"], values["heater"], values["alarms"]) == (35, "holding", True, [])
    ((_, values),) = decoded(profile, missing)
    assert [name for name, value in values.items() if value is None] == [
        "temperature",
        "humidity",
        "pressure",
        "flow",
        "supply_voltage",
        "valve_position",
    ]
    assert values["alarms"] == ["sensor_failed"]
    ((_, values),) = decoded(profile, status)
    assert (values["uptime"], values["restart_cause"], values["frames_refused"]) == (3600, "watchdog", 5)
    ((_, values),) = decoded(profile, identity)
    assert (values["serial_number"], values["firmware"]) == ("7d00c0b51e55", "1.4.0")
    ((_, values),) = decoded(profile, ack)
    assert (values["counter"], values["command"], values["result"], values["position"]) == (
        7,
        "set_valve",
        "accepted",
        62.5,
    )


def test_the_profile_builds_the_commands_of_the_document(profile):
    body = profile.messages["set_valve"].encode({"counter": 7, "position": 62.5, "ramp": 10})
    assert profile.framer().encode(body) == EXAMPLES[4][2]
    assert bytes.fromhex(profile.profile.message["identity"].ask.send) == EXAMPLES[6][1]


@pytest.mark.parametrize(
    ("heading", "message"),
    [("4.1", "measurement"), ("4.2", "status"), ("4.3", "identity"), ("5.1", "set_valve"), ("5.3", "ack")],
)
def test_the_tables_of_the_document_are_the_fields_of_the_profile(profile, heading, message):
    section = DOCUMENT.split(f"### {heading} ")[1].split("\n### ")[0].split("\n## ")[0]
    rows = re.findall(r"^\| (\d+) \| (\w+) \| ([^|]+) \|", section, re.MULTILINE)
    sizes = {"u8": 1, "u16": 2, "s16": 2, "u24": 3, "u32": 4, "6 bytes": 6, "12 bytes": 12}
    place = 0
    for at, _, type_ in rows:
        assert int(at) == place
        place += sizes[type_]
    assert f", {place} bytes" in section.splitlines()[0]
    fields = profile.profile.message[message].fields
    named = [field.name for field in fields if field.name]
    assert set(named) <= {name for _, name, _ in rows}
    assert [type_ for _, _, type_ in rows if type_ in {"u16", "s16", "u24", "u32"}] == [
        field.type for field in fields if field.type in {"u16", "s16", "u24", "u32"}
    ]


def test_a_node_identifies_itself_and_then_measures_every_tenth_of_a_second(profile):
    node = CobsNode(profile)
    frames = [found for step in range(101) for wire in node.due(step / 10) for found in decoded(profile, wire)]
    names = [name for name, _ in frames]
    assert names[0] == "identity"
    assert names.count("measurement") == 101
    assert names.count("status") == 2
    measurements = [values for name, values in frames if name == "measurement"]
    assert [values["uptime"] for values in measurements[:3]] == [0, 100, 200]
    assert measurements[-1]["uptime"] == 10_000


def test_the_counter_counts_every_frame_of_the_node(profile):
    node = CobsNode(profile)
    bodies = [body for step in range(600) for wire in node.due(step / 10) for body in profile.framer().feed(wire)]
    assert [body[1] for body in bodies] == [number & 0xFF for number in range(len(bodies))]


def test_a_late_call_skips_and_does_not_catch_up(profile):
    node = CobsNode(profile)
    node.due(0.0)
    assert len(node.due(60.0)) == 2  # one measurement, one status
    assert len(node.due(60.04)) == 0


def test_a_valve_that_is_set_is_acknowledged_and_gets_there(profile):
    node = CobsNode(profile)
    node.due(0.0)
    ((name, ack),) = decoded(profile, node.receive(EXAMPLES[4][2])[0])
    assert (name, ack["counter"], ack["result"], ack["position"]) == ("ack", 7, "accepted", 62.5)
    last = [decoded(profile, wire) for step in range(1, 200) for wire in node.due(step / 10)][-1]
    assert last[0][1]["valve_position"] == 62.5
    assert last[0][1]["mode"] == "holding"


def test_a_command_that_cannot_be_is_refused_with_its_counter(profile):
    node = CobsNode(profile)
    for body, command, result in [
        (bytes([0x10, 9, 201, 0]), "set_valve", "out_of_range"),
        (bytes([0x10, 9, 100, 241]), "set_valve", "out_of_range"),
        (bytes([0x10, 9]), "set_valve", "out_of_range"),
        (bytes([0x33, 9]), 0x33, "unknown"),
    ]:
        ((_, ack),) = decoded(profile, node.receive(profile.framer().encode(body))[0])
        assert (ack["counter"], ack["command"], ack["result"]) == (9, command, result)
    assert node.target_percent == 35.0


def test_a_node_that_is_asked_answers_with_its_identity(profile):
    ((name, values),) = decoded(profile, CobsNode(profile).receive(EXAMPLES[6][2])[0])
    assert (name, values["serial_number"]) == ("identity", "7d00c0b51e55")


@given(st.binary(max_size=80))
def test_noise_never_upsets_a_node_and_is_counted(noise):
    profile = CompiledProfile(load_profile(PROFILE))
    node = CobsNode(profile)
    node.receive(noise + b"\0")
    assert node.receive(b"\0" + EXAMPLES[4][2])[-1] == EXAMPLES[5][2]


def test_the_same_seed_gives_the_same_bytes(profile):
    def run(seed):
        node = CobsNode(profile, seed=seed)
        return b"".join(wire for step in range(50) for wire in node.due(step / 10))

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_everything_a_node_sends_is_a_frame(profile):
    node = CobsNode(profile)
    stream = b"".join(wire for step in range(300) for wire in node.due(step / 10))
    assert not [item for item in profile.framer().feed(stream) if isinstance(item, Garbage)]
