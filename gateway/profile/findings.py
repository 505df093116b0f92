"""Layer 3: what the rules of a profile find, told by path, once, and not where the data itself is wrong already."""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.profile.document import Document
from gateway.profile.positions import Path

_PART: Final = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def path_of(key: str) -> Path:
    """Return the path that a key text means: `fields[2].scale` is ("fields", 2, "scale")."""
    return tuple(match[1] if match[1] is not None else int(match[2]) for match in _PART.finditer(key))


class Findings:
    """Collects problems into a document. Made after the structure was walked: what that found is not said again."""

    def __init__(self, document: Document, *, knows_bus: bool = True, unusable: frozenset[str] = frozenset()) -> None:
        """Take the names of messages that exist but cannot be looked into; `*` among them: any name may exist."""
        self._document = document
        self._wrong = frozenset(document.paths)
        self.knows_bus = knows_bus
        self.unusable = unusable

    def error(self, path: Path, message: str) -> None:
        """Report something that refuses the profile."""
        self._add(path, message, "error")

    def warn(self, path: Path, message: str) -> None:
        """Report something that is legal and hardly meant."""
        self._add(path, message, "warning")

    def written(self, path: Path) -> Any:
        """Return what the file says at `path`, None where it says nothing."""
        value: Any = self._document.raw
        for part in path:
            if isinstance(value, dict) and isinstance(part, str):
                value = value.get(part)
            elif isinstance(value, list) and isinstance(part, int) and part < len(value):
                value = value[part]
            else:
                return None
        return value

    def is_touched(self, path: Path) -> bool:
        """Return whether anything at or below `path` was wrong by structure, so that its meaning is not known."""
        return any(wrong[: len(path)] == path for wrong in self._wrong)

    def is_wrong(self, path: Path) -> bool:
        """Return whether anything at or below `path` was reported by now."""
        return any(told[: len(path)] == path for told in self._document.paths)

    def may_exist(self, message: str) -> bool:
        """Return whether a message of this name is there but out of sight."""
        return message in self.unusable or "*" in self.unusable

    def _add(self, path: Path, message: str, severity: str) -> None:
        if not any(path[:end] in self._wrong for end in range(1, len(path) + 1)):
            self._document.report(path, message, severity)
