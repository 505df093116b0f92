"""Layer 3: the text of a first profile for a device, from what its recorded frames have in common. Pure.

The text passes `profile check` and decodes the frames it was made from; names and meanings are for a person to add.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec

from gateway.framing.spec import DsmrP1, FramingSpec, Line, Nmea0183, VeDirect

MAX_MESSAGES: Final = 32
MAX_BYTE_FIELDS: Final = 32  # a longer body stays one field
_MAX_COLUMNS: Final = 40
_KEY: Final = re.compile(rb"(?:^|[\r\n])([^\t\r\n]{1,32})\t")
_CODE: Final = re.compile(rb"(?:^|[\r\n])([0-9]+-[0-9]+:[0-9]+\.[0-9]+\.[0-9]+)\(")
_MESSAGE_OF_NO_FRAMES: Final = [
    "[message.data]",
    'fields = [{ name = "payload", type = "bytes", length = "rest" }]',
]


def skeleton(
    name: str,
    bus: str,
    framing: FramingSpec | None,
    bodies: Sequence[bytes],
    *,
    ids: Iterable[tuple[str, list[bytes]]] = (),
    notes: Iterable[str] = (),
) -> str:
    """Return a profile's text. `bodies` as the framing gives them; on CAN `ids` gives address text and bodies instead.

    `name` is `name` or `publisher/name`; `notes` become comments at the top.
    """
    text = [f"# {note}" for note in notes]
    identity = name if "/" in name else f"example/{name}"
    text += ["", "[profile]", f"id = {toml(f'{identity}@0.1.0')}", "", "[link]", f"bus = {toml(bus)}"]
    if bus == "ble":
        text.append('mode = "advertisement"')
    if framing is not None:
        text += ["", "[framing]"]
        table = msgspec.to_builtins(framing)
        text += [f"{key} = {toml(value)}" for key, value in table.items() if value is not None]
    for message in _messages(framing, bodies, ids) or [_MESSAGE_OF_NO_FRAMES]:
        text += ["", *message]
    return "\n".join(text).lstrip("\n") + "\n"


def toml(value: Any) -> str:
    """Return a value as TOML writes it, tables inline."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items() if item is not None) + " }"
    return json.dumps(value)  # text, numbers, booleans and lists of them look the same


def _messages(
    framing: FramingSpec | None, bodies: Sequence[bytes], ids: Iterable[tuple[str, list[bytes]]]
) -> list[list[str]]:
    match framing:
        case Nmea0183():
            found = _sentences(bodies)
        case VeDirect():
            found = _keyed(bodies, _KEY, "block", "kv", "key")
        case DsmrP1():
            found = _keyed(bodies, _CODE, "telegram", "obis", "code")
        case Line():
            found = iter([["[message.line]", 'fields = [{ name = "text", type = "text", length = "rest" }]']])
        case _:
            found = _by_size(bodies) if bodies else (_of_can(text, bodies) for text, bodies in ids)
    return [message for message, _ in zip(found, range(MAX_MESSAGES), strict=False)]


def _sentences(bodies: Sequence[bytes]) -> Iterator[list[str]]:
    columns: dict[str, int] = defaultdict(int)
    for body in bodies:
        address, *values = body.decode("ascii", "replace").split(",")
        if re.fullmatch(r"[A-OQ-Z][A-Z][A-Z]{3}", address):  # P begins a proprietary sentence
            columns[address[2:]] = max(columns[address[2:]], min(len(values), _MAX_COLUMNS))
    for formatter, count in sorted(columns.items()):
        fields = [f'  {{ name = "column_{at}", column = {at}, type = "text" }},' for at in range(1, count + 1)]
        head = [f"[message.{formatter.lower()}]", f"when = {{ sentence = {toml(formatter)} }}", 'format = "csv"']
        yield [*head, "fields = [", '  { name = "talker", column = "talker", type = "text" },', *fields, "]"]


def _keyed(
    bodies: Sequence[bytes], pattern: re.Pattern[bytes], name: str, form: str, place: str
) -> Iterator[list[str]]:
    keys = dict.fromkeys(key.decode("ascii", "replace") for body in bodies for key in pattern.findall(body))
    names: dict[str, str] = {}
    for key in keys:
        plain = re.sub(r"[^a-z0-9]+", "_", key.lower()).strip("_") or "key"
        plain = plain if plain[0].isalpha() else f"code_{plain}"
        names[key] = plain if plain not in names.values() else f"{plain}_{len(names)}"
    fields = [f'  {{ name = "{names[key]}", {place} = {toml(key)}, type = "text" }},' for key in keys]
    if fields:
        yield [f"[message.{name}]", f'format = "{form}"', "fields = [", *fields, "]"]


def _by_size(bodies: Sequence[bytes]) -> Iterator[list[str]]:
    """Give a message per size of body where there are few sizes, else per first byte, else one for all."""
    sizes = sorted({len(body) for body in bodies})
    firsts = sorted({body[0] for body in bodies if body})
    if len(sizes) <= 4:
        for size in sizes:
            same = [body for body in bodies if len(body) == size]
            name = "data" if len(sizes) == 1 else f"size_{size}"
            yield [f"[message.{name}]", f"when = {{ length = {size} }}", *_fields(same)]
    elif len(firsts) <= MAX_MESSAGES and all(bodies):
        for first in firsts:
            same = [body for body in bodies if body[0] == first]
            yield [f"[message.type_{first:02x}]", f"when = {{ bytes = {{ 0 = 0x{first:02x} }} }}", *_fields(same)]
    else:
        yield ["[message.data]", *_fields(bodies)]


def _of_can(text: str, bodies: list[bytes]) -> list[str]:
    extended = ", extended = true" if len(text) == 8 else ""
    head = [f"[message.id_{text.lower()}]", f"when = {{ can_id = 0x{text.lower()}{extended} }}"]
    return [*head, *_fields(bodies)]


def _fields(bodies: Sequence[bytes]) -> list[str]:
    """Return a field per byte that moves, layout for those that stand still; one field for bodies of many sizes."""
    size = min(map(len, bodies))
    if size != max(map(len, bodies)) or not 0 < size <= MAX_BYTE_FIELDS:
        seen = f"{size} to {max(map(len, bodies))} bytes in {len(bodies)} frames"
        return [f'fields = [{{ name = "payload", type = "bytes", length = "rest" }}]   # {seen}']
    rows = []
    for at in range(size):
        values = {body[at] for body in bodies}
        if len(values) == 1:
            rows.append(f'  {{ type = "u8" }},{" " * 22}# byte {at}: always 0x{min(values):02x}')
        else:
            field = f'  {{ name = "byte_{at}", type = "u8" }},'
            rows.append(f"{field:<40}# {min(values)} to {max(values)}, {len(values)} different")
    if all(" name = " not in row for row in rows):  # nothing moves: show it whole rather than nothing
        return [f'fields = [{{ name = "payload", type = "bytes", length = {size} }}]   # always {bodies[0].hex(" ")}']
    return ["fields = [", *rows, "]"]
