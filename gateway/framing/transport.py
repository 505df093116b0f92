"""Layer 2: CAN frames of SAE J1939 and NMEA 2000 to whole parameter groups.

29-bit id: [priority:3] [page:2] [PF:8] [PS:8] [source:8]     PF below 240: PS is the destination, else part of the PGN

Joined are the transport protocol's broadcasts (BAM) and connections (RTS/CTS), as somebody who only listens, and with a
list of PGNs the fast packets of NMEA 2000. Nothing is answered here. Bodies over 1785 bytes (ETP) are not joined.

Source: SAE J1939-21 (transport protocol, timers T1 and T2); NMEA 2000 fast packet as canboat documents it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import msgspec

from gateway.frame import CAN_EXTENDED, CAN_ID_MASK, Garbage

BROADCAST: Final = 255
MAX_TRANSFER_BYTES: Final = 1785  # 255 segments of 7
MAX_FAST_PACKET_BYTES: Final = 223  # 6 + 31 * 7
_MAX_OPEN: Final = 256
_PGN_CONTROL: Final = 0xEC00  # TP.CM
_PGN_DATA: Final = 0xEB00  # TP.DT
_RTS, _CTS, _BAM, _ABORT = 16, 17, 32, 255  # control bytes; 19 only says that all came
_T1_NS: Final = 750_000_000  # between the segments of a broadcast, and of a fast packet
_T2_NS: Final = 1_250_000_000  # between the segments of a connection


class Pdu(msgspec.Struct, frozen=True, gc=False):
    """One whole parameter group. `can_id` is that of a single frame with this content, with linux/can.h flags."""

    pgn: int
    source: int
    destination: int  # BROADCAST where the group goes to all
    priority: int  # 0 first .. 7
    payload: bytes
    can_id: int


def pgn_of(can_id: int) -> int:
    """Return the parameter group number in a 29-bit id; flag bits are ignored."""
    group = can_id >> 8 & 0x3FFFF
    return group if group >> 8 & 0xFF >= 240 else group & 0x3FF00


def can_id_of(pgn: int, source: int, destination: int = BROADCAST, priority: int = 6) -> int:
    """Return the 29-bit id, with CAN_EXTENDED, of a single frame of this group."""
    group = pgn if pgn >> 8 & 0xFF >= 240 else pgn | destination
    return CAN_EXTENDED | priority << 26 | group << 8 | source


def _destination_of(can_id: int) -> int:
    return can_id >> 8 & 0xFF if can_id >> 16 & 0xFF < 240 else BROADCAST


class _Open(msgspec.Struct):
    """A transfer under way."""

    can_id: int  # of the whole group
    size: int
    last: int  # number of the last segment
    limit_ns: int  # longest silence
    deadline_ns: int
    segments: list[bytes]
    first_number: int = 1  # of the segment that `segments` begins with
    broadcast: bool = True


_Key = tuple[int, ...]
_Joined = list[Pdu | Garbage]


class Joiner:
    """Joins the segments of one bus. Single frames pass. At most 256 transfers are open; the oldest gives way.

    Segments that belong to a transfer already given up, the late ones among them, say nothing new and are left out.
    """

    def __init__(self, fast_pgns: Collection[int] = ()) -> None:
        self._fast_pgns = frozenset(fast_pgns)
        self._open: dict[_Key, _Open] = {}  # in order of their beginning
        self._broken: dict[_Key, tuple[int, int]] = {}  # segment that would go on with what was given up, and `left`
        self._next_deadline_ns = 0

    def feed(self, can_id: int, data: bytes, now_ns: int) -> _Joined:
        """Take one data frame; return the groups it completes and the segments that will never be one.

        Reasons: "standard id" "length" "no start" "missing" "doubled" "cut" (a new start) "timeout" "aborted"
        "too many".
        """
        joined = self.expire(now_ns) if self._open and now_ns >= self._next_deadline_ns else []
        pgn = pgn_of(can_id)
        if can_id & CAN_ID_MASK <= 0x7FF and not can_id & CAN_EXTENDED:
            joined.append(Garbage(data, "standard id"))
        elif pgn == _PGN_CONTROL:
            self._control(joined, can_id, data, now_ns)
        elif pgn == _PGN_DATA:
            key = (can_id & 0xFF, _destination_of(can_id))
            self._segment(joined, key, data, data[0] if data else 0, now_ns)
        elif pgn in self._fast_pgns:
            self._fast(joined, pgn, can_id, data, now_ns)
        else:
            joined.append(_pdu(can_id, data))
        return joined

    def expire(self, now_ns: int) -> _Joined:
        """Return as garbage the transfers that have been silent too long."""
        late = [key for key, transfer in self._open.items() if transfer.deadline_ns <= now_ns]
        joined: _Joined = []
        for key in late:
            self._give_up(joined, key, "timeout")
        self._next_deadline_ns = min((transfer.deadline_ns for transfer in self._open.values()), default=0)
        return joined

    def gap(self) -> _Joined:
        """Return as garbage all open transfers: the bus was closed or the log has ended."""
        joined: _Joined = []
        for key in list(self._open):
            self._give_up(joined, key, "cut")
        self._broken.clear()
        return joined

    def _note_broken(self, key: _Key, number: int, left: int = 0) -> None:
        """Keep what may still come: segment `number`, or in whatever order `left` of them (0: that is not known)."""
        if key not in self._broken and len(self._broken) >= _MAX_OPEN:
            del self._broken[next(iter(self._broken))]
        self._broken[key] = number, left

    def _give_up(self, joined: _Joined, key: _Key, reason: str, heard: int | None = None) -> None:
        """End a transfer; `heard` is the segment that showed it broken."""
        transfer = self._open.pop(key)
        expected = transfer.first_number + len(transfer.segments)
        left = transfer.last + 1 - expected
        self._note_broken(key, *((expected, left) if heard is None else (heard + 1, left - 1)))
        joined.append(Garbage(b"".join(transfer.segments), reason))

    def _begin(self, joined: _Joined, key: _Key, transfer: _Open) -> None:
        if key in self._open:
            self._give_up(joined, key, "cut")
        elif len(self._open) >= _MAX_OPEN:
            self._give_up(joined, next(iter(self._open)), "too many")
        self._broken.pop(key, None)
        self._open[key] = transfer
        self._next_deadline_ns = min(self._next_deadline_ns or transfer.deadline_ns, transfer.deadline_ns)

    def _control(self, joined: _Joined, can_id: int, data: bytes, now_ns: int) -> None:
        """Take [control:1] [size:2] [segments:1] [most:1] [pgn:3], and the other controls that concern a transfer."""
        source, destination = can_id & 0xFF, _destination_of(can_id)
        if len(data) < 8:
            joined.append(Garbage(data, "length"))
            return
        control = data[0]
        if control in {_BAM, _RTS}:
            self._control_begin(joined, can_id, data, now_ns)
        elif control == _CTS and (transfer := self._open.get((destination, source))):
            transfer.deadline_ns = now_ns + transfer.limit_ns
            if 0 < data[2] <= len(transfer.segments):
                del transfer.segments[data[2] - 1 :]  # asked for again
        elif control == _ABORT:
            for key in ((source, destination), (destination, source)):
                if key in self._open:
                    self._give_up(joined, key, "aborted")

    def _control_begin(self, joined: _Joined, can_id: int, data: bytes, now_ns: int) -> None:
        source, destination = can_id & 0xFF, _destination_of(can_id)
        size = int.from_bytes(data[1:3], "little")
        pgn = int.from_bytes(data[5:8], "little") & 0x3FFFF
        if not 8 < size <= MAX_TRANSFER_BYTES or data[3] != -(-size // 7):
            joined.append(Garbage(data, "length"))
            return
        limit_ns = _T1_NS if data[0] == _BAM else _T2_NS
        group_id = can_id_of(pgn, source, destination, can_id >> 26 & 7)
        transfer = _Open(group_id, size, data[3], limit_ns, now_ns + limit_ns, [])
        self._begin(joined, (source, destination), transfer)

    def _fast(self, joined: _Joined, pgn: int, can_id: int, data: bytes, now_ns: int) -> None:
        """Take [sequence:3 bits, number:5 bits] and in segment 0 [size:1], then the bytes."""
        if len(data) < 2:
            joined.append(Garbage(data, "length"))
            return
        key = (can_id & 0xFF, _destination_of(can_id), pgn, data[0] >> 5)
        number = data[0] & 0x1F
        if number:
            self._segment(joined, key, data, number, now_ns)
            return
        size = data[1]
        if not 0 < size <= MAX_FAST_PACKET_BYTES:
            joined.append(Garbage(data, "length"))
            return
        last = -(-(size - 6) // 7) if size > 6 else 0
        transfer = _Open(can_id, size, last, _T1_NS, now_ns + _T1_NS, [data[2:]], first_number=0)
        self._begin(joined, key, transfer)
        if last == 0:
            self._finish(joined, key)

    def _segment(self, joined: _Joined, key: _Key, data: bytes, number: int, now_ns: int) -> None:
        transfer = self._open.get(key)
        if transfer is None:
            expected, left = self._broken.get(key, (number + 1, 0))
            if left == 0 and number < expected:
                joined.append(Garbage(data, "no start"))
            self._note_broken(key, number + 1, max(0, left - 1))
            return
        expected = transfer.first_number + len(transfer.segments)
        if number < expected:
            joined.append(Garbage(data, "doubled"))
        elif number > expected:
            self._give_up(joined, key, "missing", number)
        else:
            transfer.segments.append(data[1:])
            transfer.deadline_ns = now_ns + transfer.limit_ns
            if number == transfer.last:
                self._finish(joined, key)

    def _finish(self, joined: _Joined, key: _Key) -> None:
        transfer = self._open.pop(key)
        payload = b"".join(transfer.segments)
        if len(payload) < transfer.size:
            joined.append(Garbage(payload, "length"))
        else:
            joined.append(_pdu(transfer.can_id, payload[: transfer.size]))


def _pdu(can_id: int, payload: bytes) -> Pdu:
    return Pdu(pgn_of(can_id), can_id & 0xFF, _destination_of(can_id), can_id >> 26 & 7, payload, can_id)
