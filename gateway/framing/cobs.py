"""Layer 2: Consistent Overhead Byte Stuffing: [stuffed frame, no zero in it] [00].

Source: Cheshire and Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM Transactions on Networking 7 (1999) 2.
"""

from __future__ import annotations

from collections.abc import Callable
from types import BuiltinFunctionType

from gateway.errors import EncodeError
from gateway.framing.delimited import EMPTY, Delimited, Unwrap
from gateway.framing.seal import Seal


def stuff(data: bytes) -> bytes:
    """Return `data` without zeros, one byte longer plus one per 254."""
    out = bytearray()
    blocks = data.split(b"\0")
    for index, block in enumerate(blocks):
        start = 0
        while len(block) - start >= 254:
            out.append(0xFF)
            out += block[start : start + 254]
            start += 254
        if start and start == len(block) and index == len(blocks) - 1:
            break  # a full block at the very end needs no code behind it
        out.append(len(block) - start + 1)
        out += block[start:]
    return bytes(out)


def unstuff(piece: bytes) -> bytes | None:
    """Return the data that `piece` (no zero in it, not empty) stands for, or None if it stands for none."""
    size = len(piece)
    if size < 255:  # no code can be 255: every code stands where a zero was
        data = bytearray(piece)
        place = data[0]
        while place < size:
            step = data[place]
            data[place] = 0
            place += step
        return bytes(data)[1:] if place == size else None
    return _unstuff_long(piece)


def _unstuff_long(piece: bytes) -> bytes | None:
    blocks = []
    place, size = 0, len(piece)
    while place < size:
        code = piece[place]
        blocks.append(piece[place + 1 : place + code])
        place += code
        if code < 255 and place < size:
            blocks.append(b"\0")
    return b"".join(blocks) if place == size else None


def library_unstuff() -> Callable[[bytes], bytes | None] | None:
    """Return the `cobs` package's decoder where it is the C one (0.03 us a frame); its Python one is slower."""
    try:
        from cobs import cobs
    except ImportError:
        return None
    if not isinstance(cobs.decode, BuiltinFunctionType):
        return None
    decode, decode_error = cobs.decode, cobs.DecodeError

    def unstuff_in_c(piece: bytes) -> bytes | None:
        try:
            data: bytes = decode(piece)
        except decode_error:
            return None
        return data

    return unstuff_in_c


def _unwrapper(seal: Seal | None, max_bytes: int, max_piece_bytes: int) -> Unwrap:
    in_c = library_unstuff()
    if seal and seal.residue is not None and not seal.start and not in_c:
        return _fused(seal, max_bytes, max_piece_bytes)
    unstuff_fast = in_c or unstuff
    open_seal = seal.open if seal else None

    def unwrap(piece: bytes) -> bytes | str:
        if not piece:
            return EMPTY
        data = unstuff_fast(piece) if len(piece) <= max_piece_bytes else b""
        if data is None:
            return "encoding"
        if len(data) > max_bytes or len(piece) > max_piece_bytes:
            return "too long"
        body = open_seal(data) if open_seal else data
        return "check" if body is None else body

    return unwrap


def _fused(seal: Seal, max_bytes: int, max_piece_bytes: int) -> Unwrap:
    """Return unstuffing and checking in one function: a call saved is a tenth of the whole cost."""
    compute, residue, check_size, shortest = seal.compute, seal.residue, seal.size, seal.shortest
    short = min(255, max_bytes + 1)

    def unwrap(piece: bytes) -> bytes | str:
        size = len(piece)
        if not 0 < size < short:
            return unwrap_long(piece) if piece else EMPTY
        data = bytearray(piece)
        place = data[0]
        while place < size:
            step = data[place]
            data[place] = 0
            place += step
        if place != size:
            return "encoding"
        del data[0]
        if compute(data) != residue or size <= shortest:
            return "check"
        return bytes(data[:-check_size])

    def unwrap_long(piece: bytes) -> bytes | str:
        data = unstuff(piece) if len(piece) <= max_piece_bytes else b""
        if data is None:
            return "encoding"
        if len(data) > max_bytes or len(piece) > max_piece_bytes:
            return "too long"
        body = seal.open(data)
        return "check" if body is None else body

    return unwrap


class CobsFramer(Delimited):
    """COBS frames of at most `max_bytes` (body and check, unstuffed). Without a check an empty body is legal."""

    def __init__(self, max_bytes: int, seal: Seal | None) -> None:
        max_piece_bytes = max_bytes + max_bytes // 254 + 1
        unwrap = _unwrapper(seal, max_bytes, max_piece_bytes)
        super().__init__(b"\0", max_piece_bytes, unwrap, vouched=seal is not None)
        self._seal = seal
        self._max_bytes = max_bytes

    def encode(self, body: bytes) -> bytes:
        """Return body and check stuffed, and the zero. Raises: EncodeError if it is longer than `max`."""
        frame = self._seal.close(body) if self._seal else body
        if len(frame) > self._max_bytes:
            raise EncodeError(f"frame of {len(frame)} bytes is longer than framing.max = {self._max_bytes}")
        return stuff(frame) + b"\0"
