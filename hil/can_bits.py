"""How many bits a CAN frame is on the wire, stuff bits counted exactly. Pure.

Source: ISO 11898-1 (2015), of which Bosch's CAN 2.0 is the classic part. In FD frames the bits from ESI to the CRC
delimiter are of the data phase where the bit rate switches; here it switches on whole bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple, Protocol

CLASSIC_BYTES: Final = 8
FD_LENGTHS: Final = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)  # by DLC
STANDARD_MAX: Final = 0x7FF
EXTENDED_MAX: Final = 0x1FFFFFFF
EOF_BITS: Final = 7
INTERMISSION_BITS: Final = 3
TAIL_BITS: Final = 2 + EOF_BITS  # of a frame behind its CRC delimiter: ACK slot, ACK delimiter, end of frame
AFTER_ACK_BITS: Final = 1 + EOF_BITS
_CRC15: Final = 0x4599
_IDLE: Final = 0b100  # the state of `_step` before a frame: a recessive bit, which a dominant one follows
_RUN: Final = 5


class Sent(Protocol):
    """What counts of a frame."""

    @property
    def id(self) -> int:
        """11 or 29 bits."""

    @property
    def data(self) -> bytes:
        """What stands in its data field."""

    @property
    def extended(self) -> bool:
        """Whether the id has 29 bits."""

    @property
    def fd(self) -> bool:
        """Whether it is an FD frame."""

    @property
    def remote(self) -> bool:
        """Whether it asks for data."""

    @property
    def brs(self) -> bool:
        """Whether its data phase is fast."""

    @property
    def esi(self) -> bool:
        """Whether its sender says that it is error passive."""

    @property
    def code(self) -> int:
        """Its DLC as on the wire, 0..15."""


class Bits(NamedTuple):
    """A frame's bits from its start to the end of EOF."""

    nominal: int
    fast: int = 0

    def duration_ns(self, nominal_ns: int, fast_ns: int) -> int:
        """Return how long it takes."""
        return self.nominal * nominal_ns + self.fast * fast_ns


def bits_of(frame: Sent) -> Bits:
    """Return how many bits a frame is."""
    return _fd_bits(frame) if frame.fd else _classic_bits(frame)


def arbitration_of(frame: Sent) -> tuple[int, int, int, int]:
    """Return what decides who goes first: the bits of the arbitration field, the lowest wins."""
    if frame.extended:
        return frame.id >> 18, 1, 1, (frame.id & 0x3FFFF) << 1 | frame.remote
    return frame.id, int(frame.remote), 0, 0


def crc15(value: int, count: int) -> int:
    """Return the CRC of a classic frame over its bits, the first of `count` being the highest."""
    table = _crc_table()
    crc = 0
    for byte in value.to_bytes(-(-count // 8), "big"):  # zeros in front change nothing
        crc = (crc << 8 & 0x7FFF) ^ table[crc >> 7 ^ byte]
    return crc


def stuffed(value: int, count: int) -> int:
    """Return how many stuff bits there are among `count` bits, one behind the last included."""
    return _stuff(_IDLE, value, count)[1]


def _classic_bits(frame: Sent) -> Bits:
    if frame.extended:
        head = ((frame.id >> 18) << 20 | 3 << 18 | (frame.id & 0x3FFFF)) << 7 | frame.remote << 6 | frame.code
        count = 39
    else:
        head = frame.id << 7 | frame.remote << 6 | frame.code
        count = 19
    data = frame.data
    value = head << 8 * len(data) | int.from_bytes(data, "big")
    count += 8 * len(data)
    value = value << 15 | crc15(value, count)
    count += 15
    return Bits(count + stuffed(value, count) + 1 + TAIL_BITS)


def _fd_bits(frame: Sent) -> Bits:
    if frame.extended:
        head = ((frame.id >> 18) << 20 | 3 << 18 | (frame.id & 0x3FFFF)) << 4 | 0b0100 | frame.brs
        count = 36
    else:
        head = frame.id << 5 | 0b0100 | frame.brs
        count = 17
    state, slow_stuff, _ = _stuff(_IDLE, head, count)
    size = len(frame.data)
    value = (frame.esi << 4 | frame.code) << 8 * size | int.from_bytes(frame.data, "big")
    _, stuff, is_behind = _stuff(state, value, 5 + 8 * size)
    check = 4 + 17 + 6 if size <= 16 else 4 + 21 + 7  # stuff count, CRC, fixed stuff bits: one in front, then every 4
    fast = 5 + 8 * size + stuff - is_behind + check + 1  # a fixed stuff bit stands where the last would
    slow = count + slow_stuff + TAIL_BITS
    return Bits(slow, fast) if frame.brs else Bits(slow + fast)


# ---- bit by bit: a state is the last bit and how many like it there were, 1..4: last * 4 + (run - 1)


def _step(state: int, bit: int) -> tuple[int, int]:
    """Return the state behind a bit, and whether a stuff bit follows it."""
    last, run = state >> 2, (state & 3) + 1
    run = run + 1 if bit == last else 1
    if run == _RUN:
        return (1 - bit) << 2, 1
    return bit << 2 | (run - 1), 0


def _stuff(state: int, value: int, count: int) -> tuple[int, int, int]:
    """Return the state behind bits, how many stuff bits there are, and whether one is behind the last."""
    total = behind = 0
    for place in range(count - 1, count - 1 - count % 8, -1):
        state, behind = _step(state, value >> place & 1)
        total += behind
    table = _stuff_table()
    whole = count // 8
    for byte in (value & (1 << 8 * whole) - 1).to_bytes(whole, "big"):
        state, stuff, behind = table[state << 8 | byte]
        total += stuff
    return state, total, behind


@cache
def _stuff_table() -> Sequence[tuple[int, int, int]]:
    """Return what eight bits do to each state."""
    table = []
    for first in range(8):
        for byte in range(256):
            state, total, behind = first, 0, 0
            for place in range(7, -1, -1):
                state, behind = _step(state, byte >> place & 1)
                total += behind
            table.append((state, total, behind))
    return table


@cache
def _crc_table() -> Sequence[int]:
    table = []
    for byte in range(256):
        crc = byte << 7
        for _ in range(8):
            crc = (crc << 1 ^ _CRC15) & 0x7FFF if crc & 0x4000 else crc << 1
        table.append(crc)
    return table
