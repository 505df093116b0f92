"""Layer 3: rules between messages: which can never match, which share a stream and must agree (PROFILES 4)."""

from __future__ import annotations

from contextlib import suppress

from gateway.framing.spec import CAN_TRANSPORTS
from gateway.profile.findings import Findings
from gateway.profile.model import Profile
from gateway.profile.positions import Path
from gateway.profile.rules_message import all_fields
from gateway.schema.match import is_extended, length_bounds
from gateway.schema.spec import FieldSpec, MessageSpec, WhenSpec

_CAN_MASK = 0x1FFFFFFF
_CAN_BYTES = 64
_MAX_COMPARED = 64  # messages without one id, each of which is held against all behind it; a real profile has a dozen
_BLE_BYTES = 512  # Bluetooth Core 5.4, Vol 3, Part F, 3.2.9: the longest attribute value
_SPI_BYTES = 4096


def check_matching(profile: Profile, found: Findings) -> None:
    """Report two messages with the same `when`, and messages that can never match."""
    same: dict[tuple[object, ...], str] = {}
    by_id: dict[object, list[tuple[str, WhenSpec]]] = {}  # only those of one id, and those of any, can cover each other
    limit = body_limit(profile)
    for name, spec in profile.message.items():
        path: Path = ("message", name, "when")
        is_asked_for = spec.ask is not None and spec.when == WhenSpec()
        if spec.direction == "out" or is_asked_for or name in found.unusable or found.is_touched(path):
            continue
        _check_alone(spec.when, path, limit, found)
        first = same.setdefault(_facts(spec.when), name)
        key = _one_id(spec.when)
        earlier = [*by_id.get(key, []), *(by_id.get(None, []) if key is not None else [])]
        if first != name:
            found.error(path, f"the same as in message {first!r}; the first match wins, so this one never matches")
        elif covering := next((other for other, known in earlier if _always_covers(known, spec.when)), None):
            found.warn(path, f"can never match: message {covering!r} above takes every frame that fits here")
        if len(by_id.setdefault(key, [])) < _MAX_COMPARED:
            by_id[key].append((name, spec.when))


def _one_id(when: WhenSpec) -> object:
    """Return the one CAN id or PGN a message is bound to; None where there is none."""
    if when.can_id is not None and when.can_mask is None:
        return ("can", when.can_id, is_extended(when))
    return None if when.pgn is None else ("pgn", when.pgn)


def body_limit(profile: Profile) -> int:
    """Return how many bytes a body can have at most on this link."""
    framing = profile.framing
    if framing is not None:
        return framing.max if not isinstance(framing, CAN_TRANSPORTS) else max(framing.max, _CAN_BYTES)
    return {"can": _CAN_BYTES, "ble": _BLE_BYTES, "spi": _SPI_BYTES}.get(profile.link.bus, _SPI_BYTES)


def _check_alone(when: WhenSpec, path: Path, limit: int, found: Findings) -> None:
    try:
        low, high = length_bounds(when.length) if when.length is not None else (0, None)
    except ValueError:
        return  # reported with `when.length`
    if low > limit:
        found.error((*path, "length"), f"a body of {low} bytes is beyond the maximum of {limit}")
    for position in when.bytes or {}:
        try:
            at = int(position, 0)
        except ValueError:
            continue
        needed = at + 1 if at >= 0 else -at
        if high is not None and needed > high:
            found.warn((*path, "bytes", position), f"can never match: bodies have at most {high} bytes")


def _facts(when: WhenSpec) -> tuple[object, ...]:
    """Return `when` in one spelling, so that equal facts compare equal."""
    positions = {_integer(position): value for position, value in (when.bytes or {}).items()}
    mask = _CAN_MASK if when.can_mask is None else when.can_mask
    can = None if when.can_id is None else (when.can_id & mask, mask, is_extended(when))
    length: object = when.length
    with suppress(ValueError):
        length = length_bounds(when.length) if when.length is not None else None
    others = (when.pgn, when.source, bool(when.fast), _uuid(when.characteristic), when.manufacturer)
    return (
        tuple(sorted(positions.items(), key=str)),
        length,
        can,
        *others,
        _uuid(when.service),
        when.name,
        when.sentence,
        when.has,
    )


def _integer(text: str) -> int | str:
    try:
        return int(text, 0)
    except ValueError:
        return text


def _uuid(text: str | None) -> str | None:
    return None if text is None else text.lower()


def _always_covers(first: WhenSpec, second: WhenSpec) -> bool:
    """Return whether every frame that fits `second` fits `first` too."""
    mine = {_integer(position): value for position, value in (second.bytes or {}).items()}
    for position, value in (first.bytes or {}).items():
        if mine.get(_integer(position)) != value:
            return False
    if first.length is not None and not _length_within(second.length, first.length):
        return False
    if first.can_id is not None and not _can_within(second, first):
        return False
    if first.manufacturer is not None and first.manufacturer != second.manufacturer:
        return first.manufacturer == "any" and second.manufacturer is not None and _others_cover(first, second)
    return _others_cover(first, second)


def _others_cover(first: WhenSpec, second: WhenSpec) -> bool:
    keys = ("pgn", "source", "characteristic", "service", "name", "sentence", "has")
    return all(getattr(first, key) is None or getattr(first, key) == getattr(second, key) for key in keys) and not (
        first.fast and not second.fast
    )


def _length_within(inner: int | str | None, outer: int | str) -> bool:
    try:
        low, high = length_bounds(outer)
        inner_low, inner_high = (0, None) if inner is None else length_bounds(inner)
    except ValueError:
        return False
    return low <= inner_low and (high is None or (inner_high is not None and inner_high <= high))


def _can_within(inner: WhenSpec, outer: WhenSpec) -> bool:
    if inner.can_id is None or is_extended(inner) != is_extended(outer):
        return False
    outer_mask = _CAN_MASK if outer.can_mask is None else outer.can_mask
    inner_mask = _CAN_MASK if inner.can_mask is None else inner.can_mask
    return inner_mask & outer_mask == outer_mask and (inner.can_id ^ (outer.can_id or 0)) & outer_mask == 0


def check_streams(profile: Profile, found: Findings) -> None:
    """Report fields of one name in one family, in several messages, that differ in kind or units."""
    seen: dict[tuple[str, str], tuple[str, str, str]] = {}
    for name, spec in profile.message.items():
        if spec.direction == "out":
            continue
        family = spec.family or profile.profile.family or name
        for path, field in _places(name, spec):
            if field.name is None or field.name.startswith("_"):
                continue
            kind = kind_of(field)
            first = seen.setdefault((family, field.name), (name, kind, field.units))
            if first[0] == name:
                continue
            said = f"{family}/{field.name} is one stream with message {first[0]!r}"
            if field.units != first[2]:
                found.error((*path, "units"), f"{said}, which has units {first[2]!r}, not {field.units!r}")
            if "?" not in (kind, first[1]) and kind != first[1]:
                key = "labels" if "label" in (kind, first[1]) and field.labels else "type"
                found.error((*path, key), f"{said}, which is {_words(first[1])}, not {_words(kind)}")


def _words(kind: str) -> str:
    return {"bool": "true or false", "label": "a label", "flags": "a list of flags"}.get(kind, f"a {kind}")


def _places(name: str, spec: MessageSpec) -> list[tuple[Path, FieldSpec]]:
    """Return the named values of a message with their paths."""
    answer: list[tuple[Path, FieldSpec]] = []
    paths: list[Path] = []
    for index, field in enumerate(spec.fields):
        base: Path = ("message", name, "fields", index)
        paths += [base, *((*base, "bits", bit) for bit in range(len(field.bits or [])))]
    given = len(spec.transform.gives) if spec.transform else 0
    paths += [("message", name, "transform", "gives", index) for index in range(given)]
    answer += list(zip(paths, all_fields(spec), strict=True))
    return answer


def kind_of(field: FieldSpec) -> str:
    """Return what sort of value a field gives: number, text, bool, bytes, label, flags, struct or "?"."""
    if field.labels:
        return "label"
    if field.flags:
        return "flags"
    if field.type is None:
        return "?"
    kinds = {"bytes": "bytes", "bool": "bool", "struct": "struct", "utc": "time", "tst": "time"}
    text = {"text", "hextext"}
    kind = kinds.get(field.type, "text" if field.type in text else "number")
    return f"list of {kind}" if field.array is not None else kind
