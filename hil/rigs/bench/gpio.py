"""One GPIO line as an output, by the kernel's character device. Source: linux/gpio.h, version 2 of its interface."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

Ioctl = Callable[[int, int, Any], Any]

_CHIP_INFO: Final = struct.Struct("32s32sI")  # name, label, lines
_REQUEST: Final = struct.Struct("64I32sQI5I240sII5Ii")  # offsets, consumer, config{flags, attrs}, lines, buffer, fd
_VALUES: Final = struct.Struct("QQ")  # bits, mask
_ATTRIBUTE: Final = struct.Struct("IIQQ")  # id, padding, values, mask
_OUTPUT_VALUES: Final = 2  # GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES
_FLAG_ACTIVE_LOW: Final = 1 << 1
_FLAG_OUTPUT: Final = 1 << 3


def _iowr(number: int, size: int, direction: int = 3) -> int:
    return direction << 30 | size << 16 | 0xB4 << 8 | number


GET_CHIP_INFO: Final = _iowr(0x01, _CHIP_INFO.size, direction=2)
GET_LINE: Final = _iowr(0x07, _REQUEST.size)
SET_VALUES: Final = _iowr(0x0F, _VALUES.size)


class Line:
    """One line. Held from the first `set` until `close`."""

    def __init__(
        self,
        chip: str,
        offset: int,
        *,
        active_low: bool = False,
        folder: Path = Path("/dev"),
        ioctl: Ioctl = fcntl.ioctl,
    ) -> None:
        """Take the chip by path, name (`gpiochip0`) or label (`pinctrl-bcm2711`), which stays when names change."""
        self._chip = chip
        self._offset = offset
        self._active_low = active_low
        self._folder = folder
        self._ioctl = ioctl
        self._fd = -1

    def __str__(self) -> str:
        return f"line {self._offset} of {self._chip}"

    def set(self, *, active: bool) -> None:
        """Drive it. Raises: OSError."""
        if self._fd < 0:
            self._fd = self._request(active=active)
            return
        values = bytearray(_VALUES.pack(int(active), 1))
        self._ioctl(self._fd, SET_VALUES, values)

    def close(self) -> None:
        """Give it back; its level stays as most controllers leave it."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _request(self, *, active: bool) -> int:
        """Take the line with its first level, so that it does not pass through the other one."""
        chip = os.open(self._path(), os.O_RDWR | os.O_CLOEXEC)
        try:
            flags = _FLAG_OUTPUT | (_FLAG_ACTIVE_LOW if self._active_low else 0)
            level = _ATTRIBUTE.pack(_OUTPUT_VALUES, 0, int(active), 1)
            offsets = [self._offset, *[0] * 63]
            request = bytearray(
                _REQUEST.pack(*offsets, b"tidegate-hil", flags, 1, *[0] * 5, level.ljust(240, b"\0"), 1, 0, *[0] * 5, 0)
            )
            self._ioctl(chip, GET_LINE, request)
            return int(_REQUEST.unpack(request)[-1])
        finally:
            os.close(chip)

    def _path(self) -> Path:
        """Return the chip's node. Raises: FileNotFoundError."""
        named = self._folder / self._chip  # a path stays one
        if named.exists():
            return named
        for node in sorted(self._folder.glob("gpiochip*")):
            if self._label(node) == self._chip:
                return node
        raise FileNotFoundError(2, f"no GPIO chip {self._chip!r}", str(self._folder))

    def _label(self, node: Path) -> str | None:
        try:
            chip = os.open(node, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            info = bytearray(_CHIP_INFO.size)
            self._ioctl(chip, GET_CHIP_INFO, info)
            return str(_CHIP_INFO.unpack(info)[1].rstrip(b"\0").decode(errors="replace"))
        except OSError:
            return None
        finally:
            os.close(chip)
