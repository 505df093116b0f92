"""A CAN motor controller behind a whole gateway: it obeys, it is lost, it comes back, and its bus is bad meanwhile."""

from __future__ import annotations

import pytest

from hil import timing


@pytest.fixture
def pump(gateway, motor):
    gateway.add("pump", profile="motor", port="can0")
    gateway.wait("pump/motor/speed")
    return motor


@pytest.mark.hil(needs=["can"])
def test_a_speed_that_is_set_is_reached_and_reported(gateway, pump):
    assert gateway.set("pump/motor/speed", 1200, timeout=5).outcome == "reported"
    assert pump.speed_per_min == pytest.approx(1200, abs=10)
    assert gateway.get("pump/motor/speed").value == pytest.approx(1200, abs=15)


def test_it_says_its_status_every_20_ms(rig, pump, clock):
    clock.sleep("2s")
    stamps = [each.t_ns for each in rig.trace.records if each.dir == "rx" and each["id"] == "201"]
    assert timing.period(stamps, "20ms", p99="1ms").count >= 99


def test_without_commands_it_coasts_to_a_stop_while_the_bus_is_off(gateway, pump, faults, clock, can_bus):
    gateway.set("pump/motor/speed", 1200, timeout=5)
    faults.add("bus_off", bus="can0", duration="2s")
    clock.sleep("1s")
    assert (can_bus.state, pump.speed_per_min) == ("bus_off", 0)
    clock.sleep("3s")
    assert gateway.device("pump").state == "CONNECTED"
    assert gateway.wait("pump/motor/speed").value == pytest.approx(0, abs=5)


def test_what_a_frame_lacks_that_lies_about_its_length_is_no_value_and_says_so(gateway, pump, faults, clock):
    fault = faults.add("dlc", bus="can0", dlc=3)
    clock.sleep("500ms")
    assert fault.hits >= 20
    found = gateway.get("pump/motor/voltage")
    assert (found.value, found.taints) == (None, ["trust.truncated"])


def test_a_command_gets_through_beside_a_babbling_node(gateway, pump, faults, recorder):
    faults.add("babble", bus="can0", id=1, load=60)
    assert gateway.set("pump/motor/speed", -600, timeout=10).outcome == "reported"
    recorder.measure("speed under load", pump.speed_per_min, "1/min", minimum=-610, maximum=-590)
