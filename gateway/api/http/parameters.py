"""Layer 7: what stands behind the `?` of a request, and what each parameter may be: told in `openapi.json`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from gateway.api import paging
from gateway.profile.identity import MAX_PART, PART, SEMVER
from gateway.route import Variant

MAX_SEQ: Final = (1 << 63) - 1
_SEGMENT: Final = "[a-z0-9][a-z0-9_-]*"
_ROUTE: Final = rf"{_SEGMENT}(/{_SEGMENT}){{2}}(@({'|'.join(Variant)}))?"


class Parameter(NamedTuple):
    """One parameter of a query."""

    words: str
    schema: dict[str, Any]  # JSON Schema of what is taken
    is_required: bool = False


def text(words: str, pattern: str | None = None, *, is_required: bool = False) -> Parameter:
    """Return a parameter that is text, of a pattern where one is given."""
    return Parameter(words, {"type": "string"} | ({} if pattern is None else {"pattern": pattern}), is_required)


ANY: Final = text("")
PROFILE_ID: Final = {  # the parts of a path that name a profile
    name: Parameter("", {"type": "string", "pattern": f"^{pattern}$".replace(r"\d", "[0-9]"), "maxLength": MAX_PART})
    for name, pattern in (("publisher", PART.pattern), ("name", PART.pattern), ("version", SEMVER.pattern))
}
PAGE: Final = {
    "limit": Parameter(
        "at most so many",
        {"type": "integer", "minimum": 1, "maximum": paging.MOST_LIMIT, "default": paging.DEFAULT_LIMIT},
    ),
    "after": text("the `next` of the page before"),
}
GLOBS: Final = text("up to three globs, device/family/stream [*]", r"^([^/]+(/[^/]+){0,2})?$")
SEQ: Final = Parameter("", {"type": "integer", "minimum": 0, "maximum": MAX_SEQ})
AFTER: Final = SEQ._replace(words="behind this sequence number")
FLAG: Final = Parameter("", {"type": "boolean"})
DURATION: Final = text("", r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h|d|y)$")
ROUTE: Final = text("of which route", f"^{_ROUTE}$", is_required=True)
RECORD: Final = text("SEQ, or ROUTE#SEQ", f"^({_ROUTE}#)?[1-9][0-9]{{0,17}}$", is_required=True)
TIME: Final = Parameter(
    "ISO 8601, UTC where it says no zone",
    {"anyOf": [{"type": "string", "format": f"date{rest}"} for rest in ("-time", "")]},
)


def described(parameters: Mapping[str, Parameter | str], place: str = "query") -> list[dict[str, Any]]:
    """Return parameters as OpenAPI tells them, in the query or the header; one that is only words is any text."""
    told = {name: text(each) if isinstance(each, str) else each for name, each in parameters.items()}
    return [
        {"name": name, "in": place, "required": each.is_required, "description": each.words, "schema": each.schema}
        for name, each in told.items()
    ]
