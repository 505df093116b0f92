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
from hil.sim.behaviour import Behaviour
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


def test_the_document_has_eight_examples_and_the_check_value():
    assert len(EXAMPLES) == 8
    assert crc_of(b"123456789") == 0x29B1
    assert "0x29b1" in DOCUMENT


@pytest.mark.parametrize(("crc", "body", "wire"), EXAMPLES)
def test_an_example_is_framed_as_the_document_and_the_profile_say(profile, crc, body, wire):
    assert crc_of(body) == crc
    assert stuffed(body + crc.to_bytes(2)) == wire
    assert profile.framer().feed(wire) == [body]
    assert profile.framer().encode(body) == wire


def test_the_examples_mean_what_the_document_says(profile):
    measurement, missing, status, identity, _, ack, _, orders = (wire for _, _, wire in EXAMPLES)
    assert decoded(profile, orders) == [("orders", {"orders": 12})]
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
    [
        ("4.1", "measurement"),
        ("4.2", "status"),
        ("4.3", "identity"),
        ("4.4", "orders"),
        ("5.1", "set_valve"),
        ("5.3", "ack"),
    ],
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
    assert len(node.due(60.0)) == 3  # one measurement, one status with its orders
    assert len(node.due(60.04)) == 0


def test_two_measurements_are_never_so_near_that_a_moving_valve_seems_to_stand(profile):
    node = CobsNode(profile)
    node.due(0.0)
    found = [len(node.due(now_s)) for now_s in (0.195, 0.2, 0.24, 0.299, 0.3)]
    assert [found[0] > 0, *found[1:]] == [True, 0, 0, 0, 1]


def test_a_valve_that_is_set_is_acknowledged_and_gets_there(profile):
    node = CobsNode(profile)
    node.due(0.0)
    ((name, ack),) = decoded(profile, node.receive(EXAMPLES[4][2], 0.0)[0])
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
        ((_, ack),) = decoded(profile, node.receive(profile.framer().encode(body), 0.0)[0])
        assert (ack["counter"], ack["command"], ack["result"]) == (9, command, result)
    assert node.target_percent == 35.0


def test_a_node_that_is_asked_answers_with_its_identity(profile):
    ((name, values),) = decoded(profile, CobsNode(profile).receive(EXAMPLES[6][2], 0.0)[0])
    assert (name, values["serial_number"]) == ("identity", "7d00c0b51e55")


@given(st.binary(max_size=80))
def test_noise_never_upsets_a_node_and_is_counted(noise):
    profile = CompiledProfile(load_profile(PROFILE))
    node = CobsNode(profile)
    node.receive(noise + b"\0", 0.0)
    assert node.receive(b"\0" + EXAMPLES[4][2], 0.0)[-1] == EXAMPLES[5][2]


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


class Told:
    """A node that has settled at 20 %, then is made to behave otherwise and told to go to 60 %."""

    def __init__(self, profile, **facts):
        self.profile = profile
        self.node = CobsNode(profile)
        self.now_s = 0.0
        self.run(0.5)
        self.said = {}
        self.tell(20, 1)
        self.run(2.0)
        self.node.behave(Behaviour(**facts))

    def tell(self, percent, counter):
        body = self.profile.messages["set_valve"].encode({"counter": counter, "position": percent, "ramp": 0})
        return self._heard(self.node.receive(self.profile.framer().encode(body), self.now_s))

    def run(self, seconds):
        """Return what the node says within so long."""
        said = []
        end_s = self.now_s + seconds
        while self.now_s < end_s - 1e-9:
            self.now_s += 0.02
            said += self._heard(self.node.due(self.now_s))
        return said

    def _heard(self, wires):
        return [found for wire in wires for found in decoded(self.profile, wire)]


def acks(said):
    return [(values["counter"], values["result"], values["position"]) for name, values in said if name == "ack"]


def positions(said):
    return [values["valve_position"] for name, values in said if name == "measurement"]


def test_a_node_that_ignores_commands_says_nothing_and_stays(profile):
    told = Told(profile, ignores=True)
    assert told.tell(60, 7) == []
    assert set(positions(told.run(2))) == {20}


def test_a_node_that_lies_acks_what_it_does_not_do(profile):
    told = Told(profile, lies=True)
    assert acks(told.tell(60, 7)) == [(7, "accepted", 60)]
    assert set(positions(told.run(2))) == {20}


@pytest.mark.parametrize(
    ("facts", "result", "mode"),
    [
        ({"refuses": True}, "valve_blocked", "holding"),
        ({"condition": "blocked"}, "valve_blocked", "blocked"),
        ({"condition": "manual"}, "manual", "manual"),
    ],
)
def test_a_node_that_cannot_or_will_not_says_so_and_stays(profile, facts, result, mode):
    told = Told(profile, **facts)
    assert acks(told.tell(60, 7)) == [(7, result, 20)]
    said = told.run(2)
    assert set(positions(said)) == {20}
    assert {values["mode"] for name, values in said if name == "measurement"} == {mode}


def test_a_blocked_valve_raises_its_alarm(profile):
    ((_, values),) = [found for found in Told(profile, condition="blocked").run(0.1) if found[0] == "measurement"]
    assert values["alarms"] == ["valve_blocked"]


def orders(said):
    return [values["orders"] for name, values in said if name == "orders"]


def test_a_node_tells_how_many_orders_it_took_after_each_and_after_each_status(profile):
    told = Told(profile)
    told.tell(60, 7)
    told.tell(60, 8)
    assert orders(told.run(0.04)) == [3]
    assert orders(told.run(5)) == [3]


@pytest.mark.parametrize(("cause", "found"), [("reset_pin", 1), ("power_on", 0)])
def test_the_count_of_orders_outlives_a_restart_but_not_the_loss_of_power(profile, cause, found):
    told = Told(profile)
    told.node.restart(told.now_s, cause)
    assert orders(told.run(0.2)) == [found]


@pytest.mark.parametrize("facts", [{"lies": True}, {"refuses": True}, {"ignores": True}, {"condition": "manual"}])
def test_an_order_that_a_node_does_not_take_is_not_counted(profile, facts):
    told = Told(profile, **facts)
    told.tell(60, 7)
    assert set(orders(told.run(5.1))) == {1}


def test_a_slow_node_acks_at_once_and_moves_later(profile):
    told = Told(profile, slow_s=1.0)
    assert acks(told.tell(60, 7)) == [(7, "accepted", 60)]
    assert set(positions(told.run(0.98))) == {20}
    assert positions(told.run(1))[-1] == 60


def test_a_clamped_node_accepts_tells_the_limit_and_goes_no_further(profile):
    told = Told(profile, clamp=(0, 45))
    assert acks(told.tell(60, 7)) == [(7, "accepted", 45)]
    assert positions(told.run(2))[-1] == 45


def test_a_drifting_node_leaves_where_it_was_sent(profile):
    told = Told(profile, drift_per_s=-2)
    told.tell(60, 7)
    assert positions(told.run(5))[-1] == 50
    assert positions(told.run(100))[-1] == 0


@pytest.mark.parametrize(("late_s", "found"), [(0.3, [(7, "accepted", 60)]), (None, [])])
def test_an_ack_that_is_late_or_never_comes_is_of_a_command_that_is_obeyed(profile, late_s, found):
    told = Told(profile, ack_after_s=late_s)
    assert told.tell(60, 7) == []
    assert acks(told.run(0.2)) == []
    said = told.run(1)
    assert (acks(said), positions(said)[-1]) == (found, 60)


def test_a_node_that_lags_echoes_where_the_valve_was(profile):
    told = Told(profile, lag_s=1.0)
    assert acks(told.tell(60, 7)) == [(7, "accepted", 60)]
    assert set(positions(told.run(1.0))) == {20}
    assert positions(told.run(1))[-1] == 60


def test_a_node_that_restarts_on_a_command_answers_nothing_and_says_who_it_is(profile):
    told = Told(profile, restarts=True)
    assert told.tell(60, 7) == []
    said = told.run(1)
    assert [name for name, _ in said[:3]] == ["identity", "measurement", "status"]
    assert set(positions(said)) == {20}
    status = next(values for name, values in said if name == "status")
    assert (status["restarts"], status["restart_cause"], status["uptime"]) == (2, "watchdog", 0)


@pytest.mark.parametrize(("cause", "position"), [("watchdog", 20), ("reset_pin", 20), ("power_on", 35)])
def test_the_last_order_outlives_a_restart_but_not_the_loss_of_power(profile, cause, position):
    told = Told(profile)
    told.node.restart(told.now_s, cause)
    assert positions(told.run(2))[-1] == position


def test_a_node_hears_nothing_while_it_restarts(profile):
    told = Told(profile)
    told.node.restart(told.now_s)
    assert told.tell(60, 7) == []
    assert positions(told.run(2))[-1] == 20


def test_a_held_ack_is_lost_in_a_restart(profile):
    told = Told(profile, ack_after_s=0.3)
    told.tell(60, 7)
    told.node.restart(told.now_s)
    assert acks(told.run(2)) == []


def test_a_node_that_ignores_commands_is_not_even_asked_who_it_is(profile):
    node = CobsNode(profile)
    node.behave(Behaviour(ignores=True))
    assert node.receive(EXAMPLES[6][2], 0.0) == []
