"""Layer 5: the two META files: read both, write the older one."""

from __future__ import annotations

import contextlib

import msgspec

from gateway.ledger.meta import META_BYTES, NAMES, Meta, decode_meta, newest
from gateway.ledger.storage import Storage


def read_copies(storage: Storage) -> dict[str, Meta | None]:
    """Return both copies; None for one that is not whole or not there. Raises: LedgerFormatError."""
    found: dict[str, Meta | None] = {}
    for name in NAMES:
        found[name] = None
        with contextlib.suppress(OSError):
            file = storage.open(name, writable=False)
            try:
                found[name] = decode_meta(file.read(META_BYTES + 1, 0))
            finally:
                file.close()
    return found


class MetaFile:
    """What META says now, and the way to say something else."""

    def __init__(self, storage: Storage, meta: Meta, name: str | None) -> None:
        """Take the newest content and the copy it stands in; None: in none yet."""
        self._storage = storage
        self._name = name
        self.meta = meta

    @classmethod
    def read(cls, storage: Storage) -> MetaFile | None:
        """Return what is there, None where no copy is whole. Raises: LedgerFormatError."""
        name, meta = newest(read_copies(storage))
        return None if meta is None else cls(storage, meta, name)

    def write(self, **changes: object) -> None:
        """Write the next generation over the older copy; durable on return. Raises: OSError; the other copy counts."""
        target = NAMES[1] if self._name == NAMES[0] else NAMES[0]
        changed = msgspec.structs.replace(self.meta, generation=self.meta.generation + 1, **changes)
        try:
            file = self._storage.open(target)
        except FileNotFoundError:
            file = self._storage.open(target, create=True)
        try:
            file.write(changed.encode(), 0)
            file.sync()
        finally:
            file.close()
        self.meta, self._name = changed, target
