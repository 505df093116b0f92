"""Layer 3: a CAN database written out as a profile of its own: TOML that needs no DBC beside it.

Every message and signal keeps its place and meaning; names become lower case, and what a profile may not say (a limit
below a limit, a scale of zero, a unit that is none) is put into its nearest legal form with a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any, Final

from gateway.errors import UnitError
from gateway.profile.dbc import Database, stem_of, unused_name
from gateway.schema.spec import FieldSpec, MessageSpec
from gateway.units import check_unit

MAX_NAME: Final = 60  # leaves room for "_2"
_PLACE: Final = re.compile(r"(\d+)\|(\d+)@([01])")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_ESCAPES: Final = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_LEAST: Final = 5e-324  # the smallest double: times any raw number it is lost beside an offset

_HEAD: Final = """#:schema profile.schema.json
# Made from {file} by `tidegate profile import dbc`; {count}. It decodes as the database does, names in lower case.
# `tidegate profile schema > profile.schema.json` puts beside it what editors complete from.

[profile]
id    = "dbc/{stem}@1.0.0"
title = {title}

[link]
bus = "can"
{fd}"""


def toml_of(database: Database, path_name: str, only: Iterable[str] = ()) -> str:
    """Return the profile of the messages named `only`, of all where none is named."""
    wanted = set(only) or set(database.messages)
    chosen = {name: spec for name, spec in database.messages.items() if name in wanted}
    names = lower_names(chosen)
    file = PurePath(path_name).name
    count = "1 message" if len(chosen) == 1 else f"{len(chosen)} messages"
    head = _HEAD.format(
        file=_comment(file),
        count=count,
        stem=stem_of(path_name),
        title=_text(file),
        fd="fd  = true\n" if database.is_fd else "",
    )
    return "\n".join([head, *(_message(names[name], name, spec) for name, spec in chosen.items())])


def lower_names(names: Iterable[str]) -> dict[str, str]:
    """Return each name's form in a profile: lower case, `_` for what is not allowed, `_2` behind a name in use."""
    taken: dict[str, str] = {}
    for name in names:
        plain = re.sub(r"[^a-z0-9_]", "_", name.lower()).lstrip("_")[:MAX_NAME]
        legal = plain if re.match(r"[a-z]", plain) else f"x{plain}"
        taken.setdefault(unused_name(legal, taken), name)
    return {name: legal for legal, name in taken.items()}


def _message(name: str, dbc_name: str, spec: MessageSpec) -> str:
    facts = f"can_id = {spec.when.can_id:#x}" if spec.when.can_id is not None else ""
    if spec.when.extended:
        facts += ", extended = true"
    lines = [f"[message.{name}]"]
    if name != dbc_name.lower():
        lines[0] += f"  # {_comment(dbc_name)}"
    lines.append(f"when   = {{ {facts} }}")
    if spec.direction == "out":
        lines.append('direction = "out"  # another message has this id, and is the one that is read')
    rows = _rows(spec)
    lines += ["fields = [", *rows, "]"] if rows else ["fields = []"]
    return "\n".join([*lines, ""])


def _rows(spec: MessageSpec) -> list[str]:
    names = lower_names(dict.fromkeys(field.name or "" for field in spec.fields))
    table = [_cells(field, names) for field in spec.fields]
    width = max((len(name) for name, _, _ in table), default=0)
    rows = [f"  {{ {name + ',':<{width + 1}} {', '.join(cells)} }},{remark}" for name, cells, remark in table]
    if spec.length and not _reaches_end(spec):
        rows.append(f'  {{ type = "u8", at = {spec.length - 1} }},  # the frame has {spec.length} bytes')
    return rows


def _cells(field: FieldSpec, names: Mapping[str, str]) -> tuple[str, list[str], str]:
    """Return name and other keys of one field, and the remark behind it."""
    remarks: list[str] = []
    cells = [f'dbc = "{field.dbc}"']
    if field.type is not None:
        cells.append(f'type = "{field.type}"')
    if isinstance(field.condition, dict):
        facts = ", ".join(f"{names[name]} = {_value(values)}" for name, values in field.condition.items())
        cells.append(f"if = {{ {facts} }}")
    if field.scale == 0:
        remarks.append("scale 0 in the DBC: always the offset")
    if field.scale != 1:
        cells.append(f"scale = {_value(field.scale or _LEAST)}")
    if field.offset != 0:
        cells.append(f"offset = {_value(field.offset)}")
    cells += _units(field.units, remarks)
    cells += _limits(field, remarks)
    if field.labels:
        table = ", ".join(f"{_key(raw)} = {_text(text)}" for raw, text in field.labels.items())
        cells.append(f"labels = {{ {table} }}")
    remark = f"  # {'; '.join(remarks)}" if remarks else ""
    return f'name = "{names[field.name or ""]}"', cells, remark


def _units(units: str, remarks: list[str]) -> list[str]:
    """Return the unit, in braces where it is none of UCUM: there that is an annotation, of no dimension."""
    if units == "1":
        return []
    try:
        check_unit(units)
    except UnitError:
        remarks.append(f"unit in the DBC: {_comment(units)}")
        units = "{" + re.sub(r"[^!-z|~]", "_", units)[:40].strip("_") + "}"
    return [f"units = {_text(units)}"]


def _limits(field: FieldSpec, remarks: list[str]) -> list[str]:
    if field.minimum is not None and field.maximum is not None and field.minimum > field.maximum:
        remarks.append(f"limits in the DBC: {_value(field.minimum)} to {_value(field.maximum)}")
        return []
    limits = {"minimum": field.minimum, "maximum": field.maximum}
    return [f"{key} = {_value(limit)}" for key, limit in limits.items() if limit is not None]


def _reaches_end(spec: MessageSpec) -> bool:
    """Return whether a signal that is always there covers the last byte, so that a frame is built in full length."""
    ends = [_last_byte(field.dbc or "") for field in spec.fields if field.condition is None]
    return max(ends, default=-1) + 1 >= (spec.length or 0)


def _last_byte(place: str) -> int:
    found = _PLACE.match(place)
    if found is None:
        return -1
    start, length = int(found[1]), int(found[2])
    first = start if found[3] == "1" else 8 * (start // 8) + 7 - start % 8
    return (first + length - 1) // 8


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 63:
        value = float(value)
    return repr(value)


def _key(text: str) -> str:
    return text if _BARE_KEY.fullmatch(text) else _text(text)


def _text(text: str) -> str:
    """Return a TOML basic string."""
    escaped = "".join(_ESCAPES.get(mark, mark) for mark in text)
    return '"' + _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", escaped) + '"'


def _comment(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]", " ", text)
