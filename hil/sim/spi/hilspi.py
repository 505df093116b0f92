"""The models behind the kernel module hilspi: `python -m hil.sim.spi.hilspi bme280 w25q`, one name per chip select.

What is read from and written to /dev/hilspi is described in hil/kernel/spi/hilspi.c. Commands come as in `station.py`.
"""

from __future__ import annotations

import errno
import os
import select
import struct
import sys
from typing import Final, NamedTuple

from hil.sim.spi.station import Station

NODE: Final = "/dev/hilspi"
_REQUEST: Final = struct.Struct("=7I")
_ANSWER: Final = struct.Struct("=Ii")
_FIRST, _LAST = 1, 2
_MOST_BYTES: Final = 65536 + _REQUEST.size


class _Request(NamedTuple):
    sequence: int
    chip_select: int
    mode: int
    speed_hz: int
    bits: int
    length: int
    flags: int


class Server:
    """Answers the kernel's transfers, one at a time."""

    def __init__(self, station: Station, descriptor: int) -> None:
        self._station = station
        self._descriptor = descriptor
        self._withheld: _Request | None = None

    def run(self) -> None:
        """Serve until the standard input ends."""
        _say("{}")
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        poll.register(sys.stdin, select.POLLIN | select.POLLHUP)
        while True:
            for descriptor, _ in poll.poll():
                if descriptor == self._descriptor:
                    self._serve()
                elif not (text := sys.stdin.readline()):
                    return
                else:
                    answer = self._station.command(text)
                    self._give_up_withheld()
                    _say(answer)

    def _serve(self) -> None:
        try:
            data = os.read(self._descriptor, _MOST_BYTES)
        except BlockingIOError:
            return  # it timed out
        request = _Request(*_REQUEST.unpack_from(data))
        line = self._station.lines[request.chip_select]
        if line.hangs:
            self._withheld = request
            return
        try:
            rx = line.exchange(
                data[_REQUEST.size :],
                request.mode & 3,
                request.speed_hz,
                request.bits,
                is_first=bool(request.flags & _FIRST),
                is_last=bool(request.flags & _LAST),
            )
        except OSError as error:
            self._answer(request, -(error.errno or errno.EIO), b"")
        else:
            self._answer(request, 0, rx)

    def _give_up_withheld(self) -> None:
        """End a transfer that hung, once its line does not any more."""
        request = self._withheld
        if request is not None and not self._station.lines[request.chip_select].hangs:
            self._withheld = None
            self._answer(request, -errno.ETIMEDOUT, b"")

    def _answer(self, request: _Request, status: int, rx: bytes) -> None:
        try:
            os.write(self._descriptor, _ANSWER.pack(request.sequence, status) + rx)
        except OSError as error:
            if error.errno != errno.ESTALE:  # the kernel did not wait so long
                raise


def _say(answer: str) -> None:
    sys.stdout.write(answer + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    Server(Station(sys.argv[1:]), os.open(NODE, os.O_RDWR | os.O_NONBLOCK)).run()
