"""Layer 6: our side of ISO-TP on one port: flow control for what is sent to us, and sending by theirs.

The id `tx` is ours. As long as another node speaks with it, somebody else is the tester and we only listen. Joining is
`framing/isotp`, what may go when is `framing/isotp_sender`; here are only the turns.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.clock import Clock
from gateway.errors import PortRefusedError, PortTimeoutError
from gateway.frame import CAN_FD
from gateway.framing.isotp import is_first, is_flow_control, is_from_peer, partner_of, start_of
from gateway.framing.isotp_sender import IsoTpSender, flow_control
from gateway.framing.spec import IsoTp
from gateway.port import Port

OTHERS_SPEAK_NS: Final = 10_000_000_000  # for so long after another node used our id we only listen
CLASSIC_BYTES: Final = 8
FD_BYTES: Final = 64
OVERFLOW: Final = 2  # flow status: no room for a message of this size
_NS: Final = 1_000_000_000


class IsoTpLink:
    """What we owe and what we are sending, for one device on one open port."""

    def __init__(self, spec: IsoTp, clock: Clock, *, fd: bool = False) -> None:
        """Take the `[framing]` table; `fd`: every frame goes out as CAN FD, also a short one."""
        self.replies: list[tuple[bytes, int]] = []
        self._spec = spec
        self._clock = clock
        self._flag = CAN_FD if fd else 0
        self._frame_bytes = FD_BYTES if fd else CLASSIC_BYTES
        self._listens_until_ns = 0
        self._sending: tuple[int, IsoTpSender, asyncio.Event] | None = None  # from whom flow control is awaited

    def heard(self, can_id: int, data: bytes) -> None:
        """Take a data frame of the bus: flow control for us, a message to us that waits for ours, or another tester."""
        partner = partner_of(self._spec, can_id)
        if partner is None:
            return
        now_ns = self._clock.monotonic_ns()
        if not is_from_peer(self._spec, can_id):
            self._listens_until_ns = now_ns + OTHERS_SPEAK_NS
            return
        if is_flow_control(data):
            if self._sending is not None and self._sending[0] == can_id:
                self._sending[1].heard(data, now_ns)
                self._sending[2].set()
        elif is_first(data) and now_ns >= self._listens_until_ns:
            start = start_of(data)
            if start is not None:
                status = 0 if start.size <= self._spec.max else OVERFLOW
                self.replies.append((flow_control(status), partner | self._flag))

    async def send(self, port: Port, body: bytes, can_id: int) -> None:
        """Send one whole message with `can_id`, as fast as its receiver allows.

        Raises: PortTimeoutError without flow control, PortRefusedError when the receiver has no room, EncodeError for a
        body that is no message, and what the port's write raises.
        """
        clock = self._clock
        sender = IsoTpSender(body, clock.monotonic_ns(), frame_bytes=self._frame_bytes)
        news = asyncio.Event()
        answers = partner_of(self._spec, can_id)
        if answers is not None:
            self._sending = answers, sender, news
        try:
            while sender.wake_ns is not None:
                for frame in sender.due(clock.monotonic_ns()):
                    await port.write(frame, can_id | self._flag)
                sender.sent(clock.monotonic_ns())
                news.clear()
                await self._pause(sender, news)
        finally:
            self._sending = None
        if sender.state == "failed":
            if sender.reason == "timeout":
                raise PortTimeoutError(port.name, "the receiver of a segmented message gave no flow control")
            raise PortRefusedError(port.name, f"the receiver broke off a segmented message ({sender.reason})")

    async def _pause(self, sender: IsoTpSender, news: asyncio.Event) -> None:
        """Wait until the sender has something to say, or flow control came."""
        if sender.wake_ns is None:
            return
        left_s = (sender.wake_ns - self._clock.monotonic_ns()) / _NS
        if left_s <= 0:
            return
        try:
            async with asyncio.timeout(left_s):
                await news.wait()
        except TimeoutError:
            pass
