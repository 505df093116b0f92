"""Layer 3: a profile's bytes to a checked Profile, or to everything that is wrong with them. Opens no file itself.

Order: TOML, parameters, structure, DBC, then the rules; each stage goes on with what the one before it could use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

import msgspec

from gateway.errors import Problem, ProfileError
from gateway.framing.spec import FramingSpec
from gateway.profile import rules_fields, rules_link, rules_match, rules_message, rules_setpoint
from gateway.profile.document import Document
from gateway.profile.findings import Findings, path_of
from gateway.profile.model import ParamSpec, Profile
from gateway.profile.params import Parameters, resolve
from gateway.profile.positions import Path
from gateway.profile.structure import BAD, walk
from gateway.schema.spec import MessageSpec

Read = Callable[[str], bytes]  # a file beside the profile, by name; raises OSError

_PLACE: Final = re.compile(r" - at `\$(.*)`$")
_KIND_NEEDS: Final[dict[str, dict[str, Any]]] = {  # stand-ins for the required keys of framing kinds
    "length": {"start": "00", "length": {"at": 0, "type": "u8"}},
    "fixed": {"size": 1},
    "isotp": {"tx": 1, "rx": 2},
}
_TABLE_NEEDS: Final[dict[str, dict[str, Any]]] = {  # and of the tables in them
    "length": {"at": 0, "type": "u8"},
    "check": {"kind": "sum-8"},
}
_HEAD: Final = {"id": "unknown/unknown@0.0.0"}


class Examined(msgspec.Struct, frozen=True):
    """What came of a profile: the profile itself where nothing refuses it, and all problems in file order."""

    profile: Profile | None
    problems: list[Problem]
    is_secret: bool = False  # parameters hold keys: nothing of it may be written anywhere


def examine(
    file: str,
    data: bytes,
    given: Mapping[str, object] | None,
    read: Read,
    transforms: Collection[str] | None = None,
) -> Examined:
    """Return the profile in `data` with parameters put in and `[dbc]` expanded, or what is wrong.

    `given` None looks at the profile itself: example values stand in for parameters. `transforms` None: any will do.
    """
    document = Document(file, data)
    if not document.is_readable:
        return Examined(None, document.sorted_problems())
    parameters = _parameters(document, given)
    profile, unusable = _structured(document, parameters)
    found = Findings(document, knows_bus=_knows_bus(document), unusable=unusable)
    written = profile.message
    foreign = _foreign(profile)
    expanded = _expanded(profile, file, read, document, found)
    if expanded is None:
        unusable = unusable | foreign | {"*"}
        found = Findings(document, knows_bus=found.knows_bus, unusable=unusable)
        expanded = profile
    _check(profile, expanded, written, found, transforms)
    if expanded.setpoint and not document.has_errors:
        from gateway.profile.setpoint_problems import check_working

        check_working(expanded, found)
    if document.has_errors:
        return Examined(None, document.sorted_problems())
    return Examined(expanded, document.sorted_problems(), parameters.have_secrets)


def _parameters(document: Document, given: Mapping[str, object] | None) -> Parameters:
    raw = walk(document, document.raw.get("params", {}), dict[str, ParamSpec], ("params",))
    specs = msgspec.convert({} if raw is BAD else raw, dict[str, ParamSpec])
    rules_link.check_params(specs, Findings(document))
    reported = {path[1] for path in document.paths if len(path) > 1}
    parameters, wrong = resolve(specs, given)
    for name, message in wrong.items():
        if name not in reported:
            document.report(("params", name), message)
    return parameters


def _structured(document: Document, parameters: Parameters) -> tuple[Profile, frozenset[str]]:
    """Return the profile as far as the data gives one, and the names of messages that cannot be looked into."""
    raw = {key: value for key, value in document.raw.items() if key != "params"}
    data = walk(document, raw, Profile, (), parameters)
    data["params"] = parameters.specs
    if isinstance(parameters.values.get("unit"), int):
        data["unit"] = parameters.values["unit"]
    if not document.has_errors:
        try:
            return msgspec.convert(data, Profile), frozenset()
        except msgspec.ValidationError as error:  # the walk let something pass that the types refuse
            _report_conversion(error, document)
    return _salvaged(data, document.raw)


def _report_conversion(error: msgspec.ValidationError, document: Document) -> None:
    text = str(error)
    match = _PLACE.search(text)
    document.report(path_of(match[1].lstrip(".")) if match else (), _PLACE.sub("", text))


def _salvaged(data: dict[str, Any], raw: dict[str, Any]) -> tuple[Profile, frozenset[str]]:
    """Return a profile of those tables that convert on their own; stand-ins take the place of required ones."""
    good: dict[str, Any] = {"profile": _HEAD, "link": {"bus": "uart"}, "params": data["params"]}
    lost: set[str] = set()
    for key, value in data.items():
        if key in {"message", "setpoint"} and isinstance(value, dict):
            good[key] = {name: item for name, item in value.items() if _converts({key: {name: item}})}
            names = raw.get(key)
            prefix = "" if key == "message" else "setpoint."
            lost |= {prefix + name for name in names if name not in good[key]} if isinstance(names, dict) else set()
        elif key != "params" and _converts({key: value}):
            good[key] = value
    if not isinstance(raw.get("message", {}), dict):
        lost.add("*")
    lost |= _with_lost_names(good.get("message", {}), raw)
    return msgspec.convert(good, Profile), frozenset(lost)


def _with_lost_names(messages: dict[str, Any], raw: dict[str, Any]) -> set[str]:
    """Return the messages whose list of fields could not be kept whole: a name looked for may be in the lost part."""
    return {
        name
        for name, good in messages.items()
        if _count(good.get("fields")) != _count(raw["message"][name].get("fields"))
    }


def _count(fields: Any) -> int:
    if not isinstance(fields, list):
        return -1 if fields is not None else 0
    inner = (_count(field.get(key)) for field in fields if isinstance(field, dict) for key in ("bits", "fields"))
    named = sum(1 for field in fields if isinstance(field, dict) and "name" in field)
    return len(fields) + named + sum(inner)


def _converts(part: dict[str, Any]) -> bool:
    try:
        msgspec.convert({"profile": _HEAD, "link": {"bus": "uart"}, **part}, Profile)
    except msgspec.ValidationError:
        return False
    return True


def _knows_bus(document: Document) -> bool:
    link = document.raw.get("link")
    bus = link.get("bus") if isinstance(link, dict) else None
    return isinstance(bus, str) and bus in {"uart", "can", "ble", "spi"}


def _foreign(profile: Profile) -> frozenset[str]:
    """Return the messages whose layout is in the DBC."""
    return frozenset(name for name, spec in profile.message.items() if spec.dbc is not None)


def _expanded(profile: Profile, file: str, read: Read, document: Document, found: Findings) -> Profile | None:
    """Return the profile with its DBC merged in; None where that failed, which is reported."""
    if profile.dbc is None:
        return profile
    if not re.fullmatch(r"[^/\\\x00]{1,200}", profile.dbc.file) or profile.dbc.file in {".", ".."}:
        found.error(("dbc", "file"), f"{profile.dbc.file[:80]!r} is no file beside the profile; write its name only")
        return None
    from gateway.profile.dbc import expand_dbc

    def report(path: Path, message: str, severity: str = "error") -> None:
        (found.error if severity == "error" else found.warn)(path, message)

    try:
        return expand_dbc(profile, read, report)
    except OSError as error:
        found.error(("dbc", "file"), f"{profile.dbc.file!r} cannot be read: {error.strerror or error}")
    except ProfileError as error:
        document.problems.extend(_beside(problem, file) for problem in error.problems)
    return None


def _beside(problem: Problem, file: str) -> Problem:
    """Return the problem with the DBC's path told as the profile's is."""
    folder = file.rpartition("/")[0]
    if not problem.file:
        return problem._replace(file=file, line=max(problem.line, 1))
    return problem._replace(file=f"{folder}/{problem.file}" if folder and "/" not in problem.file else problem.file)


def _check(
    profile: Profile,
    expanded: Profile,
    written: Mapping[str, MessageSpec],
    found: Findings,
    transforms: Collection[str] | None,
) -> None:
    """Run every rule. `profile` is as the file says it, `expanded` what it means."""
    rules_link.check_head(profile, found)
    rules_link.check_link(profile, found)
    rules_link.check_framing_place(profile, found)
    rules_link.check_rest(profile, found)
    _check_framing(profile, found)
    for name in written:
        if name in expanded.message:  # else its database has no such message, which is told
            rules_message.check_message(name, expanded, found, transforms)
        rules_fields.check_fields(name, profile, found)
        _check_schema(name, profile, expanded, found)
    rules_match.check_matching(expanded, found)
    rules_match.check_streams(expanded, found)
    references = rules_setpoint.References(expanded, found)
    for name in expanded.setpoint:
        rules_setpoint.check_setpoint(name, expanded, references, found)
    rules_setpoint.check_lifecycle(expanded, references, found)
    if not profile.message and profile.dbc is None and not found.unusable:
        found.warn(("message",), "the profile describes no message")


def _check_framing(profile: Profile, found: Findings) -> None:
    spec, whole = profile.framing, True
    if spec is None:
        spec, whole = _framing_mended(found), False
    if spec is None:
        return
    from gateway.framing.rules import framing_problems

    for key, message in framing_problems(spec, whole=whole):
        path = ("framing", *path_of(key))
        if whole or found.written(path) is not None:
            found.error(path, message)


def _framing_mended(found: Findings) -> FramingSpec | None:
    """Return the framing of a table with wrong parts, stand-ins in their place: its right parts may not fit either."""
    raw = found.written(("framing",))
    if not isinstance(raw, dict):
        return None
    required = _KIND_NEEDS.get(str(raw.get("kind")), {})
    try:
        mended: FramingSpec = msgspec.convert({**required, **_unhurt(raw, ("framing",), found)}, FramingSpec)
    except msgspec.ValidationError:  # no kind, or parameters that cannot be looked into
        return None
    return mended


def _unhurt(raw: dict[str, Any], path: Path, found: Findings) -> dict[str, Any]:
    """Return what of a table was not reported, stand-ins for what a table below needs."""
    kept: dict[str, Any] = {}
    for key, item in raw.items():
        below = (*path, key)
        if isinstance(item, dict) and key in _TABLE_NEEDS:
            kept[key] = {**_TABLE_NEEDS[key], **_unhurt(item, below, found)}
        elif not found.is_touched(below):
            kept[key] = item
    return kept


def _check_schema(name: str, profile: Profile, expanded: Profile, found: Findings) -> None:
    """Check a layout: as written, or as its database lays it down and the file annotates it."""
    from gateway.schema.rules import message_problems

    written = profile.message[name]
    if written.construct is not None or (written.dbc is not None and written == expanded.message.get(name)):
        return
    spec = expanded.message.get(name, written)
    problems = message_problems(name, spec)
    for key, message in problems:
        path = path_of(key)
        if written.dbc is not None:
            path = _annotation(path, spec, written)
        found.error(("message", name, *path), message)
    if spec.format in {"csv", "kv", "obis"}:
        rules_fields.check_text(name, spec, found)


def _annotation(path: Path, spec: MessageSpec, written: MessageSpec) -> Path:
    """Return where the file annotates the signal that stands at `path` of the expanded message."""
    if len(path) < 2 or not isinstance(path[1], int):
        return ()
    field = spec.fields[path[1]]
    for index, note in enumerate(written.fields):
        if field.name in {note.name, note.signal}:
            return ("fields", index, *path[2:])
    return ()
