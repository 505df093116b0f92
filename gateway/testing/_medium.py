"""What a medium holds and what it may hold after a power cut: files by sector, folders by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final, NamedTuple

SECTOR_BYTES: Final = 512  # what a medium writes whole or not at all


class NameChange(NamedTuple):
    """One change of a folder's names."""

    gone: str  # "": none
    made: str  # "": none
    node: Node | Folder | None  # what `made` then means


class Node:
    """One file: what it reads as, and what of that is on the medium."""

    __slots__ = ("_pending", "current", "durable", "lost", "number")

    def __init__(self, number: int, durable: bytes = b"") -> None:
        self.number = number
        self.durable = durable
        self.current: bytes | bytearray = durable
        self.lost: dict[int, list[bytes]] = {}  # sectors that a failed sync may or may not have written
        self._pending: list[tuple[int, bytes]] = []

    def write(self, data: bytes, offset: int) -> None:
        """Write, in memory so far."""
        self._pending.append((offset, data))
        self.current = _patched(self.current, data, offset)

    def sync(self) -> None:
        """Bring what was written since the last sync to the medium. What a failed sync lost stays lost."""
        if not self._pending:
            return
        if self.lost:
            for sector in self._written():
                at = sector * SECTOR_BYTES
                self.durable = bytes(_patched(self.durable, bytes(self.current[at : at + SECTOR_BYTES]), at))
                self.lost.pop(sector, None)
        else:
            self.durable = bytes(self.current)
        self._pending.clear()

    def lose(self, *, reads_old: bool) -> None:
        """Have a sync fail as ext4 does: what it should have written may be there or not, and no later sync tries."""
        for sector, candidates in self._unsynced().items():
            self.lost.setdefault(sector, []).extend(candidates)
        self._pending.clear()
        if reads_old:
            self.current = self.durable

    def unsynced(self) -> dict[int, list[bytes]]:
        """Return, by sector, what the medium may hold there instead of what `durable` says; the latest last."""
        if not self.lost:
            return self._unsynced()
        found = {sector: list(candidates) for sector, candidates in self.lost.items()}
        for sector, candidates in self._unsynced().items():
            found.setdefault(sector, []).extend(candidates)
        return found

    def _written(self) -> set[int]:
        return {
            sector
            for offset, data in self._pending
            for sector in range(offset // SECTOR_BYTES, -(-(offset + len(data)) // SECTOR_BYTES))
        }

    def _unsynced(self) -> dict[int, list[bytes]]:
        found: dict[int, list[bytes]] = {}
        content: bytes | bytearray = self.durable
        for offset, data in self._pending:
            content = _patched(content, data, offset)
            for sector in range(offset // SECTOR_BYTES, -(-(offset + len(data)) // SECTOR_BYTES)):
                at = sector * SECTOR_BYTES
                found.setdefault(sector, []).append(bytes(content[at : at + SECTOR_BYTES]))
        return found


class Folder:
    """The names of one folder: as they read, as they are on the medium, and what lies between."""

    __slots__ = ("current", "durable", "pending")

    def __init__(self) -> None:
        self.current: dict[str, Node | Folder] = {}
        self.durable: dict[str, Node | Folder] = {}
        self.pending: list[NameChange] = []

    def change(self, change: NameChange) -> None:
        """Change a name, in memory so far."""
        self.pending.append(change)
        _rename(self.current, change)

    def sync(self) -> None:
        """Bring all names to the medium."""
        self.durable = dict(self.current)
        self.pending.clear()

    def after_cut(self, kept: int) -> dict[str, Node | Folder]:
        """Return the names where of the pending changes those reached the medium whose bit is set in `kept`."""
        names = dict(self.durable)
        for place, change in enumerate(self.pending):
            if kept >> place & 1:
                _rename(names, change)
        return names


def _rename(names: dict[str, Node | Folder], change: NameChange) -> None:
    if change.gone:
        names.pop(change.gone, None)
    if change.made and change.node is not None:
        names[change.made] = change.node


def _patched(content: bytes | bytearray, data: bytes, offset: int) -> bytearray:
    """Return `content` with `data` at `offset`; a bytearray is changed in place."""
    patched = content if isinstance(content, bytearray) else bytearray(content)
    if len(patched) < offset:
        patched.extend(bytes(offset - len(patched)))
    patched[offset : offset + len(data)] = data
    return patched


def folders_in(folder: Folder, path: str) -> Iterator[tuple[str, Folder]]:
    """Yield every folder below one, with its name, as it reads now."""
    for name, found in folder.current.items():
        if isinstance(found, Folder):
            yield path + name, found
            yield from folders_in(found, f"{path}{name}/")


def walk(
    folder: Folder, path: str, names: Callable[[Folder], Mapping[str, Node | Folder]], content: Callable[[Node], bytes]
) -> Iterator[tuple[str, bytes]]:
    """Yield the image of a folder, as `names` and `content` see it."""
    for name, found in names(folder).items():
        if isinstance(found, Folder):
            yield f"{path}{name}/", b""
            yield from walk(found, f"{path}{name}/", names, content)
        else:
            yield path + name, content(found)
