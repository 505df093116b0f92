"""Virtual disks outside of the guest, with write caches that a power cut empties: what no flush covered may be gone.

QEMU reaches it over NBD. Source: github.com/NetworkBlockDevice/nbd doc/proto.md, fixed newstyle, simple replies.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Self

BLOCK_BYTES: Final = 4096  # of which each is written whole or not at all
SIZE_BYTES: Final = 512 << 20  # sparse; smaller ones get smaller blocks from mkfs.ext4

_GREETING: Final = b"NBDMAGIC" + b"IHAVEOPT" + struct.pack(">H", 0b11)  # fixed newstyle, no zeroes behind the export
_OPTION: Final = struct.Struct(">8sII")
_ANSWER: Final = struct.Struct(">QIII")
_REQUEST: Final = struct.Struct(">IHHQQI")
_REPLY: Final = struct.Struct(">IIQ")
_ANSWER_MAGIC: Final = 0x3E889045565A9
_REQUEST_MAGIC: Final = 0x25609513
_REPLY_MAGIC: Final = 0x67446698
_ABORT, _GO = 2, 7
_ACK, _INFO, _UNSUPPORTED = 1, 3, 0x80000001
_READ, _WRITE, _DISCONNECT, _FLUSH = 0, 1, 2, 3
_FLAGS: Final = 0b101  # has flags, takes flushes; no FUA, so that QEMU flushes instead
_INVALID: Final = 22
NO_POWER: Final = "the disk has no power"


class Power:
    """What feeds the disks of one machine. Safe to use from several threads, which all of them share a lock for."""

    def __init__(self, chance: random.Random) -> None:
        """Take what decides which blocks a cut takes."""
        self.lock = threading.RLock()
        self.is_on = True
        self.disks: list[Disk] = []
        self.loss = ""  # of the last cut, for people
        self._chance = chance
        self._left = 0  # writes until it is cut; 0: it is not going to be
        self._then: Callable[[], object] = int

    def cut_after(self, writes: int, then: Callable[[], object]) -> None:
        """Cut it with so many writes from now, at whichever disk, and call `then`."""
        with self.lock:
            self._left, self._then = writes, then

    def count_write(self) -> None:
        """Be told of a write. Raises: ConnectionError when it was the last one."""
        if self._left:
            self._left -= 1
            if not self._left:
                self.is_on = False
                share = self._chance.choice((0.0, 0.5, 1.0))
                cuts = [disk.forget(lambda: self._chance.random() < share) for disk in self.disks]
                self.loss = f"of {sum(unsafe for unsafe, _ in cuts)} unsafe blocks {sum(lost for _, lost in cuts)} lost"
                self._then()
                raise ConnectionError(NO_POWER)

    def on(self) -> None:
        """Give power again."""
        with self.lock:
            self.is_on = True


class Disk:
    """Blocks in a file; without power nothing is read or written."""

    def __init__(self, file: Path, power: Power) -> None:
        """Take a file that may not be there yet."""
        self._fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._fd, SIZE_BYTES)
        self._before: dict[int, bytes] = {}  # of blocks written since the last flush: what they held then
        self._power = power
        power.disks.append(self)

    def read(self, offset: int, size: int) -> bytes:
        """Return bytes. Raises: ConnectionError without power."""
        with self._powered():
            return os.pread(self._fd, size, offset)

    def write(self, offset: int, data: bytes) -> None:
        """Take bytes, which are not safe yet. Raises: ConnectionError without power, or when it was cut with this."""
        with self._powered():
            for block in range(offset // BLOCK_BYTES, -(-(offset + len(data)) // BLOCK_BYTES)):
                if block not in self._before:
                    self._before[block] = os.pread(self._fd, BLOCK_BYTES, block * BLOCK_BYTES)
            os.pwrite(self._fd, data, offset)
            self._power.count_write()

    def flush(self) -> None:
        """Make everything written so far safe. Raises: ConnectionError without power."""
        with self._powered():
            self._before.clear()

    def forget(self, is_lost: Callable[[], bool]) -> tuple[int, int]:
        """Put blocks that were not safe back as they were, those that `is_lost`; return how many were and are."""
        unsafe, self._before = self._before, {}
        lost = [block for block in sorted(unsafe) if is_lost()]
        for block in lost:
            os.pwrite(self._fd, unsafe[block], block * BLOCK_BYTES)
        return len(unsafe), len(lost)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    @contextlib.contextmanager
    def _powered(self) -> Iterator[None]:
        with self._power.lock:
            if not self._power.is_on:
                raise ConnectionError(NO_POWER)
            yield


class DiskServer:
    """One disk at a socket, for one guest after the other."""

    def __init__(self, disk: Disk, path: Path) -> None:
        """Take the disk and the path of a socket that is made there."""
        self.disk = disk
        self.path = path

    def __enter__(self) -> Self:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(self.path))
        self._socket.listen(1)
        self._thread = threading.Thread(target=self._serve, name=f"disk {self.path.name}", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                guest, _ = self._socket.accept()
            except OSError:  # shut down
                return
            with guest, contextlib.suppress(OSError, EOFError):
                _attend(guest, self.disk)


def _attend(guest: socket.socket, disk: Disk) -> None:
    """Do what one guest asks for until it goes. Raises: OSError, EOFError."""
    guest.sendall(_GREETING)
    _take(guest, 4)
    while True:
        _, option, size = _OPTION.unpack(_take(guest, _OPTION.size))
        _take(guest, size)
        if option == _GO:
            export = struct.pack(">HQH", 0, SIZE_BYTES, _FLAGS)
            sizes = struct.pack(">HIII", 3, 512, BLOCK_BYTES, 32 << 20)
            guest.sendall(_answer(option, _INFO, export) + _answer(option, _INFO, sizes) + _answer(option, _ACK))
            break
        guest.sendall(_answer(option, _ACK if option == _ABORT else _UNSUPPORTED))
        if option == _ABORT:
            return
    while _obey(guest, disk):
        pass


def _answer(option: int, kind: int, data: bytes = b"") -> bytes:
    return _ANSWER.pack(_ANSWER_MAGIC, option, kind, len(data)) + data


def _obey(guest: socket.socket, disk: Disk) -> bool:
    """Do one request; return whether another may come."""
    magic, _, kind, handle, offset, size = _REQUEST.unpack(_take(guest, _REQUEST.size))
    data, fault = b"", 0
    if magic != _REQUEST_MAGIC or kind == _DISCONNECT:
        return False
    if kind == _READ:
        data = disk.read(offset, size)
    elif kind == _WRITE:
        disk.write(offset, _take(guest, size))
    elif kind == _FLUSH:
        disk.flush()
    else:
        fault = _INVALID
    guest.sendall(_REPLY.pack(_REPLY_MAGIC, fault, handle) + data)
    return True


def _take(guest: socket.socket, size: int) -> bytes:
    """Return so many bytes. Raises: EOFError."""
    parts = bytearray()
    while len(parts) < size:
        part = guest.recv(size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)
