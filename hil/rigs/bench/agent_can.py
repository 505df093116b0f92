"""A CAN bus of a bench that hangs on another machine.

An agent tells of a frame its id with the kernel's flags and its data: a frame of up to 8 bytes counts as a classic one,
a longer one as FD with both rates.
"""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import NoReturn

from gateway.frame import CAN_ERROR, CAN_EXTENDED, CAN_FD, CAN_ID_MASK, CAN_REMOTE
from hil.agent.client import Received
from hil.can_bits import CLASSIC_BYTES
from hil.can_frames import Frame
from hil.rigs.base import RigError, TxFullError
from hil.rigs.bench.agent_wire import AgentWire
from hil.rigs.bench.can_wire import interface_of, speaks_kernel
from hil.rigs.bench.wire import leased


class AgentCanWire(AgentWire):
    """A bus, as `CanWire` is one."""

    def __init__(self, name: str, agent: str, receive: Callable[[Frame, int], None]) -> None:
        """Take who gets frames, too, with their stamps on this machine's monotonic clock."""
        super().__init__(name, agent)
        self._receive = receive

    @property
    def has_kernel_errors(self) -> bool:
        """Whether its error frames are those of linux/can/error.h."""
        return self.stream is not None and speaks_kernel(interface_of(self.stream.port))

    @leased
    def send(self, frame: Frame, sent: Callable[[int], None] = lambda _at_ns: None) -> None:
        """Send one frame; `sent` hears when. Raises: LeaseLostError, RigLostError, TxFullError, RigError."""
        if frame.esi or frame.brs != frame.fd:
            self._cannot(f"send {frame} with esi = {frame.esi}, brs = {frame.brs}")
        with self.asking() as stream:
            try:
                data = bytes(frame.dlc) if frame.remote else frame.data
                stream.write(data, _address_of(frame), taken=lambda agent_ns: sent(self.stamp_ns(agent_ns)))
            except TimeoutError as error:
                raise TxFullError(errno.ENOBUFS, f"{self.name} ({self.identity}): {error}") from error

    def restart(self, *, is_off: bool) -> None:
        """Refuse. Raises: RigError."""
        del is_off
        self._cannot("restart a controller")

    def _cannot(self, what: str) -> NoReturn:
        raise RigError(f"{self.name} ({self.identity}) is behind an agent, which does not {what}")

    def _take(self, record: Received, stamp_ns: int) -> None:
        if isinstance(record.address, int):
            self._receive(_frame_of(record.address, record.payload), stamp_ns)


def _address_of(frame: Frame) -> int:
    flags = (CAN_EXTENDED if frame.extended else 0) | (CAN_REMOTE if frame.remote else 0) | (CAN_FD if frame.fd else 0)
    return frame.id | flags


def _frame_of(address: int, payload: bytes) -> Frame:
    is_remote, is_fd = bool(address & CAN_REMOTE), len(payload) > CLASSIC_BYTES
    return Frame(
        address & CAN_ID_MASK,
        b"" if is_remote else payload,
        bool(address & CAN_EXTENDED) and not address & CAN_ERROR,
        error=bool(address & CAN_ERROR),
        fd=is_fd,
        remote=is_remote,
        brs=is_fd,
        dlc=len(payload),
    )
