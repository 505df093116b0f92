from __future__ import annotations

import pytest

from gateway.sinks.homeassistant.tables import (
    BINARY_CLASSES,
    NUMBER_CLASSES,
    SWITCH_CLASSES,
    UNITS,
    class_for,
    state_for,
)
from gateway.units import check_unit
from tests.sinks.homeassistant.rules import TABLES


def now(unit: str | None) -> str | None:
    """Return a unit as Home Assistant spells it today."""
    return TABLES["ambiguous_units"].get(unit, unit)  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", NUMBER_CLASSES)
def test_a_class_takes_only_units_that_home_assistant_takes_with_it(name: str) -> None:
    units = {now(unit) for unit in NUMBER_CLASSES[name]}
    assert units <= set(TABLES["sensor_units"][name]) & set(TABLES["number_units"][name])


def test_every_class_of_a_number_is_known() -> None:
    assert NUMBER_CLASSES.keys() == TABLES["sensor_units"].keys()


def test_every_unit_of_a_class_can_be_said_in_ucum_but_for_a_few() -> None:
    told = {now(unit) for unit in UNITS.values()}
    wanted = {now(unit) for units in NUMBER_CLASSES.values() for unit in units if unit is not None}
    assert wanted <= told


@pytest.mark.parametrize("ucum", UNITS)
def test_what_is_translated_is_ucum(ucum: str) -> None:
    check_unit(ucum)


@pytest.mark.parametrize("name", NUMBER_CLASSES)
@pytest.mark.parametrize("state", ["measurement", "total", "total_increasing"])
def test_a_state_class_stands_only_where_home_assistant_takes_it(name: str, state: str) -> None:
    taken = TABLES["sensor_state_classes"][name]
    told = state_for(state, name)
    assert told is None or told in taken
    assert told == state or state not in taken


def test_a_direction_is_an_angle_and_not_a_measurement_like_others() -> None:
    assert state_for("measurement", "wind_direction") == "measurement_angle"


def test_other_classes_are_those_of_home_assistant() -> None:
    assert sorted(BINARY_CLASSES) == TABLES["binary_sensor_classes"]
    assert sorted(SWITCH_CLASSES) == TABLES["switch_classes"]


@pytest.mark.parametrize(
    ("name", "unit", "told"),
    [
        ("temperature", "°C", "temperature"),
        ("temperature", "V", None),
        ("temperature", None, None),
        ("power_factor", None, "power_factor"),
        ("pressure", "MPa", None),
        ("state", None, None),
        (None, "°C", None),
    ],
)
def test_a_class_is_told_only_with_a_unit_of_its_own(name: str | None, unit: str | None, told: str | None) -> None:
    assert class_for(name, unit) == told
