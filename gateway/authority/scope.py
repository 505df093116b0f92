"""Layer 2: which routes an authority is about: the patterns of grants, walls and tokens. Pure.

`*` is one segment, `**` any number of them; without `@` every variant is meant, with it only that one. A scope is a set
of routes, and so is everything that authority is asked about: a command is about one route, a device about all of its
routes, the gateway about all that there can be. `gateway.route.RoutePattern`, for looking, is more generous.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from gateway.errors import RouteError
from gateway.route import Route, Variant

MAX_SCOPE_CHARS: Final = 255  # as many as a route has in the ledger

_ANY: Final = "*"  # one segment
_REST: Final = "**"  # any number
_SEGMENTS: Final = 3  # of a route
_SEGMENT: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")


class Scope:
    """A set of routes, written as a pattern. Two scopes are equal when they hold the same routes."""

    __slots__ = ("shapes", "text", "variant")

    def __init__(self, text: str) -> None:
        """Take a pattern such as `pump/motor/*@desired`. Raises: RouteError, also for one that no route can match."""
        if len(text) > MAX_SCOPE_CHARS:
            raise RouteError(f"{text[:40]!r}... is no pattern: it has more than {MAX_SCOPE_CHARS} characters")
        path, at_mark, word = text.partition("@")
        if at_mark and word not in Variant.__members__.values():
            raise RouteError(f"{text!r}: no variant {word!r}; one of {', '.join(Variant)}")
        self.text = text
        self.shapes = _shapes_of(text, path)  # three segments each, `*` where any will do
        self.variant = Variant(word) if at_mark else None  # None: every one

    @classmethod
    def of_route(cls, route: Route) -> Scope:
        """Return the scope of one route alone: of `pump/motor/speed` not its variants."""
        scope = cls.__new__(cls)
        shape = (route.owner, route.family, route.stream)
        scope.text = f"{'/'.join(shape)}@{route.variant}"
        scope.shapes = frozenset([shape])
        scope.variant = route.variant
        return scope

    @classmethod
    def of_device(cls, name: str) -> Scope:
        """Return the scope of everything that is a device's. Raises: RouteError for what cannot name one."""
        if not _SEGMENT.fullmatch(name):
            raise RouteError(f"{name!r} is no device's name; use lower-case letters, digits, '_' and '-'")
        return cls(f"{name}/{_REST}")

    @classmethod
    def of_look(cls, pattern: str) -> Scope:
        """Return the scope of what a `RoutePattern` may show: `pump` everything of pump; globs of a part everything."""
        parts = pattern.partition("@")[0].split("/")
        if len(parts) > _SEGMENTS or not all(part == _ANY or _SEGMENT.fullmatch(part) for part in parts):
            return EVERYWHERE
        return cls("/".join(parts + [_ANY] * (_SEGMENTS - len(parts))))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scope) and (self.shapes, self.variant) == (other.shapes, other.variant)

    def __hash__(self) -> int:
        return hash((self.shapes, self.variant))

    def __repr__(self) -> str:
        return f"Scope({self.text!r})"

    @property
    def owners(self) -> frozenset[str]:
        """Return the devices whose routes it holds; `*` among them: of any."""
        return frozenset(shape[0] for shape in self.shapes)

    def holds(self, route: Route) -> bool:
        """Return whether the route is in it."""
        return self.has((route.owner, route.family, route.stream), route.variant)

    def has(self, segments: Sequence[str], variant: Variant) -> bool:
        """Return whether it holds the route of these segments; `*` among them is one that no pattern names."""
        return self.variant in {None, variant} and any(
            all(own in {_ANY, segment} for own, segment in zip(shape, segments, strict=True)) for shape in self.shapes
        )

    def is_within(self, scopes: Iterable[Scope]) -> bool:
        """Return whether each of its routes is in one of `scopes`.

        Where it says "any segment" a segment is tried that no pattern names, which only an "any" there can hold: what
        holds for that one holds for all, as patterns are finite and segments are not.
        """
        variants = list(Variant) if self.variant is None else [self.variant]
        given = list(scopes)
        return all(any(scope.has(shape, variant) for scope in given) for shape in self.shapes for variant in variants)

    def overlaps(self, other: Scope) -> bool:
        """Return whether some route is in both."""
        if self.variant is not None and other.variant is not None and self.variant is not other.variant:
            return False
        return any(
            all(_ANY in {one, two} or one == two for one, two in zip(own, its, strict=True))
            for own in self.shapes
            for its in other.shapes
        )


def _shapes_of(text: str, path: str) -> frozenset[tuple[str, ...]]:
    """Return every way to fill a route's segments, `*` where any will do."""
    parts: list[str] = []
    for part in path.split("/"):
        if part not in {_ANY, _REST} and not _SEGMENT.fullmatch(part):
            raise RouteError(
                f"{text!r}: {part!r} is no segment of a pattern; `*` is one whole segment, `**` any number of them"
            )
        if part != _REST or parts[-1:] != [_REST]:
            parts.append(part)
    named = sum(part != _REST for part in parts)
    shapes = frozenset(_filled(parts, _SEGMENTS)) if named <= _SEGMENTS else frozenset()
    if not shapes:
        advice = f"write {path + '/**'!r} for all below it" if named < _SEGMENTS else "it has too many segments"
        raise RouteError(f"{text!r} matches no route, which is device/family/stream: {advice}")
    return shapes


def _filled(parts: Sequence[str], room: int) -> set[tuple[str, ...]]:
    if not parts:
        return set() if room else {()}
    first, rest = parts[0], parts[1:]
    if first == _REST:
        return {(_ANY,) * size + tail for size in range(room + 1) for tail in _filled(rest, room - size)}
    return {(first, *tail) for tail in _filled(rest, room - 1)} if room else set()


EVERYWHERE: Final = Scope(_REST)
"""All routes: what a whole gateway is about."""
