"""Layer 2: frames with fewer records: what retention leaves of them, and what can be read of a hurt one. Pure.

A thinned frame stands for a run of frames. Each record tells its own sequence number, as an offset; everything that its
leaf is made of is as it was. The link of the first frame and the chain hash of the last keep both ends of the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from gateway.ledger.frame import (
    DECLARES,
    HEADER_BYTES,
    MAX_DT_MS,
    MILLISECOND_NS,
    ROUTE_EXTRA_BYTES,
    THINNED,
    URGENT,
    Header,
    Stamp,
    build_frame,
    parse_header,
)
from gateway.ledger.record import CLASS_CODES, IS_JSON, KINDS, NO_ROUTE, Record, encode_record, flags_of

RUN_BYTES: Final = 65_536
MAX_SPAN: Final = 0xFFFF_FFFF
Thinned = tuple[Header, bytes, list[Record]]  # header, header and body as they are stored, what is in it


class _Run:
    """Frames that become one."""

    def __init__(self, first: Header) -> None:
        self.first = first
        self.last = first
        self.records: list[Record] = []
        self.size = HEADER_BYTES

    def takes(self, header: Header, kept: list[Record]) -> bool:
        """Return whether a frame can be said together with those before it."""
        last = self.last
        same = (header.boot_no, header.incarnation) == (last.boot_no, last.incarnation)
        if not same or header.base_seq != last.next_seq or header.next_seq - self.first.base_seq > MAX_SPAN:
            return False
        if not kept or not self.records:
            return True
        base_ns = self.records[0].wall_ns
        spans_ms = [(record.wall_ns - base_ns) // MILLISECOND_NS for record in (kept[0], kept[-1])]
        size = self.size + sum(map(_size_of, kept))
        return min(spans_ms) >= 0 and max(spans_ms) <= MAX_DT_MS and size <= RUN_BYTES

    def add(self, header: Header, kept: list[Record]) -> None:
        """Take a frame."""
        self.last = header
        self.records += kept
        self.size += sum(map(_size_of, kept))

    def build(self) -> Thinned:
        """Return the one frame."""
        first, last = self.first, self.last
        base_ns = self.records[0].wall_ns if self.records else first.wall_ns
        stamp = Stamp(first.log_id, first.incarnation, first.boot_no, base_ns, first.mono_ns, first.quality)
        routes: dict[str, int] = {}
        parts = []
        flags = THINNED
        for record in self.records:
            place = NO_ROUTE if record.route is None else routes.setdefault(record.route, len(routes))
            code, record_flags = _codes_of(record)
            parts.append(
                encode_record(
                    code,
                    record_flags,
                    place,
                    (record.wall_ns - base_ns) // MILLISECOND_NS,
                    record.cause or 0,
                    record.raw,
                    record.seq - first.base_seq,
                )
            )
            flags |= (URGENT if record.class_ != "telemetry" else 0) | (
                DECLARES if record.kind in {"gap", "damage"} else 0
            )
        raw = build_frame(
            stamp, flags=flags, epoch=last.epoch, base_seq=first.base_seq, count=len(self.records),
            routes=[text.encode("ascii") for text in routes], records=b"".join(parts), link=first.link,
            chain=last.chain, unit_log2=first.unit_log2, span=last.next_seq - first.base_seq,
        )  # fmt: skip
        header = parse_header(raw)
        assert header is not None
        return header, raw[: HEADER_BYTES + header.body_bytes], self.records


def thin(frames: Iterable[tuple[Header, list[Record]]], keeps: Callable[[Record], bool]) -> Iterator[Thinned]:
    """Yield frames that hold only the records to keep, as few as can say them; together they span the same numbers."""
    run: _Run | None = None
    for header, records in frames:
        kept = [record for record in records if keeps(record)]
        if run is not None and not run.takes(header, kept):
            yield run.build()
            run = None
        if run is None:
            run = _Run(header)
        run.add(header, kept)
    if run is not None:
        yield run.build()


def _size_of(record: Record) -> int:
    return 24 + len(record.raw) + (len(record.route) + ROUTE_EXTRA_BYTES if record.route else 0)


def _codes_of(record: Record) -> tuple[int, int]:
    """Return kind code and flags; a kind of a newer version keeps its number."""
    if record.kind not in KINDS:
        number = int(record.kind.removeprefix("kind-"))
        flags = CLASS_CODES[record.class_] | (4 if record.cause is not None else 0)
        return number, flags | (IS_JSON if record.is_json else 0)
    return flags_of(record.kind, record.class_, record.cause, IS_JSON if record.is_json else 0)
