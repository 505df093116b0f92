"""Layer 2: messages of text: formats csv (NMEA 0183 and its like), kv (VE.Direct) and obis (DSMR).

`compile_text` gives the same `MessagePlan` as binary layouts have. What holds for all three formats:

- A column that is empty, a key or code that was not sent: null, without a taint.
- A column behind the end of a short line: null, taint `trust.truncated`.
- Text that is not of its type ("4x" as a number, minute 61): null, taint `trust.text`; a guess would be a wrong value.
- "nan" and "inf" as a number, or a number beyond doubles: null, taint `trust.nan`.
- `text` that is not UTF-8: the body is refused (`encoding`).
- Building: null writes the first `invalid`, else nothing; a value that is not given writes its constant, else nothing.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from gateway.schema.plan import Row
from gateway.schema.spec import FieldSpec, MessageSpec
from gateway.schema.text_fields import Sequence
from gateway.schema.text_places import Draft, splitter_of

FORMATS: Final = frozenset({"csv", "kv", "obis"})


class TextPlan:
    """One compiled text message."""

    path: Literal["generated", "construct", "text"] = "text"

    def __init__(self, name: str, spec: MessageSpec) -> None:
        self.name = name
        self.why = f"{spec.format}: fields are found in text and read one by one"
        self._spec = spec
        self._split = splitter_of(spec)
        self._fields = Sequence(spec.fields, spec)
        self._row = self._fields.row
        self.names = self._fields.names
        self.fields: tuple[FieldSpec | Any, ...] = tuple(self._fields.specs[name] for name in self.names)
        self.units = tuple(field.units for field in self.fields)

    def decode(self, body: bytes) -> Row:
        """Return values in order of `names`, then taint bits. Raises: Refused."""
        marks: list[int] = []
        row = self._row(self._split(body.decode("latin-1")), marks)
        taints = 0
        for mark in marks:
            taints |= mark
        row.append(taints)
        return tuple(row)

    def decode_raw(self, body: bytes) -> dict[str, Any]:
        """Return values before scale, labels and sentinels, internal fields too. Raises: Refused."""
        return self._fields.raw(self._split(body.decode("latin-1")), [])

    def encode(self, values: dict[str, Any]) -> bytes:
        """Return the body. Raises: EncodeError naming the field, or the fact that would not hold."""
        draft = Draft(self._spec)
        self._fields.write(values, draft, 0)
        return draft.body(self._fields.width)


def compile_text(name: str, spec: MessageSpec) -> TextPlan:
    """Return the plan of one csv, kv or obis message.

    Raises: UsageError for a field without a place, of a binary type, or with a condition on an unknown field.
    """
    return TextPlan(name, spec)
