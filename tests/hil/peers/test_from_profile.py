"""Devices simulated from profiles: what a peer says, the gateway reads, for every profile that comes with Tidegate."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.profile.load import load_profile, shipped_profiles
from hil.peers.attach import profile_of
from hil.peers.from_profile import ProfilePeer

BUSES = {name: load_profile(path).link.bus for name, path in shipped_profiles().items()}
ON = {bus: sorted(name for name, its in BUSES.items() if its == bus) for bus in ("uart", "can", "spi", "ble")}
SEALED = {"bthome": "bthome", "xiaomi-lywsd03mmc": "mibeacon", "victron-ble": "solar_charger"}  # and what is encrypted
KEY = "231d39c1d7cc1ab1aee224cd096db932"
OTHER_KEY = "aff4d0995b7d1e176c0c33ecb9e70dcd"
ENOUGH = "20s"


def is_same(told: Any, found: Any) -> bool:
    if isinstance(told, float | int) and not isinstance(told, bool) and isinstance(found, float | int):
        return bool(found == pytest.approx(told, rel=1e-6, abs=1e-6))
    return bool(told == found)


def test_every_profile_that_can_encrypt_is_tried_so() -> None:
    assert sorted(SEALED) == [name for name in ON["ble"] if profile_of(name).profile.link.cipher != "none"]


@pytest.mark.parametrize("name", sorted(BUSES))
def test_every_message_of_every_profile_can_be_said(name: str) -> None:
    assert ProfilePeer(profile_of(name)).silent == {}


def read_back(gateway: Any, simulated: Any) -> dict[str, tuple[Any, Any]]:
    """Return what the gateway does not know as the device said it."""
    latest = {each["message"]: each["values"] for each in gateway.latest("node")}
    assert simulated.said
    return {
        f"{message}.{field}": (told, latest[message].get(field))
        for message in simulated.said
        for field, told in simulated.values[message].items()
        if not is_same(told, latest[message].get(field))
    }


@pytest.mark.parametrize("name", ON["uart"])
def test_a_gateway_reads_from_a_uart_what_the_device_was_given(name: str, gateway: Any, uart: Any, clock: Any) -> None:
    simulated = uart.peer.simulate(name, period="1s")
    gateway.add("node", profile=name, port="uart0")
    clock.sleep(ENOUGH)
    assert read_back(gateway, simulated) == {}


@pytest.mark.parametrize("name", ON["spi"])
def test_a_gateway_reads_by_spi_what_the_device_was_given(name: str, gateway: Any, spi: Any, clock: Any) -> None:
    simulated = spi.peer.simulate(name)
    gateway.add("node", profile=name, port="spi0")
    clock.sleep(ENOUGH)
    assert read_back(gateway, simulated) == {}


@pytest.mark.parametrize("name", ON["can"])
def test_a_gateway_reads_from_a_can_bus_what_the_device_was_given(
    name: str, gateway: Any, can_bus: Any, clock: Any
) -> None:
    simulated = can_bus.peer.simulate(name, period="1s")
    gateway.add("node", profile=name, port="can0")
    clock.sleep(ENOUGH)
    assert read_back(gateway, simulated) == {}


@pytest.mark.parametrize("name", [name for name in ON["ble"] if name != "victron-ble"])
def test_a_gateway_reads_from_the_air_what_the_device_was_given(name: str, gateway: Any, ble: Any, clock: Any) -> None:
    simulated = ble.peer.simulate(name, period="1s")
    gateway.add("node", profile=name, port="ble0")
    clock.sleep(ENOUGH)
    assert read_back(gateway, simulated) == {}


@pytest.mark.parametrize("name", SEALED)
def test_a_gateway_with_the_key_reads_what_the_device_encrypted(name: str, gateway: Any, ble: Any, clock: Any) -> None:
    simulated = ble.peer.simulate(name, params={"key": KEY}, period="1s")
    gateway.add("node", profile=name, port="ble0", params={"key": KEY})
    clock.sleep(ENOUGH)
    assert read_back(gateway, simulated) == {}
    assert gateway.status()["ports"][0]["garbage"] == 0


@pytest.mark.parametrize(("params", "reason"), [({"key": OTHER_KEY}, "wrong key"), ({}, "no key")])
@pytest.mark.parametrize("name", SEALED)
def test_a_gateway_without_the_key_counts_each_message_by_its_reason(
    name: str, params: dict[str, str], reason: str, gateway: Any, ble: Any, clock: Any
) -> None:
    simulated = ble.peer.simulate(name, params={"key": KEY}, period=None)
    gateway.add("node", profile=name, port="ble0", params=params)
    simulated.say(SEALED[name])
    clock.sleep("1s")
    simulated.say(SEALED[name])
    clock.sleep("1s")
    assert gateway.status()["ports"][0]["garbage_by_reason"] == {reason: 2}
    latest = next(each["values"] for each in gateway.latest("node") if each["message"] == SEALED[name])
    assert {key: value for key, value in latest.items() if value is not None} == {}


@pytest.mark.parametrize("name", SEALED)
def test_while_its_key_is_another_nothing_opens_and_afterwards_all_does(
    name: str, gateway: Any, ble: Any, clock: Any, faults: Any
) -> None:
    simulated = ble.peer.simulate(name, params={"key": KEY}, period=None)
    gateway.add("node", profile=name, port="ble0", params={"key": KEY})
    changed = faults.add("key_change", bus="ble0")
    simulated.say(SEALED[name])
    clock.sleep("1s")
    assert gateway.status()["ports"][0]["garbage_by_reason"] == {"wrong key": 1}
    changed.remove()
    simulated.say(SEALED[name])
    clock.sleep("1s")
    assert read_back(gateway, simulated) == {}


def test_a_device_that_always_encrypts_needs_its_key(ble: Any) -> None:
    with pytest.raises(ValueError, match="give its key: params="):
        ble.peer.simulate("victron-ble")


def test_values_that_a_test_gives_come_out_of_the_gateway(gateway: Any, uart: Any) -> None:
    simulated = uart.peer.simulate("cobs-node", values={"node/temperature": 21.5})
    gateway.add("node", profile="cobs-node", port="uart0")
    first = gateway.wait("node/node/temperature").value
    simulated.set("measurement.temperature", 30)
    assert (first, gateway.wait("node/node/temperature", until=lambda value: value > 25).value) == (21.5, 30)


def test_an_order_is_obeyed_acknowledged_and_reported(gateway: Any, uart: Any) -> None:
    simulated = uart.peer.simulate("cobs-node")
    gateway.add("node", profile="cobs-node", port="uart0")
    gateway.wait("node/node/mode")
    told = gateway.set("node/node/valve", 40)
    assert (told.outcome, told.reported) == ("reported", 40)
    assert [(order.setpoint, order.value) for order in simulated.orders] == [("valve", 40)]


def test_a_question_is_answered(gateway: Any, uart: Any) -> None:
    uart.peer.simulate("cobs-node", values={"firmware": "9.9"})
    gateway.add("node", profile="cobs-node", port="uart0")
    assert gateway.wait("node/identity/firmware").value == "9.9"


def test_without_power_it_says_nothing(gateway: Any, uart: Any, power: Any, clock: Any) -> None:
    uart.peer.simulate("cobs-node")
    power.off()
    gateway.add("node", profile="cobs-node", port="uart0")
    clock.sleep("5s")
    assert gateway.get("node/node/temperature").value is None


def test_a_value_that_is_none_names_the_nearest(uart: Any) -> None:
    with pytest.raises(ValueError, match="did you mean 'temperature'"):
        uart.peer.simulate("cobs-node", values={"temperatur": 1})


def test_a_profile_of_another_bus_is_refused(uart: Any) -> None:
    with pytest.raises(ValueError, match="is for ble, and this is uart"):
        uart.peer.simulate("ruuvitag-df5")
