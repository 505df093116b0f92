"""Layer 1: the typed, canonical address of one signal.

People, HTTP, MQTT, ledger and grants use one text: `owner/family/stream`, `...@variant` for all variants but `value`,
and `...#17` for sequence 17. Plane and layer follow from the variant by a table. Builders take the parts; text is
parsed here and nowhere else.
"""

from __future__ import annotations

import re
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from gateway.errors import RouteError

_SEGMENT: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")


class Variant(StrEnum):
    """What about the signal is meant; `value` is the default and stays unwritten."""

    VALUE = "value"
    FRAME = "frame"
    PAYLOAD = "payload"
    EVENT = "event"
    HEALTH = "health"
    REQUEST = "request"
    DESIRED = "desired"
    REPORTED = "reported"
    EFFECTIVE = "effective"
    ACK = "ack"
    STATE = "state"
    QUERY = "query"


PLANE_AND_LAYER: Final[dict[Variant, tuple[str, str]]] = {
    Variant.VALUE: ("read", "logical"),
    Variant.FRAME: ("read", "raw"),
    Variant.PAYLOAD: ("read", "bulk"),
    Variant.EVENT: ("read", "internal"),
    Variant.HEALTH: ("read", "internal"),
    Variant.REQUEST: ("write", "logical"),
    Variant.DESIRED: ("write", "shadow"),
    Variant.REPORTED: ("write", "shadow"),
    Variant.EFFECTIVE: ("write", "shadow"),
    Variant.ACK: ("write", "shadow"),
    Variant.STATE: ("state", "logical"),
    Variant.QUERY: ("query", "ephemeral"),
}


class Route(msgspec.Struct, frozen=True, order=True):
    """Owner (device), family, stream and variant of one signal. Knows no gateway: it moves with the device."""

    owner: str
    family: str
    stream: str
    variant: Variant = Variant.VALUE

    def __post_init__(self) -> None:
        """Refuse segments that are not `[a-z0-9][a-z0-9_-]*`."""
        for part in (self.owner, self.family, self.stream):
            if not _SEGMENT.fullmatch(part):
                raise RouteError(f"{part[:80]!r} is no route segment; use lower-case letters, digits, '_' and '-'")

    def __str__(self) -> str:
        """Return the one text form."""
        text = f"{self.owner}/{self.family}/{self.stream}"
        return text if self.variant is Variant.VALUE else f"{text}@{self.variant}"

    @property
    def plane(self) -> str:
        """Return read, write, state or query."""
        return PLANE_AND_LAYER[self.variant][0]

    @property
    def layer(self) -> str:
        """Return logical, raw, bulk, internal, shadow or ephemeral."""
        return PLANE_AND_LAYER[self.variant][1]


def parse_route(text: str) -> tuple[Route, int | None]:
    """Return the route in `text` and the sequence number behind `#`, if any.

    Raises: RouteError with the part that is wrong.
    """
    rest, hash_mark, number = text.partition("#")
    if hash_mark and not (number.isascii() and number.isdigit()):
        raise RouteError(f"{text!r}: {number!r} is no sequence number")
    path, at_mark, word = rest.partition("@")
    parts = path.split("/")
    if len(parts) != 3:
        raise RouteError(
            f"{text[:80]!r} is no route; write device/family/stream, for example therm-1/climate/temperature"
        )
    if at_mark and word not in Variant.__members__.values():
        raise RouteError(f"{text!r}: no variant {word!r}; one of {', '.join(Variant)}")
    owner, family, stream = parts
    variant = Variant(word) if at_mark else Variant.VALUE
    return Route(owner, family, stream, variant), int(number) if hash_mark else None


def segment_of(name: str) -> str:
    """Return `name` as a route segment: lower case, everything else that is not allowed becomes `_`."""
    text = re.sub(r"[^a-z0-9_-]", "_", name.lower())
    return text if _SEGMENT.fullmatch(text) else f"x{text}"


class RoutePattern:
    """Which routes are meant: `pump`, `pump/motor`, `*/climate/temp*`, `*`. Missing parts mean every one."""

    def __init__(self, text: str) -> None:
        """Take up to three globs separated by `/`; raises RouteError for more."""
        parts = text.split("/") if text else ["*"]
        if len(parts) > 3 or "" in parts:
            raise RouteError(f"{text[:80]!r} is no route pattern; write for example 'pump/*/speed' or 'pump'")
        self.text = text
        self._parts = parts

    def matches(self, owner: str, family: str | None = None, stream: str | None = None) -> bool:
        """Return whether the parts given match; a part that is None is not asked about."""
        given = (owner, family, stream)
        return all(part is None or fnmatchcase(part, glob) for part, glob in zip(given, self._parts, strict=False))
