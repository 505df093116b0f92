"""The models behind umockdev: a command runs with /dev/spidev0.N whose ioctls and writes are answered here.

    /usr/bin/python3 -m hil.sim.spi.umockdev bme280 w25q -- COMMAND...

The command's py-spidev is the real one, its kernel is libumockdev-preload. Needs Debian's python3-gi and
gir1.2-umockdev-1.0, which only Debian's own Python has. The exit status is the command's. Commands of `station.py` are
taken from the descriptor and answered to the one that TIDEGATE_STATION names for the command: "READ,WRITE".
"""

from __future__ import annotations

import errno
import os
import struct
import subprocess
import sys
from typing import Any, Final

import gi

gi.require_version("UMockdev", "1.0")
from gi.repository import GLib, UMockdev  # noqa: E402 - the version must be said before

from hil.sim.spi.line import Line  # noqa: E402
from hil.sim.spi.station import Station  # noqa: E402

_SPI_MAGIC: Final = 0x6B  # linux/spi/spidev.h
_MESSAGE, _MODE, _BITS, _SPEED = 0, 1, 3, 4
_READS: Final = 2  # direction bit of an ioctl: the kernel fills in
_TRANSFER: Final = struct.Struct("=QQIIHBBBBBB")  # struct spi_ioc_transfer: tx, rx, length, speed_hz, delay, bits ...
_RX_POINTER: Final = 8


class Node:
    """One spidev node as its clients see it."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._settings = {_MODE: 0, _BITS: 8, _SPEED: 500_000}
        handler = UMockdev.IoctlBase()
        handler.connect("handle-ioctl", self._on_ioctl)
        handler.connect("handle-write", self._on_write)
        self.handler = handler

    def _on_ioctl(self, _: object, client: Any) -> bool:
        try:
            client.complete(self._ioctl(client.get_request(), client.get_arg()), 0)
        except OSError as error:
            client.complete(-1, error.errno or errno.EIO)
        return True

    def _on_write(self, _: object, client: Any) -> bool:
        try:
            data = bytes(client.get_arg().retrieve())
            self._exchange(data, 0, 0)
            client.complete(len(data), 0)
        except OSError as error:
            client.complete(-1, error.errno or errno.EIO)
        return True

    def _ioctl(self, request: int, argument: Any) -> int:
        number, kind, size, direction = request & 0xFF, request >> 8 & 0xFF, request >> 16 & 0x3FFF, request >> 30
        if kind != _SPI_MAGIC:
            raise OSError(errno.ENOTTY, "no ioctl of SPI")
        data = argument.resolve(0, size)
        raw = bytes(data.retrieve())
        if number == _MESSAGE:
            return sum(self._transfer(data, raw, place) for place in range(0, size, _TRANSFER.size))
        if number not in self._settings:
            raise OSError(errno.EINVAL, "not known here")
        if direction & _READS:
            data.update(0, self._settings[number].to_bytes(size, sys.byteorder))
        else:
            self._settings[number] = int.from_bytes(raw, sys.byteorder)
        return 0

    def _transfer(self, data: Any, raw: bytes, place: int) -> int:
        tx, rx, length, speed_hz, _, bits, *_ = _TRANSFER.unpack_from(raw, place)
        sent = bytes(data.resolve(place, length).retrieve()) if tx else bytes(length)
        read = self._exchange(sent, speed_hz, bits)
        if rx:
            data.resolve(place + _RX_POINTER, length).update(0, read)
        return int(length)

    def _exchange(self, tx: bytes, speed_hz: int, bits: int) -> bytes:
        settings = self._settings
        return self._line.exchange(tx, settings[_MODE] & 3, speed_hz or settings[_SPEED], bits or settings[_BITS])


def _description(number: int) -> str:
    node = f"spidev0.{number}"
    return (
        f"P: /devices/platform/spi0/spi_master/spi0/spi0.{number}/spidev/{node}\n"
        f"N: {node}\nE: DEVNAME=/dev/{node}\nE: SUBSYSTEM=spidev\nA: dev=153:{number}\\n\n"
    )


def main(names: list[str], command: list[str]) -> int:
    """Run `command` with the nodes there; return its exit status."""
    station, testbed = Station(names), UMockdev.Testbed.new()
    nodes = [Node(line) for line in station.lines]
    for number, node in enumerate(nodes):
        testbed.add_from_string(_description(number))
        testbed.attach_ioctl(f"/dev/spidev0.{number}", node.handler)
    orders_out, orders_in = os.pipe()
    answers_out, answers_in = os.pipe()

    def on_order(source: int, _: object) -> bool:
        for text in os.read(source, 65536).decode().splitlines():
            os.write(answers_in, f"{station.command(text)}\n".encode())
        return True

    GLib.io_add_watch(orders_out, GLib.IO_IN, on_order)
    environment = {
        **os.environ,
        "UMOCKDEV_DIR": testbed.get_root_dir(),
        "LD_PRELOAD": "libumockdev-preload.so.0",
        "TIDEGATE_STATION": f"{answers_out},{orders_in}",
    }
    child = subprocess.Popen(command, env=environment, pass_fds=[answers_out, orders_in])  # noqa: S603 - what we were given
    loop = GLib.MainLoop()
    GLib.child_watch_add(GLib.PRIORITY_DEFAULT, child.pid, lambda *_: loop.quit())
    loop.run()
    return child.wait()


if __name__ == "__main__":
    split = sys.argv.index("--")
    sys.exit(main(sys.argv[1:split], sys.argv[split + 1 :]))
