"""Layer 6: the Unix socket of a data folder, for a folder whose path may have any length.

A socket address holds 108 bytes, a path does not fit. Bound and connected is therefore `/proc/self/fd/N/gateway.sock`,
N an open descriptor of the folder. The gateway holds a lock on that folder as long as it lives, so a socket file
without a living gateway behind it is known and replaced.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from pathlib import Path
from typing import Final

from gateway.errors import GatewayUnreachableError, UsageError

SOCKET_NAME: Final = "gateway.sock"
CONNECT_TIMEOUT_S: Final = 3.0


class Doorway:
    """The gateway's side: the folder locked, the socket bound."""

    def __init__(self, folder: Path) -> None:
        """Create the folder where it is missing, lock it, bind. Raises: UsageError where another gateway runs."""
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder_fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(
                f"{folder} cannot be the data folder ({error.strerror}); give another with --data"
            ) from error
        try:
            fcntl.flock(self._folder_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.socket = self._bind()
        except BlockingIOError as error:
            os.close(self._folder_fd)
            raise UsageError(f"another gateway runs in {folder}; stop it, or give this one its own --data") from error
        except OSError as error:
            os.close(self._folder_fd)
            raise UsageError(f"{folder} takes no socket ({error.strerror}); give another folder with --data") from error

    def close(self) -> None:
        """Remove the socket file and give the folder free."""
        self.socket.close()
        with contextlib.suppress(OSError):
            os.unlink(SOCKET_NAME, dir_fd=self._folder_fd)
        os.close(self._folder_fd)

    def _bind(self) -> socket.socket:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(SOCKET_NAME, dir_fd=self._folder_fd)  # ours to remove: the lock says that its gateway is gone
        door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            before = os.umask(0o177)
            try:
                door.bind(f"/proc/self/fd/{self._folder_fd}/{SOCKET_NAME}")
            finally:
                os.umask(before)
            door.listen(16)
        except OSError:
            door.close()
            raise
        return door


def connect(folder: Path) -> socket.socket:
    """Return a connection to the gateway of a data folder. Raises: GatewayUnreachableError with the next step."""
    visitor = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    visitor.settimeout(CONNECT_TIMEOUT_S)
    folder_fd = -1
    try:
        folder_fd = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        visitor.connect(f"/proc/self/fd/{folder_fd}/{SOCKET_NAME}")
    except OSError as error:
        visitor.close()
        raise GatewayUnreachableError(
            f"no gateway answers in {folder} ({error.strerror or error}); start one there with "
            f"`tidegate run ... --data {folder}`, or name its folder with --data"
        ) from error
    finally:
        if folder_fd >= 0:
            os.close(folder_fd)
    return visitor
