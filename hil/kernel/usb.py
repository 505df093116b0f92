"""The hands on the guest's USB cables: they do what its tests ask for over the port `tidegate.hands`.

A command is one line, and so is its answer: `ok`, or `error: ` and why.

    plug SERIAL     put the adapter with this serial number in
    unplug SERIAL   pull it out
    halt, go-on, reset      the microcontroller behind HIL0001: hang, run on, reset pin
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from hil.kernel.firmware import Microcontroller, build
from hil.kernel.host import RigError
from hil.kernel.qmp import Qmp

NODE: Final = "HIL0001"  # behind it: the microcontroller
WIRE: Final = "HIL0002"  # behind it: the guest's own port `tidegate.wire`


class Hands:
    """One pair for one guest."""

    def __init__(self, guest: Qmp, node: Microcontroller, uart: Path) -> None:
        """Take the guest's monitor, the microcontroller, and the socket that its UART listens at."""
        self._guest = guest
        self._node = node
        self._uart = uart

    def obey(self, line: str) -> str:
        """Do what `line` says; return the answer."""
        try:
            self._do(line.split())
        except RigError as error:
            return f"error: {' '.join(str(error).split())}"
        return "ok"

    def _do(self, words: list[str]) -> None:
        match words:
            case ["plug", serial] if serial in (NODE, WIRE):
                self._plug(serial)
            case ["unplug", serial] if serial in (NODE, WIRE):
                self._unplug(serial)
            case ["halt"]:
                self._node.halt()
            case ["go-on"]:
                self._node.go_on()
            case ["reset"]:
                self._node.reset()
            case _:
                raise RigError(f"no such command: {' '.join(words)!r}")

    def _plug(self, serial: str) -> None:
        if serial == NODE:  # its line is joined with the plug: what it said before went nowhere, as on a bench
            address = {"type": "unix", "data": {"path": str(self._uart)}}
            backend = {"type": "socket", "data": {"addr": address, "server": False}}
            self._guest.execute("chardev-add", id=f"line-{serial}", backend=backend)
        line = {"driver": "usb-serial", "id": serial, "serial": serial, "chardev": f"line-{serial}", "bus": "usb.0"}
        self._guest.execute("device_add", **line)

    def _unplug(self, serial: str) -> None:
        self._guest.execute("device_del", id=serial)
        self._guest.wait_for("DEVICE_DELETED")
        if serial == NODE:
            self._guest.execute("chardev-remove", id=f"line-{serial}")


@contextlib.contextmanager
def hands(guest: Qmp, _kill: Callable[[], object]) -> Iterator[Callable[[str], str]]:
    """Give what obeys the guest, with the microcontroller running for as long."""
    with tempfile.TemporaryDirectory(prefix="tidegate-") as folder:
        uart = Path(folder) / "uart"
        with Microcontroller(build(), uart=uart) as node:
            yield Hands(guest, node, uart).obey
