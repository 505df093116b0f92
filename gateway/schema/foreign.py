"""Layer 2: messages whose layout is a construct object of an installed package: `construct = "package.module:NAME"`.

`fields` name its members by `path` ("header.temperature", "cells.0.voltage") and give them meaning. Construct parses
frame by frame: the slow path, told as such by `path` and `why`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, Literal

from gateway.errors import EncodeError, UsageError
from gateway.schema.cond import Test, parse_condition
from gateway.schema.meaning import Meaning, meaning_of
from gateway.schema.plan import ABSENT, Refused, Row
from gateway.schema.spec import FieldSpec, MessageSpec
from gateway.schema.types import Kind, parse_type
from gateway.taint import TRUST_TRUNCATED

_OBJECT: Final = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<name>[A-Za-z_]\w*)")
_FAULTS: Final = (ValueError, LookupError, ArithmeticError, TypeError, AttributeError)  # of lambdas in the object
_REASONS: Final = {"ConstError": "const", "StringError": "encoding"}


class ConstructPlan:
    """One layout given as a construct object."""

    path: Literal["generated", "construct", "text"] = "construct"

    def __init__(self, name: str, spec: MessageSpec) -> None:
        """Import the object. Raises: UsageError where it is not there or is no construct object."""
        self.name = name
        self.why = f"the layout is {spec.construct}, parsed by construct"
        self._layout = load_construct(spec.construct or "")
        self._members = [_Member(field, spec) for field in spec.fields if field.path is not None]
        self._strict = spec.strict
        shown = {member.name: member.spec for member in self._members if not member.name.startswith("_")}
        self.names: tuple[str, ...] = tuple(shown)
        self.units: tuple[str, ...] = tuple(field.units for field in shown.values())
        self.fields: tuple[FieldSpec | Any, ...] = tuple(shown.values())

    def _parse(self, body: bytes) -> dict[str, Any] | None:
        """Return the raw member of each name that is there; None for a body too short. Raises: Refused."""
        import construct

        whole = construct.Struct("body" / self._layout, "end" / construct.Tell)
        try:
            parsed = whole.parse(body)
        except construct.StreamError:
            return None
        except construct.ConstructError as error:
            raise Refused(_REASONS.get(type(error).__name__, "layout")) from None
        except _FAULTS:
            raise Refused("layout") from None
        if self._strict and parsed.end < len(body):
            raise Refused("strict")
        raws = {member.name: member.find(parsed.body) for member in self._members}
        return {
            member.name: raws[member.name]
            for member in self._members
            if raws[member.name] is not ABSENT and (member.test is None or member.test.holds(raws.get))
        }

    def decode(self, body: bytes) -> Row:
        """Return values in order of `names`, then taint bits. Raises: Refused."""
        raws = self._parse(body)
        if raws is None:
            return (*[None] * len(self.names), TRUST_TRUNCATED)
        found: dict[str, Any] = {}
        taint = 0
        for member in self._members:
            if member.name in raws:
                found[member.name], marks = member.value(raws[member.name])
                taint |= marks
        return (*[found.get(name, ABSENT) for name in self.names], taint)

    def decode_raw(self, body: bytes) -> dict[str, Any]:
        """Return members as construct gives them, bytes as hex text. Raises: Refused."""
        raws = self._parse(body)
        if raws is None:
            return {member.name: None for member in self._members}
        return {name: _plain(raw) for name, raw in raws.items()}

    def encode(self, values: dict[str, Any]) -> bytes:
        """Return what construct builds of the values put at their paths. Raises: EncodeError."""
        import construct

        known = {member.name: member for member in self._members}
        tree: dict[str, Any] = {}
        for name, value in values.items():
            if name not in known:
                raise EncodeError(f"unknown field {name!r}; one of {', '.join(self.names)}")
            known[name].put(tree, value)
        try:
            built: bytes = self._layout.build(tree)
        except (construct.ConstructError, *_FAULTS) as error:
            raise EncodeError(f"{self.name} cannot be built: {type(error).__name__} {error}") from error
        return built


class _Member:
    """One annotated member."""

    def __init__(self, spec: FieldSpec, message: MessageSpec) -> None:
        self.spec = spec
        self._keys = (spec.path or "").split(".")
        self.name = spec.name or self._keys[-1]
        wire = parse_type(spec.type, message.order) if spec.type else None
        kind: Kind = wire.kind if wire else "int"
        self._kind = kind
        self._meaning: Meaning = meaning_of(spec, kind, wire.size if wire else None)
        labels = {field.name: field.labels for field in message.fields}

        def labels_of(name: str) -> dict[Any, str] | None:
            return {int(key, 0): text for key, text in (labels.get(name) or {}).items()} or None

        self.test: Test | None = None if spec.condition is None else parse_condition(spec.condition, labels_of)

    def find(self, parsed: Any) -> Any:
        """Return the member at the path, ABSENT where construct found none."""
        for key in self._keys:
            try:
                parsed = parsed[int(key)] if key.isdigit() else parsed[key]
            except (LookupError, TypeError):
                return ABSENT
        return parsed

    def value(self, raw: Any) -> tuple[Any, int]:
        """Return the value and taints of what construct gave."""
        if isinstance(raw, list):
            pairs = [self.value(item) for item in raw]
            taint = 0
            for _, marks in pairs:
                taint |= marks
            return [value for value, _ in pairs], taint
        if isinstance(raw, bool) and self._meaning.labels is None:
            return (None if raw in self._meaning.invalid else raw), 0
        if raw is None or isinstance(raw, int | float | bytes | str):
            value, taint = self._meaning.value(raw)
            return (str(value) if isinstance(value, str) else value), taint
        return _plain(raw), 0

    def put(self, tree: dict[str, Any], value: Any) -> None:
        """Put the raw form of `value` at the path. Raises: EncodeError."""
        raw = value
        if isinstance(value, list):
            raw = [self._raw(item) for item in value]
        elif not isinstance(value, bool | dict):
            raw = self._raw(value)
        here: Any = tree
        for key, following in zip(self._keys, [*self._keys[1:], None], strict=True):
            fresh: Any = raw if following is None else {}
            here = here.setdefault(int(key) if key.isdigit() else key, fresh)

    def _raw(self, value: Any) -> Any:
        if isinstance(value, dict) or (isinstance(value, str) and self._kind != "bytes" and self.spec.labels is None):
            return value
        return self._meaning.raw_of(value, self.name)


def load_construct(text: str) -> Any:
    """Return the construct object called "package.module:NAME". Raises: UsageError."""
    match = _OBJECT.fullmatch(text)
    if not match:
        raise UsageError(f"{text[:80]!r} is no installed object; write 'package.module:NAME', never a file path")
    try:
        found = getattr(import_module(match["module"]), match["name"])
    except (ImportError, AttributeError) as error:
        raise UsageError(f"{text}: {error}; install the package that has it") from error
    import construct

    if not isinstance(found, construct.Construct):
        raise UsageError(f"{text} is a {type(found).__name__}, not a construct object")
    return found


def _plain(raw: Any) -> Any:
    """Return what construct gave as JSON has it."""
    if isinstance(raw, bytes):
        return raw.hex()
    if isinstance(raw, Mapping):
        return {str(key): _plain(value) for key, value in raw.items() if not str(key).startswith("_")}
    if isinstance(raw, list | tuple):
        return [_plain(item) for item in raw]
    if isinstance(raw, float):
        return raw if raw - raw == 0 else None
    if raw is None or isinstance(raw, bool):
        return raw
    return int(raw) if isinstance(raw, int) else str(raw)
