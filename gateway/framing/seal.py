"""Layer 2: a checksum at the end of a frame: opened on the way in, closed on the way out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from gateway.errors import EncodeError
from gateway.framing.checks import Check, Compute, check_of
from gateway.framing.spec import CheckSpec

_SAMPLES = (b"", b"\x00", b"\x01", b"123456789", b"\xff\x00\x80", bytes(range(7, 250, 11)), b"tidegate" * 5)


def residue_of(compute: Compute, size: int, order: Literal["big", "little"]) -> int | None:
    """Return what the checksum of data followed by its own checksum always is, or None where that varies.

    CRCs sent in their natural order, xor and two's complement sums have such a number: verifying is one call then.
    """
    seen = {compute(data + compute(data).to_bytes(size, order)) for data in _SAMPLES}
    return seen.pop() if len(seen) == 1 else None


class Seal:
    """The last bytes of a frame vouch for those from `start` on."""

    def __init__(self, check: Check, start: int = 0, order: Literal["big", "little"] = "big") -> None:
        self.size = check.size
        self.start = start
        self.compute = check.compute
        self.order: Literal["big", "little"] = order
        self.shortest = max(check.size, start + check.size)
        self.residue = residue_of(check.compute, check.size, order)
        self.open: Callable[[bytes], bytes | None] = self._open_by_residue if self.residue is not None else self._open

    def _open(self, frame: bytes) -> bytes | None:
        """Return the bytes before the check, or None where it does not hold."""
        end = len(frame) - self.size
        if len(frame) < self.shortest:
            return None
        vouched = self.compute(frame[self.start : end])
        return frame[:end] if vouched == int.from_bytes(frame[end:], self.order) else None

    def _open_by_residue(self, frame: bytes) -> bytes | None:
        if len(frame) < self.shortest or self.compute(frame[self.start :]) != self.residue:
            return None
        return frame[: -self.size]

    def close(self, body: bytes) -> bytes:
        """Return `body` with its check behind. Raises: EncodeError where the body ends before the check begins."""
        if len(body) < self.start:
            raise EncodeError(f"a body of {len(body)} bytes ends before its check begins, check.from = {self.start}")
        return body + self.compute(body[self.start :]).to_bytes(self.size, self.order)


def seal_of(spec: CheckSpec | None) -> Seal | None:
    """Return the seal that `spec` describes; `at` other than the frame's end is refused by `rules.py`."""
    return Seal(check_of(spec.kind), spec.from_, spec.order) if spec else None
