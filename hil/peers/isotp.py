"""A device's side of ISO-TP: joins what is sent to it, with flow control of its own, and sends as the host's allows.

Pure: frames and the time come in, frames go out. The law of both halves is the gateway's (`gateway.framing`).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from gateway.frame import Garbage
from gateway.framing.isotp import IsoTpJoiner, IsoTpPdu, is_first, is_flow_control, partner_of, start_of
from gateway.framing.isotp_sender import IsoTpSender, flow_control
from gateway.framing.spec import IsoTp
from hil.peers.wire import Said

CLASSIC_BYTES: Final = 8
FD_BYTES: Final = 64
CLEAR, WAIT, OVERFLOW = range(3)  # flow status

Spoil = Callable[[int, bytes], bytes | None]


class IsoTpNode:
    """One node. `failed`: messages of either direction that did not come through, by reason."""

    def __init__(self, spec: IsoTp, *, fd: bool = False) -> None:
        self.failed: Counter[str] = Counter()
        self.spoil: Spoil = _as_it_is  # frame by number, 0 the first, as it goes out; None: it is lost
        self._spec = spec
        self._frame_bytes = FD_BYTES if fd else CLASSIC_BYTES
        self._joiner = IsoTpJoiner(spec)
        self._flow = flow_control()
        self._status, self._block = CLEAR, 0
        self._heard_in_block = 0
        self._waiting: deque[tuple[bytes, int]] = deque()  # bodies, and the ids that they go out with
        self._sending: tuple[IsoTpSender, int] | None = None
        self._sent = 0  # frames of that

    def demand(self, *, block: int = 0, separation_ms: int = 0, status: int = CLEAR) -> None:
        """Answer first frames so from now on. Raises: EncodeError outside what a byte holds."""
        self._flow = flow_control(status, block=block, separation_ms=separation_ms)
        self._status, self._block = status, block

    def hear(self, can_id: int, data: bytes, now_ns: int) -> tuple[list[bytes], list[Said]]:
        """Take a frame of the host; return the messages that it completes, and flow control for it."""
        partner = partner_of(self._spec, can_id)
        if partner is None:  # a request to all: one frame
            start = start_of(data) if data else None
            return [start.data] if start is not None and start.size == len(start.data) else [], []
        if is_flow_control(data):
            if self._sending is not None:
                self._sending[0].heard(data, now_ns)
            return [], []
        start = start_of(data) if is_first(data) else None
        if start is not None and (self._status == OVERFLOW or start.size > self._spec.max):
            self.failed["no room"] += 1
            return [], [Said(flow_control(OVERFLOW), partner)]
        joined = self._joiner.feed(can_id, data, now_ns)
        self.failed.update(each.reason for each in joined if isinstance(each, Garbage))
        bodies = [each.payload for each in joined if isinstance(each, IsoTpPdu)]
        goes_on = start is not None or not joined
        return bodies, self._answered(data, partner) if goes_on else []

    def send(self, body: bytes, can_id: int) -> None:
        """Say a message, after those that are under way."""
        self._waiting.append((body, can_id))

    def due(self, now_ns: int) -> list[Said]:
        """Return the frames that may go now."""
        frames: list[Said] = []
        while self._begin(now_ns):
            assert self._sending is not None
            sender, can_id = self._sending
            for frame in sender.due(now_ns):
                spoilt = self.spoil(self._sent, frame)
                self._sent += 1
                if spoilt is not None:
                    frames.append(Said(spoilt, can_id))
            if sender.wake_ns is not None:
                break
            if sender.state == "failed":
                self.failed[sender.reason] += 1
            self._sending = None
        return frames

    @property
    def wake_ns(self) -> int | None:
        """When `due` has something to say again, or to give up; None: never."""
        return None if self._sending is None else self._sending[0].wake_ns

    def forget(self) -> None:
        """Break off everything: it has lost its power."""
        self._sending = None
        self._waiting.clear()
        self._joiner.gap()

    def _begin(self, now_ns: int) -> bool:
        """Return whether a message is under way, beginning the next one if there is one."""
        if self._sending is None and self._waiting:
            body, can_id = self._waiting.popleft()
            self._sending = IsoTpSender(body, now_ns, frame_bytes=self._frame_bytes), can_id
            self._sent = 0
        return self._sending is not None

    def _answered(self, data: bytes, partner: int) -> list[Said]:
        """Return the flow control after a frame of a message that goes on."""
        if is_first(data):
            self._heard_in_block = 0
            return [Said(self._flow, partner)]
        self._heard_in_block += 1
        if self._block and self._heard_in_block == self._block:
            self._heard_in_block = 0
            return [Said(self._flow, partner)]
        return []


def _as_it_is(_number: int, frame: bytes) -> bytes:
    return frame
