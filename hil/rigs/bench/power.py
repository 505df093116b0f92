"""The fixture `power` on a bench, by whatever switches the board: a person, a USB hub, a GPIO line, a program."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

from gateway.notation import duration_ns
from gateway.sysfs import ROOT
from hil.rigs.base import RigError
from hil.rigs.bench.gpio import Line
from hil.rigs.model import ResourceSpec

COMMAND_S: Final = 30.0
HAND_S: Final = 300.0


class Switch(ABC):
    """One way to switch a board."""

    @abstractmethod
    def set(self, *, on: bool) -> None:
        """Switch. Raises: RigError with the next step."""

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Give back what it holds."""


class Pretence(Switch):
    """`sim = true` beside real ports: the board stays on, its ports are closed and opened."""

    def set(self, *, on: bool) -> None:
        """Do nothing."""


class Hand(Switch):
    """A person, asked on the terminal: not by pytest's own streams, which it captures."""

    def __init__(self, name: str, terminal: Path = Path("/dev/tty")) -> None:
        self._name = name
        self._terminal = terminal

    def set(self, *, on: bool) -> None:
        """Ask, and wait until the person says that it is done."""
        try:
            with self._terminal.open("r+b", buffering=0) as terminal:
                terminal.write(f"\r\nhil: switch {self._name} {'on' if on else 'off'}, then press Enter ".encode())
                if not terminal.readline():
                    raise RigError(f"{self._name}: the terminal was closed before anybody switched it")
        except OSError as error:
            raise RigError(
                f"{self._name} is switched by hand, and there is no terminal to ask on ({error.strerror}); run the "
                "tests from one, or give the board a hub, a gpiochip or command_on in the rig file"
            ) from error


class Command(Switch):
    """Two programs of the user's."""

    def __init__(self, name: str, on: str | list[str], off: str | list[str]) -> None:
        self._name = name
        self._words = {True: words_of(on), False: words_of(off)}

    def set(self, *, on: bool) -> None:
        """Run the one that is meant."""
        run(self._words[on], self._name, COMMAND_S)


class Hub(Switch):
    """A port of a USB hub that can switch it: the kernel's own switch (Linux 6.0), else uhubctl."""

    def __init__(self, name: str, hub: str, port: int, root: Path = ROOT) -> None:
        self._name = name
        self._hub = hub
        self._port = port
        self._root = root

    @property
    def attribute(self) -> Path:
        """Where the kernel has the switch. Source: Documentation/ABI/testing/sysfs-bus-usb, `disable`."""
        bus = self._hub.removeprefix("usb")
        interface = f"{bus}-0:1.0" if self._hub.startswith("usb") else f"{self._hub}:1.0"
        return self._root / "sys/bus/usb/devices" / interface / f"{self._hub}-port{self._port}" / "disable"

    def set(self, *, on: bool) -> None:
        """Switch the port."""
        try:
            self.attribute.write_text("0\n" if on else "1\n", encoding="ascii")
        except OSError as error:
            program = shutil.which("uhubctl")
            if program is None:
                raise RigError(
                    f"{self._name}: port {self._port} of hub {self._hub} cannot be switched ({self.attribute}: "
                    f"{error.strerror}); is that the hub's place (lsusb -t)? else as root, or: sudo apt install uhubctl"
                ) from error
            words = [program, "-l", self._hub, "-p", str(self._port), "-a", "on" if on else "off"]
            run(words, self._name, COMMAND_S)


class Gpio(Switch):
    """A line that drives a relay or a load switch. Held as long as the session runs."""

    def __init__(self, name: str, line: Line) -> None:
        self._name = name
        self._line = line

    def set(self, *, on: bool) -> None:
        """Drive it."""
        try:
            self._line.set(active=on)
        except OSError as error:
            raise RigError(
                f"{self._name}: {self._line} cannot be driven ({error.strerror}); see `gpioinfo`, and is the user in "
                "group gpio?"
            ) from error

    def close(self) -> None:
        """Give the line back."""
        self._line.close()


def switch_of(name: str, spec: ResourceSpec) -> Switch:
    """Return the switch that a rig file describes; `name` is what messages call it."""
    if spec.hub is not None and spec.hub_port is not None:
        return Hub(name, spec.hub, spec.hub_port)
    if spec.gpiochip is not None and spec.line is not None:
        return Gpio(name, Line(spec.gpiochip, spec.line, active_low=spec.active_low))
    if spec.command_on is not None and spec.command_off is not None:
        return Command(name, spec.command_on, spec.command_off)
    return Pretence() if spec.sim else Hand(name)


def settle_ns(spec: ResourceSpec) -> int:
    """Return how long to wait after each switch."""
    return duration_ns(spec.settle)


def words_of(command: str | list[str]) -> list[str]:
    """Return a command as the system takes it."""
    return shlex.split(command) if isinstance(command, str) else list(command)


def run(words: list[str], name: str, limit_s: float) -> None:
    """Run a command of the rig file. Raises: RigError with its last line where it fails or takes too long."""
    try:
        done = subprocess.run(  # noqa: S603 - the rig file's owner wrote it
            words, capture_output=True, stdin=subprocess.DEVNULL, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RigError(f"{name}: {shlex.join(words)} did not end in {limit_s:g} s") from error
    except OSError as error:
        raise RigError(f"{name}: {shlex.join(words)} cannot be run: {error.strerror}") from error
    if done.returncode:
        told = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()
        raise RigError(f"{name}: {shlex.join(words)} ended with {done.returncode}: {told[-1] if told else 'no word'}")
