"""Layer 2: CAN frames of ISO 15765-2 (ISO-TP) to whole messages, and messages to frames. Normal addressing.

    SF [0:4][size:4] data                classic, at most 7 bytes     [00][size:1] data   CAN FD, at most 62
    FF [1:4][size:12] data               up to 4095 bytes             [10 00][size:4] data   beyond
    CF [2:4][number:4] data              numbers 1..15, 0, 1 ...
    FC [3:4][status:4][block][STmin]     says nothing of the message

The joiner only listens, to both directions, and answers nothing; `isotp_sender` keeps to a receiver's flow control.

Source: ISO 15765-2:2016, 9.6 (protocol control information), 9.8 (unexpected and wrong frames), table 18 (timers).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from gateway.errors import EncodeError
from gateway.frame import CAN_EXTENDED, CAN_ID_MASK, MAX_GARBAGE_BYTES, Garbage
from gateway.framing.spec import IsoTp

FRAME_SIZES: Final = (8, 12, 16, 20, 24, 32, 48, 64)  # bytes of a CAN FD frame with more than 8
PADDING: Final = 0xCC  # ISO 15765-2:2016, 10.4.2: the value that keeps stuff bits few
_CLASSIC_BYTES: Final = 8
_SHORT_MAX: Final = 0xFFF  # bytes; beyond it the size takes 32 bits
_STANDARD_MAX: Final = 0x7FF
_N_CR_NS: Final = 1_200_000_000  # longest silence between segments: N_Cr, 1000 ms, and what a log's stamps may add
_GOES_ON: Final = 8  # segments of a lost message that may be missing in a row for the rest to count as its own
_MAX_OPEN: Final = 256
_FIXED_ADDRESSES: Final = 0x18DA  # ISO 15765-2:2016, 10.3.2: priority 6, physical
_SINGLE, _FIRST, _CONSECUTIVE, _FLOW = range(4)
_OVERFLOW: Final = 2  # flow status: the receiver has no room, the message will not go on


class IsoTpPdu(msgspec.Struct, frozen=True, gc=False):
    """One whole message, or a frame outside the transport as it stands. `can_id` with linux/can.h flags."""

    payload: bytes
    can_id: int


class Start(NamedTuple):
    """What a single or first frame says: bytes of the whole message, and those it brings."""

    size: int
    data: bytes
    frame_bytes: int


class _Open(msgspec.Struct):
    """A message under way."""

    size: int
    frame_bytes: int  # of every segment but the last
    number: int  # of the next segment, 0..15
    deadline_ns: int
    data: bytearray


class _Broken(NamedTuple):
    """What may still come of a message given up."""

    number: int  # of the segment that would go on with it, 0..15
    left: int  # segments not heard, in whatever order they come; 0 where that is not known


_Joined = list[IsoTpPdu | Garbage]


class IsoTpJoiner:
    """Joins the segments of the ids of one profile; frames with other ids pass. One garbage a broken message.

    Segments that belong to a message already given up, the late ones among them, say nothing new and are left out.
    """

    def __init__(self, spec: IsoTp) -> None:
        """Take the `[framing]` table: both ids, the mask that widens them, and `max` bytes of a message."""
        self._spec = spec
        self._open: dict[int, _Open] = {}  # by id, in order of their beginning
        self._broken: dict[int, _Broken] = {}  # by id
        self._next_deadline_ns = 0

    def feed(self, can_id: int, data: bytes, now_ns: int) -> _Joined:
        """Take one data frame; return the messages it completes and what will never be one.

        Reasons: "length" "no start" "missing" "doubled" "cut" (a new start) "timeout" "aborted" "too long" "too many"
        "unknown" (a reserved kind of frame).
        """
        joined = self.expire(now_ns) if self._open and now_ns >= self._next_deadline_ns else []
        partner = partner_of(self._spec, can_id)
        if partner is None:
            joined.append(IsoTpPdu(data, can_id))
            return joined
        kind = data[0] >> 4 if data else -1
        if kind in {_SINGLE, _FIRST}:
            self._begin(joined, can_id, data, now_ns)
        elif kind == _CONSECUTIVE:
            self._continue(joined, can_id, data, now_ns)
        elif kind == _FLOW:
            self._flow(joined, partner, data, now_ns)
        else:
            joined.append(Garbage(data, "unknown" if data else "length"))
        return joined

    def expire(self, now_ns: int) -> _Joined:
        """Return as garbage the messages that have been silent too long."""
        joined: _Joined = []
        for can_id in [each for each, transfer in self._open.items() if transfer.deadline_ns <= now_ns]:
            self._give_up(joined, can_id, "timeout")
        self._next_deadline_ns = min((transfer.deadline_ns for transfer in self._open.values()), default=0)
        return joined

    def gap(self) -> _Joined:
        """Return as garbage all open messages: the bus was closed or the log has ended."""
        joined: _Joined = []
        for can_id in list(self._open):
            self._give_up(joined, can_id, "cut")
        self._broken.clear()
        return joined

    def _give_up(self, joined: _Joined, can_id: int, reason: str, heard: int | None = None) -> None:
        transfer = self._open.pop(can_id)
        left = -(-(transfer.size - len(transfer.data)) // (transfer.frame_bytes - 1))
        if heard is None:
            self._note_broken(can_id, transfer.number, left)
        else:
            self._note_broken(can_id, (heard + 1) % 16, left if reason == "doubled" else left - 1)
        joined.append(Garbage(bytes(transfer.data[:MAX_GARBAGE_BYTES]), reason))

    def _note_broken(self, can_id: int, number: int, left: int = 0) -> None:
        if can_id not in self._broken and len(self._broken) >= _MAX_OPEN:
            del self._broken[next(iter(self._broken))]
        self._broken[can_id] = _Broken(number, left)

    def _begin(self, joined: _Joined, can_id: int, data: bytes, now_ns: int) -> None:
        if can_id in self._open:
            self._give_up(joined, can_id, "cut")
        self._broken.pop(can_id, None)
        start = start_of(data)
        if start is None:
            joined.append(Garbage(data, "length"))
        elif len(start.data) == start.size:
            joined.append(IsoTpPdu(start.data, can_id))
        elif start.size > self._spec.max:
            joined.append(Garbage(data, "too long"))
            self._note_broken(can_id, 1)
        else:
            if len(self._open) >= _MAX_OPEN:
                self._give_up(joined, next(iter(self._open)), "too many")
            transfer = _Open(start.size, start.frame_bytes, 1, now_ns + _N_CR_NS, bytearray(start.data))
            self._open[can_id] = transfer
            self._next_deadline_ns = min(self._next_deadline_ns or transfer.deadline_ns, transfer.deadline_ns)

    def _continue(self, joined: _Joined, can_id: int, data: bytes, now_ns: int) -> None:
        number = data[0] & 0xF
        transfer = self._open.get(can_id)
        if transfer is None:
            self._continue_broken(joined, can_id, data, number)
            return
        missing = transfer.size - len(transfer.data)
        is_last = missing < transfer.frame_bytes
        if number != transfer.number:
            doubled = number == (transfer.number - 1) % 16 and len(transfer.data) > transfer.frame_bytes - 2
            self._give_up(joined, can_id, "doubled" if doubled else "missing", number)
        elif len(data) > transfer.frame_bytes or len(data) < (missing + 1 if is_last else transfer.frame_bytes):
            self._give_up(joined, can_id, "length", number)
        else:
            transfer.data += data[1 : missing + 1]
            transfer.number = (number + 1) % 16
            transfer.deadline_ns = now_ns + _N_CR_NS
            if is_last:
                del self._open[can_id]
                joined.append(IsoTpPdu(bytes(transfer.data), can_id))

    def _continue_broken(self, joined: _Joined, can_id: int, data: bytes, number: int) -> None:
        """Take a segment of no open message: of one given up, or of one whose start nobody heard."""
        expected, left = self._broken.get(can_id, (number + _GOES_ON, 0))
        if left == 0 and (number - expected) % 16 >= _GOES_ON:
            joined.append(Garbage(data, "no start"))
        self._note_broken(can_id, (number + 1) % 16, max(0, left - 1))

    def _flow(self, joined: _Joined, partner: int, data: bytes, now_ns: int) -> None:
        """Take flow control for what the other side sends."""
        if len(data) < 3:
            joined.append(Garbage(data, "length"))
        elif data[0] & 0xF > _OVERFLOW:
            joined.append(Garbage(data, "unknown"))
        elif transfer := self._open.get(partner):
            transfer.deadline_ns = now_ns + _N_CR_NS
            if data[0] & 0xF == _OVERFLOW:
                self._give_up(joined, partner, "aborted")


def partner_of(spec: IsoTp, can_id: int) -> int | None:
    """Return the id that answers to `can_id`, with linux/can.h flags; None for an id outside the transport.

    The bits that `mask` leaves open are equal on both sides: 7E0 to 7E8, 7E1 to 7E9. Where `tx` and `rx` are fixed
    addresses of ISO 15765-2, [18 DA] [target] [source], they stand in the other byte: 18DA10F1 to 18DAF110.
    """
    if _is_fixed(spec):
        answer = _mirrored(can_id & CAN_ID_MASK)
        is_ours = any((each ^ spec.rx) & spec.mask == 0 for each in (can_id & CAN_ID_MASK, answer))
        return answer | CAN_EXTENDED if can_id & CAN_EXTENDED and is_ours else None
    for mine, other in ((spec.rx, spec.tx), (spec.tx, spec.rx)):
        if _is_one_of(can_id, mine, spec.mask):
            answer = other & spec.mask | can_id & CAN_ID_MASK & ~spec.mask
            return answer | (CAN_EXTENDED if other > _STANDARD_MAX else 0)
    return None


def is_from_peer(spec: IsoTp, can_id: int) -> bool:
    """Return whether `can_id` is one on which messages come to us, and not one with which we speak."""
    return _is_one_of(can_id, spec.rx, spec.mask)


def _is_one_of(can_id: int, named: int, mask: int) -> bool:
    flag = CAN_EXTENDED if named > _STANDARD_MAX else 0
    return can_id & CAN_EXTENDED == flag and (can_id ^ named) & mask & CAN_ID_MASK == 0


def is_first(data: bytes) -> bool:
    """Return whether a frame begins a message of several frames, whose sender then waits for flow control."""
    return data[:1] != b"" and data[0] >> 4 == _FIRST


def is_flow_control(data: bytes) -> bool:
    """Return whether a frame is flow control."""
    return data[:1] != b"" and data[0] >> 4 == _FLOW


def ids_of(spec: IsoTp) -> list[tuple[int, int]]:
    """Return id, with linux/can.h flags, and mask of both sides, receiving first."""
    tx_mask = _mirrored(spec.mask) if _is_fixed(spec) else spec.mask
    return [(flagged(spec.rx), spec.mask & CAN_ID_MASK), (flagged(spec.tx), tx_mask & CAN_ID_MASK)]


def _is_fixed(spec: IsoTp) -> bool:
    return spec.tx == _mirrored(spec.rx) and spec.rx >> 16 == _FIXED_ADDRESSES


def _mirrored(number: int) -> int:
    return number & 0x1FFF0000 | (number & 0xFF) << 8 | number >> 8 & 0xFF


def receiving_id(spec: IsoTp) -> int:
    """Return the id on which answers come, with linux/can.h flags."""
    return flagged(spec.rx)


def flagged(can_id: int) -> int:
    """Return an id as profiles write it with linux/can.h's extended flag, which one over 0x7ff has."""
    return can_id | (CAN_EXTENDED if can_id > _STANDARD_MAX else 0)


def start_of(data: bytes) -> Start | None:
    """Return what a single or first frame says, None if its lengths contradict each other."""
    if data[0] >> 4 == _SINGLE:
        at, size = (1, data[0] & 0xF) if len(data) <= _CLASSIC_BYTES else (2, data[1] if data[0] == 0 else 0)
        fits = (1 if at == 1 else _CLASSIC_BYTES) <= size <= len(data) - at
        return Start(size, data[at : at + size], len(data)) if fits else None
    if len(data) < _CLASSIC_BYTES:
        return None
    at, size = 2, int.from_bytes(data[:2], "big") & _SHORT_MAX
    least = _CLASSIC_BYTES if len(data) == _CLASSIC_BYTES else len(data) - 1  # less goes into a single frame
    if size == 0:
        at, size, least = 6, int.from_bytes(data[2:6], "big"), _SHORT_MAX + 1
    return Start(size, data[at:], len(data)) if size >= least else None


def segments(body: bytes, *, frame_bytes: int = _CLASSIC_BYTES, padding: int | None = PADDING) -> list[bytes]:
    """Return the frames of a message, in order; `frame_bytes` is 8, or a CAN FD frame's greatest size.

    `padding` fills every classic frame up to 8 bytes, None leaves short ones short; FD frames are filled up to the next
    size that exists. Raises: EncodeError for an empty body, one over 4 GB, or a frame size that does not exist.
    """
    if frame_bytes not in FRAME_SIZES:
        raise EncodeError(f"{frame_bytes} is no frame size of ISO-TP; one of {', '.join(map(str, FRAME_SIZES))}")
    size = len(body)
    if not 0 < size <= 0xFFFFFFFF:
        raise EncodeError(f"{size} bytes are no message of ISO-TP; it has 1 to 4,294,967,295")
    if size < _CLASSIC_BYTES:
        return [_filled(bytes((size,)) + body, padding)]
    if size <= frame_bytes - 2 and frame_bytes > _CLASSIC_BYTES:
        return [_filled(bytes((0, size)) + body, padding)]
    head = (0x1000 | size).to_bytes(2, "big") if size <= _SHORT_MAX else b"\x10\x00" + size.to_bytes(4, "big")
    place = frame_bytes - len(head)
    frames = [head + body[:place]]
    while place < size:
        mark = bytes((0x20 | len(frames) % 16,))
        frames.append(_filled(mark + body[place : place + frame_bytes - 1], padding))
        place += frame_bytes - 1
    return frames


def _filled(frame: bytes, padding: int | None) -> bytes:
    if padding is None and len(frame) <= _CLASSIC_BYTES:
        return frame
    size = next(each for each in FRAME_SIZES if each >= len(frame))
    return frame + bytes((PADDING if padding is None else padding,)) * (size - len(frame))
