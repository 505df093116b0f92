"""UCUM codes: what is one, what is none, and what was probably meant."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UnitError
from gateway.units import check_unit, ucum_of_dbc

GOOD = """
1 % Cel K [degF] Pa hPa kPa MPa mbar bar [psi] V mV uV kV A mA uA W kW MW VA.s V.A kV.A var kvar var.h kvar.h W.h kW.h
A.h mA.h Hz kHz MHz GHz s ms us ns min h d wk mo a m mm cm km um nm [in_i] [ft_i] [mi_i] [nmi_i] [kn_i] m/s km/h m/s2
[g] m[g] g kg mg ug t L mL l m3 m3/h L/min cm3 N N.m kN J kJ MJ Ohm kOhm MOhm F uF H S uS/cm T mT uT G Wb lx lm cd
/min /s /h /dL ug/m3 mg/m3 deg rad mrad deg/s rad/s dB dBm B[SPL] dB[SPL] [pH] [ppm] [ppb] [ppth] By kBy MiBy bit Mbit/s
Bd mol mmol/L Bq Sv uSv/h Gy 10*3 10*-6 10*3/uL 10^6 {count} {rev}/min m{tot} kg.m/s2 kg.m-1.s-2 (kg.m)/s2 /(m.s) m-2
J/(kg.K) mm[Hg] [in_i'Hg] m[H2O] [HP] cal kcal [Btu] eV keV har W/m2 L/(100.km) [gal_us] [lb_av] 100/m2 1/min s-1 ' ''
""".replace("VA.s", "V.A.s").split()

BAD = {
    "degC": "Cel",
    "°C": "Cel",
    "celsius": "Cel",
    "rpm": "/min",
    "psi": "[psi]",
    "kph": "km/h",
    "mph": "[mi_i]/h",
    "kWh": "kW.h",
    "Wh": "W.h",
    "VA": "V.A",
    "Nm": "N.m",
    "ohm": "Ohm",
    "µg/m3": "ug/m3",
    "ug/m³": "ug/m3",
    "m/s^2": "m/s2",
    "ppm": "[ppm]",
    "knots": "[kn_i]",
    "sec": "s",
    "volts": "V",
    "°/s": "deg/s",
    "Kg": "kg",
    "hz": "Hz",
    "KW.h": "kW.h",
    "percent": "%",
}


@pytest.mark.parametrize("text", GOOD)
def test_a_ucum_code_is_accepted(text: str) -> None:
    check_unit(text)


@pytest.mark.parametrize(("text", "meant"), BAD.items())
def test_another_spelling_is_refused_with_the_nearest_code(text: str, meant: str) -> None:
    with pytest.raises(UnitError, match="did you mean") as caught:
        check_unit(text)
    assert str(caught.value).endswith(f"did you mean {meant!r}?")


@pytest.mark.parametrize(
    "text", ["", " ", "m s", "m//s", "m.", "/", "m/", "(m", "m)", "[", "{a", "5m m", "xyzzy", "m" * 999]
)
def test_text_that_is_no_unit_is_refused(text: str) -> None:
    with pytest.raises(UnitError):
        check_unit(text)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("km/h", "km/h"),
        ("rpm", "/min"),
        ("degC", "Cel"),
        ("deg C", "Cel"),
        ("°C", "Cel"),
        ("C", "Cel"),
        ("kph", "km/h"),
        ("deg/s", "deg/s"),
        ("degrees/sec", "deg/s"),
        ("Nm", "N.m"),
        ("%", "%"),
        ("psi", "[psi]"),
        ("bar", "bar"),
        ("kPa", "kPa"),
        ("m/s^2", "m/s2"),
        ("g", "[g]"),
        ("V", "V"),
        ("kWh", "kW.h"),
        ("L/hour", "L/h"),
        ("", "1"),
        ("km/hour", "km/h"),
        ("1/min", "1/min"),
        ("l/100km", "L/(100.km)"),
        ("furlongs per fortnight", None),
        ("mΩ", "mOhm"),
        ("MΩ", "MOhm"),
        ("m\N{OHM SIGN}", "mOhm"),
        ("mWh", "mW.h"),
        ("MWh", "MW.h"),
        ("mVA", "mV.A"),
        ("Unit_MeterPerSeconSquar", "m/s2"),
    ],
)
def test_units_of_dbc_files_are_translated(text: str, code: str | None) -> None:
    assert ucum_of_dbc(text) == code


@given(st.text(max_size=30))
def test_what_a_translation_gives_is_always_a_ucum_code(text: str) -> None:
    code = ucum_of_dbc(text)
    if code is not None:
        check_unit(code)


@given(st.text(alphabet="mskgVA[]{}()./*^0123456789%'_-+ duh°", max_size=40))
def test_no_text_is_answered_with_anything_but_a_unit_error(text: str) -> None:
    with suppress(UnitError):
        check_unit(text)


def test_every_synonym_leads_to_a_ucum_code() -> None:
    from gateway.units import _AMBIGUOUS_IN_DBC, _EXACT, _SYNONYMS

    for code in (*_SYNONYMS.values(), *_EXACT.values(), *_AMBIGUOUS_IN_DBC.values()):
        check_unit(code)
