"""Layer 2: walls: "no more writes on can0", at once and whoever asks. Pure.

A wall stands on a port, on a device or on routes, for one verb. It takes away and never gives: lifting it leaves what
the grants say. Every change is one `wall` record that tells all walls that stand, so the newest record is the state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from typing import Any, Final, Literal

import msgspec

from gateway.authority.grants import Verb
from gateway.authority.scope import EVERYWHERE, Scope
from gateway.errors import RouteError, UsageError
from gateway.spelling import did_you_mean

MAX_WALLS: Final = 64  # so that one record holds them all, each with the longest subject
MAX_SUBJECT_BYTES: Final = 128

PortsOf = Callable[[str], Collection[str]]
"""The names of a device's port: that of its table, and its path."""


class Wall(msgspec.Struct, frozen=True, kw_only=True):
    """What is shut off, and who did it."""

    subject: str
    kind: Literal["name", "routes"]  # a port or a device of that name, or a pattern
    verb: Verb
    by: str  # a principal
    since_ns: int  # wall time, for people

    def stops(self, target: Scope, verb: Verb, ports_of: PortsOf) -> bool:
        """Return whether any of `target` is behind it: a target of any device is behind every wall on a name."""
        if verb != self.verb:
            return False
        if self.kind == "routes":
            return target.overlaps(_scope(self.subject))
        return any(owner in {"*", self.subject} or self.subject in ports_of(owner) for owner in target.owners)


class Walls(msgspec.Struct, frozen=True):
    """All walls that stand; a change gives another value."""

    standing: tuple[Wall, ...] = ()

    def __iter__(self) -> Iterator[Wall]:
        return iter(self.standing)

    def stopping(self, target: Scope, verb: Verb, ports_of: PortsOf) -> Wall | None:
        """Return the first wall before any of `target`, None where the way is free."""
        return next((wall for wall in self.standing if wall.stops(target, verb, ports_of)), None)

    def raised(self, wall: Wall) -> Walls:
        """Return the walls with this one; where it stands already nothing changes. Raises: UsageError for too many."""
        if any((one.subject, one.verb) == (wall.subject, wall.verb) for one in self.standing):
            return self
        if len(self.standing) >= MAX_WALLS:
            raise UsageError(f"{MAX_WALLS} walls stand; lift one, or raise one on a wider pattern such as '**'")
        return Walls((*self.standing, wall))

    def lifted(self, subject: str, verb: Verb) -> Walls:
        """Return the walls without this one; where it does not stand nothing changes."""
        return Walls(tuple(wall for wall in self.standing if (wall.subject, wall.verb) != (subject, verb)))

    def record(self, subject: str, verb: Verb, state: Literal["off", "on"], by: str) -> dict[str, Any]:
        """Return the body of the `wall` record of a change that led here; `off`: the verb was shut off."""
        return {
            "subject": subject,
            "verb": verb,
            "state": state,
            "by": by,
            "walls": [msgspec.to_builtins(wall) for wall in self.standing],
        }

    @classmethod
    def from_record(cls, body: Any) -> Walls:
        """Return the walls that a `wall` record tells. Raises: ValueError for a body that is none."""
        try:
            walls = msgspec.convert(body["walls"], tuple[Wall, ...])
            for wall in walls:
                if wall.kind == "routes":
                    Scope(wall.subject)
        except (msgspec.ValidationError, RouteError, KeyError, TypeError) as error:
            raise ValueError(f"no record of walls: {error}") from error
        return cls(walls)

    def subject_of(self, text: str, devices: Collection[str], ports: Collection[str]) -> Subject:
        """Return what `text` means: a name or a pattern, and what who changes it must have authority over.

        That is the device's own routes, or the pattern's; a port is the whole gateway's, and so is a name that stands
        on a wall and that nothing has any more. Raises: UsageError.
        """
        stands = next((wall for wall in self.standing if wall.subject == text), None)
        if text in ports or (stands is not None and stands.kind == "name" and text not in devices):
            return Subject(_checked(text), "name", EVERYWHERE)
        if text in devices:
            return Subject(_checked(text), "name", Scope.of_device(text))
        if "*" not in text and (text.count("/") != 2 or text.startswith("/")):
            raise UsageError(f"{text[:80]!r} is no port, device or pattern{did_you_mean(text, {*devices, *ports})}")
        return Subject(text, "routes", Scope(text))


class Subject(msgspec.Struct, frozen=True):
    """What a wall stands on."""

    text: str
    kind: Literal["name", "routes"]
    target: Scope


@lru_cache(MAX_WALLS)
def _scope(pattern: str) -> Scope:
    return Scope(pattern)  # walls are asked before every command


def _checked(name: str) -> str:
    if len(name.encode()) > MAX_SUBJECT_BYTES or not name.isprintable():
        raise UsageError(f"{name[:40]!r} cannot stand on a wall; give its port a name: [port.NAME]")
    return name
