"""Layer 2: what a compiled message is: one object that decodes and encodes bodies of one layout.

Made by `gateway.schema.compile.compile_message`; who decodes how is decided there and told by `path` and `why`.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final, Literal, Protocol

from gateway.schema.spec import FieldSpec


class _Absent(Enum):
    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent.ABSENT  # in a row: the field's branch is not active; it is left out of `values`

Row = tuple[Any, ...]  # one entry per name in `MessagePlan.names`, then the taint bits


class Refused(Exception):
    """The body is not this message after all; `args[0]` is the reason. Never leaves the pipeline or the CLI."""

    @property
    def reason(self) -> str:
        """Return the few stable words: "const", "strict", "encoding" ..."""
        return str(self.args[0])


class MessagePlan(Protocol):
    """One compiled layout."""

    name: str
    names: tuple[str, ...]  # public value names in field order, each once
    units: tuple[str, ...]  # UCUM, parallel to names
    fields: tuple[FieldSpec | Any, ...]  # the spec behind each name (the first, where alternatives share a name)
    path: Literal["generated", "construct", "text"]
    why: str  # one sentence for `profile check`

    def decode(self, body: bytes) -> Row:
        """Return values in order of `names`, then taint bits; JSON-ready (bytes are hex text, NaN never).

        Cut off or invalid: None. Inactive branch: ABSENT. Raises: Refused, nothing else, for any bytes at all.
        """
        ...

    def decode_raw(self, body: bytes) -> dict[str, Any]:
        """Return wire numbers before scale, labels and sentinels, internal fields too. Raises: Refused."""
        ...

    def encode(self, values: dict[str, Any]) -> bytes:
        """Return the body; consts, lengths and layout-only fields are filled in. Raises: EncodeError."""
        ...


def values_of(plan: MessagePlan, row: Row) -> dict[str, Any]:
    """Return the row as a dict in field order, inactive branches left out."""
    return {name: value for name, value in zip(plan.names, row, strict=False) if value is not ABSENT}
