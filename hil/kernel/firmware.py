"""The firmware of `hil/firmware/cobs-node`: built for the microcontroller, and run in one that QEMU emulates."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Final, Self

from hil.kernel.host import CACHE, ROOT, escaped, run, start, stop, tail
from hil.kernel.qmp import Qmp

SOURCES: Final = ROOT / "hil" / "firmware" / "cobs-node"
LET_GO, TURN_BY_HAND, JAM = HANDS = 0xF0, 0xF1, 0xF2
TOOLS: Final = ("qemu-system-arm", "arm-none-eabi-gcc", "make")


def missing_tools() -> list[str]:
    """Return which programs this machine lacks for the firmware."""
    return [tool for tool in TOOLS if shutil.which(tool) is None]


def build() -> Path:
    """Return the firmware's ELF file, built if its sources are newer. Raises: RigError with what the compiler says."""
    folder = CACHE / "firmware"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:  # tests run in parallel
        fcntl.flock(lock, fcntl.LOCK_EX)
        relative = os.path.relpath(folder, SOURCES)  # make takes no spaces, and a path from here has none
        run(["make", "--silent", f"BUILD={relative}"], folder=SOURCES)
    return folder / "cobs-node.elf"


class Microcontroller:
    """A Cortex-M3 (QEMU's mps2-an385) with its UART at a pseudo-terminal, or listening at a socket."""

    def __init__(self, firmware: Path, *, uart: Path | None = None) -> None:
        """Take the ELF file, and the path of the UART's socket; None for a pseudo-terminal."""
        self._firmware = firmware
        self._uart = uart

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="tidegate-")))
            self._log = folder / "log"
            ours, theirs = socket.socketpair()
            undo.callback(ours.close)
            self._hand, valve = socket.socketpair()
            undo.callback(self._hand.close)
            with theirs, valve:
                fds = [theirs.fileno(), valve.fileno()]
                self._child = start(self._command(*fds), log=self._log, fds=fds)
            undo.callback(stop, self._child)
            self.qmp = Qmp(ours)
            undo.callback(self.qmp.close)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._undo.close()

    @property
    def tty(self) -> Path:
        """The pseudo-terminal of the UART."""
        devices = self.qmp.execute("query-chardev")
        return Path(next(each["filename"] for each in devices if each["label"] == "uart").removeprefix("pty:"))

    @property
    def said(self) -> str:
        """What QEMU printed."""
        return tail(self._log.read_text(errors="replace"))

    def halt(self) -> None:
        """Stop its clock: a device that hangs."""
        self.qmp.execute("stop")

    def go_on(self) -> None:
        """Let a halted one run on from where it was."""
        self.qmp.execute("cont")

    def reset(self) -> None:
        """Pull its reset pin; return when it has been reset."""
        self.qmp.execute("system_reset")
        self.qmp.wait_for("RESET")

    def touch(self, hand: int) -> None:
        """Put a hand on the valve, until the next touch: one of `HANDS`, or an end stop in half percent (`plant.c`)."""
        self._hand.sendall(bytes([hand]))

    def kill(self) -> None:
        """Take its power, and its UART with it."""
        self._child.kill()
        self._child.wait()

    def _command(self, monitor: int, hand: int) -> list[str]:
        uart = f"socket,path={escaped(self._uart)},server=on,wait=off" if self._uart else "pty"
        return [
            *("qemu-system-arm", "-M", "mps2-an385", "-kernel", str(self._firmware)),
            *("-display", "none", "-nodefaults"),
            *("-chardev", f"{uart},id=uart" if self._uart else "pty,id=uart", "-serial", "chardev:uart"),
            *("-chardev", f"socket,id=hand,fd={hand}", "-serial", "chardev:hand"),
            *("-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control"),
        ]
