"""What a simulated SPI device is, and the register file that most sensors are."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from hil.sim.behaviour import GOOD, Behaviour
from hil.sim.obedience import Actuator, Echo

BOOT_S: Final = 0.002
UNDRIVEN: Final = b"\xff"  # the data line is pulled up


class SpiModel:
    """One device. A transfer is what happens while its chip select is active; it may come in pieces.

    As it stands here it drives nothing: a chip select with no chip behind it.
    """

    def behave(self, behaviour: Behaviour) -> None:
        """Treat writes so from now on. Raises: ValueError: most have nothing to write."""
        if behaviour != GOOD:
            raise ValueError(f"a {type(self).__name__} takes no orders")

    def restart(self) -> None:
        """Begin anew, as after a loss of power. Raises: ValueError: most have nothing to forget."""
        raise ValueError(f"a {type(self).__name__} has nothing to forget")

    def select(self) -> None:
        """Begin a transfer: forget the one before."""

    def exchange(self, tx: bytes) -> bytes:
        """Return as many bytes as were clocked in."""
        return UNDRIVEN * len(tx)

    def deselect(self) -> None:
        """End a transfer: what it wrote takes effect."""

    def transfer(self, tx: bytes) -> bytes:
        """Return what is read in one whole transfer."""
        self.select()
        try:
            return self.exchange(tx)
        finally:
            self.deselect()


class RegisterModel(SpiModel):
    """Registers behind one address byte whose top bit asks to read. Subclasses say what reading and writing do.

    Writes are treated as `behaviour.py` says; SPI has no answer that could be late or false, so a refusal, a lie and a
    write that is not heard are one thing: nothing happens. Numbers in a behaviour are raw ones, of one byte.
    """

    address_read = 0x80  # set in the address byte of a read
    echo = 0xFF  # what the data line is at while the address comes in: not driven, pulled up
    clock: Callable[[], float] = staticmethod(time.monotonic)  # seconds

    def __init__(self) -> None:
        self.registers = bytearray(256)
        self.behaviour = GOOD
        self._address: int | None = None  # None: the next byte is one
        self._is_read = False
        self._first: bytes | None = None  # registers at power-on; None: not yet used
        self._boot_s = -math.inf
        self._now_s = 0.0
        self._written: dict[int, Actuator[int]] = {}  # by register
        self._acting: dict[int, int] = {}  # what each of these was set to last
        self._echoes: dict[int, Echo[int]] = {}

    def behave(self, behaviour: Behaviour) -> None:
        """Treat writes so from now on. Raises: ValueError: it has no condition."""
        self.behaviour = behaviour.known_to(())

    def restart(self) -> None:
        """Begin anew: for `BOOT_S` nothing is driven, then every register is what it was at power-on."""
        if self._first is not None:
            self.registers[:] = self._first
        self._written.clear()
        self._acting.clear()
        self._echoes.clear()
        self._boot_s = self.clock() + BOOT_S

    def select(self) -> None:
        """Expect an address."""
        self._address = None
        self._now_s = self.clock()
        if self._first is None:
            self._first = bytes(self.registers)
        for register, actuator in self._written.items():
            if self._due(actuator) != self._acting[register]:
                self._act(register, actuator)

    def exchange(self, tx: bytes) -> bytes:
        """Read or write from the address on that the transfer began with."""
        if self._now_s < self._boot_s:
            return UNDRIVEN * len(tx)
        return bytes(self._step(byte) for byte in tx)

    def _step(self, byte: int) -> int:
        if self._address is None:
            self._is_read = bool(byte & self.address_read)
            self._address = self.register_of(byte)
            return self.echo
        if self._is_read:
            value = self._told(self._address)
            self._address = self.after(self._address)
            return value
        self._take(byte)
        return self.echo

    def _take(self, byte: int) -> None:
        assert self._address is not None
        self._order(self._address, byte)
        self._address = self.after(self._address)

    def _order(self, register: int, value: int) -> None:
        behaviour = self.behaviour
        if behaviour == GOOD and not self._written:
            self.write(register, value)
        elif behaviour.restarts:
            self.restart()
        elif not (behaviour.ignores or behaviour.refuses or behaviour.lies):
            actuator = self._written.setdefault(register, Actuator(self.registers[register]))
            self._acting.setdefault(register, self.registers[register])
            self._told(register)  # an echo knows what was before
            actuator.order(value, behaviour, self._now_s)
            if not behaviour.slow_s:
                self._act(register, actuator)

    def _act(self, register: int, actuator: Actuator[int]) -> None:
        self._acting[register] = due = self._due(actuator)
        self.write(register, due)

    def _due(self, actuator: Actuator[int]) -> int:
        return min(max(actuator.target(self.behaviour, self._now_s), 0), 0xFF)

    def _told(self, register: int) -> int:
        value = self.read(register)
        if not self.behaviour.lag_s:
            return value
        return self._echoes.setdefault(register, Echo()).told(value, self.behaviour, self._now_s)

    def register_of(self, byte: int) -> int:
        """Return the register that an address byte means."""
        return byte & 0x7F

    def after(self, register: int) -> int:
        """Return the register of the next byte."""
        return (register + 1) & 0xFF

    def read(self, register: int) -> int:
        """Return a register."""
        return self.registers[register]

    def write(self, register: int, value: int) -> None:
        """Set a register."""
        self.registers[register] = value
