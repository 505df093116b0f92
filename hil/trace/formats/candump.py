"""candump's log lines, and those it shows on a screen. What a record does not say of its line, `source` does.

`drivers/_recordings.py` and `decode` read the same lines for their bytes alone; here a file must come back as it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from hil.trace.errors import ForeignError
from hil.trace.formats.base import STRANGE_ID, Import, Losses
from hil.trace.record import Header, Record
from hil.trace.times import HIGHEST_S, NS, ns_of

ERROR_FLAG: Final = 0x2000_0000
BUS_ERROR: Final = 0x80  # the class of an error frame of which nothing more is known
_MAX_LINE_BYTES: Final = 1 << 20
_MOST_BEFORE: Final = 10_000  # lines before the first frame; a file with more is another program's
_MAX_DLC: Final = 15
_MAX_BYTES: Final = {"data": 8, "error": 8, "fd": 64}
# (1436509052.249713) vcan0 044#2A366C2BBA R, ...#R8, ...##1AABB (one digit of FD flags), ..._9 (a DLC beyond 8)
_LOG: Final = re.compile(
    rb"\s*\((\d{1,12})\.(\d{1,18})\)\s+([!-~]+)\s+([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})"
    rb"#(?:([Rr])([0-9A-Fa-f]?)|#([0-9A-Fa-f])|)((?:\.?[0-9A-Fa-f]{2})*)(?:_([0-9A-Fa-f]))?(?:\s+([RrTt]))?\s*"
).fullmatch
# (1436509052.249713)  vcan0  RX B E  044   [5]  2A 36 6C 2B BA   'ascii', or (2015-07-10 06:17:32.249713)
_SCREEN: Final = re.compile(
    rb"\s*(?:\((\d{1,12}|\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)\.(\d{1,18})\)\s+)?([!-~]+)\s+"
    rb"(?:([RT])X\s+(\S+)\s+(\S+)\s+)?([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})\s+"
    rb"(?:\[(\d)\]|\[(\d\d)\])(?:\s+(remote request)|((?:\s+[0-9A-Fa-f]{2})*))(?:\s+ERRORFRAME)?(?:\s+'.*')?\s*",
    re.DOTALL,
).fullmatch


def records(reading: Import) -> Iterator[Record]:
    """Give a record for each line; one that is no frame is a note. A screen without times counts from 0."""
    stamp_ns, count, strange = 0, 0, 0
    number, line = 0, b"\n"
    is_marked: bool | None = None
    waiting: list[Record] = []  # what stands before the first frame has its time
    with reading.path.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(_MAX_LINE_BYTES), b""), 1):
            record = _parse(line, stamp_ns)
            if record is None:
                torn: dict[str, Any] = {}
                if line.strip() and not line.lstrip().startswith(b"#"):
                    strange += 1
                    if not line.endswith(b"\n"):
                        torn = {"torn": True}
                    elif strange == 1:
                        reading.told.append(f"{reading.path}:{number}: no line of candump; kept as a note")
                note = Record(stamp_ns, "", "note", "note", "", {"text": _text(line.strip()), **torn, **_source(line)})
                if count:
                    yield note
                else:
                    waiting.append(note)
                    if len(waiting) > _MOST_BEFORE:
                        break
                continue
            stamp_ns = record.t_ns
            count += 1
            if is_marked is None:
                is_marked = record.dir == "rx" and line.rstrip()[-2:].upper() == b" R"
            reading.bus(record.bus, "can", **({"marks_rx": True} if is_marked else {}))
            if line_of(record, record.t_ns, marks_rx=is_marked) != line:
                record.extra = {**record.extra, **_source(line)}
            for note in waiting:
                note.t_ns = stamp_ns
            yield from waiting
            waiting.clear()
            yield record
    yield from waiting
    if not count and (strange or len(waiting) > _MOST_BEFORE):
        raise ForeignError(reading.path, 1, "no log of candump: no line such as (1436509052.249713) can0 123#0102")
    if not line.endswith(b"\n"):
        reading.told.append(f"{reading.path}:{number}: torn off; what stands there is used as far as it goes")
        strange -= _parse(line, stamp_ns) is None and not line.lstrip().startswith(b"#")
    if strange > 1:
        reading.told.append(f"{reading.path}: {strange} lines are none of candump; kept as notes")
    reading.unread = strange


def write(path: Path, header: Header, records: Iterable[Record], low_ns: int, losses: Losses) -> None:
    """Write lines: one that was read from candump as it was, as long as its record still says the same."""
    del low_ns
    started_ns = ns_of(header.started)
    marks = {name: bool(facts.get("marks_rx")) for name, facts in header.buses.items()}
    before_ns = 0
    with path.open("wb") as file:
        for record in records:
            source = _source_of(record)
            if record.kind not in KINDS or record.dir not in ("rx", "tx"):
                if record.kind == "note" and source is not None:
                    file.write(source)
                elif not (record.kind == "note" and record.get("text") == ""):
                    losses.lose(record)
                continue
            stamp_ns = started_ns + record.t_ns
            if source is not None and _says(source, record, before_ns, stamp_ns):
                file.write(source)
            elif stamp_ns < 0 or not _is_fit(record):
                losses.lose(record)
            else:
                file.write(line_of(record, stamp_ns, marks_rx=marks.get(record.bus, False)))
                if record.kind != "error" and record.get("extended") is False:
                    losses.lose_part(STRANGE_ID)
                if record.kind == "remote" and "brs" in record:
                    losses.lose_part("FD flags of remote frames")
                if "dlc" in record and record.kind != "remote" and not _has_raw_dlc(record):
                    losses.lose_part(f"DLC that is not the length of {record.kind} frames")
            before_ns = stamp_ns


KINDS: Final = frozenset({"data", "fd", "remote", "error"})


def line_of(record: Record, stamp_ns: int, *, marks_rx: bool) -> bytes:
    """Return the line that candump would write; `marks_rx`: received frames have an R, as sent ones have their T."""
    micros = (stamp_ns + 500) // 1000
    data = record.data.upper()
    body = f"#{data}"
    if record.kind == "remote":
        dlc = record.get("dlc") or 0
        body = f"#R{min(dlc, 8)}" if dlc else "#R"
    elif record.kind == "fd":
        body = f"##{bool(record.get('brs')) | bool(record.get('esi')) << 1:X}{data}"
    if _has_raw_dlc(record):
        body += f"_{record['dlc']:X}"
    mark = " T" if record.dir == "tx" else " R" if marks_rx else ""
    name = record.get("id", "000")
    if record.kind == "error" and int(name, 16) & ~ERROR_FLAG == 0:
        name = f"{ERROR_FLAG | BUS_ERROR:08X}"
    return f"({micros // 10**6:010d}.{micros % 10**6:06d}) {record.bus} {name}{body}{mark}\n".encode()


def _parse(line: bytes, before_ns: int) -> Record | None:
    found = _LOG(line)
    if found is not None:
        seconds, fraction, bus, name, remote, dlc, flags, data, raw_dlc, mark = found.groups()
        kind = "remote" if remote else "fd" if flags is not None else "data"
        stamp_ns = _stamp(seconds, fraction)
        extra: dict[str, Any] = {"dlc": int(dlc or b"0", 16)} if remote else {}
        if raw_dlc:
            extra["dlc"] = int(raw_dlc, 16)
        if flags is not None:
            extra |= {"brs": bool(int(flags, 16) & 1), "esi": bool(int(flags, 16) & 2)}
        if remote and data:
            return None
    else:
        found = _SCREEN(line)
        if found is None:
            return None
        seconds, fraction, bus, mark, brs, esi, name, length, fd_length, remote, data = found.groups()
        kind = "remote" if remote else "fd" if fd_length is not None else "data"
        stamp_ns = before_ns if seconds is None else _stamp(seconds, fraction)
        extra = {"dlc": int(length or fd_length)} if remote else {}
        data = b"".join((data or b"").split())
        if not remote and len(data) != 2 * int(length or fd_length):
            return None
        if kind == "fd":
            extra |= {"brs": brs == b"B", "esi": esi == b"E"}
    if len(name) == 8 and int(name, 16) & ERROR_FLAG:
        kind = "error"
    digits = data.replace(b".", b"").lower().decode()
    if stamp_ns is None or stamp_ns // NS > HIGHEST_S or len(digits) > 2 * _MAX_BYTES.get(kind, 0):
        return None
    extra["id"] = name.upper().decode()
    return Record(stamp_ns, bus.decode(), "tx" if mark in (b"T", b"t") else "rx", kind, digits, extra)


def _stamp(seconds: bytes, fraction: bytes) -> int | None:
    """Return a stamp since 1970, None for a day that is none; a date is local time, as candump shows it."""
    if b"-" in seconds:
        try:
            seconds = b"%d" % datetime.fromisoformat(seconds.decode()).timestamp()
        except (ValueError, OverflowError, OSError):
            return None
    return int(seconds) * NS + int(fraction.ljust(9, b"0")[:9])


def _text(line: bytes) -> str:
    return line.decode(errors="replace")


def _source(line: bytes) -> dict[str, str]:
    """Return the line itself, for a record: as text, or as hex where it is none."""
    try:
        return {"source": line.decode()}
    except UnicodeDecodeError:
        return {"source_hex": line.hex()}


def _source_of(record: Record) -> bytes | None:
    source = record.get("source")
    if isinstance(source, str):
        return source.encode()
    source = record.get("source_hex")
    try:
        return bytes.fromhex(source) if isinstance(source, str) else None
    except ValueError:
        return None


def _has_raw_dlc(record: Record) -> bool:
    """Whether a frame of 8 bytes says a DLC beyond 8, which has its own place in a line."""
    dlc, is_full = record.get("dlc"), record.kind == "remote" or (record.kind == "data" and len(record.data) == 16)
    return type(dlc) is int and 8 < dlc <= _MAX_DLC and is_full


def _is_fit(record: Record) -> bool:
    """Whether a line can say a record's bus and id, and ask for as many bytes as it does."""
    if record.kind == "remote" and not 0 <= (record.get("dlc") or 0) <= _MAX_DLC:
        return False
    name = record.get("id")
    is_id = isinstance(name, str) and re.fullmatch(r"[0-9A-Fa-f]{3}|[0-9A-Fa-f]{8}", name) is not None
    return bool(is_id and re.fullmatch(r"[!-~]+", record.bus))


def _says(line: bytes, record: Record, before_ns: int, stamp_ns: int) -> bool:
    """Whether a line still says what its record does, which somebody may have changed."""
    said = _parse(line, before_ns)
    extra = {key: value for key, value in record.extra.items() if not key.startswith("source")}
    return said is not None and said == Record(stamp_ns, record.bus, record.dir, record.kind, record.data, extra)
