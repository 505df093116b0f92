"""What the fault `tx_full` is to who sends a frame, on whatever rig."""

from __future__ import annotations

import errno
from collections.abc import Callable

from hil.can_frames import Frame
from hil.faults.faults import Faults
from hil.rigs.base import TxFullError


def need_room(faults: Faults, bus: str, frame: Frame, note: Callable[[str], None]) -> None:
    """Raise TxFullError (ENOBUFS) where the queue is full for this frame, having noted that in the trace."""
    if faults.passing(bus, frame.data, ("tx_full",)):
        note(f"no room for {frame}")
        raise TxFullError(errno.ENOBUFS, f"{bus}: no room in the queue (tx_full); end the fault, or send later")
