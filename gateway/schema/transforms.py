"""Layer 2: the built-in transforms: pure functions from raw fields and constants to values, by name.

A transform takes one mapping: the constants of the profile, then the last raw fields of the messages in `with`, then
the message's own raw fields, each by the name it has there, sentinels as None. It returns values by name in the units
told here; what cannot be known is None or left out. It never raises for numbers that a wire can carry.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway.schema.thermocouples import cel_of, mv_of

Fields = Mapping[str, Any]
ABSOLUTE_ZERO_CEL: Final = -273.15

_UNTRIMMED: Final = (0, 0xFFFF)  # erased or unread memory: no calibration of any chip
_K_SLOPE_UV_PER_CEL: Final = 41.276  # MAX31855 datasheet, table 1: the straight line of the K type version


@dataclass(frozen=True, slots=True)
class Transform:
    """A named pure function, and the names of what it can give; `profile check` compares `gives` with them."""

    function: Callable[[Fields], Mapping[str, Any]]
    gives: tuple[str, ...]

    def __call__(self, fields: Fields) -> Mapping[str, Any]:
        """Return values by name."""
        return self.function(fields)


def _bosch_bmp280(fields: Fields) -> dict[str, float | None]:
    """Return `temperature` in Cel and `pressure` in Pa.

    Takes `_t1 _t2_t3 _p1 _p2_p9 _temperature _pressure`. Source: BMP280 datasheet BST-BMP280-DS001, section 3.11.3
    (order of the words) and 8.1 (compensation in double precision).
    """
    fine = _t_fine(fields)
    return {
        "temperature": None if fine is None else fine / 5120.0,
        "pressure": None if fine is None else _pressure_pa(fields, fine),
    }


def _bosch_bme280(fields: Fields) -> dict[str, float | None]:
    """Return `temperature` in Cel, `pressure` in Pa and `humidity` in %.

    Takes what `bosch-bmp280` takes and `_h1 _h2 _h3 _h4_h5 _h6 _humidity`; `_h4_h5` is the three bytes from 0xe4.
    Source: BME280 datasheet BST-BME280-DS002, section 4.2.2 (trimming words) and appendix A (double precision).
    """
    fine = _t_fine(fields)
    return {**_bosch_bmp280(fields), "humidity": None if fine is None else _humidity_percent(fields, fine)}


def _t_fine(fields: Fields) -> float | None:
    numbers = _numbers(fields, ("_temperature", "_t1"), "_t2_t3", 2)
    if numbers is None:
        return None
    adc, t1, t2, t3 = numbers
    if t1 in _UNTRIMMED:
        return None
    above = adc / 131072.0 - t1 / 8192.0
    return float((adc / 16384.0 - t1 / 1024.0) * t2 + above * above * t3)


def _pressure_pa(fields: Fields, fine: float) -> float | None:
    numbers = _numbers(fields, ("_pressure", "_p1"), "_p2_p9", 8)
    if numbers is None:
        return None
    adc, p1, p2, p3, p4, p5, p6, p7, p8, p9 = numbers
    if p1 in _UNTRIMMED:
        return None
    half = fine / 2.0 - 64000.0
    offset = half * half * p6 / 32768.0 + half * p5 * 2.0
    offset = offset / 4.0 + p4 * 65536.0
    slope = (p3 * half * half / 524288.0 + p2 * half) / 524288.0
    slope = (1.0 + slope / 32768.0) * p1
    if slope == 0.0:
        return None
    pressure = (1048576.0 - adc - offset / 4096.0) * 6250.0 / slope
    return float(pressure + (p9 * pressure * pressure / 2147483648.0 + pressure * p8 / 32768.0 + p7) / 16.0)


def _humidity_percent(fields: Fields, fine: float) -> float | None:
    packed = _bytes(fields.get("_h4_h5"), 3)
    numbers = _numbers(fields, ("_humidity", "_h1", "_h2", "_h3", "_h6"))
    if packed is None or numbers is None:
        return None
    adc, h1, h2, h3, h6 = numbers
    if h2 in (0, -1):  # erased or unread memory
        return None
    h4 = _signed(packed[0]) * 16 + (packed[1] & 0x0F)
    h5 = _signed(packed[2]) * 16 + (packed[1] >> 4)
    x = fine - 76800.0
    x = (adc - (h4 * 64.0 + h5 / 16384.0 * x)) * (
        h2 / 65536.0 * (1.0 + h6 / 67108864.0 * x * (1.0 + h3 / 67108864.0 * x))
    )
    return float(min(100.0, max(0.0, x * (1.0 - h1 * x / 524288.0))))


def _max31855(fields: Fields) -> dict[str, float | None]:
    """Return `thermocouple` in Cel as the chip tells it, and `linearized`, the same along the ITS-90 curve of type K.

    Takes `_thermocouple` (counts of 0.25 Cel), `internal` (counts of 0.0625 Cel), `_faulty` and the bits of `fault`.
    Under a fault there is no temperature. Source: MAX31855 datasheet 19-5793, tables 2 and 4; the chip assumes a
    straight line of 41.276 uV/Cel.
    """
    hot, junction = _number(fields.get("_thermocouple")), _number(fields.get("internal"))
    if hot is None or fields.get("_faulty") != 0 or fields.get("fault", 0) != 0:
        return {"thermocouple": None, "linearized": None}
    told = hot * 0.25
    if junction is None:
        return {"thermocouple": told, "linearized": None}
    voltage_uv = (told - junction * 0.0625) * _K_SLOPE_UV_PER_CEL
    return {"thermocouple": told, "linearized": _hot_junction_cel("K", voltage_uv, junction * 0.0625)}


def _max6675(fields: Fields) -> dict[str, float | None]:
    """Return `thermocouple` in Cel; None while the thermocouple is open.

    Takes `_thermocouple` (counts of 0.25 Cel) and `open`. Source: MAX6675 datasheet 19-2235, table "SO output".
    """
    hot = _number(fields.get("_thermocouple"))
    return {"thermocouple": None if hot is None or fields.get("open") != 0 else hot * 0.25}


def _thermocouple(kind: str) -> Transform:
    def transform(fields: Fields) -> dict[str, float | None]:
        voltage, junction = _number(fields.get("_voltage")), _number(fields.get("_junction"))
        if voltage is None or junction is None:
            return {"temperature": None}
        voltage_uv = voltage * _constant(fields, "microvolt_per_count", 1.0)
        junction_cel = junction * _constant(fields, "cel_per_count", 1.0)
        return {"temperature": _hot_junction_cel(kind, voltage_uv, junction_cel)}

    transform.__doc__ = f"""Return `temperature` in Cel of the hot end of a type {kind} thermocouple.

    Takes the raw `_voltage` and `_junction` (the cold end), in counts of the constants `microvolt_per_count` [1] and
    `cel_per_count` [1]. Source: NIST Monograph 175, ITS-90.
    """
    return Transform(transform, ("temperature",))


def _hot_junction_cel(kind: str, voltage_uv: float, junction_cel: float) -> float | None:
    cold_mv = mv_of(kind, junction_cel)
    return None if cold_mv is None else cel_of(kind, cold_mv + voltage_uv / 1000.0)


def _thermistor_beta(fields: Fields) -> dict[str, float | None]:
    """Return `temperature` in Cel of an NTC thermistor: 1/T = 1/T0 + ln(R/R0)/beta.

    Constants: `beta` in K, `r0` in Ohm at `t0` in Cel [25], and those of `_resistance_ohm`.
    """
    resistance, beta, r0 = _resistance_ohm(fields), _number(fields.get("beta")), _number(fields.get("r0"))
    t0 = _constant(fields, "t0", 25.0) - ABSOLUTE_ZERO_CEL
    if resistance is None or not beta or r0 is None or r0 <= 0 or t0 <= 0:
        return {"temperature": None}
    return {"temperature": _from_inverse_kelvin(1.0 / t0 + math.log(resistance / r0) / beta)}


def _thermistor_steinhart_hart(fields: Fields) -> dict[str, float | None]:
    """Return `temperature` in Cel of a thermistor: 1/T = a + b ln R + c (ln R)^3, R in Ohm.

    Constants: `a b c`, and those of `_resistance_ohm`. Source: Steinhart and Hart, Deep-Sea Research 15 (1968) 497.
    """
    resistance = _resistance_ohm(fields)
    a, b, c = (_number(fields.get(name)) for name in ("a", "b", "c"))
    if resistance is None or a is None or b is None or c is None:
        return {"temperature": None}
    log = math.log(resistance)
    return {"temperature": _from_inverse_kelvin(a + b * log + c * log * log * log)}


def _resistance_ohm(fields: Fields) -> float | None:
    """Return the raw `_resistance`, else what the raw count `_adc` of a divider says; None at the ends of its range.

    Constants of a divider: `series` in Ohm, `full_scale` in counts (the count that would be the whole supply),
    `low_side` [1]: the thermistor is between the input and ground; 0: between the input and the supply.
    """
    direct = _number(fields.get("_resistance"))
    if direct is not None:
        return direct if direct > 0 else None
    count, series, full = (_number(fields.get(name)) for name in ("_adc", "series", "full_scale"))
    if count is None or series is None or full is None or series <= 0 or not 0 < count < full:
        return None
    if count >= full - 1:  # the last step of the converter: cannot be told from a broken wire
        return None
    ratio = count / (full - count)
    resistance = series * (ratio if _constant(fields, "low_side", 1.0) else 1.0 / ratio)
    return resistance if 0 < resistance < math.inf else None


def _from_inverse_kelvin(inverse: float) -> float | None:
    return 1.0 / inverse + ABSOLUTE_ZERO_CEL if inverse > 0 else None


def _constant(fields: Fields, name: str, default: float) -> float:
    value = _number(fields.get(name))
    return default if value is None else value


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return int(value)
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def _numbers(fields: Fields, names: Sequence[str], list_name: str = "", length: int = 0) -> list[float] | None:
    """Return the numbers under `names`, then the items of one list; None if anything is missing."""
    items = fields.get(list_name) if list_name else []
    if not isinstance(items, list) or len(items) != length:
        return None
    found = [_number(value) for value in (*(fields.get(name) for name in names), *items)]
    known = [value for value in found if value is not None]
    return known if len(known) == len(found) else None


def _bytes(text: Any, size: int) -> bytes | None:
    """Return bytes given as hex text, as raw fields have them."""
    if not isinstance(text, str) or len(text) != 2 * size:
        return None
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def _signed(byte: int) -> int:
    return byte - 256 if byte > 127 else byte


bosch_bmp280: Final = Transform(_bosch_bmp280, ("temperature", "pressure"))
bosch_bme280: Final = Transform(_bosch_bme280, ("temperature", "pressure", "humidity"))
max31855: Final = Transform(_max31855, ("thermocouple", "linearized"))
max6675: Final = Transform(_max6675, ("thermocouple",))
thermistor_beta: Final = Transform(_thermistor_beta, ("temperature",))
thermistor_steinhart_hart: Final = Transform(_thermistor_steinhart_hart, ("temperature",))
thermocouple_j: Final = _thermocouple("J")
thermocouple_k: Final = _thermocouple("K")
thermocouple_t: Final = _thermocouple("T")

BUILT_IN: Final[dict[str, Transform]] = {
    "bosch-bmp280": bosch_bmp280,
    "bosch-bme280": bosch_bme280,
    "max31855": max31855,
    "max6675": max6675,
    "thermistor-beta": thermistor_beta,
    "thermistor-steinhart-hart": thermistor_steinhart_hart,
    "thermocouple-j": thermocouple_j,
    "thermocouple-k": thermocouple_k,
    "thermocouple-t": thermocouple_t,
}
