"""Vector's BLF, through python-can: compressed objects with stamps to the nanosecond and a date to the millisecond.

Both ways the stamps go through it as seconds since the file's start: since 1970 a float has no nanoseconds left, and
its writer rounds down, and lets none stand before the first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from gateway.registry import require
from hil.can_bits import CLASSIC_BYTES
from hil.trace.errors import ForeignError
from hil.trace.formats.base import Import, Losses
from hil.trace.formats.frames import Channels, Frame, frames_of, record_of
from hil.trace.formats.lines import messages
from hil.trace.formats.zero import zero_of
from hil.trace.record import Header, Record
from hil.trace.times import HIGHEST_S, NS, ns_of

_SIZE_AT: Final = 16  # [signature:4] [header size:4] [application:4] [versions:4] [file size:8] ...
_MOST_NS: Final = 2**63  # of the 64 bits of a stamp; a float rounds what is near to the last of them up
_EARLIEST_S: Final = 631_152_000  # 1990


def records(reading: Import) -> Iterator[Record]:
    """Give the frames of a file, as python-can reads them."""
    with reading.path.open("rb") as file:
        head = file.read(144)
    if not head.startswith(b"LOGG"):
        raise ForeignError(reading.path, 1, "no BLF file")
    if len(head) < 144:
        raise ForeignError(reading.path, 1, "no whole BLF file: its header is cut off")
    start_ns = 0

    def make(can: Any) -> Any:
        nonlocal start_ns
        reader = can.BLFReader(str(reading.path))
        start_ns = round(reader.start_timestamp * 1000) * 1_000_000
        reader.start_timestamp = 0.0
        return reader

    for _, message in messages(reading, make):
        reading.zero_ns = start_ns
        record = record_of(start_ns + round(message.timestamp * 1e9), max(message.channel or 0, 0), message)
        reading.bus(record.bus, "can")
        yield record
    size, told = reading.path.stat().st_size, struct.unpack_from("<Q", head, _SIZE_AT)[0]
    if size < told and not reading.is_damaged:
        reading.is_damaged = True
        reading.told.append(f"{reading.path}: damaged: {told - size} of its {told} bytes are missing; the rest is used")


def write(path: Path, header: Header, records: Iterable[Record], low_ns: int, losses: Losses) -> None:
    """Write frames."""
    can = require("can", "can")
    zero_ns = zero_of(header, low_ns)
    started_ns = ns_of(header.started)
    if started_ns + zero_ns < _EARLIEST_S * NS:
        zero_ns = -started_ns  # such a date cannot be written: python-can then counts from 1970
    start_s = (started_ns + zero_ns) // 1_000_000 / 1000
    channels = Channels(header.buses, losses)
    last_ns = 0
    with can.BLFWriter(str(path)) as writer:
        writer.start_timestamp = 0.0
        for record, frame in frames_of(records, channels, losses, zero_ns):
            if record.t_ns - zero_ns > _MOST_NS:
                losses.lose(record)
                continue
            if frame.is_error and frame.dlc > CLASSIC_BYTES:
                losses.lose_part("lengths beyond 8 of error frames")
            last_ns = record.t_ns - zero_ns
            writer.on_message_received(_message(can, frame, (last_ns + 0.5) / 1e9))
        writer.start_timestamp, writer.stop_timestamp = start_s, min(start_s + last_ns / 1e9, HIGHEST_S)


def _message(can: Any, frame: Frame, seconds: float) -> Any:
    return can.Message(
        timestamp=seconds,
        arbitration_id=frame.id,
        is_extended_id=frame.is_extended,
        is_remote_frame=frame.is_remote,
        is_error_frame=frame.is_error,
        is_fd=frame.is_fd,
        is_rx=frame.is_rx,
        bitrate_switch=frame.brs,
        error_state_indicator=frame.esi,
        channel=frame.channel,
        dlc=frame.dlc,
        data=frame.data,
    )
