"""A pseudo-terminal as a serial cable that can be pulled: our end is the device, the other a real tty of the kernel."""

from __future__ import annotations

import contextlib
import os
import pty
import tty
from pathlib import Path
from typing import Final, Self

CHUNK_BYTES: Final = 65536


class Cable:
    """A pty pair in raw mode. `path` is a symbolic link of ours, so it stays while the tty behind it changes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._device = -1
        self._tty = -1
        self._last_node: str | None = None
        self.lost_bytes = 0  # the device spoke, and nobody took it out of the tty

    @property
    def is_plugged(self) -> bool:
        """Whether there is a tty behind `path`."""
        return self._device >= 0

    @property
    def node(self) -> str:
        """The tty that `path` points to now."""
        return os.ttyname(self._tty)

    def fileno(self) -> int:
        """Return the device's end, non-blocking; -1 while unplugged."""
        return self._device

    def plug(self, *, elsewhere: bool = False) -> None:
        """Make the tty and point `path` at it.

        `elsewhere`: for sure not the tty that it was before, as an adapter that comes back as ttyUSB1 while its name
        in /dev/serial/by-id stays.
        """
        if self.is_plugged:
            return
        self._device, self._tty = pty.openpty()
        if elsewhere and self.node == self._last_node:
            taken = self._device, self._tty
            self._device, self._tty = pty.openpty()
            for number in taken:
                os.close(number)
        self._last_node = self.node
        tty.setraw(self._tty)
        os.set_blocking(self._device, False)
        temporary = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(self.node)
        temporary.replace(self.path)

    def unplug(self) -> None:
        """Pull the cable: who has the tty open gets an I/O error, the name is gone."""
        if not self.is_plugged:
            return
        self.path.unlink(missing_ok=True)
        for number in (self._tty, self._device):
            with contextlib.suppress(OSError):
                os.close(number)
        self._device = self._tty = -1

    def send(self, data: bytes) -> None:
        """Speak as the device. A UART does not wait: what the tty cannot hold is lost and counted."""
        if not self.is_plugged:
            return
        try:
            taken = os.write(self._device, data)
        except BlockingIOError:
            taken = 0
        except OSError:
            return
        self.lost_bytes += len(data) - taken

    def receive(self) -> bytes:
        """Return what was written to the tty, b"" if nothing was."""
        if not self.is_plugged:
            return b""
        try:
            return os.read(self._device, CHUNK_BYTES)
        except OSError:
            return b""

    def __enter__(self) -> Self:
        self.plug()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.unplug()
