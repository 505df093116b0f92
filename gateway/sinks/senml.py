"""Layer 7: values as a SenML pack (RFC 8428, JSON). Pure.

Each record stands alone: its whole name, unit and absolute time, no base fields, version 10. What SenML has no label
for is told by labels of our own, which begin with `tg-` and which a receiver that does not know them must ignore (RFC
8428, 12.3.1: only labels that end with `_` must be understood). In each record: `tg-seq`, `tg-taints` where there are
any, `tg-u`, the UCUM code, where `u` cannot say it. In the first of a pack, for all of them: `tg-log`, `tg-inc`, and
`tg-from` and `tg-to`, the numbers that the pack covers. So (tg-log, tg-inc, tg-seq, n) is the identity of a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeGuard

import msgspec
from msgspec import UNSET, UnsetType

from gateway.api.follow.values import Item, Missing, Stretch, json_bytes

ABSOLUTE_S: Final = 1 << 28  # times below it would be relative to now (RFC 8428, 4.5.3)

# UCUM: as the registry has it. Primary names only (RFC 8428 12.1, RFC 8798 table 1): the secondary ones (RFC 8798
# table 2: kW, hPa, ms ...) need version 26 (RFC 9100), and a receiver of version 10 must refuse such a pack, whole.
UNITS: Final[dict[str, str]] = {
    "m": "m", "kg": "kg", "g": "g", "s": "s", "A": "A", "K": "K", "cd": "cd", "mol": "mol", "Hz": "Hz", "rad": "rad",
    "sr": "sr", "N": "N", "Pa": "Pa", "J": "J", "W": "W", "C": "C", "V": "V", "F": "F", "Ohm": "Ohm", "S": "S",
    "Wb": "Wb", "T": "T", "H": "H", "Cel": "Cel", "lm": "lm", "lx": "lx", "Bq": "Bq", "Gy": "Gy", "Sv": "Sv",
    "kat": "kat", "m2": "m2", "m3": "m3", "l": "l", "L": "l", "m/s": "m/s", "m/s2": "m/s2", "m3/s": "m3/s",
    "l/s": "l/s", "L/s": "l/s", "W/m2": "W/m2", "cd/m2": "cd/m2", "bit": "bit", "bit/s": "bit/s", "[pH]": "pH",
    "dB": "dB", "dB[W]": "dBW", "%": "%", "/s": "1/s", "/min": "1/min", "S/m": "S/m", "By": "B", "V.A": "VA",
    "V.A.s": "VAs", "var": "var", "var.s": "vars", "J/m": "J/m", "kg/m3": "kg/m3", "deg": "deg",
}  # fmt: skip
_LABELS: Final = {
    "seq": "tg-seq", "taints": "tg-taints", "ucum": "tg-u", "log": "tg-log", "inc": "tg-inc", "from_": "tg-from",
    "to": "tg-to",
}  # fmt: skip


class _Record(msgspec.Struct, gc=False, rename=_LABELS):
    n: str
    t: float
    seq: int
    u: str | UnsetType = UNSET
    v: float | UnsetType = UNSET
    vs: str | UnsetType = UNSET
    vb: bool | UnsetType = UNSET
    ucum: str | UnsetType = UNSET
    taints: Sequence[str] | UnsetType = UNSET
    log: str | UnsetType = UNSET
    inc: int | UnsetType = UNSET
    from_: int | UnsetType = UNSET
    to: int | UnsetType = UNSET


def is_told(item: Item | Missing) -> TypeGuard[Item]:
    """Return whether SenML can say it: there is a value, and a time that is not about now."""
    return type(item) is Item and item.v is not None and item.t >= ABSOLUTE_S


def pack(log: str, covered: Stretch, items: Sequence[Item]) -> bytes:
    """Return items of a stretch as a pack: one at least, and all can be told."""
    records = [_record(item) for item in items]
    first = records[0]
    first.log, first.inc, first.from_, first.to = log, covered.incarnation, covered.first, covered.last
    return json_bytes(records)


def _record(item: Item) -> _Record:
    record = _Record(item.route.replace("@", ":"), item.t, item.seq)
    unit = UNITS.get(item.u)
    if unit is not None:
        record.u = unit
    elif item.u != "1":
        record.ucum = item.u
    if item.taints:
        record.taints = item.taints
    value: Any = item.v
    if isinstance(value, bool):
        record.vb = value
    elif isinstance(value, int | float):
        record.v = value
    else:
        record.vs = value if isinstance(value, str) else json_bytes(value).decode()
    return record
