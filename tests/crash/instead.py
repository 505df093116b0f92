"""One module of the gateway imported from changed source, in a process that has not seen it yet."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

ROOT: Final = Path(__file__).parent.parent.parent


def changed(path: Path, old: str, new: str) -> str:
    """Return the source of a file with one change. Raises: LookupError where `old` does not stand there once."""
    source = path.read_text()
    if source.count(old) != 1:
        raise LookupError(f"{path.name} does not hold exactly once: {old!r}")
    return source.replace(old, new)


def instead(path: Path, source: str) -> None:
    """Have the module in `path` imported from `source`."""
    sys.meta_path.insert(0, _Finder(path, source))


class _Finder(MetaPathFinder, SourceLoader):
    def __init__(self, path: Path, source: str) -> None:
        self._name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        self._path = str(path)
        self._source = source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        assert spec is not None
        spec.loader = self
        return spec

    def get_filename(self, fullname: str) -> str:
        return self._path

    def get_data(self, path: str | bytes) -> bytes:
        return self._source.encode()

    def path_stats(self, path: str | bytes) -> dict[str, float]:
        raise OSError  # never from a cache, never into one

    def set_data(self, path: str, data: bytes, **_: object) -> None:
        pass
