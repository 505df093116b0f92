"""Layer 3: `publisher/name@version`: which profile it is, which of two is newer, and where it lies. Pure.

Nothing but lower-case letters, digits, `-`, `_`, `.` stands in the first two parts, and none begins with a dot: each is
the name of a file or folder as it is.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from gateway.errors import UsageError

MAX_PART: Final = 64  # characters of each part of an id
PART: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
_PRE: Final = r"(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)"
SEMVER: Final = re.compile(  # Semantic Versioning 2.0.0, section 2, 9 and 10
    rf"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-{_PRE}(?:\.{_PRE})*)?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?",
    re.ASCII,
)
_Part = tuple[int, int, str]
Age = tuple[tuple[int, ...], bool, tuple[_Part, ...], str]


class ProfileId(NamedTuple):
    """One profile, which never changes."""

    publisher: str
    name: str
    version: str

    def __str__(self) -> str:
        """Return it as profiles and site files write it."""
        return f"{self.publisher}/{self.name}@{self.version}"

    @property
    def lineage(self) -> str:
        """Return what all its versions share: `publisher/name`."""
        return f"{self.publisher}/{self.name}"

    @property
    def age(self) -> Age:
        """Return what orders versions, the newest last (Semantic Versioning 2.0.0, section 11).

        Builds of one version, which that leaves unordered, are in order of their text.
        """
        plain, _, build = self.version.partition("+")
        numbers, _, pre = plain.partition("-")
        parts = tuple((0, int(each), "") if each.isdigit() else (1, 0, each) for each in pre.split(".") if each)
        return tuple(int(each) for each in numbers.split(".")), not pre, parts, build

    def answers_to(self, text: str) -> bool:
        """Return whether `name`, `publisher/name` or either with a version, or the beginning of one, means it.

        What is not released yet is meant by its whole version alone.
        """
        named, _, version = text.partition("@")
        is_begun = "-" not in self.version and (not version or f"{self.version}.".startswith(f"{version}."))
        return named in {self.name, self.lineage} and (is_begun or self.version == version)


def profile_id(text: str) -> ProfileId:
    """Return the parts of `publisher/name@1.0.0`. Raises: UsageError."""
    lineage, _, version = text.partition("@")
    publisher, _, name = lineage.partition("/")
    is_whole = PART.fullmatch(publisher) and PART.fullmatch(name) and SEMVER.fullmatch(version)
    if not is_whole or max(map(len, (publisher, name, version))) > MAX_PART:
        raise UsageError(f"{text[:80]!r} is no profile's id; write 'publisher/name@1.0.0'")
    return ProfileId(publisher, name, version)
