"""Layer 2: messages of text: formats csv (NMEA 0183 and its like), kv (VE.Direct) and obis (DSMR).

`compile_text` gives the same `MessagePlan` as binary layouts have. What holds for all three formats:

- A column that is empty or behind the end of the line, a key or code that was not sent: null, without a taint, for
  every revision of such a protocol appends columns.
- A line that ends within a joined field or a group: null, taint `trust.truncated`.
- Text that is not of its type ("4x" as a number, minute 61): null, taint `trust.text`; a guess would be a wrong value.
- "nan" and "inf" as a number, or a number beyond doubles: null, taint `trust.nan`.
- A column, key or code that no field reads is passed over; `strict = true` refuses the body (`strict`).
- `text` that is not UTF-8: the body is refused (`encoding`).
- Building: null writes the first `invalid`, else nothing; a value that is not given writes its constant, else nothing.
"""

from __future__ import annotations

from typing import Any, Final, Literal

from gateway.errors import EncodeError
from gateway.schema.plan import ABSENT, Refused, Row
from gateway.schema.spec import FieldSpec, MessageSpec
from gateway.schema.text_fields import Sequence
from gateway.schema.text_places import Draft, Sheet, Split, keys_of, splitter_of

FORMATS: Final = frozenset({"csv", "kv", "obis"})


class TextPlan:
    """One compiled text message."""

    path: Literal["generated", "construct", "text"] = "text"

    def __init__(self, name: str, spec: MessageSpec) -> None:
        self.name = name
        self.why = f"{spec.format}: fields are found in text and read one by one"
        self._spec = spec
        self._fields = Sequence(spec.fields, spec)
        self._split = _strict(spec, self._fields.extent) if spec.strict else splitter_of(spec)
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
        draft.reserve(self._fields.width)
        self._fields.write(values, draft, 0)
        body = draft.body()
        if self._fields.guesses:
            self._require_read(values, body)
        return body

    def _require_read(self, values: dict[str, Any], body: bytes) -> None:
        read = dict(zip(self.names, self.decode(body), strict=False))
        for name, value in values.items():
            if value is not None and read.get(name) is ABSENT:
                raise EncodeError(f"{name}: would not be read; give the fields too that its `if` asks for")


def _strict(spec: MessageSpec, extent: int) -> Split:
    """Return a splitter that refuses a body with something left over."""
    split = splitter_of(spec)
    known = set() if spec.format == "csv" else {key for field in spec.fields for key in keys_of(field, spec)}

    def checked(text: str) -> Sheet:
        sheet = split(text)
        if len(sheet) > extent if isinstance(sheet, list) else not sheet.keys() <= known:
            raise Refused("strict")
        return sheet

    return checked


def compile_text(name: str, spec: MessageSpec) -> TextPlan:
    """Return the plan of one csv, kv or obis message.

    Raises: UsageError for a field without a place, of a binary type, or with a condition on an unknown field.
    """
    return TextPlan(name, spec)
