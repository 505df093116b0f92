"""Layer 7: values out of recorded readings: each decoded as it was laid out when it was stored."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple

import msgspec

from gateway.errors import RecordError
from gateway.ledger.base import LedgerLike
from gateway.ledger.reading import SCHEMA_BYTES, Reading, decode_reading
from gateway.ledger.record import Record
from gateway.profile.recorded import Recorded, Schemas, read_layout
from gateway.registry import transforms
from gateway.route import Route, Variant
from gateway.runtime.message import Streams
from gateway.schema.plan import ABSENT, Refused
from gateway.taint import names_of

FIRST_LOOK_BACK: Final = 1024  # records; each further look is four times as long


class Point(msgspec.Struct, frozen=True):
    """One value of a route at one time; keys in this order."""

    seq: int
    time_ns: int
    kind: str
    value: Any
    units: str
    taints: list[str]


class Series:
    """The values of one route, found by feeding it a ledger in order."""

    def __init__(self, route: Route) -> None:
        """Take a route: what is stored under it is given as it is; of a value, readings are decoded too."""
        self.undecoded = 0  # readings of the family that told nothing
        self.first_reason = ""  # why the first of them did not
        self.units = "1"  # of the newest value that was met
        self._text = str(route)
        self._route = route if route.variant is Variant.VALUE else None
        self._prefix = f"{route.owner}/"
        self._schemas = Schemas(transforms())
        self._streams = Streams()

    def take(self, record: Record) -> Point | None:
        """Return the value that a record holds, if it holds one of this route."""
        if record.route == self._text:
            body = record.body if record.is_json else {"hex": record.raw.hex()}
            return Point(record.seq, record.wall_ns, record.kind, body, "1", [])
        if self._route is None or record.route is None:
            return None
        if record.kind == "schema":
            _learn(self._schemas, record)
        elif record.kind == "reading" and record.route.startswith(self._prefix) and record.route.endswith("@frame"):
            return self._decoded(self._route, record)
        return None

    def _decoded(self, route: Route, record: Record) -> Point | None:
        family = (record.route or "").split("/")[1]
        try:
            reading = decode_reading(record.raw)
            recorded, row = self._schemas.decode(route.owner, reading)
        except (RecordError, Refused) as error:
            if family == route.family:
                self.undecoded += 1
                self.first_reason = self.first_reason or f"record {record.seq}: {error}"
            return None
        if family != route.family:
            return None
        for name, units, value in zip(recorded.plan.names, recorded.plan.units, row, strict=False):
            if self._streams.segment(family, name) == route.stream and value is not ABSENT:
                self.units = units
                return Point(record.seq, reading.wall_ns, record.kind, value, units, names_of(row[-1]))
        return None


def _learn(schemas: Schemas, record: Record) -> None:
    body = record.body if record.is_json else None
    if isinstance(body, dict):
        schemas.learn(body)


class Unfolded(NamedTuple):
    """One reading with all that decodes it."""

    reading: Reading
    recorded: Recorded
    others: dict[str, bytes]  # what other messages of the device said last, where a transform takes it
    learnt: int  # the sequence number of the schema record


class _Behind:
    """What was met looking back from one reading. Holds one payload a layout, and the records of one schema."""

    def __init__(self, key: bytes, owner: str) -> None:
        self._key = key
        self._prefix = f"{owner}/"
        self._names: dict[bytes, str] = {}
        self._said: dict[bytes, tuple[int, bytes]] = {}
        self._parts: dict[int, tuple[int, dict[str, Any]]] = {}

    def look(self, piece: Iterator[Record]) -> None:
        """Take what stands before everything met so far, in order."""
        said: dict[bytes, tuple[int, bytes]] = {}
        for record in piece:
            if record.kind == "reading" and record.route is not None and record.route.startswith(self._prefix):
                with suppress(RecordError):
                    reading = decode_reading(record.raw)
                    said[reading.schema] = (record.seq, reading.payload)
            elif record.kind == "schema" and record.is_json and isinstance(body := record.body, dict):
                self._meet(record.seq, body)
        self._said = said | self._said

    def _meet(self, seq: int, body: dict[str, Any]) -> None:
        with suppress(KeyError, TypeError, ValueError):
            key = bytes.fromhex(body["digest"])[:SCHEMA_BYTES]
            self._names[key] = str(body["message"])
            if key == self._key:
                self._parts[int(body.get("part", 1))] = (seq, body)

    def recorded(self) -> tuple[Recorded, int] | None:
        """Return the layout, once all its records were met, and the number of the first. Raises: RecordError."""
        if not self._parts:
            return None
        parts = [self._parts[part] for part in sorted(self._parts)]
        if len(parts) < int(parts[0][1].get("parts", 1)):
            return None
        return Recorded(read_layout([body for _, body in parts]), transforms()), parts[0][0]

    def others(self) -> dict[str, bytes]:
        """Return the last payload of every message of the device that was met."""
        newest = sorted(
            (seq, self._names[key], payload) for key, (seq, payload) in self._said.items() if key in self._names
        )
        return {name: payload for _, name, payload in newest}


def unfold(ledger: LedgerLike, record: Record) -> Unfolded:
    """Return a recorded reading with the layout of its time. Raises: RecordError where that is gone."""
    reading = decode_reading(record.raw)
    behind = _Behind(reading.schema, (record.route or "").partition("/")[0])
    end, size = record.seq, FIRST_LOOK_BACK
    found = None
    while end > 1:
        start = max(end - size, 1)
        behind.look(_between(ledger, start, end))
        found = found or behind.recorded()
        if found is not None and set(found[0].layout.needs) <= set(behind.others()):
            break
        end, size = start, size * 4
    if found is None:
        raise RecordError(f"no schema {reading.schema.hex()} before record {record.seq}: its layout is not known")
    return Unfolded(reading, found[0], behind.others(), found[1])


def _between(ledger: LedgerLike, start: int, end: int) -> Iterator[Record]:
    for item in ledger.read(start):
        if item.seq >= end:
            return
        if isinstance(item, Record):
            yield item
