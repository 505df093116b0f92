"""py-spidev without hardware: a folder of nodes, each a device model, and a `SpiDev` that opens them.

    bus = FakeBus(folder)
    line = bus.plug("spidev0.0", Bme280())
    port = SpiPort(str(bus.path("spidev0.0")), link, clock, Buses(), bus.device)

The methods that hold the interpreter's lock during a transfer (`xfer`, `readbytes`, `writebytes`) are missing on
purpose: the driver must not use them.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from hil.sim.spi.line import Line
from hil.sim.spi.model import SpiModel

BUFSIZ_BYTES: Final = 4096  # drivers/spi/spidev.c
XFER2_BYTES: Final = 4096  # SPIDEV_MAXPATH of py-spidev


class FakeBus:
    """Nodes that come and go. A node is a file, so that links to it and its absence are real."""

    def __init__(self, folder: Path, *, max_speed_hz: int = 50_000_000, bits: tuple[int, ...] = (8, 16)) -> None:
        """Take an existing folder, and what the controller can."""
        self.folder = folder
        self.max_speed_hz = max_speed_hz
        self.bits = bits
        self._lines: dict[str, Line] = {}
        self._lock = threading.Lock()
        self.opened = 0  # devices that are open now

    def path(self, name: str) -> Path:
        """Return where a node is, or would be."""
        return self.folder / name

    def plug(self, name: str, model: SpiModel) -> Line:
        """Put a device on a chip select: `spidev0.0`."""
        line = self._lines[name] = Line(model)
        self.path(name).touch()
        return line

    def unplug(self, name: str) -> None:
        """Take the node away; what is open fails from now on."""
        self.path(name).unlink(missing_ok=True)
        line = self._lines[name]
        line.is_plugged = False
        line.release()

    def replug(self, name: str, *, at: str | None = None) -> None:
        """Bring it back with the same device, under the name `at` where one is given."""
        line = self._lines.pop(name)
        line.is_plugged = True
        self._lines[at or name] = line
        self.path(at or name).touch()

    def line_at(self, path: str) -> Line:
        """Return what is behind a path. Raises: OSError as opening the node does."""
        os.close(os.open(path, os.O_RDWR))
        line = self._lines.get(os.path.basename(os.path.realpath(path)))  # noqa: PTH119 - text
        if line is None:
            raise OSError(errno.ENXIO, os.strerror(errno.ENXIO))
        if line.open_error is not None:
            raise OSError(line.open_error, os.strerror(line.open_error))
        return line

    def device(self) -> FakeSpidev:
        """Return an unopened device, as `spidev.SpiDev()` does."""
        return FakeSpidev(self)

    def count(self, change: int) -> None:
        """Keep account of what is open."""
        with self._lock:
            self.opened += change


class FakeSpidev:
    """py-spidev 3.8's `SpiDev`: the same checks, the same errors."""

    def __init__(self, bus: FakeBus) -> None:
        self._bus = bus
        self._line: Line | None = None
        self._mode, self._bits, self._speed_hz = 0, 8, 500_000

    def open_path(self, path: str) -> None:
        """Open a node."""
        self._line = self._bus.line_at(path)
        self._bus.count(1)

    def open(self, bus: int, device: int) -> None:
        """Open a node by its numbers."""
        self.open_path(str(self._bus.path(f"spidev{bus}.{device}")))

    def close(self) -> None:
        """Release the node."""
        if self._line is not None:
            self._line = None
            self._bus.count(-1)

    @property
    def mode(self) -> int:
        """Clock polarity and phase, 0 to 3."""
        return self._mode

    @mode.setter
    def mode(self, value: int) -> None:
        if value & 0xFF > 3:
            raise TypeError("The mode attribute must be an integer between 0 and 3.")
        self._opened()
        self._mode = value & 0xFF

    @property
    def bits_per_word(self) -> int:
        """Bits of a word."""
        return self._bits

    @bits_per_word.setter
    def bits_per_word(self, value: int) -> None:
        if not 8 <= value & 0xFF <= 32:
            raise TypeError("invalid bits_per_word (8 to 32)")
        self._opened()
        if value & 0xFF not in self._bus.bits:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._bits = value & 0xFF

    @property
    def max_speed_hz(self) -> int:
        """Clock rate."""
        return self._speed_hz

    @max_speed_hz.setter
    def max_speed_hz(self, value: int) -> None:
        self._opened()
        if not 0 < value <= self._bus.max_speed_hz:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        self._speed_hz = value

    def fileno(self) -> int:
        """Return -1: there is no descriptor behind it."""
        return -1

    def xfer2(self, values: Iterable[int]) -> list[int]:
        """Transfer up to 4,096 bytes."""
        tx = _bytes_of(values)
        if len(tx) > XFER2_BYTES:
            raise OverflowError(f"Argument list size exceeds {XFER2_BYTES} bytes.")
        return list(self._message(tx))

    def xfer3(self, values: Iterable[int]) -> tuple[int, ...]:
        """Transfer any number of bytes, in messages of the kernel's buffer."""
        tx = _bytes_of(values)
        pieces = [tx[place : place + BUFSIZ_BYTES] for place in range(0, len(tx), BUFSIZ_BYTES)]
        return tuple(byte for piece in pieces for byte in self._message(piece))

    def writebytes2(self, values: Iterable[int]) -> None:
        """Write any number of bytes, in pieces of the kernel's buffer."""
        tx = bytes(values)
        for place in range(0, len(tx), BUFSIZ_BYTES):
            self._message(tx[place : place + BUFSIZ_BYTES])

    def _message(self, tx: bytes) -> bytes:
        return self._opened().exchange(tx, self._mode, self._speed_hz, self._bits)

    def _opened(self) -> Line:
        if self._line is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._line


def _bytes_of(values: Iterable[int]) -> bytes:
    data = bytes(values)
    if not data:
        raise TypeError("Empty argument list.")
    return data
