"""One chip select of py-spidev: opened and set up with errors that say what to do, transfers with typed faults.

py-spidev's `xfer`, `readbytes` and `writebytes` hold the interpreter's lock while the kernel transfers, so that a stuck
bus would stop the whole gateway: only `xfer2`, `xfer3` and `writebytes2` are used. Everything here blocks.
"""

from __future__ import annotations

import errno
import functools
import os
import re
import sys
from pathlib import Path
from typing import Any, Final, Protocol

from gateway.errors import (
    PortError,
    PortLostError,
    PortNotFoundError,
    PortOptionError,
    PortPermissionError,
    PortTimeoutError,
)
from gateway.profile.model import LinkSpec
from gateway.registry import require

_NODE: Final = re.compile(r"spidev(?P<bus>[0-9]{1,5})\.(?P<chip_select>[0-9]{1,3})")
_SHORT: Final = re.compile(r"(?:spi|spidev)([0-9]{1,5}\.[0-9]{1,3})")
_BUFSIZ: Final = Path("/sys/module/spidev/parameters/bufsiz")
_DEFAULT_BUFSIZ: Final = 4096  # drivers/spi/spidev.c
_XFER2_BYTES: Final = 4096  # py-spidev takes no more there
_XFER3_BYTES: Final = 65535  # and splits beyond, which would release the chip select in between

_GONE: Final = frozenset({errno.ENODEV, errno.ENXIO, errno.ESHUTDOWN, errno.ENOENT, errno.EBADF})
_UNABLE: Final = frozenset({errno.EINVAL, errno.EMSGSIZE, errno.EOPNOTSUPP, errno.ENOTTY})


class SpiDev(Protocol):
    """What is used of py-spidev's `SpiDev`; `hil.sim.spi.FakeSpidev` has it too."""

    mode: int
    max_speed_hz: int
    bits_per_word: int

    def open_path(self, path: str) -> None:
        """Open a node."""
        ...

    def close(self) -> None:
        """Release it."""
        ...

    def xfer2(self, values: list[int]) -> Any:
        """Transfer up to 4,096 bytes under one chip select."""
        ...

    def xfer3(self, values: bytes) -> Any:
        """Transfer more."""
        ...

    def writebytes2(self, values: bytes) -> None:
        """Write any number of bytes, in pieces of the kernel's buffer."""
        ...


def py_spidev() -> SpiDev:
    """Return an unopened device of the library. Raises: DriverError with the command that installs it."""
    device: SpiDev = require("spidev", "spi").SpiDev()
    return device


def path_of(target: str) -> str:
    """Return the path that a port text stands for: `spidev0.0` and `spi0.0` are /dev/spidev0.0.

    Raises: PortOptionError for text that can never be one.
    """
    if short := _SHORT.fullmatch(target):
        return f"/dev/spidev{short[1]}"
    if not target.startswith(("/", "./", "../")) or "\0" in target:
        raise PortOptionError(repr(target), "write a spidev node such as /dev/spidev0.0")
    return target


def node_of(name: str, path: str) -> tuple[str, int]:
    """Return the node behind a path, links resolved, and its bus number. Raises: PortNotFoundError, PortOptionError."""
    node = os.path.realpath(path)
    if not os.path.lexists(node):
        raise _missing(name)
    match = _NODE.fullmatch(os.path.basename(node))  # noqa: PTH119 - text, no file is touched
    if match is None:
        raise PortOptionError(name, f"{node} is no spidev node; those are called spidevBUS.CHIPSELECT")
    return node, int(match["bus"])


@functools.cache
def transfer_limit_bytes() -> int:
    """Return the most bytes that go in one transfer: the kernel's buffer. Read once, as py-spidev reads it."""
    try:
        bufsiz = int(_BUFSIZ.read_text(encoding="ascii"))
    except (OSError, ValueError):
        bufsiz = _DEFAULT_BUFSIZ
    return min(bufsiz, _XFER3_BYTES)


class ChipSelect:
    """An opened device: bytes out, bytes in, in the order in which they are on the wire."""

    def __init__(self, name: str, device: SpiDev, link: LinkSpec) -> None:
        self._name = name
        self._device = device
        self._swapped = word_bytes(link.bits) if sys.byteorder == "little" else 1
        self.close = device.close

    def exchange(self, tx: bytes) -> bytes:
        """Return what was read while `tx` went out. Raises: PortLostError, PortOptionError, PortTimeoutError."""
        sent = in_words(tx, self._swapped)
        try:
            # xfer2 never splits a transfer and xfer3 does by a size of its own, so that is for what xfer2 refuses
            device = self._device
            read = device.xfer2(list(sent)) if len(sent) <= _XFER2_BYTES else device.xfer3(sent)
        except (OSError, SystemError, ValueError) as error:
            raise fault(self._name, error, f"a transfer of {len(tx)} bytes") from error
        return in_words(bytes(read), self._swapped)

    def write(self, data: bytes) -> None:
        """Send `data`; beyond the kernel's buffer in pieces, between which the chip select is released."""
        try:
            self._device.writebytes2(in_words(data, self._swapped))
        except (OSError, SystemError, ValueError) as error:
            raise fault(self._name, error, f"a write of {len(data)} bytes") from error


def open_chip_select(name: str, node: str, link: LinkSpec, device: SpiDev) -> ChipSelect:
    """Open `node` and set it up as `link` says. Raises: see `gateway.port.Port.open`."""
    try:
        device.open_path(node)
    except OSError as error:
        raise _unopened(name, error) from error
    try:
        set_up(name, link, device)
    except PortError:
        device.close()
        raise
    return ChipSelect(name, device, link)


def set_up(name: str, link: LinkSpec, device: SpiDev) -> None:
    """Set mode, bits and speed of an open device. Raises: PortNotFoundError, PortOptionError."""
    mode = link.mode or 0
    settings = (
        ("mode", "mode", mode, mode in (0, 1, 2, 3)),
        ("bits", "bits_per_word", link.bits, 8 <= link.bits <= 32),
        ("speed_hz", "max_speed_hz", link.speed_hz, 0 < link.speed_hz < 1 << 32),
    )
    for key, attribute, value, is_legal in settings:
        if not is_legal:  # py-spidev would cut it to the width of its field
            raise PortOptionError(name, f"{key} = {value!r} is nothing that SPI has")
        try:
            setattr(device, attribute, value)
        except (OSError, TypeError) as error:
            if isinstance(error, OSError) and error.errno in _GONE:
                raise PortNotFoundError(name, _cause_of(error)) from error
            raise PortOptionError(
                name, f"the controller refuses {key} = {value!r} ({_cause_of(error)}); correct it in the site file"
            ) from error


def fault(name: str, error: Exception, what: str) -> PortError:
    """Return the error of the contract for one of a transfer."""
    number = error.errno if isinstance(error, OSError) else None
    if number in _GONE:
        return PortLostError(name, _cause_of(error))
    if number in _UNABLE:
        return PortOptionError(
            name, f"the controller refuses {what} ({_cause_of(error)}); try another speed_hz or bits"
        )
    return PortTimeoutError(name, f"{what} failed: {_cause_of(error)}; is the controller or its bus stuck?")


def word_bytes(bits: int) -> int:
    """Return how many bytes of memory a word of so many bits takes: a power of two (linux/spi/spi.h)."""
    return 1 if bits <= 8 else 2 if bits <= 16 else 4


def in_words(data: bytes, size: int) -> bytes:
    """Return `data` with the bytes of every word reversed: the kernel keeps words in the machine's order."""
    if size == 1:
        return data
    turned = bytearray(len(data))
    for place in range(size):
        turned[place::size] = data[size - 1 - place :: size]
    return bytes(turned)


def _unopened(name: str, error: OSError) -> PortError:
    if error.errno in (errno.EACCES, errno.EPERM):
        return PortPermissionError(name, _cause_of(error), group="spi")
    if error.errno in _GONE:
        return _missing(name)
    return PortOptionError(name, _cause_of(error))


def _missing(name: str) -> PortNotFoundError:
    return PortNotFoundError(
        name,
        "no such node: on a Raspberry Pi put dtparam=spi=on (for SPI1 an overlay such as dtoverlay=spi1-1cs) "
        "into /boot/firmware/config.txt and restart; elsewhere bind the device to spidev",
    )


def _cause_of(error: Exception) -> str:
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
