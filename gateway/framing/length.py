"""Layer 2: frames that say their size, and frames that have always the same.

[start] ... [length] ... body ... [check]     kinds `length` and `fixed`; geometry in `layout.py`
"""

from __future__ import annotations

from gateway.framing.layout import Layout, unsigned_type
from gateway.framing.scanner import IMPOSSIBLE, MORE, Scanner
from gateway.framing.spec import Fixed, Length


class LengthFramer(Scanner):
    """Frame size = length field + adds, between the shortest that makes sense and `max`."""

    def __init__(self, spec: Length) -> None:
        self._layout = Layout(spec)
        super().__init__(spec.max, self._layout.start)
        size, self._order = unsigned_type(spec.length.type)
        self._at = spec.length.at
        self._behind = spec.length.at + size
        self._adds = spec.length.adds
        self._holds = self._layout.holds
        self._body_part = self._layout.body_part

    def _size_at(self, data: bytes, place: int) -> int:
        if len(data) < place + self._behind:
            return MORE
        size = int.from_bytes(data[place + self._at : place + self._behind], self._order) + self._adds
        return size if self._layout.shortest <= size <= self.max_frame_bytes else IMPOSSIBLE

    def _body_of(self, frame: bytes) -> bytes | None:
        return frame[self._body_part] if self._holds(frame) else None

    def encode(self, body: bytes) -> bytes:
        """Return the whole frame. Raises: EncodeError if it is longer than `max` or its length field can say."""
        return self._layout.build(body)


class FixedFramer(Scanner):
    """Every frame has `size` bytes."""

    def __init__(self, spec: Fixed) -> None:
        self._layout = Layout(spec)
        super().__init__(spec.size, self._layout.start)
        self._size = spec.size

    def _size_at(self, data: bytes, place: int) -> int:  # noqa: ARG002 - the same everywhere
        return self._size

    def _body_of(self, frame: bytes) -> bytes | None:
        return frame[self._layout.body_part] if self._layout.holds(frame) else None

    def encode(self, body: bytes) -> bytes:
        """Return the whole frame. Raises: EncodeError if the body is not exactly as long as its place."""
        return self._layout.build(body)
