"""Layer 2: what the bytes of one segment say: its frames, what is hurt between them, and where it ends. Pure.

FORMAT.md section 6 has the rules (R1 to R3). Nothing here changes a byte.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from gateway.ledger.frame import HEADER_BYTES, LINK_BYTES, MAGIC, Header, body_of, parse_header

_ZEROS: Final = bytes(1 << 16)


class Placed(NamedTuple):
    """A frame whose header is right."""

    offset: int
    header: Header
    is_whole: bool  # False: its body, or the zeros behind it, are not what was written

    @property
    def end(self) -> int:
        """Return where the next frame starts."""
        return self.offset + self.header.padded_bytes


class Hole(NamedTuple):
    """Bytes of a segment that should hold frames, with frames of the same epoch behind them."""

    offset: int
    end: int


class Walk(NamedTuple):
    """One segment, read."""

    epoch: int  # 0: no frame of this ledger is whole
    frames: list[Placed]  # of that epoch, up to the last whole one; in order of place
    holes: list[Hole]
    end: int  # behind the last whole frame: where the next commit goes
    torn: bool  # whether something of this or a later epoch lies at the end without being whole
    seen_epoch: int  # the highest that any valid header names, whole or not
    foreign: bytes | None  # the id of another ledger, where its frames lie here


def walk(data: bytes, unit_bytes: int, log_id: bytes) -> Walk:
    """Read one segment. Raises: LedgerFormatError for frames of a newer version."""
    placed, foreign = _scan(data, unit_bytes, log_id)
    seen_epoch = max((each.header.epoch for each in placed), default=0)
    epoch = max((each.header.epoch for each in placed if each.is_whole), default=0)
    if not epoch:
        return Walk(0, [], [], 0, bool(placed), seen_epoch, foreign)
    mine = [each for each in placed if each.header.epoch == epoch]
    while not mine[-1].is_whole:
        mine.pop()
    holes: list[Hole] = []
    at = 0
    for each in mine:
        if each.offset > at:
            holes.append(Hole(at, each.offset))
        at = each.end
    torn = data[at : at + len(MAGIC)] == MAGIC and _may_be_newer(data, at, epoch)
    return Walk(epoch, mine, holes, at, torn or seen_epoch > epoch, seen_epoch, foreign)


def _scan(data: bytes, unit_bytes: int, log_id: bytes) -> tuple[list[Placed], bytes | None]:
    """Return every frame whose header is right, wherever a unit starts; the units of a frame are stepped over."""
    placed: list[Placed] = []
    foreign: bytes | None = None
    at, end = 0, len(data) - HEADER_BYTES
    while at <= end:
        if data[at : at + 4] != MAGIC:
            at += unit_bytes
            continue
        header = parse_header(data, at)
        if header is None or not _fits(header, unit_bytes, len(data) - at):
            at += unit_bytes
            continue
        if header.log_id != log_id:
            foreign = foreign or header.log_id
            at += unit_bytes
            continue
        is_whole = body_of(data, at, header) is not None and is_zero(padding_of(data, at, header))
        placed.append(Placed(at, header, is_whole))
        at += header.padded_bytes if is_whole else unit_bytes
    return placed, foreign


def _fits(header: Header, unit_bytes: int, room: int) -> bool:
    """Return whether a frame fills whole units of this ledger, and the segment has them."""
    if 1 << header.unit_log2 != unit_bytes:
        return False
    return HEADER_BYTES + header.body_bytes <= header.padded_bytes <= room


def _may_be_newer(data: bytes, at: int, epoch: int) -> bool:
    """Return whether what lies at the end was not simply left by an earlier lap of the ring."""
    header = parse_header(data, at)
    return header is None or header.epoch >= epoch


def in_order(frames: list[Placed], expected_seq: int, limit_seq: int | None) -> list[Placed]:
    """Return the frames that continue the log from `expected_seq` on.

    Dropped are: what an earlier try left (numbers that were given again later: from `limit_seq` on, the next
    segment's first), and what repeats numbers already seen. A frame that follows its predecessor without a hole but
    does not link to it is left in: verification names it.
    """
    kept: list[Placed] = []
    for each in frames:
        if limit_seq is not None and each.header.base_seq >= limit_seq:
            break
        if each.header.base_seq < expected_seq:
            continue
        kept.append(each)
        expected_seq = each.header.next_seq
    return kept


class Tail(NamedTuple):
    """What the next commit must continue."""

    next_seq: int
    chain: bytes
    incarnation: int

    def is_joined_by(self, header: Header) -> bool:
        """Return whether a commit claims to stand directly behind this, so that its hash can be computed again."""
        if header.base_seq == self.next_seq:
            return True
        is_jump = header.base_seq > self.next_seq and header.incarnation > self.incarnation
        return is_jump and header.link == self.chain[:LINK_BYTES]


def tail_of(header: Header, before: Tail | None) -> Tail:
    """Return what the commit behind `header` must continue."""
    incarnation = max(header.incarnation, before.incarnation) if before is not None else header.incarnation
    return Tail(header.next_seq, header.chain, incarnation)


def is_zero(data: bytes) -> bool:
    """Return whether there are only zeros."""
    return all(data[at : at + len(_ZEROS)] == _ZEROS[: len(data) - at] for at in range(0, len(data), len(_ZEROS)))


def padding_of(data: bytes, at: int, header: Header) -> bytes:
    """Return the bytes between the end of a frame's body and its last unit's."""
    return data[at + HEADER_BYTES + header.body_bytes : at + header.padded_bytes]
