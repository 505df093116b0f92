"""Construct objects as an installed package would offer them."""

from construct import Array, Bytes, Const, Enum, Int8ub, Int16sb, Struct

REPORT = Struct(
    "head" / Struct("temperature" / Int16sb, "version" / Const(b"\x01")),
    "cells" / Array(2, Struct("voltage" / Int8ub)),
    "data" / Bytes(2),
    "mode" / Enum(Int8ub, heat=1),
    "extra" / Int8ub,
)
PAIR = Struct("a" / Int8ub, "b" / Struct("c" / Int8ub))
