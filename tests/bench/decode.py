"""Decoding one body: ours against bare struct, compiled construct and cantools."""

from __future__ import annotations

import random
import struct
from typing import Any

import construct
import msgspec

from gateway.schema.compile import compile_message
from gateway.schema.spec import MessageSpec
from tests.bench.rows import Row, interleaved

CAN8: dict[str, Any] = {  # 8 bytes, 6 signals, bare scaling
    "order": "little",
    "fields": [
        {"name": "speed", "type": "u16", "scale": 0.25},
        {"name": "torque", "type": "s16", "scale": 0.1, "offset": -100},
        {"name": "temperature", "type": "u8", "offset": -40, "scale": 0.5},
        {"name": "load", "type": "u8", "scale": 0.4},
        {"name": "voltage", "type": "u8", "scale": 0.1},
        {"name": "current", "type": "s8", "scale": 0.5},
    ],
}
CAN8_STRUCT = struct.Struct("<HhBBBb")
CAN8_DBC = """VERSION ""
BS_:
BU_: A
BO_ 256 BENCH: 8 A
 SG_ speed : 0|16@1+ (0.25,0) [0|0] "" A
 SG_ torque : 16|16@1- (0.1,-100) [0|0] "" A
 SG_ temperature : 32|8@1+ (0.5,-40) [0|0] "" A
 SG_ load : 40|8@1+ (0.4,0) [0|0] "" A
 SG_ voltage : 48|8@1+ (0.1,0) [0|0] "" A
 SG_ current : 56|8@1- (0.5,0) [0|0] "" A
"""

BEACON24: dict[str, Any] = {  # RuuviTag data format 5: sentinels, a range, bit fields, bytes
    "fields": [
        {"type": "u8", "const": 5},
        {"name": "temperature", "type": "s16be", "scale": 0.005, "invalid": -32768},
        {"name": "humidity", "type": "u16be", "scale": 0.0025, "invalid": 65535, "maximum": 100},
        {"name": "pressure", "type": "u16be", "offset": 50000, "invalid": 65535},
        {"name": "acceleration_x", "type": "s16be", "scale": 0.001, "invalid": -32768},
        {"name": "acceleration_y", "type": "s16be", "scale": 0.001, "invalid": -32768},
        {"name": "acceleration_z", "type": "s16be", "scale": 0.001, "invalid": -32768},
        {
            "type": "u16be",
            "bits": [
                {"name": "battery_voltage", "at": "15:5", "scale": 0.001, "offset": 1.6, "invalid": 2047},
                {"name": "tx_power", "at": "4:0", "scale": 2, "offset": -40, "invalid": 31},
            ],
        },
        {"name": "movements", "type": "u8", "invalid": 255},
        {"name": "sequence", "type": "u16be", "invalid": 65535},
        {"name": "mac", "type": "bytes", "length": 6, "invalid": "ff ff ff ff ff ff"},
    ]
}
BEACON24_STRUCT = struct.Struct(">BhHHhhhHBH6s")

NESTED64: dict[str, Any] = {  # header, six cells of 8 bytes with bit fields, tail
    "order": "little",
    "fields": [
        {"type": "u16", "const": 0xA55A},
        {"name": "sequence", "type": "u32"},
        {"name": "pack_voltage", "type": "u16", "scale": 0.01, "invalid": 65535},
        {
            "name": "cells",
            "type": "struct",
            "array": 6,
            "fields": [
                {"name": "voltage", "type": "u16", "scale": 0.001, "invalid": 65535, "maximum": 5},
                {"name": "temperature", "type": "s16", "scale": 0.1, "invalid": -32768},
                {
                    "type": "u16",
                    "bits": [
                        {"name": "balance", "at": "15:12"},
                        {"name": "state", "at": "11:8"},
                        {"name": "health", "at": "7:0", "scale": 0.5},
                    ],
                },
                {"name": "cycles", "type": "u16"},
            ],
        },
        {"name": "current", "type": "s32", "scale": 0.001, "minimum": -500, "maximum": 500},
        {"name": "uptime", "type": "u32", "units": "s"},
    ],
}
NESTED64_STRUCT = struct.Struct("<HIH" + "HhHH" * 6 + "iI")


def scaled(sub: Any, scale: float, offset: float = 0.0) -> Any:
    """Return a construct field with its scaling, in the expression form that construct's own documentation teaches."""
    return construct.ExprAdapter(sub, construct.obj_ * scale + offset, (construct.obj_ - offset) / scale)


CONSTRUCTS: dict[str, Any] = {
    "can8": construct.Struct(
        "speed" / scaled(construct.Int16ul, 0.25),
        "torque" / scaled(construct.Int16sl, 0.1, -100),
        "temperature" / scaled(construct.Int8ub, 0.5, -40),
        "load" / scaled(construct.Int8ub, 0.4),
        "voltage" / scaled(construct.Int8ub, 0.1),
        "current" / scaled(construct.Int8sb, 0.5),
    ),
    "beacon24": construct.Struct(
        construct.Const(5, construct.Int8ub),
        "temperature" / scaled(construct.Int16sb, 0.005),
        "humidity" / scaled(construct.Int16ub, 0.0025),
        "pressure" / scaled(construct.Int16ub, 1.0, 50000),
        "acceleration_x" / scaled(construct.Int16sb, 0.001),
        "acceleration_y" / scaled(construct.Int16sb, 0.001),
        "acceleration_z" / scaled(construct.Int16sb, 0.001),
        "power"
        / construct.BitStruct(
            "battery_voltage" / scaled(construct.BitsInteger(11), 0.001, 1.6),
            "tx_power" / scaled(construct.BitsInteger(5), 2, -40),
        ),
        "movements" / construct.Int8ub,
        "sequence" / construct.Int16ub,
        "mac" / construct.Bytes(6),
    ),
    "nested64": construct.Struct(
        construct.Const(0xA55A, construct.Int16ul),
        "sequence" / construct.Int32ul,
        "pack_voltage" / scaled(construct.Int16ul, 0.01),
        "cells"
        / construct.Array(
            6,
            construct.Struct(
                "voltage" / scaled(construct.Int16ul, 0.001),
                "temperature" / scaled(construct.Int16sl, 0.1),
                "bits"
                / construct.ByteSwapped(
                    construct.BitStruct(
                        "balance" / construct.BitsInteger(4),
                        "state" / construct.BitsInteger(4),
                        "health" / scaled(construct.BitsInteger(8), 0.5),
                    )
                ),
                "cycles" / construct.Int16ul,
            ),
        ),
        "current" / scaled(construct.Int32sl, 0.001),
        "uptime" / construct.Int32ul,
    ),
}

CASES: dict[str, tuple[dict[str, Any], struct.Struct, float]] = {
    "can8": (CAN8, CAN8_STRUCT, 4.0),
    "beacon24": (BEACON24, BEACON24_STRUCT, 6.0),
    "nested64": (NESTED64, NESTED64_STRUCT, 6.0),
}


def bodies_of(case: str, count: int = 64) -> list[bytes]:
    """Return seeded ordinary bodies: within range, no sentinel, constants right."""
    random_ = random.Random(case)
    layout = CASES[case][1]
    bodies = []
    while len(bodies) < count:
        raw = bytearray(random_.randbytes(layout.size))
        if case == "beacon24":
            raw[0] = 5
            raw[3:5] = random_.randrange(40_001).to_bytes(2, "big")  # humidity within 0..100 %
            raw[13] &= 0x7F
            raw[14] &= 0xEF  # neither the voltage's nor the power's sentinel
            raw[15] &= 0x7F  # nor the counter's
        if case == "nested64":
            raw[0:2] = (0xA55A).to_bytes(2, "little")
            for cell in range(6):
                raw[8 + 8 * cell : 10 + 8 * cell] = random_.randrange(5001).to_bytes(2, "little")
            raw[56:60] = random_.randrange(-500_000, 500_000).to_bytes(4, "little", signed=True)
        bodies.append(bytes(raw))
    return bodies


def decode_rows() -> list[Row]:
    """Return the seven decoding rows."""
    rows = []
    for case, (document, layout, limit) in CASES.items():
        decode = compile_message(case, msgspec.convert(document, MessageSpec)).decode
        bodies = bodies_of(case)
        if any(decode(body)[-1] or None in decode(body) for body in bodies):
            raise AssertionError(f"{case}: the bodies are not ordinary; the benchmark would measure another path")
        sides: dict[str, Any] = {
            "struct": (layout.unpack_from, 100_000),
            "ours": (decode, 50_000),
            "construct": (CONSTRUCTS[case].compile().parse, 640),
        }
        if case == "can8":
            import cantools

            message = cantools.database.load_string(CAN8_DBC, database_format="dbc").get_message_by_name("BENCH")
            sides["cantools"] = (message.decode, 6400)
        ns = interleaved(sides, bodies)
        rows.append(Row(f"decode_{case}_vs_struct", ns["ours"] / ns["struct"], "x", "struct.unpack_from", limit))
        rows.append(
            Row(
                f"decode_{case}_vs_construct",
                ns["construct"] / ns["ours"],
                "x",
                "construct.compile()",
                20,
                at_least=True,
            )
        )
        if "cantools" in ns:
            rows.append(
                Row("decode_can8_vs_cantools", ns["cantools"] / ns["ours"], "x", "cantools decode", 6, at_least=True)
            )
    return rows
