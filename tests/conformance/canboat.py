"""What the canboat database says a parameter group means: its own bit places, widths, resolutions and names.

Read straight from canboat.json, bit by bit, so that nothing of a profile or its compiler is in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

CAN = Path(__file__).parents[3] / "shared/data/can"
CANBOAT = CAN / "nmea2000/canboat"
NEEDS_DATA = pytest.mark.skipif(not CANBOAT.is_dir(), reason=f"recorded device data is absent: {CANBOAT}")
_LEFT_OUT = {"RESERVED", "SPARE", "BINARY"}


@cache
def database() -> dict[str, Any]:
    return json.loads((CANBOAT / "docs/canboat.json").read_text())


@cache
def group(pgn: int) -> dict[str, Any]:
    """Return the entry of a parameter group that has only one."""
    (found,) = [entry for entry in database()["PGNs"] if entry["PGN"] == pgn]
    return found


@cache
def names_in(kind: str, lookup: str) -> dict[int, str]:
    key, number = ("EnumValues", "Value") if kind == "LookupEnumerations" else ("EnumBitValues", "Bit")
    (found,) = [entry for entry in database()[kind] if entry["Name"] == lookup]
    return {value[number]: value["Name"] for value in found[key]}


def letters(text: str) -> str:
    """Return letters and digits only, in lower case: how a name is compared that the profile spells as a word."""
    return re.sub(r"[^a-z0-9]", "", text.lower().replace("+", "plus"))


def meaning(pgn: int, body: bytes) -> dict[str, Any]:
    """Return canboat's reading by field id: numbers in its units, enumerations as (raw, name), bit fields as names."""
    entry = group(pgn)
    size, start = entry.get("RepeatingFieldSet1Size"), entry.get("RepeatingFieldSet1StartField")
    if not size:
        return _read(entry["Fields"], body, 0)
    first = _read(entry["Fields"][: start - 1], body, 0)
    members = entry["Fields"][start - 1 : start - 1 + size]
    count = first[entry["Fields"][entry["RepeatingFieldSet1CountField"] - 1]["Id"]] or 0
    bits = sum(field["BitLength"] for field in members)
    base = members[0]["BitOffset"]
    held = range(min(count, (8 * len(body) - base) // bits))
    return first | {"list": [_read(members, body, place * bits) for place in held]}


def _read(fields: list[dict[str, Any]], body: bytes, shift: int) -> dict[str, Any]:
    return {
        field["Id"]: _value(field, body, field["BitOffset"] + shift)
        for field in fields
        if field["FieldType"] not in _LEFT_OUT
    }


def _value(field: dict[str, Any], body: bytes, offset: int) -> Any:
    width = field["BitLength"]
    if offset + width > 8 * len(body):
        return None
    raw = int.from_bytes(body, "little") >> offset & (1 << width) - 1
    if field["FieldType"] == "STRING_FIX":
        return raw.to_bytes(width // 8, "little").rstrip(b"\0 ").decode()
    if field.get("Signed") and raw >> width - 1:
        raw -= 1 << width
    if field["FieldType"] == "BITLOOKUP":
        bits = names_in("LookupBitEnumerations", field["LookupBitEnumeration"])
        return [letters(bits[bit]) for bit in range(width) if raw >> bit & 1 and bit in bits]
    if _is_reserved(field, raw):
        return None
    if field["FieldType"] == "LOOKUP":
        return raw, names_in("LookupEnumerations", field["LookupEnumeration"]).get(raw)
    return raw * field.get("Resolution", 1)


def _is_reserved(field: dict[str, Any], raw: int) -> bool:
    """Return whether canboat prints no value: the highest 3 of 8 bits and more, 2 of 4 bits and more, 1 of 2 or 3."""
    width = field["BitLength"]
    highest = (1 << width - bool(field.get("Signed"))) - 1
    if field["FieldType"] == "LOOKUP":
        return (field.get("LookupEnumeration") == "TIME_STAMP" and raw >= 60) or raw > field["RangeMax"]
    kept = 3 if width >= 8 else 2 if width >= 4 else 1
    if width < 64 and round(field["RangeMax"] / field.get("Resolution", 1)) == highest:
        kept = 0
    return raw > highest - kept


def recordings() -> Iterator[tuple[str, int, int, int, int, bytes]]:
    """Give file, priority, group, source, destination and body of every whole group in canboat's own log format."""
    files = [*CANBOAT.glob("samples/*.raw"), *CANBOAT.glob("analyzer/tests/*.in")]
    for file in sorted(files):
        for line in file.read_text(errors="replace").splitlines():
            parts = line.strip().split(",")
            if len(parts) < 7 or not parts[2].isdigit():
                continue
            try:
                body = bytes.fromhex("".join(parts[6:]))
            except ValueError:
                continue
            if len(body) == int(parts[5]):
                yield file.name, int(parts[1]), int(parts[2]), int(parts[3]), int(parts[4]), body
