"""Layer 3: rules of one message apart from its fields: `when`, `ask`, timing, transform (PROFILES 4)."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final

from gateway.framing.spec import IsoTp, ModbusRtu, Nmea0183, Nmea2000
from gateway.notation import duration_ns, number
from gateway.profile.findings import Findings
from gateway.profile.model import Profile
from gateway.profile.positions import Path
from gateway.profile.rules_link import UUID, check_name, check_record, check_segment
from gateway.schema.match import length_bounds
from gateway.schema.spec import AskSpec, FieldSpec, MessageSpec, TransformSpec, WhenSpec
from gateway.spelling import did_you_mean

WHEN_KEYS: Final[dict[str, frozenset[str]]] = {
    "can": frozenset({"can_id", "can_mask", "extended", "pgn", "source", "fast"}),
    "ble": frozenset({"characteristic", "manufacturer", "service", "name"}),
    "uart": frozenset({"sentence", "has"}),
    "spi": frozenset(),
}
_LENGTH: Final = re.compile(r"[0-9]{1,9}|[0-9]{0,9}\.\.[0-9]{0,9}")
_SIZE: Final = re.compile(r"[usf](\d+)(be|le)?")
_SENTENCE: Final = re.compile(r"[A-Z0-9]{3,8}")
_CONSTRUCT: Final = re.compile(r"[A-Za-z_][\w]*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_MODBUS_TABLES: Final = ("input", "holding", "coils", "discrete")
_MAX_COUNT: Final = {"input": 125, "holding": 125, "coils": 2000, "discrete": 2000}  # Modbus Application Protocol 6
_CAN_ID_MAX: Final = 0x1FFFFFFF


def check_message(name: str, profile: Profile, found: Findings, transforms: Collection[str] | None) -> None:
    """Check one message of the file."""
    path: Path = ("message", name)
    spec = profile.message[name]
    check_name(name, path, found)
    check_segment(spec.family, (*path, "family"), found)
    check_when(spec.when, (*path, "when"), profile, found)
    if spec.when.has is not None and spec.format not in {"kv", "obis"}:
        found.error((*path, "when", "has"), f"'has' is for format kv and obis, not {spec.format!r}")
    if not spec.separator:
        found.error((*path, "separator"), "is empty; write for example ','")
    if spec.record is not None:
        check_record(spec.record, (*path, "record"), found)
    if spec.ask is not None:
        _check_ask(spec, path, profile, found)
    _check_timing(spec, path, found)
    _check_layout_source(spec, path, profile, found)
    if spec.transform is not None:
        _check_transform(name, profile, found, transforms)
    names = {field.name for field in all_fields(spec)}
    if spec.device_time is not None and spec.construct is None and spec.device_time not in names:
        known = sorted(each for each in names if each)
        message = f"no field {spec.device_time!r} in this message{did_you_mean(spec.device_time, known)}"
        found.error((*path, "device_time"), message)


def all_fields(spec: MessageSpec) -> list[FieldSpec]:
    """Return the named things of a message: fields, bits (as fields), struct members aside, what a transform gives."""
    fields: list[FieldSpec] = []
    for field in [*spec.fields, *(spec.transform.gives if spec.transform else [])]:
        fields.append(field)
        for bit in field.bits or []:
            kind = "bool" if _is_flag(bit.at) and not bit.labels else "u32"
            fields.append(FieldSpec(name=bit.name, type=kind, units=bit.units, labels=bit.labels, flags=bit.flags))
    return fields


def _is_flag(at: str | int) -> bool:
    return isinstance(at, int) or ":" not in at


def check_when(when: WhenSpec, path: Path, profile: Profile, found: Findings) -> None:
    """Check the facts that make a frame a message."""
    written = found.written(path)
    if found.knows_bus and isinstance(written, dict):
        bus = profile.link.bus
        for key in written:
            owners = [owner for owner, keys in WHEN_KEYS.items() if key in keys]
            if owners and bus not in owners:
                found.error((*path, key), f"{key!r} is for {' and '.join(owners)}, not for bus {bus!r}")
    for position, value in (when.bytes or {}).items():
        if not re.fullmatch(r"-?(0x[0-9A-Fa-f]{1,4}|[0-9]{1,6})", position):
            found.error((*path, "bytes", position), f"{position!r} is no byte position; write a number, 0 = the first")
        if not 0 <= value <= 0xFF:
            found.error((*path, "bytes", position), f"{value} is no byte value: 0..255")
    if when.length is not None:
        _check_length(when.length, (*path, "length"), found)
    _check_can_facts(when, path, profile, found)
    _check_ble_facts(when, path, found)
    if when.sentence is not None:
        if not _SENTENCE.fullmatch(when.sentence):
            message = f"{when.sentence!r} is no sentence; write its letters without the talker, for example 'RMC'"
            found.error((*path, "sentence"), message)
        if profile.framing is not None and not isinstance(profile.framing, Nmea0183) and profile.link.bus == "uart":
            found.error((*path, "sentence"), "'sentence' needs framing kind nmea0183")


def _check_length(length: int | str, path: Path, found: Findings) -> None:
    if isinstance(length, str) and not (_LENGTH.fullmatch(length.replace(" ", "")) and length != ".."):
        found.error(path, f"{length!r} is no length; write 24, '20..', '..8' or '4..8'")
        return
    low, high = length_bounds(length)
    if low < 0 or (high is not None and high < low):
        found.error(path, f"{length!r} fits no body")


def _check_can_facts(when: WhenSpec, path: Path, profile: Profile, found: Findings) -> None:
    limits = {"can_id": _CAN_ID_MAX, "can_mask": _CAN_ID_MAX, "pgn": 0x3FFFF, "source": 0xFF}
    for key, high in limits.items():
        value = getattr(when, key)
        if value is not None and not 0 <= value <= high:
            found.error((*path, key), f"{value:#x} is outside 0..{high:#x}")
    if when.can_mask is not None and when.can_id is None:
        found.error((*path, "can_mask"), "a mask needs can_id")
    if when.extended is False and (when.can_id or 0) > 0x7FF:
        found.error((*path, "extended"), f"{when.can_id:#x} needs an extended frame; 0x7ff is the largest standard id")
    if when.extended is not None and when.can_id is None:
        found.error((*path, "extended"), "'extended' says something about can_id, which is missing")
    if when.can_id is not None and when.pgn is not None:
        found.error((*path, "pgn"), "give can_id or pgn, not both")
    if when.fast:
        if when.pgn is None:
            found.error((*path, "fast"), "a fast packet is known by its pgn, which is missing")
        if not isinstance(profile.framing, Nmea2000):
            found.error((*path, "fast"), "fast packets need framing kind nmea2000")


def _check_ble_facts(when: WhenSpec, path: Path, found: Findings) -> None:
    for key in ("characteristic", "service"):
        value = getattr(when, key)
        if value is not None and not UUID.fullmatch(value):
            found.error((*path, key), f"{value!r} is no UUID; write for example '2a37'")
    if isinstance(when.manufacturer, int) and not 0 <= when.manufacturer <= 0xFFFF:
        found.error((*path, "manufacturer"), f"{when.manufacturer:#x} does not fit the 16 bits of a company id")
    if when.manufacturer is not None and when.service is not None:
        found.error((*path, "service"), "one element is manufacturer data or service data; give one of the two")


def _check_ask(spec: MessageSpec, path: Path, profile: Profile, found: Findings) -> None:
    ask = spec.ask
    assert ask is not None
    ask_path = (*path, "ask")
    kinds = [key for key in (*_MODBUS_TABLES, "register", "characteristic", "send") if getattr(ask, key) is not None]
    if len(kinds) != 1:
        said = f"says {' and '.join(kinds)}" if kinds else "says nothing"
        found.error(ask_path, f"{said}; give one of input, holding, coils, discrete, register, characteristic, send")
        return
    kind = kinds[0]
    takes = {"register": {"length"}, "characteristic": set(), "send": {"can_id"}}.get(kind, {"count"})
    for key in ("count", "length", "can_id"):
        if getattr(ask, key) is not None and key not in takes:
            found.error((*ask_path, key), f"{key!r} does not go with {kind!r}")
    if not ask.framed and kind != "send":
        found.error((*ask_path, "framed"), f"'framed' does not go with {kind!r}")
    if kind in _MODBUS_TABLES:
        _check_modbus_ask(kind, spec, path, profile, found)
    elif kind == "register":
        _check_register_ask(ask, ask_path, profile, found)
    elif kind == "characteristic":
        if not UUID.fullmatch(ask.characteristic or ""):
            found.error((*ask_path, kind), f"{ask.characteristic!r} is no UUID; write for example '2a19'")
        if found.knows_bus and profile.link.bus != "ble":
            found.error((*ask_path, kind), f"'characteristic' is for ble, not for bus {profile.link.bus!r}")
    elif found.knows_bus and profile.link.bus == "can" and ask.can_id is None:
        if not isinstance(profile.framing, IsoTp):  # which has `tx`
            found.error((*ask_path, "can_id"), "missing; a CAN request needs the id it is sent with")
    elif found.knows_bus and profile.link.bus != "can" and ask.can_id is not None:
        found.error((*ask_path, "can_id"), f"'can_id' is for can, not for bus {profile.link.bus!r}")


def _check_register_ask(ask: AskSpec, path: Path, profile: Profile, found: Findings) -> None:
    if ask.length is None:
        found.error((*path, "length"), "missing; a register is read with a length in bytes")
    elif not 1 <= ask.length <= 4096:
        found.error((*path, "length"), f"{ask.length} is outside 1..4096 bytes")
    if (ask.register or 0) < 0:
        found.error((*path, "register"), f"{ask.register} is no register address")
    if found.knows_bus and profile.link.bus != "spi":
        message = f"'register' is for spi, not for bus {profile.link.bus!r}; Modbus has input, holding, coils, discrete"
        found.error((*path, "register"), message)


def _check_modbus_ask(kind: str, spec: MessageSpec, path: Path, profile: Profile, found: Findings) -> None:
    ask = spec.ask
    assert ask is not None
    start = getattr(ask, kind)
    if not isinstance(profile.framing, ModbusRtu) and found.knows_bus:
        found.error((*path, "ask", kind), f"{kind!r} needs framing kind modbus-rtu")
    if not 0 <= start <= 0xFFFF:
        found.error((*path, "ask", kind), f"{start} is outside 0..65535")
    if ask.count is None:
        found.error((*path, "ask", "count"), f"missing; {kind!r} is read with a count")
        return
    if not 1 <= ask.count <= _MAX_COUNT[kind]:
        found.error((*path, "ask", "count"), f"{ask.count} is beyond the maximum of {_MAX_COUNT[kind]} in one request")
        return
    size = 5 + (2 * ask.count if kind in {"input", "holding"} else (ask.count + 7) // 8)
    if profile.framing is not None and size > profile.framing.max:
        found.error(
            (*path, "ask", "count"), f"the answer has {size} bytes, beyond the maximum of {profile.framing.max}"
        )
    last = start + ask.count - 1
    for index, field in enumerate(spec.fields):
        if field.register is None:
            continue
        ends = field.register + max(1, (size_of(field) + 1) // 2) - 1
        if not start <= field.register <= ends <= last:
            words = f"{field.register:#06x}" if ends == field.register else f"{field.register:#06x}..{ends:#06x}"
            message = f"register {words} is not among those asked for: {start:#06x}..{last:#06x}"
            found.error((*path, "fields", index, "register"), message)


def _check_timing(spec: MessageSpec, path: Path, found: Findings) -> None:
    if spec.every is not None:
        if spec.every not in {"connect", "never"}:
            _check_positive(spec.every, (*path, "every"), "; or 'connect' or 'never'", found)
        if spec.ask is None:
            found.warn((*path, "every"), "means nothing without 'ask'")
    _check_positive(spec.timeout, (*path, "timeout"), "", found)
    if spec.stale_after is not None:
        _check_positive(spec.stale_after, (*path, "stale_after"), "", found)
    if not 1 <= spec.attempts <= 100:
        found.error((*path, "attempts"), f"{spec.attempts} is outside 1..100")


def _check_positive(text: str, path: Path, also: str, found: Findings) -> None:
    try:
        if len(text) < 40 and duration_ns(text) > 0:
            return
        found.error(path, f"{text[:40]!r} must be longer than nothing")
    except ValueError as error:
        found.error(path, f"{error}{also}")


def _check_layout_source(spec: MessageSpec, path: Path, profile: Profile, found: Findings) -> None:
    if spec.dbc is not None and profile.dbc is None:
        found.error((*path, "dbc"), "needs [dbc] with the file it is in")
    if spec.dbc is not None and spec.construct is not None:
        found.error((*path, "construct"), "a layout comes from dbc or from construct, not from both")
    if spec.construct is not None and not _CONSTRUCT.fullmatch(spec.construct):
        message = f"{spec.construct[:60]!r} is no installed object; write 'package.module:NAME', never a file path"
        found.error((*path, "construct"), message)


def _check_transform(name: str, profile: Profile, found: Findings, transforms: Collection[str] | None) -> None:
    spec = profile.message[name]
    assert spec.transform is not None
    path: Path = ("message", name, "transform")
    if transforms is not None and spec.transform.use not in transforms:
        message = f"no transform {spec.transform.use!r} is installed{did_you_mean(spec.transform.use, transforms)}"
        found.warn((*path, "use"), message)
    _check_constants(spec.transform, (*path, "constants"), found)
    for index, other in enumerate(spec.transform.with_):
        if other == name:
            found.error((*path, "with", index), "a message cannot wait for itself")
        elif other not in profile.message and not found.may_exist(other):
            message = f"no message {other!r}{did_you_mean(other, profile.message)}"
            found.error((*path, "with", index), message)
        elif _waits_for(other, name, profile):
            found.error((*path, "with", index), f"{name!r} and {other!r} wait for each other")
    if not spec.transform.gives:
        found.error((*path, "gives"), "missing; a transform gives at least one field")
    for index, field in enumerate(spec.transform.gives):
        if field.name is None:
            found.error((*path, "gives", index, "name"), "missing; what a transform gives has a name")
        if field.type is not None:
            found.error((*path, "gives", index, "type"), "what a transform gives has no type on the wire")
    _check_given(spec.transform, (*path, "gives"), found, transforms)


def _check_constants(transform: TransformSpec, path: Path, found: Findings) -> None:
    for name, value in transform.constants.items():
        try:
            number(value)
        except (ValueError, ZeroDivisionError, OverflowError):
            found.error((*path, name), f"{value!r} is no number; write for example 3950 or '1/1024'")


def _check_given(transform: TransformSpec, path: Path, found: Findings, transforms: Collection[str] | None) -> None:
    """Refuse a field that the transform never gives, where it says what it does."""
    function = transforms.get(transform.use) if isinstance(transforms, Mapping) else None
    known: Collection[str] = getattr(function, "gives", None) or ()
    for index, field in enumerate(transform.gives if known else []):
        if field.name is not None and field.name not in known:
            message = f"{transform.use!r} gives no {field.name!r}{did_you_mean(field.name, known)}"
            found.error((*path, index, "name"), message)


def _waits_for(name: str, target: str, profile: Profile) -> bool:
    """Return whether `name` needs `target` by its transform, directly or through others."""
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        spec = profile.message.get(current)
        if current in seen or spec is None or spec.transform is None:
            continue
        seen.add(current)
        if target in spec.transform.with_:
            return True
        waiting.extend(spec.transform.with_)
    return False


def size_of(field: FieldSpec, *, alone: bool = False) -> int:
    """Return the bytes a field takes at least, of one element only if `alone`; 0 where the frame says it."""
    match = _SIZE.fullmatch(field.type or "")
    if match:
        size = int(match[1]) // 8
    elif field.type == "bool":
        size = 1
    elif field.type == "struct":
        size = sum(size_of(member) for member in field.fields or [])
    else:
        size = field.length if isinstance(field.length, int) else 0
    return size if alone or not isinstance(field.array, int) else size * max(0, field.array)
