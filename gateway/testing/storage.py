"""Layer 9: storages for tests: one knows what a power cut may leave, one fails to order."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from gateway.ledger.storage import Storage, StoredFile
from gateway.testing._medium import SECTOR_BYTES, Folder, NameChange, Node, folders_in, walk

__all__ = ["SECTOR_BYTES", "Fault", "FaultyStorage", "Image", "MemoryFile", "MemoryStorage", "Operation"]

Image = dict[str, bytes]
"""What lies on a medium: each file's name and bytes; a folder is a name that ends in `/`, with no bytes."""

CHANGES: Final = frozenset({"create", "write", "sync", "rename", "remove", "make_folder", "sync_folder"})
CALLS: Final = CHANGES | {"open", "read", "size", "names"}


class Operation(NamedTuple):
    """One thing that was asked of a MemoryStorage and that a power cut can undo; `apply` does it again."""

    kind: str  # of CHANGES, or "lose": a sync that failed
    name: str = ""
    node: int = 0  # the file, whatever it is called by now
    offset: int = 0
    data: bytes = b""
    other: str = ""  # the new name


class MemoryFile:
    """An open file of a MemoryStorage."""

    def __init__(self, storage: MemoryStorage, node: Node, *, is_writable: bool) -> None:
        self.node = node
        self._storage = storage
        self._is_writable = is_writable

    def read(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset` on."""
        found = bytes(self.node.current[offset : offset + size])
        self._storage.bytes_read += len(found)
        return found

    def write(self, data: bytes, offset: int) -> None:
        """Write all of it. Raises: OSError for a file opened for reading."""
        if not self._is_writable:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        self._storage.apply(Operation("write", node=self.node.number, offset=offset, data=bytes(data)))

    def sync(self) -> None:
        """Bring it to the medium."""
        self._storage.apply(Operation("sync", node=self.node.number))

    def lose(self, *, reads_old: bool) -> None:
        """Have a sync fail: see `Node.lose`."""
        self._storage.apply(Operation("lose", node=self.node.number, offset=int(reads_old)))

    def size(self) -> int:
        """Return the length in bytes."""
        return len(self.node.current)

    def close(self) -> None:
        """Let go of it."""


class MemoryStorage:
    """A folder in memory that keeps apart what is on the medium and what a power cut takes.

    `operations` is everything that was asked, in order: applied one by one to another MemoryStorage of the same image,
    it passes through every moment at which the power can go; `cut` then says what is left.
    """

    def __init__(self, image: Mapping[str, bytes] | None = None) -> None:
        """Start with an image, all of it on the medium."""
        self.operations: list[Operation] = []
        self.bytes_read = 0
        self.nodes: dict[int, Node] = {}
        self.root = Folder()
        for name, data in sorted((image or {}).items()):
            if name.endswith("/"):
                self._lay_folder(name[:-1])
                continue
            folder, _, leaf = name.rpartition("/")
            place = self._lay_folder(folder)
            place.durable[leaf] = place.current[leaf] = self._new_node(data)

    def names(self, folder: str = "") -> list[str]:
        """Return the names in a folder."""
        try:
            return sorted(self._folder(folder).current)
        except FileNotFoundError:
            return []

    def make_folder(self, folder: str) -> None:
        """Make a folder and what it stands in."""
        parts = folder.split("/")
        for end in range(1, len(parts) + 1):
            name = "/".join(parts[:end])
            place, leaf = self._place(name)
            if leaf not in place.current:
                self.apply(Operation("make_folder", name))

    def open(self, name: str, *, create: bool = False, writable: bool = True) -> MemoryFile:
        """Open a file."""
        place, leaf = self._place(name)
        found = place.current.get(leaf)
        if found is None and create:
            self.apply(Operation("create", name))
            found = place.current[leaf]
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        if isinstance(found, Folder):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), name)
        return MemoryFile(self, found, is_writable=writable)

    def rename(self, old: str, new: str) -> None:
        """Rename a file, within its folder."""
        place, leaf = self._place(old)
        if leaf not in place.current:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), old)
        if old.rpartition("/")[0] != new.rpartition("/")[0]:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), old)
        self.apply(Operation("rename", old, other=new))

    def remove(self, name: str) -> None:
        """Remove a file."""
        place, leaf = self._place(name)
        if leaf in place.current:
            self.apply(Operation("remove", name))

    def sync_folder(self, folder: str = "") -> None:
        """Bring a folder's names to the medium."""
        self._folder(folder)
        self.apply(Operation("sync_folder", folder))

    def apply(self, operation: Operation) -> None:
        """Do what an operation of another storage of the same image did, and note it down."""
        self.operations.append(operation)
        kind, name, number, offset, data, other = operation
        if kind == "write":
            self.nodes[number].write(data, offset)
        elif kind == "sync":
            self.nodes[number].sync()
        elif kind == "lose":
            self.nodes[number].lose(reads_old=bool(offset))
        elif kind == "sync_folder":
            self._folder(name).sync()
        else:
            place, leaf = self._place(name)
            place.change(self._change_of(kind, place, leaf, other))

    def _change_of(self, kind: str, place: Folder, leaf: str, other: str) -> NameChange:
        if kind == "remove":
            return NameChange(leaf, "", None)
        if kind == "rename":
            return NameChange(leaf, other.rpartition("/")[2], place.current[leaf])
        return NameChange("", leaf, Folder() if kind == "make_folder" else self._new_node(b""))

    def image(self) -> Image:
        """Return what reads now."""
        return dict(walk(self.root, "", lambda folder: folder.current, lambda node: bytes(node.current)))

    def cut(
        self,
        contents: Mapping[int, bytes] | None = None,
        names: Mapping[str, Mapping[str, Node | Folder]] | None = None,
    ) -> Image:
        """Return what a power cut leaves now; by default nothing that was not synced.

        `contents` says what each file of that number holds instead, `names` what the names of each folder mean instead
        (see `Folder.after_cut`).
        """
        given, told = contents or {}, names or {}
        chosen = {id(folder): told[name] for name, folder in self.folders() if name in told}
        return dict(
            walk(
                self.root,
                "",
                lambda folder: chosen.get(id(folder), folder.durable),
                lambda node: given.get(node.number, node.durable),
            )
        )

    def named(self) -> Iterator[tuple[int, str]]:
        """Yield the number and the name of every file that reads now."""
        for path, folder in self.folders():
            for name, found in folder.current.items():
                if isinstance(found, Node):
                    yield found.number, f"{path}/{name}" if path else name

    def folders(self) -> Iterator[tuple[str, Folder]]:
        """Yield every folder that reads now, with its name; the root's is empty."""
        yield "", self.root
        yield from folders_in(self.root, "")

    def _folder(self, name: str) -> Folder:
        if not name:
            return self.root
        folder = self.root
        for part in name.split("/"):
            found = folder.current.get(part)
            if not isinstance(found, Folder):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
            folder = found
        return folder

    def _place(self, name: str) -> tuple[Folder, str]:
        folder, _, leaf = name.rpartition("/")
        return self._folder(folder), leaf

    def _lay_folder(self, name: str) -> Folder:
        folder = self.root
        for part in name.split("/") if name else ():
            found = folder.current.get(part)
            if not isinstance(found, Folder):
                found = folder.current[part] = folder.durable[part] = Folder()
            folder = found
        return folder

    def _new_node(self, data: bytes) -> Node:
        number = len(self.nodes) + 1
        self.nodes[number] = Node(number, bytes(data))
        return self.nodes[number]


class Fault(NamedTuple):
    """What goes wrong: the `at`-th of the calls in `calls` fails, from then on all of them if `lasts`."""

    calls: frozenset[str]  # of CALLS
    at: int  # from 1
    error: int = errno.EIO
    lasts: bool = False
    taken_bytes: int = 0  # how much of a failing write is written all the same
    reads_old: bool = False  # whether a file whose sync failed reads as before, or as written


class FaultyStorage:
    """Another storage, with faults. `counts` says how many calls of each kind came by, failed ones too.

    A sync that fails in a MemoryStorage loses what it should have written, as on Linux; see `Node.lose`.
    """

    def __init__(self, inner: Storage, faults: Iterable[Fault] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self.failed = 0
        self._inner = inner
        self._faults = list(faults)
        self._seen = [0] * len(self._faults)

    def strike(self, call: str) -> Fault | None:
        """Count a call and return what goes wrong with it."""
        self.counts[call] += 1
        struck = None
        for place, fault in enumerate(self._faults):
            if call not in fault.calls:
                continue
            self._seen[place] += 1
            if self._seen[place] == fault.at or (fault.lasts and self._seen[place] > fault.at):
                struck = struck or fault
        self.failed += struck is not None
        return struck

    def check(self, call: str, name: str) -> None:
        """Count a call. Raises: OSError as a fault says."""
        if fault := self.strike(call):
            raise OSError(fault.error, os.strerror(fault.error), name)

    def names(self, folder: str = "") -> list[str]:
        """Return the names in a folder."""
        self.check("names", folder)
        return self._inner.names(folder)

    def make_folder(self, folder: str) -> None:
        """Make a folder."""
        self.check("make_folder", folder)
        self._inner.make_folder(folder)

    def open(self, name: str, *, create: bool = False, writable: bool = True) -> FaultyFile:
        """Open a file; one that is opened with `create` counts as created."""
        self.check("create" if create else "open", name)
        return FaultyFile(self, name, self._inner.open(name, create=create, writable=writable))

    def rename(self, old: str, new: str) -> None:
        """Rename a file."""
        self.check("rename", old)
        self._inner.rename(old, new)

    def remove(self, name: str) -> None:
        """Remove a file."""
        self.check("remove", name)
        self._inner.remove(name)

    def sync_folder(self, folder: str = "") -> None:
        """Bring a folder's names to the medium; one that fails brings none."""
        self.check("sync_folder", folder)
        self._inner.sync_folder(folder)


class FaultyFile:
    """A file of a FaultyStorage."""

    def __init__(self, storage: FaultyStorage, name: str, inner: StoredFile) -> None:
        self._storage = storage
        self._name = name
        self._inner = inner

    def read(self, size: int, offset: int) -> bytes:
        """Return up to `size` bytes from `offset` on."""
        self._storage.check("read", self._name)
        return self._inner.read(size, offset)

    def write(self, data: bytes, offset: int) -> None:
        """Write all of it, or what the fault lets through."""
        if fault := self._storage.strike("write"):
            if fault.taken_bytes:
                self._inner.write(data[: fault.taken_bytes], offset)
            raise OSError(fault.error, os.strerror(fault.error), self._name)
        self._inner.write(data, offset)

    def sync(self) -> None:
        """Bring it to the medium, or lose it."""
        if fault := self._storage.strike("sync"):
            if isinstance(self._inner, MemoryFile):
                self._inner.lose(reads_old=fault.reads_old)
            raise OSError(fault.error, os.strerror(fault.error), self._name)
        self._inner.sync()

    def size(self) -> int:
        """Return the length in bytes."""
        self._storage.check("size", self._name)
        return self._inner.size()

    def close(self) -> None:
        """Let go of it."""
        self._inner.close()
