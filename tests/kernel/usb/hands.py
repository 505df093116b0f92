"""Our hands in the rig: they plug and unplug USB serial adapters, asked over a port between guest and rig."""

from __future__ import annotations

import os
import select
import time
from pathlib import Path

from hil.hosts.wire import Wire
from hil.kernel.usb import NODE, WIRE
from tests.hil.node_line import LIMIT_S

PORTS = Path("/dev/virtio-ports")
LINKS = Path("/dev/tidegate")


class Hands:
    """Ours in the rig: they plug, unplug, and reach the microcontroller behind HIL0001."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._plugged: list[str] = []

    def __call__(self, command: str) -> None:
        """Have a command done; returns when it is."""
        os.write(self._port, f"{command}\n".encode())
        answer = b""
        while not answer.endswith(b"\n"):
            ready, _, _ = select.select([self._port], [], [], LIMIT_S)
            assert ready, f"the rig does not answer {command!r}"
            answer += os.read(self._port, 4096)
        assert answer == b"ok\n", f"{command}: {answer.decode()}"

    def plug(self, serial: str) -> Path:
        """Put an adapter in; return its link when udev has made it."""
        self(f"plug {serial}")
        self._plugged.append(serial)
        link = link_of(serial)
        wait_until(link.exists, f"udev makes no {link}")
        return link

    def unplug(self, serial: str) -> None:
        """Pull an adapter out."""
        self._plugged.remove(serial)
        self(f"unplug {serial}")

    def pull_everything(self) -> None:
        """Leave nothing plugged, and wait until udev has seen it."""
        for serial in list(self._plugged):
            self.unplug(serial)
        for serial in (NODE, WIRE):
            wait_until(lambda serial=serial: not link_of(serial).is_symlink(), f"{link_of(serial)} stays")
        wait_until(lambda: not list(Path("/dev").glob("ttyUSB*")), "a ttyUSB node stays")


def link_of(serial: str) -> Path:
    return LINKS / f"uart-{serial}"


def wait_until(fact, otherwise):
    until_s = time.monotonic() + LIMIT_S
    while not fact():
        assert time.monotonic() < until_s, otherwise
        time.sleep(0.02)


class FarEnd(Wire):
    """What is behind HIL0002: a port of this guest. It cannot stall: QEMU would stand still with the adapter."""

    def __init__(self, port: int, hands: Hands) -> None:
        self._port = port
        self._hands = hands

    def send(self, data: bytes) -> None:
        os.write(self._port, data)

    def receive(self) -> bytes:
        try:
            return os.read(self._port, 4096)
        except BlockingIOError:
            return b""

    def unplug(self) -> None:
        self._hands.unplug(WIRE)

    def plug(self) -> None:
        self._hands.plug(WIRE)
