"""Layer 2: a frame: the records of one commit, sealed by two CRCs and linked to the commit before. Pure.

FORMAT.md section 3 is the contract. A frame reads alone: it carries its ledger's id and the texts of its routes.

    [header:128] [routes: (length:1 text:length crc32c:4) * routes] [records] [zeros up to the commit unit]

A route's text has a checksum of its own, so that a record that is salvaged from a hurt frame is not given another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from struct import Struct
from typing import Final, NamedTuple

from fastcrc.crc32 import iscsi as crc32c

from gateway.errors import LedgerFormatError
from gateway.ledger.record import (
    CLASS_MASK,
    CLASSES,
    DT_NS,
    IS_JSON,
    KINDS,
    NO_ROUTE,
    Record,
    leaves_in,
    parse_records,
)

MAGIC: Final = b"LDF1"
MAJOR, MINOR = 1, 0

URGENT: Final = 0x01  # holds a record that somebody waited for
SEGMENT_START: Final = 0x02
QUALITIES: Final = ("none", "rtc", "ntp", "gps")  # of the wall clock
AFTER_UNCLEAN: Final = 0x04  # the first commit after a start that found no clean end
CHECKPOINT: Final = 0x08  # reserved
ECHO: Final = 0x10  # reserved: copies of earlier frames follow the body
THINNED: Final = 0x20  # only the records that retention left; stands for `span` sequence numbers
DECLARES: Final = 0x40  # holds records of kind gap or damage

# magic major minor flags header/4 | epoch base_seq wall_ns mono_ns boot_no count units quality | body length, crc |
# previous link, chain | log_id incarnation unit_log2 reserved routes span | crc
HEADER: Final = Struct("<4s4BQQQQIHBBII8s32s16sIBBHII")
HEADER_BYTES: Final = HEADER.size
STABLE: Final = Struct("<QQQIHBI")  # what of a header no later copy changes
LINK_BYTES: Final = 8
ROUTE_EXTRA_BYTES: Final = 5  # what a route's text costs in a frame beside itself
MILLISECOND_NS: Final = DT_NS
MAX_DT_MS: Final = 0xFFFF
MAX_COUNT: Final = 0xFFFF
MAX_SEQ: Final = 1 << 63
MAX_WALL_NS: Final = 1 << 63
_ZERO_DIGEST: Final = bytes(32)


class Header(NamedTuple):
    """A header whose CRC is right. Wall times are whole milliseconds."""

    flags: int
    epoch: int
    base_seq: int
    wall_ns: int
    mono_ns: int
    boot_no: int
    records: int
    units: int
    quality: int  # of the wall clock: its place in QUALITIES
    body_bytes: int
    body_crc: int
    link: bytes  # first 8 bytes of the previous chain hash
    chain: bytes
    log_id: bytes
    incarnation: int
    unit_log2: int
    routes: int
    span: int  # sequence numbers it stands for; the count, unless thinned

    @property
    def next_seq(self) -> int:
        """Return the sequence number behind it."""
        return self.base_seq + self.span

    @property
    def padded_bytes(self) -> int:
        """Return what it takes in a segment."""
        return self.units << self.unit_log2


class Stamp(NamedTuple):
    """When and by which start of which ledger the records of one frame were made."""

    log_id: bytes
    incarnation: int
    boot_no: int
    wall_ns: int  # a whole millisecond
    mono_ns: int
    quality: int = 0


class Body(NamedTuple):
    """The records of one frame; what is hurt is named, not raised."""

    records: list[Record]  # the intact ones
    hurt: list[int]  # sequence numbers that cannot be read


def first_chain(log_id: bytes) -> bytes:
    """Return the chain hash before the first frame."""
    return sha256(log_id).digest()


def chain_of(previous: bytes, base_seq: int, stamp: Stamp, count: int, leaves: bytes) -> bytes:
    """Return the chain hash behind a frame."""
    stable = STABLE.pack(base_seq, stamp.wall_ns, stamp.mono_ns, stamp.boot_no, count, stamp.quality, stamp.incarnation)
    return sha256(previous + stable + leaves).digest()


def build_frame(
    stamp: Stamp,
    *,
    flags: int,
    epoch: int,
    base_seq: int,
    count: int,
    routes: Sequence[bytes],
    records: bytes,
    link: bytes,
    chain: bytes,
    unit_log2: int,
    span: int | None = None,
) -> bytes:
    """Return the bytes of a frame, padded to the commit unit."""
    body = b"".join([stored_route(text) for text in routes]) + records
    size = HEADER_BYTES + len(body)
    units = (size + (1 << unit_log2) - 1) >> unit_log2
    head = HEADER.pack(
        MAGIC, MAJOR, MINOR, flags, HEADER_BYTES // 4, epoch, base_seq, stamp.wall_ns, stamp.mono_ns, stamp.boot_no,
        count, units & 0xFF, stamp.quality, len(body), crc32c(body), link[:LINK_BYTES], chain, stamp.log_id,
        stamp.incarnation, unit_log2, 0, len(routes), count if span is None else span, 0,
    )[:-4]  # fmt: skip
    return b"".join((head, crc32c(head).to_bytes(4, "little"), body, bytes((units << unit_log2) - size)))


def stored_route(text: bytes) -> bytes:
    """Return a route as it stands in a frame's table."""
    return b"".join((bytes((len(text),)), text, crc32c(text).to_bytes(4, "little")))


def parse_header(data: bytes | memoryview, at: int = 0) -> Header | None:
    """Return the header at `at`, or None where none is. Raises: LedgerFormatError for one of a newer major version."""
    if data[at : at + 4] != MAGIC or at + HEADER_BYTES > len(data):
        return None
    raw = bytes(data[at : at + HEADER_BYTES])
    fields = HEADER.unpack(raw)
    if fields[1] != MAJOR:
        length = fields[4] * 4
        whole = bytes(data[at : at + length])
        if length > 4 and crc32c(whole[:-4]) == int.from_bytes(whole[-4:], "little"):
            raise LedgerFormatError(
                f"this ledger was written by a newer version (format {fields[1]}); read it with that version"
            )
        return None
    if crc32c(raw[:-4]) != fields[-1] or fields[4] * 4 != HEADER_BYTES:
        return None
    header = Header(fields[3], *fields[5:20], *fields[21:23])
    return header if _can_be(header) else None


def _can_be(header: Header) -> bool:
    """Return whether we would write such a header: whoever makes its checksum right can say what breaks arithmetic."""
    is_counted = 1 <= header.records == header.span or (header.flags & THINNED and header.records <= header.span)
    return bool(is_counted) and 1 <= header.base_seq < header.next_seq < MAX_SEQ and header.wall_ns < MAX_WALL_NS


def body_of(data: bytes | memoryview, at: int, header: Header) -> bytes | None:
    """Return the body of the frame at `at`, or None where it is not what was written."""
    body = bytes(data[at + HEADER_BYTES : at + HEADER_BYTES + header.body_bytes])
    return body if len(body) == header.body_bytes and crc32c(body) == header.body_crc else None


def routes_of(header: Header, body: bytes) -> tuple[dict[int, bytes], int]:
    """Return the intact routes of a body by their place, and where its records start."""
    routes: dict[int, bytes] = {}
    at = 0
    for place in range(header.routes):
        if at >= len(body):
            break
        end = at + 1 + body[at]
        text = body[at + 1 : end]
        at = end + 4
        if crc32c(text) == int.from_bytes(body[end:at], "little"):
            routes[place] = text
    return routes, at


def records_of(header: Header, body: bytes) -> Body:
    """Return the records of a frame. `body` may be hurt: what is intact in it comes out, the rest is named."""
    routes, at = routes_of(header, body)
    texts: dict[int, str | None] = {place: text.decode("ascii", "replace") for place, text in routes.items()}
    texts[NO_ROUTE] = None
    base, wall, incarnation, boot_no = header.base_seq, header.wall_ns, header.incarnation, header.boot_no
    found: list[Record] = []
    hurt: list[int] = []
    parsed = parse_records(body, at, header.records)
    for place, each in enumerate(parsed):
        seq = base + (place if each.offset is None else each.offset)
        if not each.is_intact or each.route not in texts:
            hurt.append(seq)
            continue
        found.append(
            Record(
                seq,
                incarnation,
                KINDS[each.kind - 1] if 1 <= each.kind <= len(KINDS) else f"kind-{each.kind}",
                texts[each.route],
                CLASSES[each.flags & CLASS_MASK],
                wall + each.dt_ms * MILLISECOND_NS,
                boot_no,
                each.cause or None,
                each.body,
                bool(each.flags & IS_JSON),
            )
        )
    hurt += range(base + len(parsed), base + header.records)
    return Body(found, hurt)


def leaves_of(header: Header, body: bytes) -> bytes | None:
    """Return the leaves of a frame's records, joined; None where a record is hurt."""
    routes, at = routes_of(header, body)
    digests = {place: sha256(text).digest() for place, text in routes.items()}
    digests[NO_ROUTE] = _ZERO_DIGEST
    return leaves_in(body, at, header.records, base_seq=header.base_seq, wall_ns=header.wall_ns, route_digests=digests)


def has_true_chain(header: Header, body: bytes, previous: bytes) -> bool:
    """Return whether a frame's chain hash follows from its records and the chain before it."""
    if header.link != previous[:LINK_BYTES]:
        return False
    if header.flags & THINNED:
        return True  # what is gone cannot be hashed again: the links on both sides are what is left to check
    leaves = leaves_of(header, body)
    if leaves is None:
        return False
    stamp = Stamp(header.log_id, header.incarnation, header.boot_no, header.wall_ns, header.mono_ns, header.quality)
    return chain_of(previous, header.base_seq, stamp, header.records, leaves) == header.chain
