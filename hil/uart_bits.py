"""A serial line bit by bit: what a receiver reads of characters that were sent in another format.

The receiver's law is that of a 16550 and of ARM's PL011:
- a character starts at a falling edge that is still low half a bit later; what is high there was a glitch;
- bit k is sampled (k + 1.5) bit times after that edge, least significant bit first, then parity, then one stop bit:
  further stop bits are not read, so formats that differ in stop bits alone read each other;
- a low stop bit is `framing`; where all bits were low too it is `break` as well; `parity` stands beside either;
- the next edge is sought from the last sample on, so after a low stop bit the line must be high before a new start;
- a sample that falls exactly on an edge sees the new level.

The line idles high before the data and for ever after it; characters follow each other without a gap.

All arithmetic is in integers. The line is kept as one byte for each half bit of the sender, and every edge lies between
two of them: so a receiver's samples lie at fixed distances from a character's first byte, whatever the two baud rates.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import isfinite
from typing import Final, Self

Flags = frozenset[str]

FRAMING: Final = "framing"
PARITY: Final = "parity"
BREAK: Final = "break"

_NS: Final = 1_000_000_000
_BITS: Final = (5, 6, 7, 8, 9)
_PARITIES: Final = {"n": "n", "o": "o", "e": "e", "none": "n", "odd": "o", "even": "e"}
_STOPS: Final = {"1": Fraction(1), "1.5": Fraction(3, 2), "2": Fraction(2)}
_LARGEST: Final = 511
_MAX_BAUD: Final = 1_000_000_000
_SHAPE: Final = re.compile(r"(?P<baud>[^-]*)-(?P<bits>[0-9]+|.)(?P<parity>.)(?P<stop>.+)", re.DOTALL)
_FALLING: Final = b"\x01\x00"
_CLEAN: Final[Flags] = frozenset()


@dataclass(frozen=True, slots=True)
class Format:
    """How characters look on a line: `9600-8n1`."""

    baud: Fraction  # bits a second
    bits: int  # of data, 5 to 9
    parity: str  # n, o or e
    stop: Fraction  # bits: 1, 3/2 or 2
    character_ns: Fraction = field(init=False, compare=False, repr=False)
    """Nanoseconds from a start bit's edge to the end of the last stop bit, exactly; every character asks for it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "character_ns", (self.read_bits - 1 + self.stop) * _NS / self.baud)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the format of "9600-8n1" or "19200-7e1.5". Raises: ValueError that names the wrong part."""
        shape = _SHAPE.fullmatch(text) if isinstance(text, str) else None
        if shape is None:
            raise ValueError(f"{text!r:.42} is no line format; write for example '9600-8n1'")
        baud, bits, parity, stop = shape.groups()
        rate = int(baud) if baud.isascii() and baud.isdigit() and len(baud) < 12 else 0
        if not 0 < rate <= _MAX_BAUD:
            raise _wrong(text, "baud rate", baud, f"1 to {_MAX_BAUD}")
        if bits not in map(str, _BITS):
            raise _wrong(text, "data bits", bits, "5 to 9")
        return cls(Fraction(rate), int(bits), _parity(text, parity), _stop(text, stop))

    def __str__(self) -> str:
        """Return the text that `parse` reads, but for a baud rate that is no whole number."""
        stop = "1.5" if self.stop == _STOPS["1.5"] else str(self.stop)
        return f"{self.baud}-{self.bits}{self.parity}{stop}"

    def at(self, factor: float) -> Self:
        """Return this format at `factor` times its baud rate: 1.03 is exactly 103/100. Raises: ValueError."""
        if isfinite(factor) and 0 < (baud := self.baud * Fraction(str(factor))) <= _MAX_BAUD:
            return replace(self, baud=baud)
        raise ValueError(f"factor {factor!r} makes no baud rate of {self.baud}; write for example 1.03")

    def sending(self, *, parity: str | None = None, stop: str | float | None = None) -> Self:
        """Return this format with another parity (o or odd) or other stop bits (1.5). Raises: ValueError."""
        return replace(
            self,
            parity=self.parity if parity is None else _parity(str(self), parity),
            stop=self.stop if stop is None else _stop(str(self), stop if isinstance(stop, str) else f"{stop:g}"),
        )

    def reads(self, sender: Format) -> bool:
        """Return whether everything that `sender` can send arrives as it was sent: at most their stop bits differ."""
        return (self.baud, self.bits, self.parity) == (sender.baud, sender.bits, sender.parity)

    @property
    def read_bits(self) -> int:
        """Of a character, from its start bit to its first stop bit."""
        return 1 + self.bits + (self.parity != "n") + 1


def transfer(data: Iterable[int], sender: str | Format, receiver: str | Format) -> list[tuple[int, Flags]]:
    """Return what `receiver` reads of `data` that `sender` sent: values with their flags, in order.

    Flags are a frozenset of `framing`, `parity` and `break`: it equals a set, and is false where all is well.
    A value has as many bits as the receiver's format; the sender's register drops the bits above its own.
    Raises: ValueError for a format, and for a value that is not within 0 to 511 (nine bits).
    """
    sent_as, read_as = _format(sender), _format(receiver)
    values = _values(data)
    if read_as.reads(sent_as):
        mask = (1 << sent_as.bits) - 1
        return [(value & mask, _CLEAN) for value in values]
    return _read(_line(values, sent_as), sent_as.baud, read_as)


def _format(given: str | Format) -> Format:
    return given if isinstance(given, Format) else Format.parse(given)


def _parity(text: str, parity: str) -> str:
    letter = _PARITIES.get(parity.lower())
    if letter is None:
        raise _wrong(text, "parity", parity, "n (none), o (odd) or e (even)")
    return letter


def _stop(text: str, stop: str) -> Fraction:
    if stop not in _STOPS:
        raise _wrong(text, "stop bits", stop, "1, 1.5 or 2")
    return _STOPS[stop]


def byte_format(text: str) -> Format:
    """Return the format of a port that hands over bytes. Raises: ValueError."""
    form = Format.parse(text)
    if form.bits > 8:
        raise ValueError(f"{text}: a port hands over bytes, so at most 8 data bits")
    return form


def _wrong(text: str, part: str, value: str, allowed: str) -> ValueError:
    return ValueError(f"{text[:40]!r}: {part} {value[:20]!r} is not {allowed}")


def _values(data: Iterable[int]) -> bytes | list[int]:
    if isinstance(data, bytes | bytearray | memoryview):
        return bytes(data)
    values = list(data)
    for value in values:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _LARGEST:
            raise ValueError(f"{value!r} is no character; write bytes, or whole numbers from 0 to {_LARGEST}")
    return values


def _line(values: bytes | list[int], form: Format) -> bytes:
    """Return the level, 0 or 1, in each half bit: one half bit idle, the characters, one half bit idle."""
    known = {value: _character(value, form) for value in set(values)}
    return b"\1" + b"".join([known[value] for value in values]) + b"\1"


def _character(value: int, form: Format) -> bytes:
    bits = [value >> k & 1 for k in range(form.bits)]
    if form.parity != "n":
        bits.append((sum(bits) + (form.parity == "o")) & 1)
    return bytes(2) + b"".join(bytes((bit, bit)) for bit in bits) + b"\1" * int(2 * form.stop)


def _read(line: bytes, sent_baud: Fraction, form: Format) -> list[tuple[int, Flags]]:
    # The receiver's half bit is `ratio` of the sender's; a sample m half bits after an edge lies in half bit m * ratio.
    ratio = sent_baud / form.baud
    confirm, *bits, stop = (m * ratio.numerator // ratio.denominator for m in range(1, 2 * form.read_bits, 2))
    end = len(line)
    known: dict[tuple[int, ...], tuple[int, Flags]] = {}  # at most 2**11: parity and stop included
    read = []
    edge = line.find(_FALLING) + 1
    while edge:
        sample = edge + confirm
        if sample < end and not line[sample]:
            sample = edge + stop
            if sample < end:
                levels = (*[line[edge + bit] for bit in bits], line[sample])
            else:
                levels = (*[line[edge + bit] if edge + bit < end else 1 for bit in bits], 1)
            character = known.get(levels)
            if character is None:
                character = known[levels] = _judged(levels, form)
            read.append(character)
        edge = line.find(_FALLING, sample) + 1
    return read


def _judged(levels: tuple[int, ...], form: Format) -> tuple[int, Flags]:
    """Return a character of its levels: data bits, parity where there is one, stop bit."""
    value = sum(level << k for k, level in enumerate(levels[: form.bits]))
    flags = set()
    if form.parity != "n" and sum(levels[:-1]) & 1 != (form.parity == "o"):
        flags.add(PARITY)
    if not levels[-1]:
        flags.add(FRAMING)
        if not any(levels):
            flags.add(BREAK)
    return value, frozenset(flags)
