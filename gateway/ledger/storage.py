"""Layer 5: the few things that the ledger asks of a file system, in one folder. Everything it stores goes through here.

A write is durable after `sync` of its file; that a name exists, is gone or means another file is durable after
`sync_folder` of the folder it stands in. Nothing else is promised, in any order: the crash enumerator
(`tests/crash`) holds every other storage to exactly that.

Names are relative, with `/`. Errors are OSError, as the system gives them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol, TypeVar

from gateway.folder import sync_names

T = TypeVar("T")
TRIES: Final = 3


class StoredFile(Protocol):
    """One open file. After a failed `sync` it is never used again."""

    def read(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset` on; fewer at the end of the file."""
        ...

    def write(self, data: bytes, offset: int) -> None:
        """Write all of it. Raises: OSError also where less than all was taken."""
        ...

    def sync(self) -> None:
        """Return when everything written to this file is on the medium (fdatasync)."""
        ...

    def size(self) -> int:
        """Return the length in bytes."""
        ...

    def close(self) -> None:
        """Let go of it; closing twice is fine."""
        ...


class Storage(Protocol):
    """One folder of files."""

    def names(self, folder: str = "") -> list[str]:
        """Return the names of the files and folders in `folder`, sorted; [] where there is no such folder."""
        ...

    def make_folder(self, folder: str) -> None:
        """Make a folder, unless it is there."""
        ...

    def open(self, name: str, *, create: bool = False, writable: bool = True) -> StoredFile:
        """Open a file; `create` makes it empty where it is not there. Raises: FileNotFoundError."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give a file another name; a file that had it is gone."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is fine."""
        ...

    def sync_folder(self, folder: str = "") -> None:
        """Return when the names in `folder` are on the medium."""
        ...


class OsFile:
    """A file of the operating system."""

    def __init__(self, path: Path, flags: int) -> None:
        """Open it. Raises: OSError."""
        self._fd = os.open(path, flags | os.O_CLOEXEC, 0o640)

    def read(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset` on."""
        parts: list[bytes] = []
        while size > 0:
            part = os.pread(self._fd, size, offset)
            if not part:
                break
            parts.append(part)
            size -= len(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, data: bytes, offset: int) -> None:
        """Write all of it, in as many pieces as the system takes."""
        rest = memoryview(data)
        while rest:
            taken = os.pwrite(self._fd, rest, offset)
            rest = rest[taken:]
            offset += taken

    def sync(self) -> None:
        """Bring it to the medium."""
        os.fdatasync(self._fd)

    def size(self) -> int:
        """Return the length in bytes."""
        return os.fstat(self._fd).st_size

    def close(self) -> None:
        """Close it."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def insist(ask: Callable[[], T]) -> T:
    """Return what a reading of the medium gives; what it refuses every time raises its OSError.

    What is gone is declared, and history is given up, on the strength of one reading: so none is believed alone.
    """
    for _ in range(TRIES - 1):
        with contextlib.suppress(OSError):
            return ask()
    return ask()


class OsStorage:
    """A folder of the operating system."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self, folder: str = "") -> list[str]:
        """Return the names in a folder."""
        try:
            return sorted(entry.name for entry in (self.path / folder).iterdir())
        except FileNotFoundError:
            return []

    def make_folder(self, folder: str) -> None:
        """Make a folder and what it stands in."""
        (self.path / folder).mkdir(parents=True, exist_ok=True)

    def open(self, name: str, *, create: bool = False, writable: bool = True) -> OsFile:
        """Open a file."""
        flags = (os.O_RDWR if writable else os.O_RDONLY) | (os.O_CREAT if create else 0)
        return OsFile(self.path / name, flags)

    def rename(self, old: str, new: str) -> None:
        """Rename a file."""
        (self.path / old).replace(self.path / new)

    def remove(self, name: str) -> None:
        """Remove a file."""
        with contextlib.suppress(FileNotFoundError):
            (self.path / name).unlink()

    def sync_folder(self, folder: str = "") -> None:
        """Bring a folder's names to the medium."""
        sync_names(self.path / folder)
