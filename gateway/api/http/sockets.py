"""Layer 7: what one socket may cost: bytes at a turn, crumbs in a body, and time until it takes what it asked for."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import h11

from gateway.api.http.guard import MOST_HEAD_BYTES

STALLED_S: Final = 15.0  # an answer of which a socket takes nothing for so long is not waited for
SIP_BYTES: Final = 512  # taken of one connection in one turn of the loop: what is cut into crumbs takes long to parse
CRUMB_BYTES: Final = 64
CRUMBS_MOST: Final = 1_024  # pieces of a body that are smaller than that

_sip: Final = bytearray(SIP_BYTES)  # one for all: it is empty again before the next connection has its turn


class Progress:
    """Whether a socket takes what waits for it. Pure."""

    def __init__(self) -> None:
        """Begin with nothing that waits."""
        self._waiting = 0
        self._since_s = 0.0

    def is_stalled(self, waiting: int, now_s: float) -> bool:
        """Take how many bytes wait now; return whether none were taken for too long."""
        if waiting == 0 or waiting < self._waiting or self._waiting == 0:
            self._since_s = now_s
        self._waiting = waiting
        return waiting > 0 and now_s - self._since_s >= STALLED_S


class Sips(asyncio.BufferedProtocol):
    """Takes a little at each turn of the loop, however much a client sends: the kernel holds the rest, and others run.

    Goes before a protocol that takes bytes with `data_received`.
    """

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        """Return where the next bytes go."""
        return memoryview(_sip)

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what came."""
        self.data_received(bytes(_sip[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        super().data_received(data)  # type: ignore[misc] # of the protocol behind it


class Counting(h11.Connection):
    """h11 with a limit on crumbs, each of which costs as much as a whole body."""

    def __init__(self) -> None:
        """Begin with none."""
        super().__init__(h11.SERVER, MOST_HEAD_BYTES)
        self._crumbs = 0

    def next_event(self) -> Any:
        """Return what came. Raises: RemoteProtocolError, also for too many crumbs."""
        event = super().next_event()
        if type(event) is h11.Data and len(event.data) < CRUMB_BYTES:
            self._crumbs += 1
            if self._crumbs > CRUMBS_MOST:
                raise h11.RemoteProtocolError("the body comes in too many small pieces")
        elif type(event) is h11.Request:
            self._crumbs = 0
        return event
