"""Vector's ASC: text with a date to the millisecond and stamps to the microsecond.

python-can reads it; its writer lays the date at the first frame's millisecond without zeros in front (5 ms are 500),
in the language of the locale, and stamps from the first frame instead, so writing is ours. A date is local time, as
python-can has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from hil.trace.errors import ForeignError
from hil.trace.formats.base import Import, Losses
from hil.trace.formats.frames import Channels, Frame, frames_of, is_detailed, record_of
from hil.trace.formats.lines import CountedLines, messages
from hil.trace.formats.zero import zero_of
from hil.trace.record import Header, Record
from hil.trace.times import NS, ns_of

_FRAME_LINE: Final = re.compile(r"\s*\d+\.\d+\s+(?:\d+\s+(?:\w+\s+(?:Tx|Rx)|ErrorFrame)|CANFD)", re.IGNORECASE).match
_ANY_LINE: Final = re.compile(r"\s*(?:date|base|begin\s+triggerblock|//|\d+\.\d+)\b", re.IGNORECASE).match
_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def records(reading: Import) -> Iterator[Record]:
    """Give the frames of a file, as python-can reads them."""
    with reading.path.open("rb") as file:
        head = file.read(4096).decode(errors="replace")
    if head and not any(map(_ANY_LINE, head.splitlines())):
        raise ForeignError(reading.path, 1, "no ASC log: no line such as `date ...` or `base hex timestamps absolute`")
    count = 0
    with CountedLines(reading.path, lambda line: _FRAME_LINE(line) is not None) as lines:
        for reader, message in messages(reading, lambda can: can.ASCReader(lines, relative_timestamp=False)):
            count += 1
            start_ns = round(reader.start_time * 1000) * 1_000_000
            if reading.zero_ns is None:
                reading.zero_ns = start_ns
            stamp_ns = start_ns + round((message.timestamp - reader.start_time) * 1e6) * 1000
            record = record_of(stamp_ns, 0 if message.channel is None else message.channel, message)
            if message.is_fd and message.is_remote_frame and message.dlc == 0:
                record = _without_data(record)
            reading.bus(record.bus, "can")
            yield record
        lines.settle(reading, count, "lines of frames that python-can does not read")


def write(path: Path, header: Header, records: Iterable[Record], low_ns: int, losses: Losses) -> None:
    """Write frames. An error frame is one without details; stamps are to the microsecond."""
    zero_ns = zero_of(header, low_ns)
    started_ns = ns_of(header.started)
    channels = Channels(header.buses, losses)
    date = _date(started_ns + zero_ns)
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write(f"date {date}\nbase hex  timestamps absolute\ninternal events logged\n")
        file.write(f"Begin Triggerblock {date}\n 0.000000 Start of measurement\n")
        for record, frame in frames_of(records, channels, losses, zero_ns):
            if frame.is_error and is_detailed(frame):
                losses.lose_part("details of error frames")
            micros = (record.t_ns - zero_ns + 500) // 1000
            stamp = f"{micros // 10**6}.{micros % 10**6:06d}"
            file.write(f"{stamp:>9} {_line(frame)}\n")
        file.write("End TriggerBlock\n")


def _without_data(record: Record) -> Record:
    """Return an FD frame of no bytes, which python-can takes for a remote one."""
    extra = {key: value for key, value in record.extra.items() if key != "dlc"}
    return Record(record.t_ns, record.bus, record.dir, "fd", "", extra)


def _line(frame: Frame) -> str:
    direction = "Rx" if frame.is_rx else "Tx"
    number = f"{frame.id:X}{'x' if frame.is_extended else ''}"
    data = frame.data.hex(" ").upper()
    if frame.is_error:
        return f"{frame.channel + 1}  ErrorFrame"
    if frame.is_fd:
        flags = 1 << 12 | frame.brs << 13 | frame.esi << 14
        return (
            f"CANFD {frame.channel + 1:>3} {direction:<4} {number:>8}  {'':>32} {frame.brs:d} {frame.esi:d}"
            f" {frame.code:x} {len(frame.data):>2} {data} {0:>8} {0:>4} {flags:>8X} {0:>8} {0:>8} {0:>8} {0:>8} {0:>8}"
        )
    kind = f"r {frame.code:x}" if frame.is_remote else f"d {frame.code:x} {data}"
    return f"{frame.channel + 1}  {number:<15} {direction:<4} {kind}".rstrip()


def _date(wall_ns: int) -> str:
    """Return a date as Vector writes it, in local time: `Sat Nov 28 12:00:00.005 2026`."""
    moment = datetime.fromtimestamp(wall_ns // NS)  # noqa: DTZ006 - the format has local time
    millis = wall_ns % NS // 1_000_000
    return (
        f"{_DAYS[moment.weekday()]} {_MONTHS[moment.month - 1]} {moment.day:02d}"
        f" {moment:%H:%M:%S}.{millis:03d} {moment.year:04d}"
    )
