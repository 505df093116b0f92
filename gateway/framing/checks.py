"""Layer 2: checksums by catalogue name: every catalogued CRC and the plain sums that devices use.

CRC names are the reveng catalogue's in lower case with dashes ("CRC-16/IBM-3740" is `crc-16-ibm-3740`); its aliases are
understood too. Where in a frame a checksum stands is in `seal.py` and `layout.py`.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Callable
from functools import cache
from itertools import accumulate
from typing import Final

import msgspec

from gateway.errors import UsageError
from gateway.framing.catalogue import ALIASES, CATALOGUE, Parameters

Compute = Callable[[bytes | bytearray], int]


class Check(msgspec.Struct, frozen=True):
    """One checksum: `compute` gives an unsigned number of `size` bytes."""

    kind: str  # catalogue name
    size: int  # bytes
    compute: Compute

    def names(self) -> list[str]:
        """Return every accepted spelling, the catalogue's first."""
        return [self.kind, *(alias for alias, kind in ALIASES.items() if kind == self.kind)]


def _xor_8(data: bytes | bytearray) -> int:
    number = int.from_bytes(data, "little")
    shift = 4 << max(1, (len(data) - 1).bit_length())  # half of the padded width, in bits
    while shift >= 8:
        number ^= number >> shift
        shift >>= 1
    return number & 0xFF


def _fletcher_8_pair(data: bytes | bytearray) -> int:
    sums = list(accumulate(data))
    return (sums[-1] & 0xFF) << 8 | sum(sums) & 0xFF if sums else 0


def _fletcher_16(data: bytes | bytearray) -> int:
    sums = list(accumulate(data))
    return sum(sums) % 255 << 8 | sums[-1] % 255 if sums else 0


def _internet_16(data: bytes | bytearray) -> int:
    total = sum(data[0::2]) * 256 + sum(data[1::2])
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


SUMS: Final[dict[str, tuple[int, Compute]]] = {
    "sum-8": (1, lambda data: sum(data) & 0xFF),
    "sum-15": (2, lambda data: sum(data) & 0x7FFF),  # as SiRF
    "sum-16": (2, lambda data: sum(data) & 0xFFFF),
    "sum-24": (3, lambda data: sum(data) & 0xFFFFFF),
    "sum-32": (4, lambda data: sum(data) & 0xFFFFFFFF),
    "sum-8-inverted": (1, lambda data: ~sum(data) & 0xFF),  # ones' complement, as SHDLC
    "sum-16-inverted": (2, lambda data: ~sum(data) & 0xFFFF),
    "lrc": (1, lambda data: -sum(data) & 0xFF),  # two's complement, as Modbus ASCII
    "lrc-16": (2, lambda data: -sum(data) & 0xFFFF),
    "xor-8": (1, _xor_8),  # as NMEA 0183
    "xor-8-inverted": (1, lambda data: _xor_8(data) ^ 0xFF),
    "fletcher-8-pair": (2, _fletcher_8_pair),  # two sums mod 256, first one first, as UBX and RFC 1145
    "fletcher-16": (2, _fletcher_16),  # mod 255, second sum in the high byte
    "adler-32": (4, zlib.adler32),  # RFC 1950
    "internet-16": (2, _internet_16),  # RFC 1071
}

_LIBRARY_WIDTHS: Final = (8, 16, 32, 64)


def _library_name(kind: str) -> tuple[str, str] | None:
    prefix, _, rest = kind.partition("-")
    width, _, name = rest.partition("-")
    if prefix == "crc" and width.isdigit() and int(width) in _LIBRARY_WIDTHS:
        return f"fastcrc.crc{width}", name.replace("-", "_")
    return None


@cache
def _library_kinds() -> dict[str, int]:
    """Return the CRCs of the C library, with their size in bytes."""
    kinds: dict[str, int] = {}
    for width in _LIBRARY_WIDTHS:
        for name in importlib.import_module(f"fastcrc.crc{width}").algorithms_available:
            kinds[f"crc-{width}-{name.replace('_', '-')}"] = width // 8
    return {kind: size for kind, size in kinds.items() if kind not in ALIASES}


@cache
def known_checks() -> list[str]:
    """Return every checksum by its catalogue name, sorted; aliases are not listed."""
    return sorted({*_library_kinds(), *CATALOGUE, *SUMS})


@cache
def check_of(kind: str) -> Check:
    """Return the checksum called `kind`. Raises: UsageError naming the nearest spellings."""
    name = ALIASES.get(kind, kind)
    if name in SUMS:
        return Check(name, *SUMS[name])
    if name in CATALOGUE:
        return Check(name, (CATALOGUE[name][0] + 7) // 8, table_crc(CATALOGUE[name]))
    if name in _library_kinds() and (place := _library_name(name)):
        return Check(name, _library_kinds()[name], getattr(importlib.import_module(place[0]), place[1]))
    import difflib  # only a mistake needs it

    near = difflib.get_close_matches(kind.lower().replace("/", "-").replace("_", "-"), [*known_checks(), *ALIASES], n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    raise UsageError(f"no checksum is called {kind!r}{hint}")


def _reflected(number: int, width: int) -> int:
    return int(f"{number:0{width}b}"[::-1], 2)


def table_crc(parameters: Parameters) -> Compute:
    """Return a function for a CRC of any width, one table look-up a byte (about 50 ns): the rare ones only."""
    width, poly, init, refin, refout, xorout = parameters
    return _low_first(width, poly, init, refout, xorout) if refin else _high_first(width, poly, init, refout, xorout)


def _low_first(width: int, poly: int, init: int, refout: bool, xorout: int) -> Compute:
    divisor = _reflected(poly, width)
    start = _reflected(init, width)
    table = []
    for index in range(256):
        register = index
        for _ in range(8):
            register = register >> 1 ^ (divisor if register & 1 else 0)
        table.append(register)

    def compute(data: bytes | bytearray) -> int:
        register = start
        for byte in data:
            register = register >> 8 ^ table[(register ^ byte) & 0xFF]
        return (register if refout else _reflected(register, width)) ^ xorout

    return compute


def _high_first(width: int, poly: int, init: int, refout: bool, xorout: int) -> Compute:
    pad = max(0, 8 - width)  # a register narrower than a byte stands at the byte's high end
    shift = width + pad - 8
    mask = (1 << width + pad) - 1
    table = []
    for index in range(256):
        register = index << shift
        for _ in range(8):
            register = register << 1 ^ (poly << pad if register >> shift + 7 & 1 else 0)
        table.append(register & mask)

    def compute(data: bytes | bytearray) -> int:
        register = init << pad
        for byte in data:
            register = (register << 8 & mask) ^ table[register >> shift ^ byte]
        register >>= pad
        return (_reflected(register, width) if refout else register) ^ xorout

    return compute
