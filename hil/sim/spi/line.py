"""The wires between a controller and one device, and what can be wrong with them. Usable from any thread."""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from hil.sim.spi.model import SpiModel

HANG_S: Final = 30.0  # a test that forgets to release a line still ends
LOG_TRANSFERS: Final = 4096


class Transfer(NamedTuple):
    """What the bus saw of one transfer."""

    tx: bytes
    mode: int
    speed_hz: int
    bits: int


class Line:
    """One device on a chip select, with faults that are switched on and off."""

    def __init__(self, model: SpiModel) -> None:
        self.model = model
        self.transfers: deque[Transfer] = deque(maxlen=LOG_TRANSFERS)
        self.is_plugged = True
        self.error: int | None = None  # errno that every transfer ends with
        self.open_error: int | None = None  # errno that opening the node ends with
        self.stuck: int | None = None  # 0xff or 0x00: what the data line is stuck at
        self._flows = threading.Event()
        self._flows.set()
        self._lock = threading.Lock()

    def hang(self) -> None:
        """Let transfers begin and not end."""
        self._flows.clear()

    def release(self) -> None:
        """End transfers that hang, as a controller that gives up does; let the next ones pass."""
        self._flows.set()

    @property
    def hangs(self) -> bool:
        """Whether transfers do not end."""
        return not self._flows.is_set()

    def exchange(
        self,
        tx: bytes,
        mode: int = 0,
        speed_hz: int = 0,
        bits: int = 8,
        *,
        is_first: bool = True,
        is_last: bool = True,
    ) -> bytes:
        """Make one transfer, which selects and releases the device unless told otherwise. Raises: OSError."""
        self._check()
        if self.hangs:
            self._flows.wait(HANG_S)
            self._check()
            raise _os_error(errno.ETIMEDOUT)
        with self._lock:
            self.transfers.append(Transfer(tx, mode, speed_hz, bits))
            if is_first:
                self.model.select()
            rx = self.model.exchange(tx)
            if is_last:
                self.model.deselect()
        return rx if self.stuck is None else bytes([self.stuck]) * len(rx)

    def change(self, how: Callable[[], object]) -> None:
        """Change something of the model between two transfers."""
        with self._lock:
            how()

    def _check(self) -> None:
        if not self.is_plugged:
            raise _os_error(errno.ESHUTDOWN)
        if self.error is not None:
            raise _os_error(self.error)


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
