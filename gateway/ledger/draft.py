"""Layer 2: records on their way into frames: checked, numbered, encoded, hashed; not yet written. Pure.

What is put together is decided here: a draft becomes one frame, so it holds what one frame can say (65 s of one clock,
65,535 records) and at most `limit_bytes`, unless a single record is larger.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from struct import Struct
from typing import Any, Final, NamedTuple

from fastcrc.crc32 import iscsi as crc32c

from gateway.errors import RecordError
from gateway.ledger.frame import (
    DECLARES,
    HEADER_BYTES,
    MAX_COUNT,
    MAX_DT_MS,
    MILLISECOND_NS,
    ROUTE_EXTRA_BYTES,
    URGENT,
    Stamp,
    build_frame,
    chain_of,
)
from gateway.ledger.record import (
    CAUSE,
    CLASS_MASK,
    CRC,
    HEAD,
    HEAD_BYTES,
    KIND_CODES,
    LEAF,
    LEAF_FLAGS,
    MAX_BODY_BYTES,
    NO_ROUTE,
    check_route,
    encode_body,
    flags_of,
    leaf_of,
)

MAX_KNOWN_ROUTES: Final = 65_000
CLOCK_JUMP_NS: Final = 100_000_000  # between the wall clock and the monotonic one: a frame tells one story of time
_DECLARING: Final = {KIND_CODES["gap"], KIND_CODES["damage"]}
_NO_DIGEST: Final = bytes(32)
_LENGTH: Final = Struct("<H")  # the start of a record's head
_SEQ: Final = Struct("<BQ")  # the start of a leaf


Entry = tuple[int, str | None, int, bytes]
"""A record that may be appended: kind << 8 | flags, route, cause (0: none), body as stored."""


class Checked(NamedTuple):
    """Records that may be appended, all of them."""

    records: list[Entry]
    flags: int  # of all records, joined: whether somebody waits for one of them

    @property
    def is_urgent(self) -> bool:
        """Return whether one of them is of another class than telemetry."""
        return bool(self.flags & CLASS_MASK)


class Routes:
    """Routes that were checked once, as they are stored and hashed. Bounded: it forgets all when it knows too many."""

    def __init__(self) -> None:
        self.known: dict[str | None, tuple[bytes, bytes]] = {}

    def stored(self, route: str) -> tuple[bytes, bytes]:
        """Return a route's bytes and digest. Raises: RecordError."""
        known = self.known.get(route)
        if known is None:
            text = check_route(route)
            if len(self.known) >= MAX_KNOWN_ROUTES:
                self.known.clear()
            known = self.known[route] = (text, sha256(text).digest())
        return known


class Checker:
    """Looks at every record before any of a batch is taken."""

    def __init__(self, routes: Routes) -> None:
        self._routes = routes
        self._telemetry = {kind: number << 8 for kind, number in KIND_CODES.items()}  # of bytes, without cause

    def check(self, records: Iterable[tuple[Any, ...]]) -> Checked:
        """Return records ready to be put. Raises: RecordError for the first that cannot be."""
        telemetry, stored, known_routes = self._telemetry, self._routes.stored, self._routes.known
        found: list[Entry] = []
        flags = 0
        for item in records:
            if type(item) is tuple and len(item) == 3:
                kind, route, body = item
                code = telemetry.get(kind) if type(kind) is str else None
                if code is not None and type(body) is bytes and len(body) <= MAX_BODY_BYTES and route in known_routes:
                    found.append((code, route, 0, body))
                    continue
            entry = self._entry(item)
            if entry[1] is not None:
                stored(entry[1])
            flags |= entry[0]
            found.append(entry)
        return Checked(found, flags & 0xFF)

    def _entry(self, item: Any) -> Entry:
        """Return one record, looked at closely."""
        try:
            kind, route, body, *rest = item
        except (TypeError, ValueError):
            rest = [0, 0, 0]
        if len(rest) > 2:
            raise RecordError(f"a record is (kind, route, body[, class[, cause]]), not {item!r:.80}")
        class_ = rest[0] if rest else "telemetry"
        cause = rest[1] if len(rest) > 1 else None
        if not isinstance(kind, str) or not isinstance(class_, str):
            raise RecordError(f"kind and class are words, not {kind!r} and {class_!r}")
        if route is not None and type(route) is not str:
            raise RecordError(f"a route is text, not {route!r:.80}")
        if cause is not None and (not isinstance(cause, int) or isinstance(cause, bool)):
            raise RecordError(f"cause {cause!r} is no sequence number")
        raw, body_flag = encode_body(body)
        number, flags = flags_of(kind, class_, cause, body_flag)
        return number << 8 | flags, route, cause or 0, raw


class Draft:
    """One frame in the making."""

    def __init__(self, stamp: Stamp, base_seq: int, put_ns: int) -> None:
        self.stamp = stamp
        self.base_seq = base_seq
        self.put_ns = put_ns  # monotonic, of the oldest record
        self.flags = 0
        self.records = 0
        self.body_bytes = 0
        self.routes: list[bytes] = []
        self._place_of: dict[str | None, tuple[int, bytes]] = {None: (NO_ROUTE, _NO_DIGEST)}
        self._parts: list[bytes] = []
        self._leaves: list[bytes] = []

    @property
    def next_seq(self) -> int:
        """Return the sequence number behind it."""
        return self.base_seq + self.records

    def padded_bytes(self, unit_log2: int) -> int:
        """Return what the frame will take in a segment."""
        unit = 1 << unit_log2
        return (HEADER_BYTES + self.body_bytes + unit - 1) & -unit

    def takes(self, wall_ns: int, mono_ns: int) -> bool:
        """Return whether a record of this instant can be said in this frame."""
        stamp = self.stamp
        drift = (wall_ns - stamp.wall_ns) - (mono_ns - stamp.mono_ns)
        dt_ms = (wall_ns - stamp.wall_ns) // MILLISECOND_NS
        return 0 <= dt_ms <= MAX_DT_MS and -CLOCK_JUMP_NS < drift < CLOCK_JUMP_NS

    def put(self, records: list[Entry], start: int, wall_ns: int, limit_bytes: int, routes: Routes) -> int:
        """Take records from place `start` on, as many as fit; return the place behind the last one taken."""
        base_wall = self.stamp.wall_ns
        dt_ms = (wall_ns - base_wall) // MILLISECOND_NS
        record_wall = base_wall + dt_ms * MILLISECOND_NS
        seq = self.base_seq + self.records
        size = HEADER_BYTES + self.body_bytes
        tables: dict[int, dict[str | None, tuple[bytes, bytes]]] = {}
        table: dict[str | None, tuple[bytes, bytes]] = {}
        last_code = -1
        add_part, add_leaf, pack_length, pack_seq = self._parts.append, self._leaves.append, _LENGTH.pack, _SEQ.pack
        place = start
        for code, route, cause, raw in records[start : start + MAX_COUNT - self.records]:
            if code != last_code:
                table = tables.setdefault(code, {})
                last_code = code
                self.flags |= _frame_flags(code)
            known = table.get(route)
            length = len(raw)
            cost = HEAD_BYTES + length + (CAUSE.size if cause else 0)
            if known is None:
                cost_of_route = self._cost_of(route)
                if self._parts and size + cost + cost_of_route > limit_bytes:
                    break
                if len(self.routes) == NO_ROUTE:
                    break
                size += cost_of_route
                known = table[route] = self._parts_of(code, route, routes, dt_ms, record_wall)
            elif size + cost > limit_bytes:
                break
            head = pack_length(length) + known[0]
            if cause:
                told = CAUSE.pack(cause)
                add_part(head + CRC.pack(crc32c(head + told + raw)) + told + raw)
                add_leaf(leaf_of(seq, record_wall, code >> 8, code & 0xFF, cause, known[1][-32:], raw))
            else:
                add_part(head + crc32c(head + raw).to_bytes(4, "little") + raw)
                add_leaf(sha256(pack_seq(0, seq) + known[1] + raw).digest())
            size += cost
            seq += 1
            place += 1
        self.records += place - start
        self.body_bytes = size - HEADER_BYTES
        return place

    def _cost_of(self, route: str | None) -> int:
        return 0 if route in self._place_of else ROUTE_EXTRA_BYTES + len(route or "")

    def _parts_of(self, code: int, route: str | None, routes: Routes, dt_ms: int, wall_ns: int) -> tuple[bytes, bytes]:
        """Return what all records of one kind, flags, route and instant have in common: on disk, and in their leaf."""
        known = self._place_of.get(route)
        if known is None:
            assert route is not None
            text, digest = routes.stored(route)
            known = self._place_of[route] = (len(self.routes), digest)
            self.routes.append(text)
        kind, flags = code >> 8, code & 0xFF
        head = HEAD.pack(0, kind, flags, known[0], dt_ms)[2:]
        leaf = LEAF.pack(0, 0, wall_ns, kind, flags & LEAF_FLAGS, 0, known[1])[_SEQ.size :]
        return head, leaf

    def chain(self, previous: bytes) -> bytes:
        """Return the chain hash behind it."""
        return chain_of(previous, self.base_seq, self.stamp, self.records, b"".join(self._leaves))

    def build(self, *, flags: int, epoch: int, previous: bytes, chain: bytes, unit_log2: int) -> bytes:
        """Return the frame's bytes."""
        return build_frame(
            self.stamp,
            flags=self.flags | flags,
            epoch=epoch,
            base_seq=self.base_seq,
            count=self.records,
            routes=self.routes,
            records=b"".join(self._parts),
            link=previous,
            chain=chain,
            unit_log2=unit_log2,
        )


def _frame_flags(code: int) -> int:
    """Return what a frame tells of holding a record of such kind and class."""
    return (URGENT if code & CLASS_MASK else 0) | (DECLARES if code >> 8 in _DECLARING else 0)
