"""Layer 2: where start, length, check and body stand in a frame of the kinds `length` and `fixed`.

What is wrong with such a description is found by `rules.py`; here it is taken to be right.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from gateway.errors import EncodeError, UsageError
from gateway.framing.checks import check_of
from gateway.framing.seal import residue_of
from gateway.framing.spec import CheckSpec, Fixed, Length, LengthField

_SLICE: Final = re.compile(r"\s*(-?[0-9]{1,9})?\s*:\s*(-?[0-9]{1,9})?\s*")
_UNSIGNED: Final = re.compile(r"u(8|16|24|32|40|48|56|64)(be|le)?")

Order = Literal["big", "little"]


class UnsignedType(NamedTuple):
    """An unsigned integer on the wire."""

    size: int  # bytes
    order: Order


def unsigned_type(text: str) -> UnsignedType:
    """Return what "u8", "u16be", "u24le" says. Raises: UsageError."""
    match = _UNSIGNED.fullmatch(text)
    if not match or (match[1] != "8" and not match[2]):
        raise UsageError(f"{text!r} is no unsigned integer type; write for example 'u8', 'u16be', 'u16le'")
    return UnsignedType(int(match[1]) // 8, "little" if match[2] == "le" else "big")


def body_slice(text: str) -> tuple[int, int | None]:
    """Return (A, B) of "A:B"; B None = to the end. Raises: UsageError."""
    match = _SLICE.fullmatch(text)
    if not match:
        raise UsageError(f"{text!r} is no slice; write for example '4:-2', '2:' or ':-1'")
    return int(match[1] or 0), int(match[2]) if match[2] is not None else None


class CheckPlace(NamedTuple):
    """A checksum inside a frame."""

    size: int
    at: int | None  # None: the last bytes
    start: int  # first byte vouched for
    order: Order

    def first(self, frame_size: int) -> int:
        """Return the index of the check's first byte."""
        if self.at is None:
            return frame_size - self.size
        return self.at if self.at >= 0 else frame_size + self.at


def check_place(spec: CheckSpec | None) -> CheckPlace | None:
    """Return where the check that `spec` describes stands. Raises: UsageError for an unknown checksum."""
    return CheckPlace(check_of(spec.kind).size, spec.at, spec.from_, spec.order) if spec else None


def default_body(start: bytes, check: CheckPlace | None) -> tuple[int, int | None]:
    """Return the slice meant where none is written: after `start`, before the check."""
    if check is None:
        return len(start), None
    return len(start), -check.size if check.at is None else check.at


def shortest_frame(
    start: bytes, length: LengthField | None, check: CheckPlace | None, body: tuple[int, int | None]
) -> int:
    """Return the smallest size at which start, length, check and an empty body all have room."""
    needs = [1, len(start), body[0] if body[0] >= 0 else -body[0]]
    if body[1] is not None:
        needs.append(max(body[0], 0) - body[1] if body[1] < 0 else body[1])
    if length:
        needs.append(length.at + unsigned_type(length.type).size)
    if check:
        before = max(check.start, len(start), length.at + unsigned_type(length.type).size if length else 0)
        if check.at is None:
            needs.append(before + check.size)
        else:
            needs.append(-check.at + check.start if check.at < 0 else check.at + check.size)
    return max(needs)


class Layout:
    """The geometry of one `length` or `fixed` framing, ready to verify and to build frames."""

    def __init__(self, spec: Length | Fixed) -> None:
        self.start = bytes.fromhex(spec.start or "")
        self.max_bytes = spec.max
        self.fixed_size = spec.size if isinstance(spec, Fixed) else None
        self.length = spec.length if isinstance(spec, Length) else None
        self.check = check_place(spec.check)
        self.compute = check_of(spec.check.kind).compute if spec.check else None
        self.body = body_slice(spec.body) if spec.body is not None else default_body(self.start, self.check)
        self.body_part = slice(*self.body)
        self.shortest = shortest_frame(self.start, self.length, self.check, self.body)
        self._residue: int | None = None
        if self.check and self.compute and self.check.at in {None, -self.check.size}:
            self._residue = residue_of(self.compute, self.check.size, self.check.order)

    def holds(self, frame: bytes) -> bool:
        """Return whether the check vouches for `frame`; without a check always."""
        if self.check is None or self.compute is None:
            return True
        if self._residue is not None:
            return self.compute(frame[self.check.start :] if self.check.start else frame) == self._residue
        first = self.check.first(len(frame))
        sent = int.from_bytes(frame[first : first + self.check.size], self.check.order)
        return self.compute(frame[self.check.start : first]) == sent

    def build(self, body: bytes) -> bytes:
        """Return the whole frame around `body`. Raises: EncodeError where it has no room."""
        size = self._size_for(body)
        frame = bytearray(size)
        frame[self.body_part] = body
        if len(frame) != size:
            room = len(range(size)[self.body_part])
            raise EncodeError(f"body of {len(body)} bytes does not fit: a frame of {size} bytes has room for {room}")
        frame[: len(self.start)] = self.start
        if self.length:
            self._write_length(frame, self.length)
        if self.check and self.compute:
            first = self.check.first(size)
            number = self.compute(bytes(frame[self.check.start : first]))
            frame[first : first + self.check.size] = number.to_bytes(self.check.size, self.check.order)
        return bytes(frame)

    def _size_for(self, body: bytes) -> int:
        if self.fixed_size is not None:
            return self.fixed_size
        size = self.body[0] + len(body) - (self.body[1] or 0)
        if not self.shortest <= size <= self.max_bytes:
            raise EncodeError(f"frame of {size} bytes is outside {self.shortest}..{self.max_bytes} (framing.max)")
        return size

    @staticmethod
    def _write_length(frame: bytearray, field: LengthField) -> None:
        size, order = unsigned_type(field.type)
        try:
            frame[field.at : field.at + size] = (len(frame) - field.adds).to_bytes(size, order)
        except OverflowError as error:
            raise EncodeError(f"frame of {len(frame)} bytes: its size does not fit into {field.type}") from error
