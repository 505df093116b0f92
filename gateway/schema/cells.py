"""Layer 2: one value to the cell that construct builds: a raw number within its type, or bytes of the right length."""

from __future__ import annotations

import struct
from typing import Any

from gateway.errors import EncodeError
from gateway.schema.layout import Leaf
from gateway.schema.types import integer_range


class RawNumber(int):
    """A number as it stands on the wire, in place of a value: neither scaled nor held against limits and sentinels."""


def cell_of(leaf: Leaf, value: Any, *, raw: bool = False) -> Any:
    """Return the cell of one element; `raw`: the value is a wire number already. Raises: EncodeError."""
    name = leaf.name or "a constant"
    number: Any = value if raw else leaf.meaning.raw_of(value, name)
    if leaf.kind == "bytes":
        return _sized(leaf, number, name, pad=False)
    if leaf.kind == "text":
        try:
            return _sized(leaf, number.encode(), name, pad=True)
        except UnicodeEncodeError:
            raise EncodeError(f"{name}: {value!r} cannot be written as UTF-8") from None
    if leaf.kind == "bcd":
        return _bcd(leaf, number, name)
    if leaf.kind == "ascii":
        return _ascii(leaf, number, name)
    if leaf.kind == "float":
        return _float(leaf, number, value, name, raw=raw)
    return _integer(leaf, number, value, name)


def zero_cell(leaf: Leaf) -> Any:
    """Return the cell of a layout-only field: its constant, else zeros. An open list or length is empty."""
    if leaf.array is not None:
        one = _zero(leaf) if leaf.array else None
        return [one] * (leaf.array if isinstance(leaf.array, int) else 0)
    return _zero(leaf)


def _zero(leaf: Leaf) -> Any:
    if leaf.const is not None:
        return cell_of(leaf, leaf.const, raw=True)
    if leaf.kind in {"bytes", "text", "bcd", "ascii"}:
        return bytes(leaf.length if isinstance(leaf.length, int) else 0)
    return 0.0 if leaf.kind == "float" else 0


def _integer(leaf: Leaf, number: Any, value: Any, name: str) -> int:
    bits = leaf.width or 8 * (leaf.size or 1)
    least, greatest = integer_range(bits, signed=leaf.signed)
    if not isinstance(number, int) or not least <= number <= greatest:
        low, high = sorted((leaf.meaning.scaled(least), leaf.meaning.scaled(greatest)))
        raise EncodeError(f"{name}: {value!r} does not fit; it can be written from {low} to {high}")
    return int(number)


def _float(leaf: Leaf, number: float, value: Any, name: str, *, raw: bool) -> float:
    size = leaf.width // 8 or leaf.size or 8
    code = {2: "<e", 4: "<f", 8: "<d"}[size]
    try:
        written: float = struct.unpack(code, struct.pack(code, number))[0]
    except (OverflowError, struct.error):
        raise EncodeError(f"{name}: {value!r} does not fit a float of {8 * size} bits") from None
    if written - written != 0:
        raise EncodeError(f"{name}: {value!r} does not fit a float of {8 * size} bits")
    if not raw and value is not None and written in leaf.meaning.invalid:
        raise EncodeError(f"{name}: {value!r} would be written as the `invalid` mark")
    return written


def _sized(leaf: Leaf, data: bytes, name: str, *, pad: bool) -> bytes:
    if leaf.length == "null" and b"\0" in data:
        raise EncodeError(f"{name}: a NUL-terminated field cannot hold a NUL")
    if not isinstance(leaf.length, int):
        return data
    if len(data) > leaf.length or (len(data) < leaf.length and not pad):
        raise EncodeError(f"{name}: {len(data)} bytes given, the field has {leaf.length}")
    return data.ljust(leaf.length, b"\0")


def _bcd(leaf: Leaf, number: Any, name: str) -> bytes:
    digits = str(number)
    if not digits.isdigit():
        raise EncodeError(f"{name}: {number!r} has no decimal digits")
    wide = 2 * leaf.length if isinstance(leaf.length, int) else len(digits) + len(digits) % 2
    if len(digits) > wide:
        raise EncodeError(f"{name}: {number!r} has more than {wide} digits")
    return bytes.fromhex(digits.zfill(wide))


def _ascii(leaf: Leaf, number: float, name: str) -> bytes:
    text = repr(number)
    if not isinstance(leaf.length, int):
        return text.encode()
    if len(text) > leaf.length and isinstance(number, float):
        text = next((short for digits in range(16, 0, -1) if len(short := f"{number:.{digits}g}") <= leaf.length), text)
    if len(text) > leaf.length:
        raise EncodeError(f"{name}: {number!r} needs {len(text)} characters, the field has {leaf.length}")
    return text.rjust(leaf.length, "0" if number >= 0 else " ").encode()
