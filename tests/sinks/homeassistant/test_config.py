from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.follow.values import Item, single
from gateway.profile.build import CompiledProfile
from gateway.profile.load import example_profile, shipped_profiles
from gateway.sinks.homeassistant.config import config, platforms, topic, without
from gateway.sinks.mqtt.requests import read_set
from gateway.sinks.mqtt.topics import Topics
from tests.sinks.homeassistant.kit import TOPICS, components, made, told
from tests.sinks.homeassistant.rules import command, problems, rendered

SHIPPED = shipped_profiles()
WHOLE = told()
PARTS = components(WHOLE)
ROOT = "tidegate/gw/plant-1"


def shown(component: dict[str, Any], v: Any, q: Any = "good") -> str:
    """Return the state that Home Assistant gives a component for a value."""
    return rendered(component["val_tpl"], single(Item("r", v, "1", 1.0, 1, q, ()), 1))


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_home_assistant_takes_every_device_of_a_shipped_profile(name: str) -> None:
    device, twin = made(CompiledProfile(example_profile(SHIPPED[name])))
    told = config(TOPICS, "gw", device, twin)
    assert problems(topic("gw", device.name), told) == []
    assert told["cmps"]


def test_home_assistant_takes_a_device_with_everything() -> None:
    assert problems(topic("gw", "plant-1"), WHOLE) == []


@given(st.text(st.characters(codec="utf-8", exclude_characters="/+#", exclude_categories=["Cc"]), min_size=1))
def test_home_assistant_takes_it_whatever_the_gateway_is_called(gateway: str) -> None:
    device, twin = DEVICE
    assert problems(topic(gateway, device.name), config(Topics("tidegate", gateway), gateway, device, twin)) == []


DEVICE = made(CompiledProfile(example_profile(SHIPPED["cobs-node"])))


def test_a_device_is_told_with_who_made_it_and_where_it_is() -> None:
    about = told(label="Heat pump", area="Cellar")
    assert about["dev"] == {"ids": ["gw_plant-1"], "name": "Heat pump", "mf": "acme", "mdl": "Plant", "sa": "Cellar"}
    assert about["o"]["name"] == "tidegate"


def test_it_is_there_while_both_the_gateway_and_the_device_are() -> None:
    assert WHOLE["avty"] == [{"t": "tidegate/gw/availability"}, {"t": f"{ROOT}/availability"}]
    assert WHOLE["avty_mode"] == "all"


def test_a_number_has_its_unit_and_its_classes() -> None:
    energy = PARTS["sensor Energy"]
    assert (energy["unit_of_meas"], energy["dev_cla"], energy["stat_cla"]) == ("kWh", "energy", "total_increasing")
    assert energy["stat_t"] == f"{ROOT}/plant/energy"


@pytest.mark.parametrize(
    ("name", "unit", "known", "state"),
    [
        ("Wrong class", "V", None, "measurement"),
        ("Stock", "kWh", "energy", None),
        ("Wind", "°", "wind_direction", "measurement_angle"),
        ("Torque", None, None, "measurement"),
    ],
)
def test_what_does_not_go_together_is_left_out(
    name: str, unit: str | None, known: str | None, state: str | None
) -> None:
    part = PARTS[f"sensor {name}"]
    assert (part.get("unit_of_meas"), part.get("dev_cla"), part.get("stat_cla")) == (unit, known, state)


@pytest.mark.parametrize("q", ["stale", "bad"])
def test_a_value_that_is_not_good_is_unknown(q: str) -> None:
    for part in PARTS.values():
        if "val_tpl" in part:
            assert shown(part, None if q == "bad" else 1, q) == "None"


def test_a_label_is_one_of_the_options() -> None:
    mode = PARTS["select Mode"]
    assert mode["ops"] == ["off", "auto", "(none)", "{{ 1 }}"]
    assert [shown(mode, label) for label in ("off", "none", "{{ 1 }}")] == ["off", "(none)", "{{ 1 }}"]
    assert shown(mode, 17) == "None"


def test_an_option_is_set_by_its_label() -> None:
    mode = PARTS["select Mode"]
    assert mode["cmd_t"] == f"{ROOT}/plant/mode@desired/set"
    payloads = [command(mode["cmd_tpl"], option).encode() for option in mode["ops"]]
    assert [read_set(payload).value for payload in payloads] == ["off", "auto", "none", "{{ 1 }}"]


def test_two_labels_are_a_switch() -> None:
    lamp = PARTS["switch Lamp"]
    assert [read_set(lamp[key].encode()).value for key in ("pl_off", "pl_on")] == ["dark", "lit"]
    assert [shown(lamp, label) for label in ("dark", "lit")] == [lamp["stat_off"], lamp["stat_on"]]


def test_a_bool_is_a_switch_where_it_can_be_set_and_a_binary_sensor_where_it_is_shown() -> None:
    switch, sensor = PARTS["switch Heater on"], PARTS["binary_sensor Heater"]
    assert [read_set(switch[key].encode()).value for key in ("pl_off", "pl_on")] == [False, True]
    assert switch["stat_t"] == sensor["stat_t"] == f"{ROOT}/plant/heater"
    assert [shown(switch, value) for value in (False, True)] == [switch["stat_off"], switch["stat_on"]]
    assert [shown(sensor, value) for value in (False, True)] == [sensor["pl_off"], sensor["pl_on"]]
    assert sensor["dev_cla"] == "heat"


def test_two_labels_with_a_class_of_on_and_off_are_a_binary_sensor() -> None:
    hatch = PARTS["binary_sensor Hatch"]
    assert (hatch["pl_off"], hatch["pl_on"], hatch["dev_cla"]) == ("closed", "open", "door")


def test_a_bounded_setpoint_is_a_number_in_its_limits() -> None:
    number = PARTS["number Temperature"]
    assert (number["min"], number["max"], number["step"]) == (5, 30, 0.5)
    assert (number["unit_of_meas"], number["dev_cla"]) == ("°C", "temperature")
    assert number["stat_t"] == f"{ROOT}/plant/temperature"
    assert shown(number, 21.5) == "21.5"


def test_a_value_that_can_be_set_under_its_own_route_is_shown_once() -> None:
    assert "sensor Temperature" not in PARTS


def test_a_setpoint_without_report_is_optimistic() -> None:
    level = PARTS["number Level"]
    assert level["opt"] is True
    assert "stat_t" not in level
    assert "val_tpl" not in level
    assert (level["min"], level["max"], level["step"]) == (0, 100, 1)


def test_a_setpoint_with_a_report_is_not_optimistic() -> None:
    assert "opt" not in PARTS["number Temperature"]


def test_a_value_beside_a_setpoint_that_it_does_not_report_is_shown_too() -> None:
    assert PARTS["sensor Level"]["uniq_id"] != PARTS["number Level"]["uniq_id"]
    assert shown(PARTS["sensor Level"], "unknown") == "None"


def test_what_home_assistant_has_no_control_for_is_only_shown() -> None:
    names = {name for name in PARTS if name.split()[0] in {"number", "switch", "select"}}
    assert names == {
        "number Temperature", "select Mode", "switch Lamp", "switch Heater on", "number Level",
    }  # fmt: skip


def test_a_list_is_shown_as_words() -> None:
    assert shown(PARTS["sensor Alarms"], ["hot", "dry"]) == "hot, dry"
    assert shown(PARTS["sensor Pair"], [1, 2]) == "1, 2"


def test_limits_of_a_field_are_those_of_what_the_site_makes_of_it() -> None:
    level = components(told(adjust={"level": (-2.0, 1.0)}))["number Level"]
    assert (level["min"], level["max"], level["step"]) == (-199, 1, 2)


def test_ids_do_not_change_with_labels_and_areas() -> None:
    ids = [[each["uniq_id"] for each in about["cmps"].values()] for about in (WHOLE, told(label="x", area="y"))]
    assert ids[0] == ids[1]


def test_a_component_that_is_gone_is_told_with_its_platform_and_nothing_else() -> None:
    about = without(WHOLE, {"sensor_plant_old": "sensor"})
    assert about["cmps"]["sensor_plant_old"] == {"p": "sensor"}
    assert platforms(about).keys() - platforms(WHOLE).keys() == {"sensor_plant_old"}
    assert problems(topic("gw", "plant-1"), about) == []


def test_a_message_can_be_written_down() -> None:
    assert json.loads(json.dumps(WHOLE)) == WHOLE
