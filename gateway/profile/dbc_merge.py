"""Layer 3: how a profile's `[dbc]` and its messages annotate the layouts of a CAN database (PROFILES 1, 4, 5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol

import msgspec

from gateway.framing.spec import J1939, Nmea2000
from gateway.framing.transport import pgn_of
from gateway.profile.model import DbcSpec, Profile
from gateway.schema.spec import FieldSpec, MessageSpec, WhenSpec
from gateway.spelling import did_you_mean

_FRAME_BYTES: Final = 8
_OURS: Final = ("dbc", "public", "signal")  # of the database's field, whatever an annotation says
_LAYOUT: Final = frozenset(
    {"type", "length", "array", "at", "register", "words", "column", "columns", "key", "code", "tag", "path", "bits"}
    | {"dbc", "fields"}
)


class Report(Protocol):
    """Takes one mistake in the profile: its place, what it is, and `error` or `warning`."""

    def __call__(self, path: tuple[str | int, ...], message: str, severity: str = "error") -> None:
        """Take one mistake."""
        ...


def merged(
    profile: Profile,
    database: Mapping[str, MessageSpec],
    senders: Mapping[str, list[str]],
    nodes: Iterable[str],
    report: Report,
) -> dict[str, MessageSpec]:
    """Return the profile's messages in file order, those that claim a layout filled in; then what nobody claimed."""
    assert profile.dbc is not None
    if isinstance(profile.framing, (J1939, Nmea2000)):
        database = _by_group(database, has_fast_packets=isinstance(profile.framing, Nmea2000))
    wanted = _wanted(profile.dbc, database, report)
    own = _own_messages(profile.dbc.node, nodes, senders, report)
    claims: dict[str, str] = {}
    messages: dict[str, MessageSpec] = {}
    for name, message in profile.message.items():
        if message.dbc is None:
            messages[name] = message
        elif message.dbc not in database:
            said = f"the database has no message {message.dbc!r}{did_you_mean(message.dbc, database)}"
            report(("message", name, "dbc"), said)
        elif message.dbc in claims:
            report(("message", name, "dbc"), f"{message.dbc!r} is claimed by message {claims[message.dbc]!r} already")
        else:
            claims[message.dbc] = name
            messages[name] = _claimed(name, message, database[message.dbc], message.dbc in own, report)
    for dbc_name in wanted:
        if dbc_name in claims:
            continue
        if dbc_name in messages:
            said = f"the database has a message of this name too; claim it with dbc = {dbc_name!r}, or rename this one"
            report(("message", dbc_name), said)
        else:
            messages[dbc_name] = _directed(database[dbc_name], dbc_name in own)
    return messages


def _by_group(database: Mapping[str, MessageSpec], *, has_fast_packets: bool) -> dict[str, MessageSpec]:
    """Return the messages matched by parameter group, from any source unless several messages share the group.

    A J1939 database names one source and priority of many; what has a standard id, or no group of its own, stays.
    """
    groups = {name: pgn_of(spec.when.can_id or 0) for name, spec in database.items() if spec.when.extended}
    shared = Counter(groups.values())
    sources = Counter((group, (database[name].when.can_id or 0) & 0xFF) for name, group in groups.items())
    answer = dict(database)
    for name, group in groups.items():
        spec = database[name]
        source = (spec.when.can_id or 0) & 0xFF
        if sources[group, source] > 1:
            continue
        when = WhenSpec(
            pgn=group,
            source=source if shared[group] > 1 else None,
            fast=True if has_fast_packets and (spec.length or 0) > _FRAME_BYTES else None,
        )
        answer[name] = msgspec.structs.replace(spec, when=when)
    return answer


def _wanted(dbc: DbcSpec, database: Mapping[str, MessageSpec], report: Report) -> list[str]:
    if dbc.messages is None:
        return list(database)
    for index, name in enumerate(dbc.messages):
        if name not in database:
            report(("dbc", "messages", index), f"the database has no message {name!r}{did_you_mean(name, database)}")
    return [name for name in database if name in dbc.messages]


def _own_messages(node: str | None, nodes: Iterable[str], senders: Mapping[str, list[str]], report: Report) -> set[str]:
    """Return the messages that our own node sends."""
    if node is None:
        return set()
    known = dict.fromkeys([*nodes, *(sender for names in senders.values() for sender in names)])
    if node not in known:
        report(("dbc", "node"), f"the database has no node {node!r}{did_you_mean(node, known)}")
    return {message for message, names in senders.items() if node in names}


def _directed(spec: MessageSpec, is_ours: bool) -> MessageSpec:
    return msgspec.structs.replace(spec, direction="out") if is_ours else spec


def _claimed(name: str, message: MessageSpec, layout: MessageSpec, is_ours: bool, report: Report) -> MessageSpec:
    direction = "out" if layout.direction == "out" or (is_ours and message.direction == "in") else message.direction
    return msgspec.structs.replace(
        message,
        dbc=None,
        direction=direction,
        when=layout.when if message.when == WhenSpec() else message.when,
        length=layout.length,
        fields=_annotated(name, message.fields, layout.fields, report),
    )


def _annotated(name: str, notes: list[FieldSpec], fields: list[FieldSpec], report: Report) -> list[FieldSpec]:
    known = dict.fromkeys(field.name or "" for field in fields)
    chosen: dict[str, FieldSpec] = {}
    for index, note in enumerate(notes):
        path = ("message", name, "fields", index)
        if note.signal is None:
            report(path, "a message with `dbc` takes its fields from there; name the one meant by `signal`")
        elif note.signal not in known:
            report((*path, "signal"), f"the message has no signal {note.signal!r}{did_you_mean(note.signal, known)}")
        elif note.signal in chosen:
            report((*path, "signal"), f"{note.signal!r} is annotated twice")
        else:
            chosen[note.signal] = note
            _check_keys(path, note, report)
    _check_names(("message", name, "fields"), notes, known, report)
    renamed = {signal: note.name for signal, note in chosen.items() if note.name is not None}
    return [_noted(field, chosen.get(field.name or ""), renamed) for field in fields]


def _check_keys(path: tuple[str | int, ...], note: FieldSpec, report: Report) -> None:
    for key in FieldSpec.__struct_fields__:
        if key in _LAYOUT and getattr(note, key) is not None:
            report((*path, key), f"{key!r} is laid down by the database; an annotation cannot move a signal")


def _check_names(path: tuple[str | int, ...], notes: list[FieldSpec], known: Iterable[str], report: Report) -> None:
    """Report annotations whose new name another signal of the message has."""
    taken = dict.fromkeys(known)
    for note in notes:
        if note.name is not None:
            taken.pop(note.signal or "", None)
    for index, note in enumerate(notes):
        if note.name is not None and note.name in taken:
            report((*path, index, "name"), f"{note.name!r} is the name of another signal of this message")
        taken.setdefault(note.name or "")


def _noted(field: FieldSpec, note: FieldSpec | None, renamed: Mapping[str, str]) -> FieldSpec:
    """Return the database's field with what the annotation gives, and with multiplexers under their new names."""
    given: dict[str, Any] = {}
    if note is not None:
        defaults = FieldSpec()
        for key in FieldSpec.__struct_fields__:
            if key not in _OURS and getattr(note, key) != getattr(defaults, key):
                given[key] = getattr(note, key)
        if "name" in given:
            given["public"] = False
    if isinstance(field.condition, dict) and "condition" not in given:
        given["condition"] = {renamed.get(name, name): values for name, values in field.condition.items()}
    return msgspec.structs.replace(field, **given)
