"""Layer 2: wire types by name, and the place of a DBC signal. Numbers and bytes only: no meaning, no profile."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from gateway.notation import ByteOrder
from gateway.spelling import did_you_mean

Kind = Literal["int", "float", "bool", "bytes", "text", "bcd", "ascii", "struct", "bit"]

_NUMBER: Final = re.compile(r"(?P<kind>[usf])(?P<bits>8|16|24|32|40|48|56|64)(?P<order>be|le)?")
_BYTEWISE: Final[dict[str, Kind]] = {"bytes": "bytes", "text": "text", "bcd": "bcd", "ascii": "ascii"}
_DBC_PLACE: Final = re.compile(r"(?P<start>[0-9]{1,4})\|(?P<length>[0-9]{1,3})@(?P<order>[01])(?P<sign>[+-])")

BINARY_TYPES: Final = (
    *("u8", "s8", "bool", "bytes", "text", "bcd", "ascii", "struct"),
    *(f"{sign}{bits}{order}" for bits in range(16, 65, 8) for sign in "us" for order in ("be", "le", "")),
    *(f"f{bits}{order}" for bits in (16, 32, 64) for order in ("be", "le", "")),
)
MAX_FIXED_BYTES: Final = 1 << 20  # of one declared length, count or place; beyond is a mistake in the profile


class WireType(NamedTuple):
    """How one element stands on the wire."""

    kind: Kind
    size: int | None = None  # bytes; None: given by `length` or by members
    signed: bool = False
    order: ByteOrder = "big"


def parse_type(text: str, order: ByteOrder | None) -> WireType:
    """Return the binary wire type called `text`; `order` serves types written without `be` or `le`.

    Raises: ValueError naming the nearest valid spelling, or the missing byte order.
    """
    if text in _BYTEWISE:
        return WireType(_BYTEWISE[text])
    if text == "struct":
        return WireType("struct")
    if text == "bool":
        return WireType("bool", 1)
    match = _NUMBER.fullmatch(text)
    if not match or (match["kind"] == "f" and match["bits"] not in {"16", "32", "64"}):
        hint = did_you_mean(text, BINARY_TYPES) or "; for example 'u16be', 's8', 'f32le', 'bytes', 'struct'"
        raise ValueError(f"unknown type {text!r}{hint}")
    size = int(match["bits"]) // 8
    written: ByteOrder | None = {"be": "big", "le": "little"}.get(match["order"] or "", order)  # type: ignore[assignment]
    if written is None and size > 1:
        raise ValueError(
            f"type {text!r} needs a byte order: write '{text}be' or '{text}le', or give the message `order`"
        )
    return WireType("float" if match["kind"] == "f" else "int", size, match["kind"] == "s", written or "big")


class SignalPlace(NamedTuple):
    """Where a DBC signal lies: bytes first..last of the body as one integer, then shift and mask."""

    first: int
    last: int
    shift: int
    width: int  # bits
    order: ByteOrder
    signed: bool

    @property
    def aligned(self) -> bool:
        """Return whether the signal is whole bytes."""
        return self.shift == 0 and self.width == 8 * (self.last - self.first + 1)


def parse_place(text: str) -> SignalPlace:
    """Return the place written as in a DBC file: "start|length@order sign", order 1 = Intel, 0 = Motorola.

    Intel: `start` is the least significant bit. Motorola: `start` is the most significant bit, bits of each byte
    numbered from 7 down to 0 as the message runs on. Raises: ValueError.
    """
    match = _DBC_PLACE.fullmatch(text.replace(" ", ""))
    if not match:
        raise ValueError(f"{text!r} is no DBC place; write 'start|length@order sign', for example '24|16@1-'")
    start, width = int(match["start"]), int(match["length"])
    if not 1 <= width <= 512:
        raise ValueError(f"{text!r}: a signal has 1 to 512 bits")
    signed = match["sign"] == "-"
    if match["order"] == "1":
        return SignalPlace(start // 8, (start + width - 1) // 8, start % 8, width, "little", signed)
    from_top = start - start % 8 + 7 - start % 8
    end = from_top + width - 1
    return SignalPlace(from_top // 8, end // 8, 7 - end % 8, width, "big", signed)


def parse_bits(at: str | int) -> tuple[int, int]:
    """Return (shift, width) of "15:5" or "3". Raises: ValueError."""
    text = str(at).replace(" ", "")
    high, colon, low = text.partition(":")
    if not (high.isascii() and high.isdigit() and (not colon or (low.isascii() and low.isdigit())) and len(text) < 8):
        raise ValueError(f"{at!r} is no bit place; write for example '15:5' or '3'")
    top, bottom = int(high), int(low) if colon else int(high)
    if top < bottom:
        raise ValueError(f"{at!r}: write the higher bit first, '{bottom}:{top}'")
    return bottom, top - bottom + 1


def integer_range(bits: int, *, signed: bool) -> tuple[int, int]:
    """Return the least and greatest raw number."""
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
