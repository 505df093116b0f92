"""What SAE J1979 says about the PIDs of service 01, written down a second time, for `test_obd2`."""

from __future__ import annotations

from collections.abc import Callable

Formula = Callable[..., object]


def percent(a: int) -> float:
    return a * 100 / 255


def trim(a: int) -> float:
    return (a - 128) * 100 / 128


def temperature(a: int) -> int:
    return a - 40


def word(a: int, b: int) -> int:
    return 256 * a + b


def signed(a: int, b: int) -> int:
    return word(a, b) - (65536 if a > 127 else 0)


def same(a: int) -> int:
    return a


def ratio(a: int, b: int) -> float:
    return 2 / 65536 * word(a, b)


# PID: data bytes, and from them to the values in order (one value: itself)
FORMULAS: dict[int, tuple[int, Formula]] = {
    0x04: (1, percent),
    0x05: (1, temperature),
    **dict.fromkeys((6, 7, 8, 9, 45), (1, trim)),
    0x0A: (1, lambda a: 3 * a),
    **dict.fromkeys((11, 13, 48, 51, 95), (1, same)),
    0x0C: (2, lambda a, b: word(a, b) / 4),
    0x0E: (1, lambda a: a / 2 - 64),
    **dict.fromkeys((15, 70, 92), (1, temperature)),
    0x10: (2, lambda a, b: word(a, b) / 100),
    **dict.fromkeys((17, 44, 46, 47, 69, *range(71, 77), 82, 90, 91), (1, percent)),
    **{pid: (2, lambda a, b: (a / 200, None if b == 255 else trim(b))) for pid in range(0x14, 0x1C)},
    **dict.fromkeys((31, 33, 49, 77, 78, 99), (2, word)),
    0x22: (2, lambda a, b: 0.079 * word(a, b)),
    **{pid: (2, lambda a, b: 10 * word(a, b)) for pid in (0x23, 0x59)},
    **{pid: (4, lambda a, b, c, d: (ratio(a, b), 8 / 65536 * word(c, d))) for pid in range(0x24, 0x2C)},
    0x32: (2, lambda a, b: signed(a, b) / 4),
    **{pid: (4, lambda a, b, c, d: (ratio(a, b), word(c, d) / 256 - 128)) for pid in range(0x34, 0x3C)},
    **{pid: (2, lambda a, b: word(a, b) / 10 - 40) for pid in range(0x3C, 0x40)},
    0x42: (2, lambda a, b: word(a, b) / 1000),
    0x43: (2, lambda a, b: word(a, b) * 100 / 255),
    0x44: (2, ratio),
    0x4F: (4, lambda a, b, c, d: (a, b, c, 10 * d)),
    0x50: (4, lambda a, _b, _c, _d: 10 * a),
    0x53: (2, lambda a, b: word(a, b) / 200),
    0x54: (2, signed),
    **{pid: (2, lambda a, b: (trim(a), trim(b))) for pid in range(0x55, 0x59)},
    0x5D: (2, lambda a, b: word(a, b) / 128 - 210),
    0x5E: (2, lambda a, b: word(a, b) / 20),
    **{pid: (1, lambda a: a - 125) for pid in (0x61, 0x62, 0x8E)},
    0x64: (5, lambda *data: tuple(a - 125 for a in data)),
    0xA6: (4, lambda a, b, c, d: (word(a, b) * 65536 + word(c, d)) / 10),
}
# PID: data bytes, and in wire order what stands behind the byte of supports: its bit there, bytes, formula.
# SAE J1979-DA; bit places as in the diagnostic files of a car maker (EDIABAS, tables PID65 to PID9C) and OBDb/SAEJ1979
BYTE, WORD, LONG = 1, 2, 4
Place = tuple[int, int, Callable[[int], float]]


def plain(count: int, size: int, scale: float = 1, offset: float = 0) -> list[Place]:
    """Return places of one size that bits 0 and up announce."""
    return [(bit, size, lambda raw: raw * scale + offset) for bit in range(count)]


def at(bit: int, size: int, scale: float = 1, offset: float = 0) -> Place:
    return bit, size, lambda raw: raw * scale + offset


def below_zero(raw: int) -> float:
    return (raw - (65536 if raw > 0x7FFF else 0)) / 100


EGR = [at(0, BYTE, 100 / 255), at(1, BYTE, 100 / 255), at(2, BYTE, 100 / 128, -100)]
RAIL = [at(0, WORD, 10), at(1, WORD, 10), at(2, BYTE, 1, -40)]
TURBINE = [at(0, BYTE, 1, -40), at(1, BYTE, 1, -40), at(2, WORD, 0.1, -40), at(3, WORD, 0.1, -40)]
FILTER: list[Place] = [(0, WORD, below_zero), at(1, WORD, 0.01), at(2, WORD, 0.01)]
TIMERS = [at(bit // 2, LONG) for bit in range(10)]
OXYGEN = [*plain(4, WORD, 0.001526), *(at(bit, WORD, 0.000122) for bit in range(4, 8))]
ANNOUNCED: dict[int, list[Place]] = {
    0x66: plain(2, WORD, 1 / 32),
    0x67: plain(2, BYTE, 1, -40),
    0x68: plain(6, BYTE, 1, -40),
    0x69: [*EGR, *((bit + 3, size, formula) for bit, size, formula in EGR)],
    **dict.fromkeys((0x6A, 0x6C, 0x72), plain(4, BYTE, 100 / 255)),
    0x6D: [*RAIL, *((bit + 3, size, formula) for bit, size, formula in RAIL)],
    0x6E: plain(4, WORD, 10),
    0x73: plain(2, WORD, 0.01),
    0x74: plain(2, WORD, 10),
    **dict.fromkeys((0x75, 0x76), TURBINE),
    0x77: plain(4, BYTE, 1, -40),
    **dict.fromkeys((0x78, 0x79, 0x7C, 0x98, 0x99), plain(4, WORD, 0.1, -40)),
    **dict.fromkeys((0x7A, 0x7B), FILTER),
    0x7F: plain(3, LONG),
    **dict.fromkeys((0x81, 0x82, 0x89, 0x8A), TIMERS),
    **dict.fromkeys((0x83, 0xA1, 0xA7, 0xA8), plain(4, WORD)),
    0x85: [at(0, WORD, 0.005), at(1, WORD, 0.005), at(2, BYTE, 100 / 255), at(3, LONG)],
    0x86: plain(2, WORD, 0.0125),
    0x87: plain(2, WORD, 1 / 32),
    **dict.fromkeys((0x8C, 0x9C), OXYGEN),
    0x93: plain(1, WORD),
    0x9B: [at(1, BYTE, 0.25), at(2, BYTE, 1, -40), at(3, BYTE, 100 / 255)],
    0x9F: plain(8, BYTE, 100 / 255),
    0xD2: plain(2, BYTE, 100 / 255),
}
MORE: dict[int, tuple[int, Formula]] = {  # without such a byte
    **dict.fromkeys((0x84,), (1, temperature)),
    **dict.fromkeys((0x8D, 0xB2), (1, percent)),
    0x9D: (4, lambda a, b, c, d: (word(a, b) / 50, word(c, d) / 50)),
    0x9E: (2, lambda a, b: word(a, b) / 5),
    0xA2: (2, lambda a, b: word(a, b) / 32),
    0xAA: (1, same),
    0xC4: (8, lambda *data: (int.from_bytes(data[:4]), int.from_bytes(data[4:]))),
    0xC5: (4, lambda a, b, c, d: (0.079 * word(a, b), 0.079 * word(c, d))),
    0xC7: (2, word),
    0xD3: (4, lambda *data: int.from_bytes(data) / 10),
}
FORMULAS |= MORE
# PID: data bytes, an answer, and what it says: values of bits, labels and several widths
SPELLED: dict[int, tuple[str, dict[str, object]]] = {
    0x65: (
        "1f6d",
        {
            "power_take_off": True,
            "automatic_in_gear": False,
            "manual_in_gear": True,
            "glow_plug_lamp": True,
            "recommended_gear": 6,
        },
    ),
    0x6B: (
        "9250ffff64",
        {"egr_temperature_wide_b1s1": 280, "egr_temperature_b1s2": 215, "egr_temperature_wide_b2s2": 360},
    ),
    0x6F: ("0932ff", {"turbocharger_a_inlet_pressure": 50, "turbocharger_b_inlet_pressure_wide": 2040}),
    0x70: (
        "3f0c800c60000000200e",
        {
            "commanded_boost_pressure_a": 100.0,
            "boost_pressure_a": 99.0,
            "commanded_boost_pressure_b": 0.0,
            "boost_pressure_b": 1.0,
            "boost_pressure_a_control": "closed_loop",
            "boost_pressure_b_control": "fault",
        },
    ),
    0x71: (
        "03ff33000000",
        {"commanded_variable_geometry_turbo_a": 100.0, "variable_geometry_turbo_a": 20.0},
    ),
    0x7D: ("05", {"nox_control_area": ["inside", "carve_out"]}),
    0x7E: ("0a", {"particulate_control_area": ["outside", "deficiency"]}),
    0x88: (
        "8112480064271000010002ffff",
        {
            "inducement_active": True,
            "inducement": ["reagent_low"],
            "inducement_10000_km": ["reagent_wrong"],
            "inducement_20000_km": ["reagent_low"],
            "inducement_30000_km": ["nox_high"],
            "inducement_40000_km": ["reagent_consumption"],
            "inducement_distance": 100,
            "distance_in_block": 10000,
            "inducement_distance_20000_km": 1,
            "inducement_distance_30000_km": 2,
            "inducement_distance_40000_km": 65535,
        },
    ),
    0x8B: (
        "7f0566012c01f4",
        {
            "particulate_filter_regenerating": True,
            "particulate_filter_active_regeneration": False,
            "nox_adsorber_regenerating": True,
            "nox_adsorber_desulfating": False,
            "particulate_filter_trigger": 40.0,
            "time_between_regenerations": 300,
            "distance_between_regenerations": 500,
        },
    ),
    0x8F: (
        "0f0113880202ff9c"[:14],
        {
            "particulate_sensor_b1s1_active": True,
            "particulate_sensor_b1s1_regenerating": False,
            "particulate_sensor_b1s1_output": 50.0,
            "particulate_sensor_b2s1_active": False,
            "particulate_sensor_b2s1_regenerating": True,
            "particulate_sensor_b2s1_output": 7.67,
        },
    ),
    0x90: (
        "4d0123",
        {
            "vehicle_mil_strategy": "discriminatory",
            "vehicle_mil_mode": "continuous",
            "vehicle_monitors_incomplete": True,
            "vehicle_continuous_mil_time": 291,
        },
    ),
    0x91: ("0f00070009", {"unit_mil_mode": None, "unit_continuous_mil_time": 7, "highest_b1_time": 9}),
    0x92: ("0301", {"fuel_pressure_1_closed_loop": True, "injection_quantity_1_closed_loop": False}),
    0x94: (
        "0333000c0000000000000000",
        {
            "nox_warning": True,
            "inducement_level_1": "enabled",
            "inducement_level_2": "active",
            "inducement_level_3": "enabled",
            "reagent_quality_time": 12,
        },
    ),
    0x9A: (
        "0f055a00ff9c",
        {
            "hybrid_charging_state": "depleting",
            "hybrid_charging_mode": "increasing",
            "hybrid_battery_voltage": 360.0,
            "hybrid_battery_current": -10.0,
        },
    ),
    0xA3: ("010203040506070809", {"evaporative_pressures": "010203040506070809"}),
    0xA4: ("03500456", {"gear": 5, "gear_ratio": 1.11}),
    0xA5: ("01640000", {"commanded_exhaust_fluid_dosing": 50.0}),
    0xA9: ("01010000", {"abs_disabled": True}),
    0xC3: ("1234", {"fuel_level_a_b": "1234"}),
    0xC6: (
        "01000200030004",
        {
            "particulate_inducement": 1,
            "particulate_removal_time": 2,
            "reagent_injection_failure_time": 3,
            "particulate_monitor_failure_time": 4,
        },
    ),
    0xC8: ("02", {"warning_lamps": 2}),
}
UNASSIGNED = {0x95, 0x96, 0x97, *range(0xAB, 0xB2), *range(0xB3, 0xC0), 0xC1, 0xC2}
ENUMERATED = {0x03: 2, 0x12: 1, 0x1C: 1, 0x51: 1}  # labels: PID and data bytes
FLAGGED = {0x00: 4, 0x01: 4, 0x02: 2, 0x13: 1, 0x1D: 1, 0x1E: 1, 0x41: 4, **dict.fromkeys(range(0x20, 0xE0, 0x20), 4)}
