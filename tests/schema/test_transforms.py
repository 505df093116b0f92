"""Built-in transforms against worked examples of datasheets and against exact rational arithmetic."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.registry import transforms
from gateway.schema.transforms import BUILT_IN

# BMP280 datasheet BST-BMP280-DS001, section 3.12: the worked example
TRIM = {
    "_t1": 27504,
    "_t2_t3": [26435, -1000],
    "_p1": 36477,
    "_p2_p9": [-10685, 3024, 2855, 140, -7, 15500, -14600, 6000],
}
EXAMPLE = {**TRIM, "_temperature": 519888, "_pressure": 415148}
HUMIDITY_TRIM = {"_h1": 75, "_h2": 370, "_h3": 0, "_h4_h5": "132903", "_h6": 30}  # h4 = 313, h5 = 50


def test_bmp280_gives_the_worked_example_of_its_datasheet():
    assert BUILT_IN["bosch-bmp280"](EXAMPLE) == {
        "temperature": pytest.approx(25.08247793081682, abs=1e-9),
        "pressure": pytest.approx(100653.26677582515, abs=1e-6),
    }


def exact_fine(trim: dict[str, Any], adc: int) -> Fraction:
    t1, (t2, t3) = trim["_t1"], trim["_t2_t3"]
    return (Fraction(adc, 16384) - Fraction(t1, 1024)) * t2 + (Fraction(adc, 131072) - Fraction(t1, 8192)) ** 2 * t3


def exact_humidity(trim: dict[str, Any], adc: int, fine: Fraction, h4: int, h5: int) -> Fraction:
    x = fine - 76800
    x = (adc - (h4 * 64 + Fraction(h5, 16384) * x)) * (
        Fraction(trim["_h2"], 65536)
        * (1 + Fraction(trim["_h6"], 67108864) * x * (1 + Fraction(trim["_h3"], 67108864) * x))
    )
    return max(Fraction(0), min(Fraction(100), x * (1 - trim["_h1"] * x / 524288)))


def integer_humidity(trim: dict[str, Any], adc: int, fine: int, h4: int, h5: int) -> float:
    """Return % by the 32-bit integer formula of BST-BME280-DS002, section 4.2.3: another way to the same value."""
    v = fine - 76800
    left = ((adc << 14) - (h4 << 20) - h5 * v + 16384) >> 15
    inner = (((v * trim["_h6"] >> 10) * ((v * trim["_h3"] >> 11) + 32768)) >> 10) + 2097152
    v = left * ((inner * trim["_h2"] + 8192) >> 14)
    v -= (((v >> 15) * (v >> 15) >> 7) * trim["_h1"]) >> 4
    return (max(0, min(v, 419430400)) >> 12) / 1024


@given(
    adc=st.integers(400_000, 620_000),
    humidity=st.integers(20_000, 45_000),
    h4=st.integers(200, 400),
    h5=st.integers(-60, 60),
)
def test_bme280_agrees_with_exact_arithmetic_and_with_the_integer_formula(adc, humidity, h4, h5):
    packed = bytes([h4 >> 4, (h4 & 15) | (h5 & 15) << 4, (h5 >> 4) & 0xFF]).hex()
    trim = {**TRIM, **HUMIDITY_TRIM, "_h4_h5": packed}
    fine = exact_fine(trim, adc)

    found = BUILT_IN["bosch-bme280"]({**trim, "_temperature": adc, "_pressure": 415148, "_humidity": humidity})

    assert found["temperature"] == pytest.approx(float(fine / 5120), abs=1e-9)
    assert found["humidity"] == pytest.approx(float(exact_humidity(trim, humidity, fine, h4, h5)), abs=1e-9)
    assert found["humidity"] == pytest.approx(integer_humidity(trim, humidity, int(fine), h4, h5), abs=0.05)


@pytest.mark.parametrize("missing", [*EXAMPLE])
def test_without_a_calibration_word_or_reading_there_is_no_value(missing):
    for absent in ({key: value for key, value in EXAMPLE.items() if key != missing}, {**EXAMPLE, missing: None}):
        found = BUILT_IN["bosch-bmp280"](absent)
        assert found["pressure"] is None
        assert (found["temperature"] is None) == (missing in {"_t1", "_t2_t3", "_temperature"})


@pytest.mark.parametrize("words", [0, 0xFFFF])
def test_memory_that_was_never_read_calibrates_nothing(words):
    signed = -1 if words else 0
    trim = {"_t1": words, "_t2_t3": [signed] * 2, "_p1": words, "_p2_p9": [signed] * 8}
    found = BUILT_IN["bosch-bmp280"]({**trim, "_temperature": 519888, "_pressure": 415148})
    assert found == {"temperature": None, "pressure": None}


def test_a_list_of_calibration_words_cut_short_gives_nothing():
    assert BUILT_IN["bosch-bmp280"]({**EXAMPLE, "_t2_t3": [26435]}) == {"temperature": None, "pressure": None}
    assert BUILT_IN["bosch-bmp280"]({**EXAMPLE, "_t2_t3": [26435, None]}) == {"temperature": None, "pressure": None}
    assert BUILT_IN["bosch-bmp280"]({**EXAMPLE, "_p2_p9": [1, 2]})["pressure"] is None
    assert (
        BUILT_IN["bosch-bme280"]({**EXAMPLE, **HUMIDITY_TRIM, "_humidity": 30000, "_h4_h5": "13"})["humidity"] is None
    )


def test_max31855_has_no_temperature_under_a_fault():
    reading = {"_thermocouple": 4000, "internal": 1609}
    assert BUILT_IN["max31855"]({**reading, "_faulty": 0})["thermocouple"] == 1000.0
    assert BUILT_IN["max31855"]({**reading, "_faulty": 1}) == {"thermocouple": None, "linearized": None}
    assert BUILT_IN["max31855"](reading) == {"thermocouple": None, "linearized": None}
    for fault in (1, 2, 4):  # named by its own bit, whatever the summary says
        assert BUILT_IN["max31855"]({**reading, "_faulty": 0, "fault": fault})["thermocouple"] is None


def test_max31855_follows_the_curve_of_type_k_where_asked_to():
    # MAX31855 counts 41.276 uV/Cel from the cold end: 4.096 mV (100 Cel) against a cold end of 0 Cel reads 99.25 Cel
    found = BUILT_IN["max31855"]({"_thermocouple": 397, "internal": 0, "_faulty": 0})
    assert found["linearized"] == pytest.approx(100.0, abs=0.1)


def test_max6675_has_no_temperature_while_the_thermocouple_is_open():
    assert BUILT_IN["max6675"]({"_thermocouple": 100, "open": 0}) == {"thermocouple": 25.0}
    assert BUILT_IN["max6675"]({"_thermocouple": 100, "open": 1}) == {"thermocouple": None}


def test_a_thermocouple_is_compensated_at_its_cold_end():
    k = BUILT_IN["thermocouple-k"]
    # NIST table of type K: 4.096 mV at 100 Cel, 1.000 mV at 25 Cel
    assert k({"_voltage": 3096, "_junction": 25})["temperature"] == pytest.approx(100.0, abs=0.06)
    counts = {"_voltage": 396, "_junction": 400, "microvolt_per_count": 7.8125, "cel_per_count": 0.0625}
    assert k(counts)["temperature"] == pytest.approx(100.0, abs=0.1)
    assert k({"_voltage": 3096})["temperature"] is None
    assert k({"_voltage": 90000, "_junction": 25})["temperature"] is None
    assert k({"_voltage": 3096, "_junction": 5000})["temperature"] is None


NTC = {"beta": 3950, "r0": 10_000, "series": 10_000, "full_scale": 1024}


def test_a_thermistor_at_half_the_supply_has_the_resistance_of_its_series_resistor():
    assert BUILT_IN["thermistor-beta"]({**NTC, "_adc": 512})["temperature"] == pytest.approx(25.0, abs=1e-9)


def test_a_thermistor_follows_its_beta():
    # beta is defined by two points: ln(R25/R85) / (1/298.15 - 1/358.15) = beta
    r85 = 10_000 * math.exp(-3950 * (1 / 298.15 - 1 / 358.15))
    assert BUILT_IN["thermistor-beta"]({**NTC, "_resistance": r85})["temperature"] == pytest.approx(85.0, abs=1e-9)


def test_a_thermistor_on_the_high_side_reads_the_other_way():
    low, high = ({**NTC, "_adc": adc, "low_side": side} for adc, side in ((300, 1), (724, 0)))
    transform = BUILT_IN["thermistor-beta"]
    assert transform(low)["temperature"] == pytest.approx(transform(high)["temperature"], abs=1e-9)


@pytest.mark.parametrize("adc", [0, 1023, 1024, -1, None])
def test_a_thermistor_that_is_shorted_or_broken_has_no_temperature(adc):
    assert BUILT_IN["thermistor-beta"]({**NTC, "_adc": adc})["temperature"] is None


def fitted(points: list[tuple[float, float]]) -> dict[str, float]:
    """Return a, b, c of the curve through three (Ohm, Cel), by divided differences in ln R."""
    (l1, y1), (l2, y2), (l3, y3) = ((math.log(ohm), 1 / (cel + 273.15)) for ohm, cel in points)
    g2, g3 = (y2 - y1) / (l2 - l1), (y3 - y1) / (l3 - l1)
    c = (g3 - g2) / (l3 - l2) / (l1 + l2 + l3)
    b = g2 - c * (l1 * l1 + l1 * l2 + l2 * l2)
    return {"a": y1 - (b + l1 * l1 * c) * l1, "b": b, "c": c}


def test_steinhart_and_hart_give_back_the_three_points_the_curve_was_fitted_to():
    points = [(25_000.0, 5.0), (10_000.0, 25.0), (4_000.0, 45.0)]
    curve = fitted(points)
    transform = BUILT_IN["thermistor-steinhart-hart"]
    found = [transform({**curve, "_resistance": ohm})["temperature"] for ohm, _ in points]
    assert found == pytest.approx([cel for _, cel in points], abs=1e-9)
    assert transform({"_resistance": 10_000})["temperature"] is None


anything = st.none() | st.integers(-(2**32), 2**32) | st.floats(width=32) | st.lists(st.integers(-9, 9)) | st.text()


@given(st.data())
def test_no_transform_raises_whatever_the_fields_are(data):
    names = [*EXAMPLE, *HUMIDITY_TRIM, "_humidity", "_thermocouple", "internal", "_faulty", "open", "_voltage"]
    names += ["_junction", "_adc", "_resistance", "a", "b", "c", *NTC]
    fields = {name: data.draw(anything) for name in names}
    for name in ("bosch-bme280", "max31855", "max6675", "thermistor-beta", "thermocouple-k"):
        found = BUILT_IN[name](fields)
        assert set(found) == set(BUILT_IN[name].gives)


def test_every_built_in_transform_is_found_by_entry_point():
    found = transforms()
    assert {name: found.get(name) for name in BUILT_IN} == BUILT_IN
