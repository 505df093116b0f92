"""Layer 3: rules of fields that need more than their own schema: units, names, limits of the frame around them."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from gateway.errors import UnitError, UsageError
from gateway.profile.findings import Findings
from gateway.profile.model import Profile
from gateway.profile.positions import Path
from gateway.profile.rules_link import check_name
from gateway.profile.rules_match import body_limit
from gateway.profile.rules_message import size_of
from gateway.schema.spec import BitSpec, FieldSpec, MessageSpec
from gateway.schema.types import parse_place
from gateway.units import check_unit

_TOLD = re.compile(r"field (\w+)(?:[^`]*`(\w+)`)?")


def check_fields(name: str, profile: Profile, found: Findings) -> None:
    """Check every field, bit, member and given field of one message as written in the file."""
    spec = profile.message[name]
    is_foreign = spec.dbc is not None or spec.construct is not None
    for path, field in walk_fields(spec, ("message", name)):
        try:
            check_unit(field.units)
        except UnitError as error:
            found.error((*path, "units"), str(error))
        if field.name is not None and not is_foreign:
            check_name(field.name, (*path, "name"), found)
        if field.deadband < 0:
            found.error((*path, "deadband"), f"{field.deadband} is negative")
        if field.minimum is not None and field.maximum is not None and field.minimum > field.maximum:
            found.error((*path, "minimum"), f"minimum {field.minimum} is above maximum {field.maximum}")
        if isinstance(field.invalid, list) and any(isinstance(item, list | dict) for item in field.invalid):
            found.error((*path, "invalid"), "a list in a list; write raw values")
        if isinstance(field.invalid, dict):
            found.error((*path, "invalid"), "a table; write a raw value or a list of them")
        if field.labels and field.flags:
            found.error((*path, "flags"), "a value has labels or flags, not both")
    if spec.format == "binary" and not is_foreign:
        _check_sizes(spec, ("message", name, "fields"), body_limit(profile), found)


def check_text(name: str, spec: MessageSpec, found: Findings) -> None:
    """Check that every field of a text message can be found in it; told at the field that the reader refuses."""
    from gateway.schema.text import compile_text

    path = ("message", name, "fields")
    where = {"csv": "column", "kv": "key", "obis": "code"}[spec.format]
    fields = [_found(field, spec, (*path, index), where, found) for index, field in enumerate(spec.fields)]
    for _ in range(len(fields) + 1):
        try:
            compile_text(name, msgspec.structs.replace(spec, fields=fields))
        except UsageError as error:
            told = _place_told(str(error), name, msgspec.structs.replace(spec, fields=fields))
            found.error(told, str(error))
            if len(told) <= len(path):
                return
            index = told[len(path)]
            assert isinstance(index, int)
            fields[index] = _in_place_of(fields[index], where)
        else:
            return


def _found(field: FieldSpec, spec: MessageSpec, path: Path, where: str, found: Findings) -> FieldSpec:
    """Return the field, or what stands in for it where it is wrong: the others are looked at all the same."""
    from gateway.schema.text_places import pick_of

    is_wrong = found.is_wrong(path)
    if field.type != "struct" and not found.is_wrong((*path, where)):
        try:
            pick_of(field, spec)
        except UsageError as error:
            is_wrong = True
            found.error((*path, where), str(error))
    return _in_place_of(field, where) if is_wrong else field


def _in_place_of(field: FieldSpec, where: str) -> FieldSpec:
    place: dict[str, Any] = {where: {"column": 0, "key": "_", "code": "0-0:0.0.0"}[where]}
    return FieldSpec(name=field.name, type="number", **place)


def _place_told(message: str, name: str, spec: MessageSpec) -> Path:
    """Return the path that a refusal like "field x: `array` names no field" is about."""
    match = _TOLD.search(message)
    for path, field in walk_fields(spec, ("message", name)) if match else ():
        if match and field.name == match[1]:
            key = match[2] if match[2] in FieldSpec.__struct_encode_fields__ else None
            return (*path, key) if key else path
    return ("message", name, "fields")


def walk_fields(spec: MessageSpec, path: Path) -> Iterator[tuple[Path, FieldSpec | BitSpec]]:
    """Yield every field, bit and member of a message with its path."""
    waiting: deque[tuple[Path, FieldSpec]] = deque(((*path, "fields", i), field) for i, field in enumerate(spec.fields))
    if spec.transform is not None:
        waiting += [((*path, "transform", "gives", i), field) for i, field in enumerate(spec.transform.gives)]
    while waiting:
        here, field = waiting.popleft()
        yield here, field
        for index, bit in enumerate(field.bits or []):
            yield (*here, "bits", index), bit
        waiting += [((*here, "fields", i), member) for i, member in enumerate(field.fields or [])]


def _check_sizes(spec: MessageSpec, path: Path, limit: int, found: Findings) -> None:
    """Report the first field of the message that lies beyond the largest body."""
    end = 0
    for index, field in enumerate(spec.fields):
        start = field.at if field.at is not None else end
        size = 0 if field.condition is not None else size_of(field)
        if isinstance(field.length, int) and field.length > limit:
            found.error((*path, index, "length"), f"{field.length} bytes are beyond the maximum of {limit}")
            return
        if isinstance(field.array, int) and field.array * max(1, size_of(field, alone=True)) > limit:
            found.error((*path, index, "array"), f"{field.array} elements are beyond the maximum of {limit} bytes")
            return
        last = _last_byte(field.dbc)
        if last >= limit:
            found.error((*path, index, "dbc"), f"byte {last} is beyond the maximum of {limit} bytes")
            return
        if field.at is not None and field.at >= limit:
            found.error((*path, index, "at"), f"byte {field.at} is beyond the maximum of {limit} bytes")
            return
        if field.register is None:
            end = max(end, start + size)
        if end > limit:
            found.error((*path, index), f"ends at byte {end}, beyond the maximum of {limit}")
            return


def _last_byte(place: str | None) -> int:
    """Return the last byte of a signal written as in a DBC; -1 where there is none."""
    try:
        return -1 if place is None else parse_place(place).last
    except ValueError:
        return -1
