"""Layer 2: sending one message by ISO 15765-2: which frames may go now, by the receiver's flow control. No I/O.

A driver gives what it hears and the time, and writes what it gets: `due`, then sleep until `wake_ns` or a frame comes.

Source: ISO 15765-2:2016, 9.6.5 (flow control), table 18 (timers).
"""

from __future__ import annotations

from typing import Final, Literal

from gateway.errors import EncodeError
from gateway.framing.isotp import segments

State = Literal["waiting", "sending", "done", "failed"]

_N_BS_NS: Final = 1_000_000_000  # longest wait for flow control
_MAX_WAITS: Final = 16  # flow controls in a row that only ask for patience
_MS: Final = 1_000_000
_CLEAR, _WAIT, _OVERFLOW = range(3)


class IsoTpSender:
    """One message on its way out. `state` says how far it is, `reason` why it failed."""

    def __init__(self, body: bytes, now_ns: int, *, frame_bytes: int = 8, padding: int | None = 0xCC) -> None:
        """Take the whole message. Raises: EncodeError as `segments` does."""
        self._frames = segments(body, frame_bytes=frame_bytes, padding=padding)
        self._next = 0
        self._left_in_block = 1  # the first frame needs nobody's leave
        self._gap_ns = 0
        self._is_pacing = False  # the next frame is due a gap after one that is being written
        self._waits = 0
        self.state: State = "sending"
        self.reason = ""
        self.wake_ns: int | None = now_ns
        """When `due` has something to say again; None: never."""

    def due(self, now_ns: int) -> list[bytes]:
        """Return the frames to write now, in order; fails with "timeout" when no flow control came in time."""
        if self.wake_ns is None or now_ns < self.wake_ns:
            return []
        if self.state == "waiting":
            self._fail("timeout")
            return []
        frames: list[bytes] = []
        while self.state == "sending" and (self._gap_ns == 0 or not frames):
            frames.append(self._frames[self._next])
            self._next += 1
            self._left_in_block -= 1
            if self._next == len(self._frames):
                self.state, self.wake_ns = "done", None
            elif self._left_in_block == 0:
                self.state, self.wake_ns = "waiting", now_ns + _N_BS_NS
            else:
                self.wake_ns = now_ns + self._gap_ns
        self._is_pacing = self.state == "sending"
        return frames

    def sent(self, now_ns: int) -> None:
        """Take when what was due had been written: the gap to the next frame begins there, not where writing began."""
        if self._is_pacing:
            self.wake_ns, self._is_pacing = now_ns + self._gap_ns, False

    def heard(self, frame: bytes, now_ns: int) -> None:
        """Take a frame of the receiver; what is no flow control, or not waited for, changes nothing."""
        if self.state != "waiting" or len(frame) < 3 or frame[0] >> 4 != 3:
            return
        status = frame[0] & 0xF
        if status == _CLEAR:
            self._waits = 0
            self._left_in_block = frame[1] or len(self._frames)
            self._gap_ns = separation_ns(frame[2])
            self.state, self.wake_ns = "sending", now_ns
        elif status == _WAIT and self._waits < _MAX_WAITS:
            self._waits += 1
            self.wake_ns = now_ns + _N_BS_NS
        else:
            self._fail({_WAIT: "too many waits", _OVERFLOW: "overflow"}.get(status, "flow status"))

    def _fail(self, reason: str) -> None:
        self.state, self.reason, self.wake_ns = "failed", reason, None


def separation_ns(code: int) -> int:
    """Return the time that STmin asks for between two frames; a reserved code means the longest, 127 ms."""
    if code <= 0x7F:
        return code * _MS
    return (code - 0xF0) * _MS // 10 if 0xF1 <= code <= 0xF9 else 127 * _MS


def flow_control(status: int = _CLEAR, *, block: int = 0, separation_ms: int = 0, padding: int | None = 0xCC) -> bytes:
    """Return the frame with which a receiver answers: 0 go on, 1 wait, 2 no room; `block` 0: no further one follows.

    Raises: EncodeError outside what a byte holds.
    """
    if status not in {_CLEAR, _WAIT, _OVERFLOW} or not 0 <= block <= 0xFF or not 0 <= separation_ms <= 0x7F:
        raise EncodeError(f"no flow control: status {status}, block {block}, {separation_ms} ms")
    frame = bytes((0x30 | status, block, separation_ms))
    return frame if padding is None else frame.ljust(8, bytes((padding,)))
