"""Orders to simulated devices: the gateway's setpoints reach them under the profile's names, on every bus."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.framing.modbus_pdu import coil_bytes, question_to_switch, question_to_write, sealed, write_of
from gateway.profile.load import load_profile, shipped_profiles
from gateway.profile.model import Profile
from hil.peers.attach import profile_of
from hil.peers.from_profile import ProfilePeer

HEATER = """
[profile]
id = "test/heater@1.0.0"
family = "heat"
[link]
bus = "uart"
[framing]
kind = "modbus-rtu"
[message.settings]
ask = { holding = 0x10, count = 4 }
every = "200ms"
fields = [
  { name = "target", register = 0x10, type = "s16be", scale = 0.1, units = "Cel", minimum = 5, maximum = 60 },
  { name = "limit", register = 0x11, type = "f32be", words = "little", units = "W" },
  { register = 0x13, type = "u16be", bits = [
    { name = "mode", at = "1:0", labels = { 0 = "off", 1 = "heat", 2 = "cool" } }, { name = "locked", at = "4" } ] },
]
[message.switches]
ask = { coils = 0x20, count = 8 }
every = "200ms"
fields = [{ type = "u8", bits = [{ name = "pump", at = "0" }, { name = "level", at = "3:2" }] }]
[message.measured]
ask = { input = 0, count = 1 }
every = "200ms"
fields = [{ name = "power", register = 0, type = "u16be", units = "W" }]
[message.order]
direction = "out"
ask = { holding = 0x40, count = 1 }
fields = [{ name = "power", register = 0x40, type = "u16be", units = "W" }]
[setpoint.target]
write = "settings.target"
report = "settings.target"
[setpoint.limit]
write = "settings.limit"
report = "settings.limit"
[setpoint.mode]
write = "settings.mode"
report = "settings.mode"
[setpoint.pump]
write = "switches.pump"
report = "switches.pump"
[setpoint.level]
write = "switches.level"
report = "switches.level"
[setpoint.power]
write = "order.power"
report = "measured.power"
"""
DIMMER = """
[profile]
id = "test/dimmer@1.0.0"
family = "light"
[link]
bus = "spi"
[lifecycle]
connect = [{ write = { register = 0x10, data = "5a" } }]
[message.state]
ask = { register = 0x20, length = 4 }
every = "200ms"
fields = [
  { name = "brightness", type = "u16be", scale = 0.01, units = "%", minimum = 0, maximum = 100 },
  { type = "u8", bits = [{ name = "colour", at = "1:0", labels = { 0 = "warm", 1 = "cold" } }] },
  { name = "fade", type = "u8", units = "s" },
]
[setpoint.brightness]
write = "state.brightness"
report = "state.brightness"
[setpoint.colour]
write = "state.colour"
report = "state.colour"
"""
LAMP = """
[profile]
id = "test/lamp@1.0.0"
family = "light"
[link]
bus = "ble"
mode = "gatt"
[message.state]
when = { characteristic = "fff1" }
fields = [{ name = "brightness", type = "u8", scale = 0.5, units = "%" }]
[message.order]
when = { characteristic = "fff2" }
direction = "out"
fields = [{ name = "brightness", type = "u8", scale = 0.5, units = "%" }]
[setpoint.brightness]
write = "order.brightness"
report = "state.brightness"
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], str]:
    """Return what writes a profile and returns its path."""

    def write(text: str) -> str:
        path = tmp_path / "profile.toml"
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def told(simulated: Any) -> list[tuple[str, Any]]:
    return [(order.setpoint, order.value) for order in simulated.orders]


@pytest.mark.parametrize(
    ("setpoint", "value"),
    [("target", 21.5), ("limit", 1500.5), ("mode", "cool"), ("pump", True), ("level", 2), ("power", 900)],
)
def test_registers_and_coils_of_modbus_are_ordered_by_the_names_of_the_profile(
    setpoint: str, value: Any, gateway: Any, uart: Any, written: Any
) -> None:
    profile = written(HEATER)
    simulated = uart.peer.simulate(profile)
    gateway.add("node", profile=profile, port="uart0")
    for route in ("node/heat/target", "node/heat/pump", "node/heat/power"):
        gateway.wait(route)
    result = gateway.set(f"node/heat/{setpoint}", value)
    assert (result.outcome, result.reported) == ("reported", value)
    assert told(simulated) == [(setpoint, value)]


@pytest.mark.parametrize(("setpoint", "value"), [("brightness", 12.34), ("colour", "cold")])
def test_registers_of_a_chip_are_ordered_by_the_names_of_the_profile(
    setpoint: str, value: Any, gateway: Any, spi: Any, written: Any
) -> None:
    profile = written(DIMMER)
    simulated = spi.peer.simulate(profile, values={"fade": 7})
    gateway.add("node", profile=profile, port="spi0")
    gateway.wait("node/light/brightness")
    result = gateway.set(f"node/light/{setpoint}", value)
    assert (result.outcome, result.reported) == ("reported", value)
    assert told(simulated) == [("register 16", "5a"), (setpoint, value)]
    assert gateway.get("node/light/fade").value == 7


def test_a_characteristic_that_only_takes_orders_is_there_too(gateway: Any, ble: Any, written: Any) -> None:
    profile = written(LAMP)
    simulated = ble.peer.simulate(profile)
    gateway.add("node", profile=profile, port="ble0")
    gateway.wait("node/light/brightness")
    result = gateway.set("node/light/brightness", 42.5)
    assert (result.outcome, result.reported) == ("reported", 42.5)
    assert told(simulated) == [("brightness", 42.5)]


def test_what_a_test_sets_after_an_order_is_what_the_device_says(gateway: Any, uart: Any, written: Any) -> None:
    profile = written(HEATER)
    simulated = uart.peer.simulate(profile)
    gateway.add("node", profile=profile, port="uart0")
    gateway.wait("node/heat/target")
    assert gateway.set("node/heat/target", 30).reported == 30
    simulated.set("target", 12)
    assert gateway.wait("node/heat/target", until=lambda value: value < 20).value == 12


@pytest.mark.parametrize(
    ("facts", "outcome", "reported"),
    [
        ({"refuses": True}, ("rejected", "device"), 5),
        ({"ignores": True}, ("unknown", "value_kept"), 5),
        ({"lies": True}, ("exhausted", "value_kept"), 5),
        ({"clamp": (0, 20)}, ("reported", None), 20),
    ],
)
def test_a_modbus_device_that_does_not_obey_is_found_out(
    facts: dict[str, Any], outcome: Any, reported: Any, gateway: Any, uart: Any, written: Any
) -> None:
    profile = written(HEATER)
    simulated = uart.peer.simulate(profile)
    gateway.add("node", profile=profile, port="uart0")
    gateway.wait("node/heat/target")
    simulated.behave(**facts)
    result = gateway.set("node/heat/target", 40)
    assert ((result.outcome, result.reason), result.reported) == (outcome, reported)
    assert result.clamped is ("clamp" in facts)
    assert len(simulated.orders) == ("clamp" in facts)


def heater(path: Path) -> ProfilePeer:
    file = path / "heater.toml"
    file.write_text(HEATER, encoding="utf-8")
    return ProfilePeer(profile_of(file))


def test_one_write_over_many_registers_is_the_orders_of_all_of_them(tmp_path: Path) -> None:
    peer = heater(tmp_path)
    body = peer.body("settings")
    changed = b"\x01\x2c" + body[2:7] + b"\x11"
    question = question_to_write(1, 0x10, changed)
    assert [said.payload for said in peer.hear(write_of(question, changed), None, 0)] == [
        sealed(bytes.fromhex("011000100004"))
    ]
    assert [(order.setpoint, order.value) for order in peer.orders] == [
        ("target", 30),
        ("limit", 0),
        ("mode", "heat"),
    ]
    assert peer.body("settings") == changed


@given(start=st.integers(0x20, 0x27), states=st.lists(st.booleans(), min_size=1, max_size=8))
def test_coils_are_ordered_whole_or_not_at_all(
    tmp_path_factory: pytest.TempPathFactory, start: int, states: list[bool]
) -> None:
    states = states[: 0x28 - start]
    peer = heater(tmp_path_factory.getbasetemp())
    peer.hear(write_of(question_to_switch(1, start, states), coil_bytes(states)), None, 0)
    wanted: dict[str, Any] = {"pump": states[0]} if start == 0x20 else {}
    at = 0x22 - start
    if at >= 0 and at + 2 <= len(states):
        wanted["level"] = states[at] + 2 * states[at + 1]
    found = {order.setpoint: order.value for order in peer.orders}
    assert {name: value for name, value in found.items() if not name.startswith("coil")} == wanted


def test_a_register_that_no_setpoint_names_keeps_its_number_and_one_that_is_none_is_refused(tmp_path: Path) -> None:
    peer = heater(tmp_path)
    for register in (0x0F, 0x14):
        question = question_to_write(1, register, b"\0\1")
        assert peer.hear(write_of(question, b"\0\1"), None, 0)[0].payload == sealed(b"\x01\x86\x02")
    assert list(peer.orders) == []


def test_a_way_to_treat_orders_that_only_models_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ignores, refuses, lies or clamps"):
        heater(tmp_path).behave(slow_s=1)
    with pytest.raises(ValueError, match="no behaviour 'clampe'"):
        heater(tmp_path).behave(clampe=(1, 2))


# ---- the setpoints that come with Tidegate

SHIPPED = {name: load_profile(path) for name, path in shipped_profiles().items()}
SETPOINTS = [(name, setpoint) for name, profile in sorted(SHIPPED.items()) for setpoint in profile.setpoint]


def resource(profile: Profile) -> str:
    return f"{profile.link.bus}0"


def set_up(name: str, setpoint: str, rig: Any, gateway: Any) -> tuple[Any, str]:
    """Return the simulated device, and the route of the setpoint, once the gateway knows what it reports."""
    profile = SHIPPED[name]
    simulated = rig.get(resource(profile)).peer.simulate(name, period="50ms")
    gateway.add("node", profile=name, port=resource(profile))
    message, _, field = (profile.setpoint[setpoint].report or "").partition(".")
    family = profile.message[message].family or profile.profile.family
    gateway.wait(f"node/{family}/{field}")
    return simulated, f"node/{family}/{setpoint}"


@pytest.mark.parametrize("share", [0.0, 0.37, 1.0])
@pytest.mark.parametrize(("name", "setpoint"), SETPOINTS)
def test_every_setpoint_of_every_profile_ends_reported(
    name: str, setpoint: str, share: float, rig: Any, gateway: Any
) -> None:
    simulated, route = set_up(name, setpoint, rig, gateway)
    spec = SHIPPED[name].setpoint[setpoint]
    assert spec.minimum is not None
    assert spec.maximum is not None
    value = spec.minimum + round(share * (spec.maximum - spec.minimum))
    result = gateway.set(route, value)
    assert (result.outcome, result.reported) == ("reported", pytest.approx(value, abs=spec.tolerance or 0))
    assert (simulated.orders[-1].setpoint, simulated.orders[-1].value) == (setpoint, value)


@pytest.mark.parametrize(
    ("facts", "outcome"),
    [
        pytest.param({"refuses": True}, ("rejected", "device"), id="refuses"),
        pytest.param({"ignores": True}, ("exhausted", "no_ack"), id="ignores"),
        pytest.param({"lies": True}, ("exhausted", "value_kept"), id="lies"),
    ],
)
@pytest.mark.parametrize(("name", "setpoint"), SETPOINTS)
def test_a_device_that_does_not_obey_gives_the_outcome_of_its_profile_and_afterwards_all_is_well(
    name: str, setpoint: str, facts: dict[str, Any], outcome: tuple[str, str], rig: Any, gateway: Any
) -> None:
    simulated, route = set_up(name, setpoint, rig, gateway)
    spec = SHIPPED[name].setpoint[setpoint]
    assert spec.ack is not None, "a setpoint without an ack ends otherwise: say here how"
    simulated.behave(**facts)
    result = gateway.set(route, 40)
    assert (result.outcome, result.reason) == outcome
    assert result.attempts == (1 if "refuses" in facts else spec.attempts)
    assert result.reported != 40
    assert simulated.orders == []
    simulated.behave()
    assert (gateway.set(route, 30).outcome, told(simulated)[-1]) == ("reported", (setpoint, 30))


@pytest.mark.parametrize(("name", "setpoint"), SETPOINTS)
def test_a_device_that_goes_no_further_is_told_as_clamped(name: str, setpoint: str, rig: Any, gateway: Any) -> None:
    simulated, route = set_up(name, setpoint, rig, gateway)
    simulated.behave(clamp=(0, 20))
    result = gateway.set(route, 60)
    assert (result.outcome, result.reported, result.effective, result.clamped) == ("reported", 20, 20, True)
