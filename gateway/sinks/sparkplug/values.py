"""Layer 7: values as Sparkplug's data types, both ways. Pure.

A metric has one data type, told at birth; what a profile says of a field gives it. Signed integers of 8 and 16 bits
are told as Int32: receivers differ in how they read a negative Int8 or Int16 out of an unsigned protobuf field.
Lists and tables are told as their JSON, in a String: few receivers know array types.
"""

from __future__ import annotations

import json
import math
from enum import IntEnum
from struct import Struct
from typing import Any, Final

from gateway.schema.spec import BitSpec, FieldSpec
from gateway.schema.types import parse_place, parse_type


class DataType(IntEnum):
    """Of a metric or property: those that are used here, with Sparkplug's numbers."""

    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14


_BITS: Final = {
    DataType.INT8: 8, DataType.INT16: 16, DataType.INT32: 32, DataType.INT64: 64,
    DataType.UINT8: 8, DataType.UINT16: 16, DataType.UINT32: 32, DataType.UINT64: 64,
}  # fmt: skip
_SIGNED: Final = frozenset({DataType.INT8, DataType.INT16, DataType.INT32, DataType.INT64})
_LONG: Final = frozenset({DataType.INT64, DataType.UINT64, DataType.DATETIME})
_REALS: Final = frozenset({DataType.FLOAT, DataType.DOUBLE})
_TEXTS: Final = frozenset({DataType.STRING, DataType.TEXT})
_WIDER: Final[dict[DataType, tuple[DataType, ...]]] = {
    DataType.INT32: (DataType.INT64, DataType.DOUBLE),
    DataType.INT64: (DataType.DOUBLE,),
    **dict.fromkeys(
        (DataType.UINT8, DataType.UINT16, DataType.UINT32), (DataType.INT64, DataType.UINT64, DataType.DOUBLE)
    ),
}  # what takes all values of a type and more; where nothing is told, doubles do
_SINGLE: Final = Struct("<f")
_EXACT: Final = 1 << 53  # whole numbers up to here are doubles


# ---- what a profile says


def declared(spec: FieldSpec | BitSpec) -> DataType | None:
    """Return the data type of a field's values; None where only values can tell."""
    if spec.labels is not None or spec.flags is not None or getattr(spec, "array", None) is not None:
        return DataType.STRING
    is_exact = spec.scale in {1, "1"} and spec.offset == 0
    if isinstance(spec, BitSpec):
        high, _, low = str(spec.at).partition(":")
        return _whole(int(high) - int(low or high) + 1, signed=spec.signed) if is_exact else DataType.DOUBLE
    return _of_field(spec) if is_exact else DataType.DOUBLE


def _of_field(spec: FieldSpec) -> DataType | None:
    try:
        wire = parse_type(spec.type or "", "big")
    except ValueError:
        wire = None
    if wire is None and spec.dbc is not None:
        place = parse_place(spec.dbc)
        return _whole(place.width, signed=place.signed)
    if wire is None:
        return None
    match wire.kind:
        case "int":
            return _whole(8 * (wire.size or 8), signed=wire.signed)
        case "float":
            return DataType.DOUBLE if wire.size == 8 else DataType.FLOAT
        case "bool":
            return DataType.BOOLEAN
        case "bytes" | "text":
            return DataType.STRING
        case _:
            return None


def _whole(bits: int, *, signed: bool) -> DataType:
    if signed:
        return DataType.INT32 if bits <= 32 else DataType.INT64
    kinds = (DataType.UINT8, DataType.UINT16, DataType.UINT32)
    return next((kind for kind in kinds if bits <= _BITS[kind]), DataType.UINT64)


# ---- what values say


def fits(kind: DataType, value: Any) -> bool:
    """Return whether a metric of this type can carry a value as it is."""
    if value is None or kind in _TEXTS:
        return True
    if kind is DataType.BOOLEAN or isinstance(value, bool):
        return isinstance(value, bool) and kind is DataType.BOOLEAN
    if isinstance(value, int):
        low, high = _bounds(kind)
        return low <= value <= high
    if isinstance(value, float) and kind is DataType.FLOAT:
        return single(value) == value or not math.isfinite(value)
    return isinstance(value, float) and kind is DataType.DOUBLE


def widened(kind: DataType | None, value: Any) -> DataType:
    """Return a type that can carry what the type could, and this value too."""
    if kind is not None and fits(kind, value):
        return kind
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind is None:
        if isinstance(value, bool):
            return DataType.BOOLEAN
        return DataType.DOUBLE if is_number and fits(DataType.DOUBLE, value) else DataType.STRING
    if not is_number or kind is DataType.BOOLEAN:
        return DataType.STRING
    return next((each for each in _WIDER.get(kind, (DataType.DOUBLE,)) if fits(each, value)), DataType.STRING)


def single(value: float) -> float:
    """Return the 32-bit float nearest to a number, infinite beyond all of them."""
    try:
        return float(_SINGLE.unpack(_SINGLE.pack(value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _bounds(kind: DataType) -> tuple[int, int]:
    if kind in _BITS:
        bits = _BITS[kind]
        return (-(1 << bits - 1), (1 << bits - 1) - 1) if kind in _SIGNED else (0, (1 << bits) - 1)
    most = {DataType.FLOAT: 1 << 24, DataType.DOUBLE: _EXACT}.get(kind, -1)
    return -most, most


# ---- into a metric or a property


def put(place: Any, kind: DataType, value: Any) -> None:
    """Write a value that fits into a protobuf metric or property; None is told as null."""
    if value is None:
        place.is_null = True
    elif kind is DataType.BOOLEAN:
        place.boolean_value = value
    elif kind is DataType.DOUBLE:
        place.double_value = value
    elif kind is DataType.FLOAT:
        place.float_value = value
    elif kind in _TEXTS:
        place.string_value = text_of(value)
    elif kind in _LONG:
        place.long_value = value & 0xFFFF_FFFF_FFFF_FFFF
    else:
        place.int_value = value & 0xFFFF_FFFF


def text_of(value: Any) -> str:
    """Return a value as a String tells it: text as it is, everything else as JSON."""
    text = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "replace").decode()  # half of a surrogate pair cannot be told


# ---- out of a command


def taken(metric: Any, kind: DataType, *, is_list: bool = False) -> Any:
    """Return the value that a metric of a command carries for a metric of this type. Raises: ValueError.

    `is_list`: text is JSON that says a list, as flags are told.
    """
    field = metric.WhichOneof("value")
    if field is None or metric.is_null:
        raise ValueError("no value")
    value = getattr(metric, field)
    if field in {"int_value", "long_value"}:
        return _number_from(value, _kind_of(metric, kind), is_long=field == "long_value")
    if field in {"float_value", "double_value"}:
        return _real_from(value, kind, is_single=field == "float_value")
    if field == "string_value" and is_list:
        return _list_from(value)
    if field == "bytes_value":
        raise ValueError("bytes are no value here")
    return value


def _kind_of(metric: Any, kind: DataType) -> DataType:
    """Return the type that a command's metric says it has, else the one it was born with."""
    try:
        return DataType(metric.datatype) if metric.HasField("datatype") else kind
    except ValueError:
        raise ValueError(f"data type {metric.datatype} is none that is taken here") from None


def _number_from(value: int, kind: DataType, *, is_long: bool) -> int | bool:
    """Return a whole number; a negative one came as what an unsigned field of its width, or of 32 bits, holds."""
    if kind is DataType.BOOLEAN:
        if value > 1:
            raise ValueError(f"{value} is neither false nor true")
        return bool(value)
    if kind in _REALS or kind in _TEXTS:
        kind = DataType.INT64 if is_long else DataType.INT32
    if kind not in _SIGNED:
        return value
    width = 64 if is_long else 32
    whole = value - (1 << width) if value >> (width - 1) else value
    bits = _BITS[kind]
    if bits < width and 0 <= whole < 1 << bits:  # as some senders spell it
        whole = whole - (1 << bits) if whole >> (bits - 1) else whole
    return whole


def _real_from(value: float, kind: DataType, *, is_single: bool) -> float:
    if not math.isfinite(value):
        raise ValueError("not a finite number")
    if is_single:  # 0.1 as 32 bits is meant as 0.1, not as 0.10000000149011612
        value = next(short for digits in range(6, 18) if single(short := float(f"{value:.{digits}g}")) == value)
    return int(value) if kind in _BITS and value.is_integer() else value


def _list_from(text: str) -> list[Any]:
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        told = None
    if isinstance(told, list):
        return told
    raise ValueError('a list is written as JSON, for example ["run","fan"]')
