"""Two chips that only shift bits: the MCP3008 converter and the MAX31855 thermocouple reader."""

from __future__ import annotations

from hil.sim.spi.model import SpiModel


class Mcp3008(SpiModel):
    """Eight inputs of ten bits. Microchip DS21295, figures 5-1, 5-2 and 6-1.

    After the start bit come single/differential and three channel bits, one clock for sampling, a null bit, ten bits
    with the most significant first, and the nine after the last again in reverse. Before, the line is not driven.
    """

    def __init__(self, counts: list[int] | None = None) -> None:
        self.counts = counts or [0, 128, 256, 384, 512, 640, 768, 1023]
        self._bits: list[int] = []  # from the start bit on

    def select(self) -> None:
        """Wait for a start bit."""
        self._bits = []

    def exchange(self, tx: bytes) -> bytes:
        """Shift bit by bit, so that any alignment works."""
        return bytes(self._byte(byte) for byte in tx)

    def _byte(self, byte: int) -> int:
        value = 0
        for place in range(7, -1, -1):
            value = value << 1 | self._clock(byte >> place & 1)
        return value

    def _clock(self, bit: int) -> int:
        if bit or self._bits:
            self._bits.append(bit)
        number = len(self._bits) - 7  # of the output bit: 0 is the null bit
        if number < 0:
            return 1  # pulled up
        if number == 0:
            return 0
        if number <= 10:
            return self._counts() >> (10 - number) & 1
        return self._counts() >> (number - 10) & 1  # the same again, least significant first, then zeros

    def _counts(self) -> int:
        single, *selection = self._bits[1:5]
        channel = selection[0] << 2 | selection[1] << 1 | selection[2]
        if single:
            return self.counts[channel]
        return max(0, self.counts[channel] - self.counts[channel ^ 1])


class Max31855(SpiModel):
    """A thermocouple, its cold junction and the faults of its wires. Maxim 19-5793, tables 1 and 2."""

    def __init__(self, thermocouple_cel: float = 100.75, internal_cel: float = 25.0) -> None:
        self.thermocouple_cel = thermocouple_cel
        self.internal_cel = internal_cel
        self.fault = 0  # bits: 0 open, 1 short to ground, 2 short to supply
        self._rest = b""

    def select(self) -> None:
        """Latch the reading."""
        thermocouple = round(self.thermocouple_cel / 0.25) & 0x3FFF
        internal = round(self.internal_cel / 0.0625) & 0xFFF
        word = thermocouple << 18 | bool(self.fault) << 16 | internal << 4 | self.fault
        self._rest = word.to_bytes(4, "big")

    def exchange(self, tx: bytes) -> bytes:
        """Shift the reading out; what comes in goes nowhere."""
        out, self._rest = self._rest[: len(tx)], self._rest[len(tx) :]
        return out.ljust(len(tx), b"\0")
