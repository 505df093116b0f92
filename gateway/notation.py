"""Layer 0: how profiles and site files write durations, hex bytes and numbers.

The annotated types carry what the document checker and the JSON Schema need; the functions give their meaning.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Annotated, Final, Literal

import msgspec

HexText = Annotated[str, msgspec.Meta(extra={"hex": True}, description="hex digits, spaces ignored: 'ff 01 86'")]
Duration = Annotated[
    str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)?(us|ms|s|m|h|d|y)$", description="'250ms' '5s' '10m' '2h' '30d'")
]
ByteOrder = Literal["big", "little"]

_NS: Final = {
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
    "y": 365 * 86_400_000_000_000,
}
_SIZE: Final = re.compile(r"([0-9]{1,15})(KiB|MiB|GiB|)")
_SHIFTS: Final = {"": 0, "KiB": 10, "MiB": 20, "GiB": 30}
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h|d|y)")


def duration_ns(text: str) -> int:
    """Return nanoseconds of "250ms", "5s", "10m", "2h", "30d", "1y". Raises: ValueError."""
    match = _DURATION.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no duration; write for example '250ms', '5s', '10m', '2h', '30d'")
    return int(Fraction(match[1]) * _NS[match[2]])


def size_bytes(text: str) -> int:
    """Return bytes of "4096", "256KiB", "64MiB", "1GiB". Raises: ValueError."""
    match = _SIZE.fullmatch(text)
    if not match:
        raise ValueError(f"{text!r} is no size; write for example '4096', '256KiB', '64MiB'")
    return int(match[1]) << _SHIFTS[match[2]]


def hex_bytes(text: str) -> bytes:
    """Return the bytes of "ff 01 86", spaces ignored. Raises: ValueError."""
    return bytes.fromhex(text)


def number(text: float | str) -> float:
    """Return a number given as number or as "1/1024". Raises: ValueError."""
    if isinstance(text, str):
        return float(Fraction(text.replace(" ", "")))
    return float(text)
