"""A strict reader of SenML packs, as RFC 8428 says: it refuses whatever the RFC does not allow, and resolves the rest.

Sections: 4.1 base fields, 4.2 regular fields and exactly one value, 4.3 labels by name and type, 4.4 extensions, 4.5.1
names, 4.5.3 time, 4.6 resolved records, 5 JSON, 12.1 units (with RFC 8798, table 1), 12.3.1 what may be ignored.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NamedTuple

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*")
_NUMBERS: Final = {"bt", "bv", "bs", "bver", "v", "s", "t", "ut"}
_TEXTS: Final = {"bn", "bu", "n", "u", "vs", "vd"}
_VALUES: Final = ("v", "vs", "vb", "vd")
UNITS: Final = frozenset(
    "m kg g s A K cd mol Hz rad sr N Pa J W C V F Ohm S Wb T H Cel lm lx Bq Gy Sv kat m2 m3 l m/s m/s2 m3/s l/s W/m2 "  # noqa: SIM905 - a list of words
    "cd/m2 bit bit/s lat lon pH dB dBW Bspl count / % %RH %EL EL 1/s 1/min beat/min beats S/m "
    "B VA VAs var vars J/m kg/m3 deg NTU".split()  # RFC 8798, table 1
)
_VERSION: Final = 10


class Resolved(NamedTuple):
    name: str
    unit: str | None
    time: float
    value: Any
    extra: dict[str, Any]


def resolve(text: bytes) -> list[Resolved]:
    """Return the records of a pack, each by itself. Raises: AssertionError for what is no pack."""
    pack = json.loads(text.decode("utf-8"), object_pairs_hook=_each_once, parse_constant=_refused)
    assert isinstance(pack, list)
    assert pack
    base: dict[str, Any] = {"bn": "", "bt": 0, "bu": None, "bver": _VERSION}
    found = []
    for record in pack:
        assert isinstance(record, dict)
        _check_labels(record)
        base |= {label: value for label, value in record.items() if label in base}
        assert base["bver"] == _VERSION, "a version that is not understood"
        values = [label for label in _VALUES if label in record]
        assert len(values) == 1 or (not values and "s" in record), "exactly one value"
        name = base["bn"] + record.get("n", "")
        assert _NAME.fullmatch(name), f"name {name!r}"
        unit = record.get("u", base["bu"])
        assert unit is None or unit in UNITS, f"unit {unit!r}"
        time = base["bt"] + record.get("t", 0)
        assert time >= 2**28, "a time that is about now"
        value = record[values[0]] + base.get("bv", 0) if values == ["v"] and "bv" in base else record[values[0]]
        extra = {label: told for label, told in record.items() if label not in _NUMBERS | _TEXTS | {"vb"}}
        found.append(Resolved(name, unit, time, value, extra))
    return found


def _check_labels(record: dict[str, Any]) -> None:
    for label, value in record.items():
        if label in _NUMBERS:
            assert isinstance(value, int | float), label
            assert not isinstance(value, bool), label
            assert math.isfinite(value), label
        elif label in _TEXTS:
            assert isinstance(value, str), label
        elif label == "vb":
            assert isinstance(value, bool)
        else:
            assert not label.endswith("_"), f"{label!r} must be understood"
            assert not label.startswith("b"), f"{label!r} looks like a base field"


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({label for label, _ in pairs}) == len(pairs)
    return dict(pairs)


def _refused(word: str) -> None:
    raise AssertionError(word)
