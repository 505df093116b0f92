"""Layer 7: units and classes in Home Assistant's words, and which of them go together. Pure.

Source: Home Assistant 2026.11: components/sensor/const.py and components/number/const.py (`DEVICE_CLASS_UNITS`, the
same in both; `DEVICE_CLASS_STATE_CLASSES`), components/binary_sensor/const.py, components/switch/const.py, const.py.
Where it takes two spellings of micro the older one stands here: releases before 2025.6 know no other.
"""

from __future__ import annotations

from typing import Final

_MICRO: Final = "\N{MICRO SIGN}"

UNITS: Final[dict[str, str]] = {
    # UCUM: as Home Assistant spells it
    "Cel": "°C", "[degF]": "°F", "K": "K",
    "Pa": "Pa", "mPa": "mPa", "hPa": "hPa", "kPa": "kPa", "bar": "bar", "mbar": "mbar", "cbar": "cbar", "atm": "atm",
    "mm[Hg]": "mmHg", "[in_i'Hg]": "inHg", "[in_i'H2O]": "inH₂O", "[psi]": "psi", "MPa": "MPa",
    "V": "V", "mV": "mV", "kV": "kV", "MV": "MV", "uV": f"{_MICRO}V",
    "A": "A", "mA": "mA", "uA": "\N{GREEK SMALL LETTER MU}A",  # taken in the newer spelling only
    "W": "W", "mW": "mW", "kW": "kW", "MW": "MW", "GW": "GW", "TW": "TW",
    "V.A": "VA", "mV.A": "mVA", "kV.A": "kVA", "var": "var", "mvar": "mvar", "kvar": "kvar",
    "var.h": "varh", "kvar.h": "kvarh", "W.h": "Wh", "mW.h": "mWh", "kW.h": "kWh", "MW.h": "MWh", "GW.h": "GWh",
    "TW.h": "TWh", "J": "J", "kJ": "kJ", "MJ": "MJ", "GJ": "GJ", "cal": "cal", "kcal": "kcal",
    "A.h": "Ah", "mA.h": "mAh", "C": "C", "Ohm": "Ω", "mOhm": "mΩ", "kOhm": "kΩ", "MOhm": "MΩ", "F": "F", "H": "H",
    "T": "T", "mT": "mT", "uT": f"{_MICRO}T", "S/cm": "S/cm", "mS/cm": "mS/cm", "uS/cm": f"{_MICRO}S/cm",
    "%": "%", "[ppth]": "‰", "[ppm]": "ppm", "[ppb]": "ppb", "dB": "dB", "dBm": "dBm",
    "Hz": "Hz", "mHz": "mHz", "kHz": "kHz", "MHz": "MHz", "GHz": "GHz", "/min": "1/min", "/s": "1/s", "/h": "1/h",
    "s": "s", "ms": "ms", "us": f"{_MICRO}s", "ns": "ns", "min": "min", "h": "h", "d": "d",
    "m": "m", "mm": "mm", "cm": "cm", "km": "km", "um": f"{_MICRO}m", "nm": "nm", "[in_i]": "in", "[ft_i]": "ft",
    "[yd_i]": "yd", "[mi_i]": "mi", "[nmi_i]": "nmi", "deg": "°", "rad": "rad", "deg/s": "°/s", "rad/s": "rad/s",
    "m2": "m²", "mm2": "mm²", "cm2": "cm²", "km2": "km²", "har": "ha", "[sin_i]": "in²", "[sft_i]": "ft²",
    "[syd_i]": "yd²", "m3": "m³", "L": "L", "l": "L", "mL": "mL", "[cft_i]": "ft³", "[gal_us]": "gal",
    "[foz_us]": "fl. oz.", "m3/h": "m³/h", "m3/min": "m³/min", "m3/s": "m³/s", "L/h": "L/h", "L/min": "L/min",
    "L/s": "L/s", "mL/s": "mL/s", "[cft_i]/min": "ft³/min", "[gal_us]/h": "gal/h", "[gal_us]/min": "gal/min",
    "[gal_us]/d": "gal/d", "g": "g", "kg": "kg", "mg": "mg", "ug": f"{_MICRO}g", "t": "t", "[oz_av]": "oz",
    "[lb_av]": "lb", "[stone_av]": "st", "g/s": "g/s", "kg/h": "kg/h", "kg/s": "kg/s",
    "m/s": "m/s", "mm/s": "mm/s", "m/min": "m/min", "km/h": "km/h", "[kn_i]": "kn", "[mi_i]/h": "mph",
    "[ft_i]/s": "ft/s", "[in_i]/s": "in/s", "mm/h": "mm/h", "mm/d": "mm/d", "[in_i]/h": "in/h", "[in_i]/d": "in/d",
    "m/s2": "m/s²", "N": "N", "kN": "kN", "N.m": "Nm", "lx": "lx", "lm": "lm", "cd": "cd", "W/m2": "W/m²",
    "g/m3": "g/m³", "mg/m3": "mg/m³", "ug/m3": f"{_MICRO}g/m³", "kg/m3": "kg/m³", "mg/dL": "mg/dL",
    "mmol/L": "mmol/L", "mg/L": "mg/L", "g/L": "g/L", "Bq/m3": "Bq/m³", "pCi/L": "pCi/L", "/m3": "1/m³",
    "/cm3": "1/cm³", "/dL": "1/dL", "W.h/km": "Wh/km", "km/L": "km/L", "L/(100.km)": "L/100km",
    "bit": "bit", "kbit": "kbit", "Mbit": "Mbit", "Gbit": "Gbit", "By": "B", "kBy": "kB", "MBy": "MB", "GBy": "GB",
    "TBy": "TB", "KiBy": "KiB", "MiBy": "MiB", "GiBy": "GiB", "TiBy": "TiB", "bit/s": "bit/s", "kbit/s": "kbit/s",
    "Mbit/s": "Mbit/s", "Gbit/s": "Gbit/s", "By/s": "B/s", "kBy/s": "kB/s", "MBy/s": "MB/s", "GBy/s": "GB/s",
    "KiBy/s": "KiB/s", "MiBy/s": "MiB/s", "GiBy/s": "GiB/s",
}  # fmt: skip

_PRESSURE: Final = "Pa mPa hPa kPa bar mbar cbar atm mmHg inHg inH₂O psi"
_ENERGY: Final = "J kJ MJ GJ mWh Wh kWh MWh GWh TWh cal kcal"
_SPEED: Final = "m/s mm/s m/min km/h kn mph ft/s in/s"
_VOLUME: Final = "m³ L mL ft³ gal fl.\u00a0oz."
_NONE: Final = "-"
_CLASSES: Final[dict[str, str]] = {
    # device class of a number: the units it takes; "-" is none
    "absolute_humidity": "g/m³ mg/m³", "apparent_power": "VA mVA kVA", "aqi": _NONE,
    "area": "m² mm² cm² km² ha in² ft² yd²", "atmospheric_pressure": _PRESSURE, "battery": "%",
    "blood_glucose_concentration": "mg/dL mmol/L", "carbon_dioxide": "ppm",
    "carbon_monoxide": f"ppm ppb mg/m³ {_MICRO}g/m³", "conductivity": f"S/cm mS/cm {_MICRO}S/cm",
    "current": "A mA \N{GREEK SMALL LETTER MU}A",
    "data_rate": "bit/s kbit/s Mbit/s Gbit/s B/s kB/s MB/s GB/s KiB/s MiB/s GiB/s",
    "data_size": "bit kbit Mbit Gbit B kB MB GB TB KiB MiB GiB TiB", "distance": "m mm cm km in ft yd mi nmi",
    "duration": f"s ms {_MICRO}s min h d", "energy": _ENERGY, "energy_distance": "Wh/km", "energy_storage": _ENERGY,
    "frequency": "Hz mHz kHz MHz GHz", "gas": "m³ L ft³", "humidity": "%", "illuminance": "lx", "irradiance": "W/m²",
    "moisture": "%", "nitrogen_dioxide": f"ppm ppb {_MICRO}g/m³", "nitrogen_monoxide": f"ppb {_MICRO}g/m³",
    "nitrous_oxide": f"{_MICRO}g/m³", "ozone": f"ppm ppb {_MICRO}g/m³", "ph": _NONE, "pm1": f"{_MICRO}g/m³",
    "pm10": f"{_MICRO}g/m³", "pm25": f"{_MICRO}g/m³", "pm4": f"{_MICRO}g/m³", "power": "W mW kW MW GW TW",
    "power_factor": f"% {_NONE}", "precipitation": "mm cm in", "precipitation_intensity": "mm/h mm/d in/h in/d",
    "pressure": _PRESSURE, "radon": "Bq/m³ pCi/L", "reactive_energy": "varh kvarh", "reactive_power": "var mvar kvar",
    "signal_strength": "dB dBm", "sound_pressure": "dB", "speed": f"{_SPEED} mm/h mm/d in/h in/d",
    "sulphur_dioxide": f"ppb {_MICRO}g/m³", "temperature": "°C °F K", "temperature_delta": "°C °F K",
    "volatile_organic_compounds": f"mg/m³ {_MICRO}g/m³", "volatile_organic_compounds_parts": "ppm ppb",
    "voltage": f"V mV kV MV {_MICRO}V", "volume": _VOLUME, "volume_storage": _VOLUME,
    "volume_flow_rate": "m³/h m³/min m³/s L/h L/min L/s mL/s ft³/min gal/h gal/min gal/d", "water": "m³ L ft³ gal",
    "weight": f"g kg mg {_MICRO}g oz lb st", "wind_direction": "°", "wind_speed": _SPEED,
}  # fmt: skip
NUMBER_CLASSES: Final[dict[str, frozenset[str | None]]] = {
    name: frozenset(None if unit == _NONE else unit.replace("\u00a0", " ") for unit in units.split(" "))
    for name, units in _CLASSES.items()
}
TEXT_CLASSES: Final = frozenset({"timestamp", "date"})
BINARY_CLASSES: Final = frozenset(
    "battery battery_charging carbon_monoxide cold connectivity door garage_door gas glass_break heat light lock "  # noqa: SIM905 - a list of words
    "moisture motion moving occupancy opening plug power presence problem running safety smoke sound tamper update "
    "vibration window".split()
)
SWITCH_CLASSES: Final = frozenset({"outlet", "switch"})

_ANY: Final = frozenset({"measurement", "total", "total_increasing"})
_TOTALS: Final = frozenset({"total", "total_increasing"})
_STATES: Final[dict[str, frozenset[str]]] = {
    # device class: the state classes it takes, where that is not `measurement` alone
    **dict.fromkeys(("area", "data_size", "distance", "duration", "precipitation", "weight"), _ANY),
    **dict.fromkeys(("energy", "gas", "reactive_energy", "volume", "water"), _TOTALS),
    "wind_direction": frozenset({"measurement_angle"}),
}


def class_for(name: str | None, unit: str | None) -> str | None:
    """Return a number's device class where Home Assistant takes it with this unit; else None."""
    return name if name is not None and unit in NUMBER_CLASSES.get(name, ()) else None


def state_for(state: str, device_class: str | None) -> str | None:
    """Return the state class that a number of a device class may have; None where `state` is none of them."""
    if device_class is None:
        return state
    taken = _STATES.get(device_class, frozenset({"measurement"}))
    if state == "measurement" and "measurement_angle" in taken:
        return "measurement_angle"
    return state if state in taken else None
