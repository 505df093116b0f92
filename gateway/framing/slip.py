"""Layer 2: SLIP: [frame, END and ESC escaped] [END]; an END in front is sent too, it ends the noise before.

Source: RFC 1055.
"""

from __future__ import annotations

from gateway.errors import EncodeError
from gateway.framing.delimited import EMPTY, Delimited, Unwrap
from gateway.framing.seal import Seal

END = b"\xc0"
ESC = b"\xdb"
_ESCAPED_END = b"\xdb\xdc"
_ESCAPED_ESC = b"\xdb\xdd"
_MEANING = {0xDC: END, 0xDD: ESC}


def unescape(piece: bytes) -> bytes | None:
    """Return what `piece` stands for, None where ESC is followed by something that RFC 1055 does not have."""
    first, *rest = piece.split(ESC)
    parts = [first]
    for part in rest:
        meant = _MEANING.get(part[0]) if part else None
        if meant is None:
            return None
        parts += (meant, part[1:])
    return b"".join(parts)


def _unwrapper(seal: Seal | None, max_bytes: int) -> Unwrap:
    open_seal = seal.open if seal else None

    def unwrap(piece: bytes) -> bytes | str:
        if not piece:
            return EMPTY
        if len(piece) > 2 * max_bytes:
            return "too long"
        data = unescape(piece) if ESC in piece else piece
        if data is None:
            return "escape"
        if len(data) > max_bytes:
            return "too long"
        body = open_seal(data) if open_seal else data
        return "check" if body is None else body

    return unwrap


class SlipFramer(Delimited):
    """SLIP frames of at most `max_bytes` (body and check, unescaped). Without a check an empty body is no frame."""

    def __init__(self, max_bytes: int, seal: Seal | None) -> None:
        super().__init__(END, 2 * max_bytes, _unwrapper(seal, max_bytes), vouched=seal is not None)
        self._seal = seal
        self._max_bytes = max_bytes

    def encode(self, body: bytes) -> bytes:
        """Return body and check escaped, between two ENDs. Raises: EncodeError outside 1..max bytes."""
        frame = self._seal.close(body) if self._seal else body
        if not 0 < len(frame) <= self._max_bytes:
            raise EncodeError(f"frame of {len(frame)} bytes is outside 1..{self._max_bytes} (framing.max)")
        return END + frame.replace(ESC, _ESCAPED_ESC).replace(END, _ESCAPED_END) + END
