"""What a simulated SPI device is, and the register file that most sensors are."""

from __future__ import annotations


class SpiModel:
    """One device. A transfer is what happens while its chip select is active; it may come in pieces."""

    def select(self) -> None:
        """Begin a transfer: forget the one before."""

    def exchange(self, tx: bytes) -> bytes:
        """Return as many bytes as were clocked in."""
        raise NotImplementedError

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
    """Registers behind one address byte whose top bit asks to read. Subclasses say what reading and writing do."""

    address_read = 0x80  # set in the address byte of a read
    echo = 0xFF  # what the data line is at while the address comes in: not driven, pulled up

    def __init__(self) -> None:
        self.registers = bytearray(256)
        self._address: int | None = None  # None: the next byte is one
        self._is_read = False

    def select(self) -> None:
        """Expect an address."""
        self._address = None

    def exchange(self, tx: bytes) -> bytes:
        """Read or write from the address on that the transfer began with."""
        return bytes(self._step(byte) for byte in tx)

    def _step(self, byte: int) -> int:
        if self._address is None:
            self._is_read = bool(byte & self.address_read)
            self._address = self.register_of(byte)
            return self.echo
        if self._is_read:
            value = self.read(self._address)
            self._address = self.after(self._address)
            return value
        self._take(byte)
        return self.echo

    def _take(self, byte: int) -> None:
        assert self._address is not None
        self.write(self._address, byte)
        self._address = self.after(self._address)

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
