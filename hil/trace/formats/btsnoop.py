"""btsnoop: the packets between a Bluetooth host and its controller, as Android, BlueZ and Bumble write them.

A record's data is the H4 packet: `[type:1] [packet]`, 1 command, 2 ACL, 3 SCO, 4 event, 5 ISO. Source: RFC 1761, which
it descends from, and BlueZ's src/shared/btsnoop.h for datalinks and the monitor's opcodes (facts only).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from hil.trace.errors import ForeignError
from hil.trace.formats.base import Import, Losses
from hil.trace.record import Header, Record
from hil.trace.times import ns_of

MAGIC: Final = b"btsnoop\0"
_HEADER: Final = struct.Struct(">8sII")  # magic, version, datalink
_RECORD: Final = struct.Struct(">IIIIq")  # original length, included length, flags, drops so far, µs since year 0
_EPOCH_US: Final = 0x00DC_DDB3_0F2F_8000  # of 1970
UNENCAPSULATED, H4, MONITOR = 1001, 1002, 2001
_MAX_PACKET_BYTES: Final = 1 << 20
_RECEIVED, _CONTROL = 1, 2  # flags: from the controller; a command or an event
_COMMAND, _ACL, _SCO, _EVENT, _ISO = 1, 2, 3, 4, 5
_OPCODES: Final = {  # of the monitor -> (H4 type, received)
    2: (_COMMAND, 0),
    3: (_EVENT, 1),
    4: (_ACL, 0),
    5: (_ACL, 1),
    6: (_SCO, 0),
    7: (_SCO, 1),
    18: (_ISO, 0),
    19: (_ISO, 1),
}
_OPCODE_OF: Final = {both: opcode for opcode, both in _OPCODES.items()}


def records(reading: Import) -> Iterator[Record]:
    """Give a record for each packet; what the monitor says beside packets are notes."""
    with reading.path.open("rb") as file:
        datalink = _read_header(reading.path, file)
        bus = reading.bus("ble0", "ble", datalink=datalink)
        stamp_ns = at = 0
        while head := file.read(_RECORD.size):
            body = b""
            is_whole = len(head) == _RECORD.size
            if is_whole:
                original, included, flags, drops, stamp_us = _RECORD.unpack(head)
                stamp_ns = (stamp_us - _EPOCH_US) * 1000
                is_sane = included <= _MAX_PACKET_BYTES
                body = file.read(included) if is_sane else b""
                is_whole = is_sane and len(body) == included
            if not is_whole:
                reading.is_damaged = bool(len(head) == _RECORD.size and not is_sane)
                reading.told.append(f"{reading.path}: no whole packet at byte {_HEADER.size + at}; kept as a note")
                for rest in [head + body, *iter(lambda: file.read(1 << 16), b"")]:
                    yield Record(stamp_ns, bus, "note", "note", rest.hex(), {"text": "no whole packet", "raw": True})
                return
            at += len(head) + len(body)
            record = _record(stamp_ns, datalink, flags, body)
            reading.bus(record.bus, "ble", datalink=datalink)
            extra = {"original": original} if original != included else {}
            extra |= {"drops": drops} if drops else {}
            record.extra = {**record.extra, **extra}
            yield record


def write(path: Path, header: Header, records: Iterable[Record], low_ns: int, losses: Losses) -> None:
    """Write packets; those of one controller, or of all for the monitor's datalink."""
    del low_ns
    started_ns = ns_of(header.started)
    links = [facts["datalink"] for facts in header.buses.values() if facts.get("datalink") in (1001, 1002, 2001)]
    datalink = links[0] if links else H4
    bus = next((name for name, facts in header.buses.items() if facts.get("protocol") == "ble"), None)
    with path.open("wb") as file:
        file.write(_HEADER.pack(MAGIC, 1, datalink))
        for record in records:
            if record.kind == "note" and record.get("raw") is True:
                file.write(record.payload)
                continue
            bus = bus or record.bus
            found = _packet(record, datalink, bus)
            if found is None:
                losses.lose(record)
                continue
            flags, body = found
            stamp_us = (started_ns + record.t_ns + 500) // 1000 + _EPOCH_US
            original = record.get("original", len(body))
            try:
                head = _RECORD.pack(original, len(body), flags, record.get("drops", 0), stamp_us)
            except struct.error:  # a number that the format has no place for
                losses.lose(record)
                continue
            file.write(head + body)


def _read_header(path: Path, file: BinaryIO) -> int:
    head = file.read(_HEADER.size)
    if len(head) < _HEADER.size or not head.startswith(MAGIC):
        raise ForeignError(path, 1, "no btsnoop file")
    _, version, datalink = _HEADER.unpack(head)
    if version != 1:
        raise ForeignError(path, 1, f"btsnoop of version {version}; this Tidegate reads version 1")
    if datalink not in (UNENCAPSULATED, H4, MONITOR):
        raise ForeignError(path, 1, f"btsnoop of datalink {datalink}; this Tidegate reads 1001 (HCI), 1002 (H4), 2001")
    return int(datalink)


def _record(stamp_ns: int, datalink: int, flags: int, body: bytes) -> Record:
    """Return the record of a packet; `flags` stands in it where the packet does not tell them."""
    bus, received, packet = "ble0", flags & _RECEIVED, body
    if datalink == MONITOR:
        bus, opcode = f"ble{flags >> 16}", flags & 0xFFFF
        known = _OPCODES.get(opcode)
        if known is None:
            extra = {"text": f"monitor opcode {opcode}", "flags": flags}
            return Record(stamp_ns, bus, "note", "note", body.hex(), extra)
        kind, received = known
        packet = bytes([kind]) + body
    elif datalink == UNENCAPSULATED:
        kind = _ACL if not flags & _CONTROL else _EVENT if received else _COMMAND
        packet = bytes([kind]) + body
    record = Record(stamp_ns, bus, "rx" if received else "tx", "hci", packet.hex(), {})
    if _packet(record, datalink, bus) != (flags, body):
        record.extra = {"flags": flags}
    return record


def _packet(record: Record, datalink: int, bus: str) -> tuple[int, bytes] | None:
    """Return flags and bytes of a record's packet, None where the format cannot hold it."""
    told: Any = record.get("flags")
    packet = record.payload
    if datalink == MONITOR and record.kind == "note" and told is not None:
        return told, packet
    if record.kind != "hci" or record.dir not in ("rx", "tx"):
        return None
    received = int(record.dir == "rx")
    if datalink == MONITOR:
        index = record.bus.removeprefix("ble")
        opcode = _OPCODE_OF.get((packet[0] if packet else 0, received))
        is_fitting = opcode is not None and index.isdecimal() and int(index) <= 0xFFFF
        return (int(index) << 16 | (opcode or 0), packet[1:]) if is_fitting else None
    if record.bus != bus:
        return None
    control = _CONTROL if packet[:1] in (b"\x01", b"\x04") else 0
    flags = told if isinstance(told, int) else received | control
    if datalink == H4:
        return flags, packet
    return (flags, packet[1:]) if packet and (control or packet[0] == _ACL) else None
