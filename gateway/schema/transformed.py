"""Layer 2: messages whose values a transform makes of raw fields, its own and the last ones of other messages.

A plan stays pure: `decode` knows nothing but the body. What other messages said last is kept in a `Memory`, one per
device or per run of `decode`, which gives each message the function that uses and feeds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

from gateway.errors import EncodeError
from gateway.notation import number
from gateway.schema.meaning import Marks, Meaning, listed, mark_of, meaning_of
from gateway.schema.plan import MessagePlan, Row
from gateway.schema.spec import BitSpec, FieldSpec, MessageSpec
from gateway.taint import TRUST_NAN

TransformFunction = Callable[[Mapping[str, Any]], Mapping[str, Any]]
Said = tuple[dict[str, Any], int]  # raw fields and given values of one message by name, and its taint bits

_NOTHING: Final[Said] = ({}, 0)


class TransformedPlan:
    """A layout, and what one transform makes of it."""

    def __init__(self, inner: MessagePlan, spec: MessageSpec, function: TransformFunction | None) -> None:
        """Take the plan of the fields; `function` None: no such transform is installed, all it gives is null.

        Raises: ValueError for constants that are no numbers.
        """
        assert spec.transform is not None
        gives = {field.name or "": field for field in spec.transform.gives}
        self.name = inner.name
        self.names: tuple[str, ...] = (*inner.names, *gives)
        self.units: tuple[str, ...] = (*inner.units, *(field.units for field in gives.values()))
        self.fields: tuple[FieldSpec | Any, ...] = (*inner.fields, *gives.values())
        self.path: Literal["generated", "construct", "text"] = inner.path
        use = spec.transform.use
        self.why = (
            f"{inner.why}; then {use}" if function else f"{inner.why}; {use!r} is not installed: its values are null"
        )
        self.decode_raw = inner.decode_raw
        self._inner = inner
        self._function = function
        self._spec = spec
        self._constants = {key: number(value) for key, value in spec.transform.constants.items()}
        self._gives: dict[str, Meaning] = {name: _meaning(field) for name, field in gives.items()}

    def decode(self, body: bytes) -> Row:
        """Return the row as far as this body alone tells it. Raises: Refused."""
        return self.decode_with(body, {})[0]

    def decode_with(self, body: bytes, last: Mapping[str, Said]) -> tuple[Row, Said]:
        """Return the row, and what this message says to others; `last` is what the messages in `with` said last.

        The taints of all that went in mark the row. Raises: Refused.
        """
        row = self._inner.decode(body)
        own = raw_fields(self._inner, self._spec, body)
        assert self._spec.transform is not None
        taints: int = row[-1]
        fields: dict[str, Any] = dict(self._constants)
        for other in self._spec.transform.with_:
            said, marks = last.get(other, _NOTHING)
            fields |= said
            taints |= marks
        fields |= own
        given = self._given(fields)
        values = []
        for name, meaning in self._gives.items():
            value, marks = _value(meaning, given.get(name))
            values.append(value)
            taints |= marks
        return (*row[:-1], *values, taints), ({**own, **dict(zip(self._gives, values, strict=True))}, taints)

    def encode(self, values: dict[str, Any]) -> bytes:
        """Return the body of the fields. Raises: EncodeError, also for what the transform gives."""
        for name in values:
            if name in self._gives:
                raise EncodeError(f"{name}: is computed from raw fields and cannot be written")
        return self._inner.encode(values)

    def _given(self, fields: dict[str, Any]) -> Mapping[str, Any]:
        if self._function is None:
            return {}
        try:
            return self._function(fields)
        except (ArithmeticError, ValueError):  # numbers that its formula does not hold for
            return {}


class Memory:
    """What the messages of one device said last, as far as transforms of its other messages need it."""

    def __init__(self, plans: Mapping[str, MessagePlan], specs: Mapping[str, MessageSpec]) -> None:
        """Take the plans, compiled when first used, and the messages they are of."""
        self._plans = plans
        self._specs = specs
        self._needed = {other for spec in specs.values() if spec.transform for other in spec.transform.with_}
        self._last: dict[str, Said] = {}

    def decoder(self, name: str) -> Callable[[bytes], Row]:
        """Return the function that decodes one message of this device: the plan's own where nothing is shared."""
        plan, needed = self._plans[name], name in self._needed
        if isinstance(plan, TransformedPlan):
            return lambda body: self._transformed(plan, body, keep=needed)
        return (lambda body: self._remembered(plan, body)) if needed else plan.decode

    def forget(self) -> None:
        """Forget everything: another device may stand at the far end now."""
        self._last.clear()

    def _transformed(self, plan: TransformedPlan, body: bytes, *, keep: bool) -> Row:
        row, said = plan.decode_with(body, self._last)
        if keep:
            self._last[plan.name] = said
        return row

    def _remembered(self, plan: MessagePlan, body: bytes) -> Row:
        row = plan.decode(body)
        self._last[plan.name] = raw_fields(plan, self._specs[plan.name], body), row[-1]
        return row


def raw_fields(plan: MessagePlan, spec: MessageSpec, body: bytes) -> dict[str, Any]:
    """Return the wire numbers by name, internal fields too; sentinels are None. Raises: Refused."""
    fields = plan.decode_raw(body)
    for name, invalid in _sentinels(spec.fields):
        value = fields.get(name)
        if isinstance(value, list):
            fields[name] = [None if item in invalid else item for item in value]
        elif value in invalid:
            fields[name] = None
    return fields


def _sentinels(fields: list[FieldSpec]) -> Iterator[tuple[str, Marks]]:
    parts: Iterator[FieldSpec | BitSpec] = (part for field in fields for part in field.bits or (field,))
    for part in parts:
        if part.name and part.invalid is not None:
            yield part.name, Marks(_plain(item) for item in listed(part.invalid))


def _plain(value: Any) -> Any:
    """Return hex text as raw fields have it, a range of integers as one, everything else as it is."""
    if isinstance(value, str) and ".." in value:
        return mark_of(value, "int", None)
    return value.replace(" ", "").lower() if isinstance(value, str) else value


def _meaning(field: FieldSpec) -> Meaning:
    return meaning_of(field, "float" if field.labels is None and field.flags is None else "int", 8)


def _value(meaning: Meaning, value: Any) -> tuple[Any, int]:
    """Return what a transform gave as a value of its field, and taint bits."""
    if isinstance(value, float) and not math.isfinite(value):
        return None, TRUST_NAN
    if isinstance(value, int | float) and not isinstance(value, bool):
        return meaning.value(value)
    return value, 0
