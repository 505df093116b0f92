"""Taking each sync out of the ledger, one at a time: the enumerator must notice."""

from __future__ import annotations

import ast
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import gateway.ledger
from gateway.testing.storage import MemoryFile, MemoryStorage
from tests.crash.campaign import Job, run_job
from tests.crash.faults import history

HOME = Path(gateway.ledger.__file__).parent
STATES = 150
ROUNDS = (
    ("torn", "classes"), ("reordered", "compacts"), ("torn", "compacts"), ("reordered", "retains"), ("torn", "retains"),
    ("reordered", "classes"), ("torn", "cuts"), ("recovery", "wraps"), ("eio", "wraps"), ("recovery", "compacts"),
)  # fmt: skip


class Site(NamedTuple):
    """One call that brings something to the medium."""

    file: str
    line: int
    text: str

    @property
    def name(self) -> str:
        """Return what a test calls it: file and text, since lines move."""
        return f"{self.file}: {self.text}"


def sites() -> list[Site]:
    """Return every sync of the ledger, but those of the storage itself."""
    found = []
    for path in sorted(HOME.glob("*.py")):
        if path.name == "storage.py":
            continue
        source = path.read_text()
        for node in ast.walk(ast.parse(source)):
            called = node.func if isinstance(node, ast.Call) else None
            if isinstance(called, ast.Attribute) and called.attr in {"sync", "sync_folder"}:
                found.append(
                    Site(path.name, called.lineno, source.splitlines()[called.lineno - 1].partition("#")[0].strip())
                )
    return found


@contextlib.contextmanager
def without(site: Site) -> Iterator[None]:
    """Let one call do nothing."""
    sync, sync_folder = MemoryFile.sync, MemoryStorage.sync_folder

    def maybe_sync(file: Any) -> None:
        if not _is_in(site, sys._getframe(1)):
            sync(file)

    def maybe_sync_folder(storage: Any, folder: str = "") -> None:
        if not _is_in(site, sys._getframe(1)):
            sync_folder(storage, folder)

    MemoryFile.sync, MemoryStorage.sync_folder = maybe_sync, maybe_sync_folder  # type: ignore[method-assign]
    history.cache_clear()
    try:
        yield
    finally:
        MemoryFile.sync, MemoryStorage.sync_folder = sync, sync_folder  # type: ignore[method-assign]
        history.cache_clear()


def _is_in(site: Site, frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_lineno == site.line and frame.f_code.co_filename == str(HOME / site.file):
            return True
        frame = frame.f_back
    return False


def found_by_enumeration(site: Site) -> str:
    """Return what the enumerator says of a ledger without that call; "" where it notices nothing."""
    with without(site):
        for seed in (1, 2):
            for fault, scenario in ROUNDS:
                try:
                    found = run_job(Job("ledger", fault, scenario, seed, STATES))
                except Exception as error:  # noqa: BLE001 - a history that breaks is noticed too
                    return f"{fault} {scenario}: {type(error).__name__}: {error}"
                if found.violations:
                    return found.lines[0]
    return ""
