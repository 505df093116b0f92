"""The rig's disk: enough of one to be full."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from hil.faults.faults import Fault, Faults


class Disk:
    """A folder that keeps what is written to it, until it is full."""

    def __init__(self, folder: Path, faults: Faults) -> None:
        self.folder = folder
        self.is_full = False
        self._faults = faults
        faults.attach("disk", "", self._fill, self._free)

    def write(self, data: bytes | str, name: str = "data") -> int:
        """Append to a file of the folder, durably; return how many bytes. Raises: OSError (ENOSPC) while full."""
        raw = data.encode() if isinstance(data, str) else bytes(data)
        self._faults.passing("disk", raw)
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder / name))
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / name).open("ab") as file:
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
