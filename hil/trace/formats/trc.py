"""PEAK's TRC: read in the versions that python-can knows through python-can, written as 2.1, stamps to the microsecond.

Its writer knows no remote and FD frames; its reader takes the first bus for channel 1, where those of ASC and BLF say
0, and gives FD frames their DLC for a length. FE and BI are as python-can reads them (bit rate switch and error state;
error state alone), which is the other way round in PEAK's text. A start is UTC, as python-can has it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import Final

from hil.trace.errors import ForeignError
from hil.trace.formats.base import STRANGE_ID, Import, Losses
from hil.trace.formats.frames import LENGTHS, Channels, Frame, frames_of, record_of
from hil.trace.formats.lines import CountedLines, messages
from hil.trace.formats.zero import zero_of
from hil.trace.record import Header, Record
from hil.trace.times import ns_of

_VERSION: Final = ";$FILEVERSION="
_VERSIONS: Final = ("1.0", "1.1", "1.3", "2.0", "2.1")  # without a line that says it, 1.0
_DAY_NS: Final = 86_400 * 10**9
_EPOCH_DAYS: Final = 25_569  # of 1970 since 30 December 1899, from which a start counts
_DATA_LINE: Final = re.compile(r"\s*\d+\)?\s").match
_STATUS: Final = re.compile(r"\b(?:ST|EC|EV|Warng|FFFFFFFF)\b").search  # lines of other things than frames
_MOST_SHORT_ID: Final = 0xFFFF  # what has more digits, python-can reads as extended
_TYPES: Final = {(False, False): "FD", (True, False): "FB", (True, True): "FE", (False, True): "BI"}


def records(reading: Import) -> Iterator[Record]:
    """Give the frames of a file, as python-can reads them."""
    with reading.path.open("rb") as file:
        head = file.read(4096).decode(errors="replace").splitlines()
    if any(line.strip() for line in head) and not any(line.startswith(";") or _DATA_LINE(line) for line in head):
        raise ForeignError(reading.path, 1, "no TRC log: no line such as ;$FILEVERSION=2.1")
    version = next((line.partition("=")[2].strip() for line in head if line.startswith(_VERSION)), _VERSIONS[0])
    if version not in _VERSIONS:
        known = ", ".join(_VERSIONS)
        raise ForeignError(reading.path, 1, f"TRC of version {version[:20]}; this Tidegate reads {known}")
    count = 0
    with CountedLines(reading.path, _is_frame) as lines:
        for reader, message in messages(reading, lambda can: can.TRCReader(lines)):
            count += 1
            start = reader.start_time
            start_s = 0.0 if start is None else start.timestamp()
            start_ns = 0 if start is None else _micros(start) * 1000
            reading.zero_ns = start_ns
            if message.is_fd:
                message.dlc = LENGTHS[min(message.dlc, 15)]
            stamp_ns = start_ns + round((message.timestamp - start_s) * 1e6) * 1000
            record = record_of(stamp_ns, max(message.channel - 1, 0), message)
            reading.bus(record.bus, "can")
            yield record
        lines.settle(reading, count, "lines that python-can reads no frame in")


def write(path: Path, header: Header, records: Iterable[Record], low_ns: int, losses: Losses) -> None:
    """Write frames. Error frames have no place that python-can would read."""
    zero_ns = zero_of(header, low_ns, step_ns=1000)
    channels = Channels(header.buses, losses)
    with path.open("w", encoding="ascii", newline="\r\n") as file:
        file.write(_header(ns_of(header.started) + zero_ns))
        number = 0
        for record, frame in frames_of(records, channels, losses, zero_ns):
            if frame.is_error or (frame.is_fd and frame.is_remote):
                losses.lose(record)
                continue
            if not frame.is_extended and frame.id > _MOST_SHORT_ID:
                losses.lose_part(STRANGE_ID)
            micros = (record.t_ns - zero_ns + 500) // 1000
            number += 1
            file.write(f"{number:>7} {micros // 1000:>9}.{micros % 1000:03d} {_line(frame)}\n")


def _is_frame(line: str) -> bool:
    return _DATA_LINE(line) is not None and _STATUS(line) is None


def _line(frame: Frame) -> str:
    kind = "RR" if frame.is_remote else _TYPES[frame.brs, frame.esi] if frame.is_fd else "DT"
    number = f"{frame.id:08X}" if frame.is_extended else f"{frame.id:04X}"
    length = frame.code if frame.is_fd else frame.dlc
    data = frame.data.hex(" ").upper()
    direction = "Rx" if frame.is_rx else "Tx"
    return f"{kind} {frame.channel + 1:>2} {number:>8} {direction} -  {length:<4} {data}".rstrip()


def _header(wall_ns: int) -> str:
    days = float(_EPOCH_DAYS + Fraction(wall_ns, _DAY_NS))
    return (
        f";$FILEVERSION=2.1\n;$STARTTIME={days!r}\n;$COLUMNS=N,O,T,B,I,d,R,L,D\n;\n"
        ";   Message   Time    Type    ID     Rx/Tx\n"
        ";   Number    Offset  |  Bus  [hex]  |  Reserved\n"
        ";   |         [ms]    |  |    |      |  |  Data Length Code\n"
        ";   |         |       |  |    |      |  |  |    Data [hex] ...\n"
        ";---+-- ------+------ +- +- --+----- +- +- +--- +- -- -- -- -- -- -- --\n"
    )


def _micros(moment: datetime) -> int:
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 10**6 + delta.microseconds
