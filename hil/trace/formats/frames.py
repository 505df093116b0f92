"""CAN frames as python-can has them, as records and back; and channels: N of a log is `canN`, from 0."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from hil.can_bits import STANDARD_MAX
from hil.trace.formats.base import Losses
from hil.trace.formats.candump import BUS_ERROR, ERROR_FLAG, KINDS
from hil.trace.record import Record

LENGTHS: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)  # ISO 11898-1, DLC 0..15
ID_MASK: Final = 0x1FFF_FFFF
_CAN_NAME: Final = re.compile(r"can(\d{1,4}|[1-5]\d{4})").fullmatch  # BLF has 16 bits for it


def record_of(stamp_ns: int, channel: int, message: Any) -> Record:
    """Return the record of a python-can message on a channel from 0."""
    number, is_extended = message.arbitration_id, message.is_extended_id
    is_long = is_extended or number > STANDARD_MAX  # some loggers write long ids that are not extended
    extra: dict[str, Any] = {"id": f"{number:0{8 if is_long else 3}X}"}
    if (is_long or message.is_error_frame) and not is_extended:
        extra["extended"] = False
    data = bytes(message.data)
    kind = "data"
    if message.is_error_frame:
        kind, extra["id"] = "error", f"{number & ID_MASK | ERROR_FLAG:08X}"
    elif message.is_remote_frame:
        kind, extra["dlc"] = "remote", message.dlc
        data = b""
    elif message.is_fd:
        kind = "fd"
    if message.is_fd:
        extra |= {"brs": bool(message.bitrate_switch), "esi": bool(message.error_state_indicator)}
    if kind != "remote" and message.dlc != len(data):
        extra["dlc"] = message.dlc
    return Record(stamp_ns, f"can{channel}", "rx" if message.is_rx else "tx", kind, data.hex(), extra)


class Frame:
    """A record's frame, read for writing."""

    __slots__ = ("brs", "channel", "data", "dlc", "esi", "id", "is_error", "is_extended", "is_fd", "is_remote", "is_rx")

    def __init__(self, record: Record, channel: int) -> None:
        """Raises: ValueError for a record that is no frame."""
        text = record.get("id", f"{ERROR_FLAG:08X}" if record.kind == "error" else None)
        if not isinstance(text, str) or not re.fullmatch(r"[0-9A-Fa-f]{3}|[0-9A-Fa-f]{8}", text):
            raise ValueError(f"{text!r} is no CAN id")
        self.channel = channel
        self.is_error = record.kind == "error"
        self.is_remote = record.kind == "remote"
        self.is_fd = record.kind == "fd" or (self.is_remote and "brs" in record)
        self.is_extended = len(text) == 8 and record.get("extended", True) is not False
        self.id = int(text, 16) & ID_MASK
        self.is_rx = record.dir == "rx"
        self.brs = bool(record.get("brs"))
        self.esi = bool(record.get("esi"))
        self.data = record.payload
        dlc = record.get("dlc")
        self.dlc = len(self.data) if type(dlc) is not int else dlc
        if len(self.data) > (64 if self.is_fd else 8) or not 0 <= self.dlc <= (255 if self.is_error else 64):
            raise ValueError("it has more bytes than a frame holds")

    @property
    def code(self) -> int:
        """The DLC on the wire: the lowest that has room."""
        return next(code for code, length in enumerate(LENGTHS) if length >= self.dlc)


class Channels:
    """Which bus is which channel, from 0: `canN` is N; others get the lowest that is free, and it is told."""

    def __init__(self, buses: Mapping[str, Mapping[str, Any]], losses: Losses) -> None:
        self._losses = losses
        self._taken: dict[str, int] = {}
        for name in sorted(name for name, facts in buses.items() if facts.get("protocol") == "can"):
            if found := _CAN_NAME(name):
                self._taken[name] = int(found[1])

    def of(self, bus: str) -> int:
        """Return a bus's channel."""
        if bus not in self._taken:
            found = _CAN_NAME(bus)
            free = next(n for n in range(len(self._taken) + 1) if n not in self._taken.values())
            self._taken[bus] = int(found[1]) if found else free
            if found is None:
                self._losses.told.append(f"{bus or 'a bus without name'} is channel {free}, which reads as can{free}")
        return self._taken[bus]


def frames_of(
    records: Iterable[Record], channels: Channels, losses: Losses, zero_ns: int
) -> Iterable[tuple[Record, Frame]]:
    """Give the frames among records; what is none, or was before the log's first date, is lost, and counted."""
    for record in records:
        if record.kind not in KINDS or record.dir not in ("rx", "tx"):
            if not (record.kind == "note" and record.get("text") == ""):
                losses.lose(record)
            continue
        try:
            frame = Frame(record, channels.of(record.bus))
        except ValueError:
            losses.lose(record)
            continue
        if record.t_ns < zero_ns:
            losses.lose(record)
            continue
        yield record, frame


def is_detailed(frame: Frame) -> bool:
    """Whether an error frame says more than that there was one."""
    return bool(any(frame.data) or frame.id & ~BUS_ERROR)
