"""Layer 5: who may write a ledger: one process, which holds LOCK as long as it lives.

The lock is flock(2) on an open file, so a killed process lets go of it, and a stale file locks nobody out. What the
file says (pid, boot of the machine, ledger) is for people and for the message that the second writer gets.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
from pathlib import Path
from typing import Any, Final

from gateway.errors import LedgerBusyError, LedgerStorageError

NAME: Final = "LOCK"
MAX_BYTES: Final = 4096
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class WriterLock:
    """The right to write one ledger."""

    def __init__(self, folder: Path) -> None:
        """Take it. Raises: LedgerBusyError naming the holder, LedgerStorageError."""
        path = folder / NAME
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
        except OSError as error:
            raise LedgerStorageError(error.errno or 0, f"{path}: {os.strerror(error.errno or 0)}") from error
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._fd)
            self._fd = -1
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise LedgerStorageError(error.errno or 0, f"{path}: {os.strerror(error.errno or 0)}") from error
            raise LedgerBusyError(f"{folder} is written by {_told(holder_of(folder))}; stop that one first") from error

    def tell(self, log_id: bytes) -> None:
        """Say who holds it; where that cannot be written it is held all the same."""
        boot_id = ""
        with contextlib.suppress(OSError):
            boot_id = _BOOT_ID.read_text().strip()
        text = json.dumps(
            {"pid": os.getpid(), "host": socket.gethostname(), "boot_id": boot_id, "log_id": log_id.hex()}
        )
        with contextlib.suppress(OSError):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, text.encode() + b"\n", 0)

    def release(self) -> None:
        """Let go of it; doing so twice is fine."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)


def holder_of(folder: Path) -> dict[str, Any]:
    """Return what the lock file says; {} where it says nothing."""
    try:
        with (folder / NAME).open("rb") as file:
            told = json.loads(file.read(MAX_BYTES))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _told(holder: dict[str, Any]) -> str:
    pid = holder.get("pid")
    return f"process {pid} on {holder.get('host', 'this machine')}" if pid else "another process"
