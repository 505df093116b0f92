"""Layer 2: byte-stuffed HDLC as PPP uses it: [7e] [frame, escaped] [check, escaped] [7e].

7d escapes: the byte behind it is xor 20. Two frames may share a flag. Address and control bytes belong to the body.

Source: RFC 1662 sections 3.1, 4.2 and appendix C. SHDLC is the same with one check byte, the inverted sum.
"""

from __future__ import annotations

from gateway.errors import EncodeError
from gateway.framing.checks import check_of
from gateway.framing.delimited import EMPTY, Delimited, Unwrap
from gateway.framing.seal import Seal, seal_of
from gateway.framing.spec import Hdlc

FLAG = b"\x7e"
ESCAPE = b"\x7d"
_FCS_KIND = {16: "crc-16-ibm-sdlc", 32: "crc-32-iso-hdlc"}  # both sent low byte first


def unescape(piece: bytes) -> bytes | None:
    """Return what `piece` stands for, None where an escape has nothing behind it (an aborted frame)."""
    first, *rest = piece.split(ESCAPE)
    parts = [first]
    for part in rest:
        if not part:
            return None
        parts.append(bytes((part[0] ^ 0x20,)))
        parts.append(part[1:])
    return b"".join(parts)


def _unwrapper(seal: Seal, max_bytes: int) -> Unwrap:
    open_seal = seal.open

    def unwrap(piece: bytes) -> bytes | str:
        if not piece:
            return EMPTY
        if len(piece) > 2 * max_bytes:
            return "too long"
        data = unescape(piece) if ESCAPE in piece else piece
        if data is None:
            return "escape"
        if len(data) > max_bytes:
            return "too long"
        body = open_seal(data)
        return "check" if body is None else body

    return unwrap


def hdlc_seal(spec: Hdlc) -> Seal:
    """Return the seal of `fcs` (16 where nothing is written) or of `check`."""
    return seal_of(spec.check) or Seal(check_of(_FCS_KIND[spec.fcs or 16]), order="little")


class HdlcFramer(Delimited):
    """HDLC frames of at most `max` bytes (body and check, unescaped)."""

    def __init__(self, spec: Hdlc) -> None:
        self._seal = hdlc_seal(spec)
        self._max_bytes = spec.max
        super().__init__(FLAG, 2 * spec.max, _unwrapper(self._seal, spec.max), vouched=True)

    def encode(self, body: bytes) -> bytes:
        """Return body and check escaped, between two flags. Raises: EncodeError if it is longer than `max`."""
        frame = self._seal.close(body)
        if len(frame) > self._max_bytes:
            raise EncodeError(f"frame of {len(frame)} bytes is longer than framing.max = {self._max_bytes}")
        return FLAG + frame.replace(ESCAPE, b"\x7d\x5d").replace(FLAG, b"\x7d\x5e") + FLAG
