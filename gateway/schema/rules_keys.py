"""Layer 2: rules of which keys a message and its fields may have in each format."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway.schema.rules_values import Form, untyped_problems, value_problems
from gateway.schema.spec import FieldSpec, MessageSpec
from gateway.schema.types import MAX_FIXED_BYTES, integer_range, parse_type
from gateway.spelling import did_you_mean

Problem = tuple[str, str]

_MAX_REPEATS: Final = MessageSpec().repeats
_DEFAULTS: Final = {name: getattr(FieldSpec(), name) for name in FieldSpec.__struct_fields__}
_WRITTEN: Final = dict(zip(FieldSpec.__struct_fields__, FieldSpec.__struct_encode_fields__, strict=True))
_BINARY: Final = frozenset({"length", "array", "at", "register", "words", "bits", "dbc", "fields"})
_FORMAT_KEYS: Final[dict[str, frozenset[str]]] = {
    "binary": _BINARY,
    "tlv": (_BINARY | {"tag"}) - {"register", "words", "dbc"},
    "csv": frozenset({"column", "columns", "array", "fields", "at"}),
    "kv": frozenset({"key"}),
    "obis": frozenset({"code"}),
}
_ALL: Final = frozenset().union(*_FORMAT_KEYS.values())
_NO_MEANING: Final = ("scale", "offset", "invalid", "minimum", "maximum", "labels", "flags", "const")
_TEXT_KINDS: Final = {"text": "text", "hextext": "text", "utc": "text", "tst": "text", "bool": "bool"}


def message_key_problems(spec: MessageSpec) -> Iterator[Problem]:
    """Yield what is wrong with the keys of the message itself."""
    if spec.construct is not None or spec.dbc is not None:
        return
    if not spec.fields and spec.transform is None and spec.format != "tlv":
        return
    if spec.format != "tlv":
        if spec.tag_type != "u8":
            yield "tag_type", "only format 'tlv' has tags"
        if spec.length_type is not None:
            yield "length_type", "only format 'tlv' has lengths between tags and values"
        if spec.repeats != _MAX_REPEATS:
            yield "repeats", "only format 'tlv' has tags that come again"
        return
    if not 1 <= spec.repeats <= _MAX_REPEATS:
        yield "repeats", f"{spec.repeats} is outside 1..{_MAX_REPEATS}"
    for key, text in (("tag_type", spec.tag_type), ("length_type", spec.length_type)):
        try:
            wire = parse_type(text, spec.order) if text is not None else None
        except ValueError as error:
            yield key, str(error)
            continue
        if wire is not None and (wire.kind != "int" or wire.signed):
            yield key, f"{text!r} is no unsigned integer type"


def format_problems(field: FieldSpec, spec: MessageSpec, *, top: bool, repeated: bool) -> Iterator[Problem]:
    """Yield what is wrong with the keys of a field in its message's format."""
    if spec.construct is not None or spec.dbc is not None:
        return
    allowed = _FORMAT_KEYS[spec.format]
    for name in FieldSpec.__struct_fields__:
        if getattr(field, name) != _DEFAULTS[name] and name in _ALL | {"signal", "path"} and name not in allowed:
            owners = [owner for owner, keys in _FORMAT_KEYS.items() if name in keys]
            where = f"is for format {' and '.join(owners)}" if owners else _annotates(name)
            yield _WRITTEN[name], f"{_WRITTEN[name]!r} {where}, this message is {spec.format!r}"
    if spec.format in {"csv", "kv", "obis"}:
        yield from _text_problems(field, spec)
    else:
        yield from _binary_problems(field, spec, top=top, repeated=repeated)


def _annotates(name: str) -> str:
    return f"annotates a message laid out by {'a DBC' if name == 'signal' else 'a construct object'}"


def _binary_problems(field: FieldSpec, spec: MessageSpec, *, top: bool, repeated: bool) -> Iterator[Problem]:
    yield from _place_problems(field, spec, top=top, repeated=repeated)
    if field.type == "struct" or field.bits is not None:
        what = "a struct" if field.type == "struct" else "an integer cut into bits"
        for name in _NO_MEANING:
            if getattr(field, name) != _DEFAULTS[name]:
                yield name, f"{what} has no {name}; its parts may"
        if field.type == "struct" and field.bits is not None:
            yield "bits", "a struct has fields, not bits"
        elif field.bits is not None and field.name is not None:
            yield "name", "an integer cut into bits has no name; its bits have"
        elif field.bits == []:
            yield "bits", "an empty list; leave it out"
    if field.words is not None and field.type is not None and field.type[1:3] not in {"32", "48", "64"}:
        yield "words", f"{field.type!r} has no second register to swap"


def _place_problems(field: FieldSpec, spec: MessageSpec, *, top: bool, repeated: bool) -> Iterator[Problem]:
    if field.at is not None:
        if not 0 <= field.at <= MAX_FIXED_BYTES:
            yield "at", f"{_number(field.at)} is no byte of a body"
        if field.register is not None:
            yield "at", "a place is given by register already"
        if repeated:
            yield "at", "an absolute byte within a repeated struct would read the same bytes again"
    if field.register is not None:
        yield from _register_problems(field.register, spec, top=top)
    if field.dbc is not None:
        if not top:
            yield "dbc", "a signal stands in the message itself, not in a struct"
        for name in ("at", "register", "length", "array", "bits", "fields", "words"):
            if getattr(field, name) is not None:
                yield name, "the place of a signal is said by `dbc` alone"
    if field.tag is not None:
        yield from _tag_problems(field, spec, top=top)


def _register_problems(register: int, spec: MessageSpec, *, top: bool) -> Iterator[Problem]:
    if spec.ask is None or (spec.ask.input is None and spec.ask.holding is None):
        yield "register", "a register needs the message's ask, { input = ... } or { holding = ... }"
    elif not 0 <= register <= 0xFFFF:
        yield "register", f"{_number(register)} is outside 0..65535"
    elif register < (spec.ask.input if spec.ask.input is not None else spec.ask.holding or 0):
        yield "register", f"{_number(register)} lies before the first register asked for"
    if not top:
        yield "register", "a register is given for the struct, not for its members"


def _tag_problems(field: FieldSpec, spec: MessageSpec, *, top: bool) -> Iterator[Problem]:
    try:
        wire = parse_type(spec.tag_type, spec.order)
    except ValueError:
        return
    least, greatest = integer_range(8 * (wire.size or 1), signed=False)
    if not least <= (field.tag or 0) <= greatest:
        yield "tag", f"{_number(field.tag or 0)} is outside the range of {spec.tag_type}: {least}..{greatest}"
    if not top:
        yield "tag", "a tag stands before a whole element, not inside a struct"
    if field.condition is not None:
        yield "if", "an element is there when its tag is"
    if field.at is not None:
        yield "at", "an element stands where its tag is"


def _number(value: int) -> str:
    return str(value) if abs(value) < 1 << 64 else "the number"


def _text_problems(field: FieldSpec, spec: MessageSpec) -> Iterator[Problem]:
    from gateway.schema.text_types import TEXT_TYPES

    if field.type not in TEXT_TYPES:
        if field.type is None:
            yield "type", f"missing; one of {', '.join(sorted(TEXT_TYPES))}"
        else:
            yield "type", f"unknown type {field.type[:40]!r} for format {spec.format!r}{_near(field.type, TEXT_TYPES)}"
        yield from untyped_problems(field)
        return
    if field.type == "struct" or field.bits is not None:
        return
    kind: Any = _TEXT_KINDS.get(field.type, "int")
    for key, message in value_problems(field, Form(kind, None, 64, signed=True, name=field.type)):
        is_text_key = key.startswith("labels.") and message.endswith("is no number")
        if not is_text_key and not key.startswith(("const", "invalid")):  # those may be text for any type here
            yield key, message


def _near(word: str, options: frozenset[str]) -> str:
    near = did_you_mean(word, sorted(options))
    return near or f"; one of {', '.join(sorted(options))}"
