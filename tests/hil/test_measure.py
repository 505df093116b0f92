"""Numbers that a test measured."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.measure import Measurement


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (12.5, "mA", "12.5 mA"),
        (12, "mA", "12 mA"),
        (0.1, "V", "0.1 V"),
        (1e-9, "s", "1e-09 s"),
        (-3, "", "-3"),
        (Fraction(1, 4), "Cel", "0.25 Cel"),
        (21.5, "°C", "21.5 °C"),
    ],
)
def test_a_measurement_is_its_value_and_its_unit(value, unit, expected):
    assert Measurement("it", value, unit).text == expected


@given(value=st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
def test_the_text_of_a_value_is_exact(value):
    assert float(Measurement("it", value, "V").text.split(" ")[0]) == float(value)


def test_limits_are_inclusive():
    assert Measurement("it", 5, "V", 5, 5).verdict == "pass"
    Measurement("it", 5, "V", 5, 5).check()


@pytest.mark.parametrize(
    ("value", "minimum", "maximum", "expected"),
    [
        (25.1, None, 20, "it = 25.1 mA is above its maximum of 20 mA"),
        (25.1, 5, 20, "it = 25.1 mA is above its maximum of 20 mA (5 to 20 mA)"),
        (4.9, 5, None, "it = 4.9 mA is below its minimum of 5 mA"),
        (4.9, 5, 20, "it = 4.9 mA is below its minimum of 5 mA (5 to 20 mA)"),
    ],
)
def test_outside_its_limits_a_measurement_says_which_one_it_misses(value, minimum, maximum, expected):
    measurement = Measurement("it", value, "mA", minimum, maximum)

    with pytest.raises(AssertionError) as caught:
        measurement.check()
    assert str(caught.value) == expected
    assert caught.value.measurement is measurement
    assert measurement.verdict == "fail"


@pytest.mark.parametrize(
    ("minimum", "maximum", "expected"),
    [(1, 2.5, "1 to 2.5 V"), (1, None, "at least 1 V"), (None, 2.5, "at most 2.5 V"), (None, None, "")],
)
def test_limits_are_told_in_words(minimum, maximum, expected):
    assert Measurement("it", 2, "V", minimum, maximum).limits == expected


@pytest.mark.parametrize(
    ("value", "expected"), [(10.9, "marginal"), (11, "pass"), (19, "pass"), (19.1, "marginal"), (21, "fail")]
)
def test_a_value_nearer_to_a_limit_than_its_margin_passes_marginally(value, expected):
    assert Measurement("it", value, "V", 10, 20, margin=1).verdict == expected


@pytest.mark.parametrize("name", ["boot_time", "psu/5V.ripple", "x", "boot time", "Strom-\N{OHM SIGN}"])
def test_a_name_is_words(name):
    assert Measurement(name, 1, "s").name == name


@pytest.mark.parametrize(
    "name", ["", " ", "a ", " a", "a  b", "a=b", "a\nb", "-a", '"', "<x>", "hil.seed", "a" * 101, None, 5]
)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="no name of a measurement"):
        Measurement(name, 1, "s")


@pytest.mark.parametrize("unit", ["m\n", " m", "m ", "\x1b[0m", "m" * 101, None])
def test_what_is_no_unit_is_refused(unit):
    with pytest.raises(ValueError, match="no unit"):
        Measurement("it", 1, unit)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, True, "1", 1j, Decimal(1), 10**400])
def test_what_is_no_finite_number_is_refused(number):
    for numbers in ({"value": number}, {"minimum": number}, {"maximum": number}, {"margin": number}):
        with pytest.raises(ValueError, match="finite number"):
            Measurement("it", unit="V", **{"value": 1, **numbers})
    with pytest.raises(ValueError, match="finite number"):
        Measurement("it", None, "V")


def test_limits_that_leave_no_room_are_refused():
    with pytest.raises(ValueError, match="minimum 3 is above its maximum 2"):
        Measurement("it", 2, "V", 3, 2)
    with pytest.raises(ValueError, match="margin -1 is below zero"):
        Measurement("it", 2, "V", margin=-1)
