"""The rig's disk: enough of one to be full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from hil.data import bytes_of
from hil.faults.faults import Fault, Faults


class Disk:
    """A folder that keeps what is written to it, until it is full."""

    def __init__(self, folder: Path, faults: Faults) -> None:
        self.folder = folder
        self.is_full = False
        self._faults = faults
        faults.attach("disk", "", self._fill, self._free)

    def write(self, data: bytes | str | Path, name: bytes | str | Path = "data") -> int:
        """Append to a file of the folder, durably; return how many bytes. `write(NAME, BYTES)` does the same.

        Raises: OSError (ENOSPC) while full, ValueError for what is neither text nor bytes.
        """
        what, where = (name, data) if isinstance(name, bytes) else (data, name)
        raw = what.encode() if isinstance(what, str) else bytes_of(what)
        path = self.folder / os.fsdecode(where)
        self._faults.passing("disk", raw)
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        return len(raw)

    def _fill(self, _fault: Fault) -> None:
        """Let no more be written."""
        self.is_full = True

    def _free(self, _fault: Fault) -> None:
        """Let it be written again."""
        self.is_full = False
