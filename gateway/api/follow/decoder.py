"""Layer 7: from records to values, by the layouts of their time. Pure: records come in the order of the ledger.

Readings are decoded; desired and effective values and states of connections are told as they are; commands are told as
events. Everything else that a ledger holds is its own business and gives nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from struct import Struct
from struct import error as StructError  # noqa: N812 - it is a class
from typing import Any, Final, NamedTuple

from gateway.api.follow.values import ASIDE, BAD, EVENT, GOOD, Item, Missing, Span, taint_names
from gateway.errors import RecordError
from gateway.ledger.fold import State
from gateway.ledger.reading import SCHEMA_BYTES, decode_reading
from gateway.profile.recorded import Recorded, Schemas, Transforms
from gateway.runtime.message import Streams
from gateway.schema.plan import ABSENT, Refused, Row

_NS: Final = 1_000_000_000
_HEAD: Final = Struct("<BB8s")  # how a reading begins (gateway/ledger/reading.py); only the plainest is read by it
_KEY_END: Final = 10
_WALL: Final = Struct("<q")
_PLAIN_HEAD: Final = 22
FACTS: Final = frozenset({"desired", "effective", "reported"})
EVENTS: Final = frozenset({"command_intent", "command_sent", "command_result", "approval"})
_UNTELLABLE: Final = (RecordError, Refused, StructError, ArithmeticError, LookupError, TypeError, ValueError)

StreamsOf = Callable[[str, str], Mapping[str, str] | None]  # device, message -> stream by value name

log = logging.getLogger(__name__)


class Run(NamedTuple):
    """Records of one kind and route with consecutive numbers."""

    first: int
    kind: str
    route: str | None
    bodies: Sequence[Any]  # bytes of readings, else what JSON says
    wall_ns: int  # of what has no time of its own

    @property
    def last(self) -> int:
        """Return the number of the last one."""
        return self.first + len(self.bodies) - 1


class _Layout(NamedTuple):
    """How one message of one device becomes values."""

    recorded: Recorded
    decode: Callable[[bytes], Row] | None  # None: what other messages said takes part
    places: tuple[tuple[int, str, str], ...]  # place in the row, route, unit


class Decoder:
    """Turns runs of records into items. Keeps the layouts it met, and what transforms need of other messages."""

    def __init__(
        self,
        streams_of: StreamsOf = lambda _device, _message: None,
        units_of: Callable[[str], str] = lambda _route: "1",
        transforms: Transforms | None = None,
    ) -> None:
        """Take how routes are spelled now, the unit of a setpoint's route, and transforms that plugins bring."""
        self.first_reason = ""  # why the first record that could not be told could not
        self._streams_of = streams_of
        self._units_of = units_of
        self._transforms = transforms
        self.begin(State())

    def begin(self, state: State) -> None:
        """Stand where a ledger stood when it was folded to `state`."""
        self._schemas = schemas = Schemas(self._transforms)
        self._streams: dict[str, Streams] = {}
        self._layouts: dict[tuple[str, bytes], _Layout] = {}
        for latest in state.latest("schema").values():
            self.learn(latest.body)
        for route, latest in state.latest("reading").items():
            try:
                schemas.remember(route.partition("/")[0], decode_reading(latest.raw))
            except RecordError:
                continue

    def learn(self, body: Any) -> None:
        """Take the body of a schema record."""
        if isinstance(body, dict):
            self._schemas.learn(body)
            self._layouts.clear()  # a new message may need what another one says

    def knows(self, key: bytes) -> bool:
        """Return whether a layout was met."""
        return self._schemas.knows(key)

    def unknown(self, run: Run) -> bytes | None:
        """Return the key of a layout that a run of readings names and that was never met; None: all were."""
        if run.kind != "reading":
            return None
        keys = {bytes(body[2 : 2 + SCHEMA_BYTES]) for body in run.bodies}
        return next((key for key in keys if not self._schemas.knows(key)), None)

    def items(self, run: Run) -> list[Item | Missing]:
        """Return what a run of records tells; what cannot be told is set aside, and a gap stands in its place."""
        if run.kind == "reading":
            return self._readings(run)
        if run.kind == "schema":
            for body in run.bodies:
                self.learn(body)
            return []
        if run.route is None or not (run.kind in FACTS or run.kind in EVENTS or run.kind == "lifecycle"):
            return []
        found: list[Item | Missing] = []
        for seq, body in enumerate(run.bodies, run.first):
            try:
                item = self._told(run, run.route, seq, body)
            except (KeyError, TypeError, ValueError) as error:
                found.append(self._aside(seq, f"a {run.kind} that cannot be read: {error!r}"))
                continue
            if item is not None:
                found.append(item)
        return found

    def _told(self, run: Run, route: str, seq: int, body: Any) -> Item | None:
        if run.kind == "lifecycle":
            return Item(route, body["state"], "1", run.wall_ns / _NS, seq, GOOD, ())
        if run.kind in EVENTS:
            place = route.partition("@")[0] + EVENT
            return Item(place, {"kind": run.kind, **body}, "1", run.wall_ns / _NS, seq, GOOD, ())
        place = f"{route.partition('@')[0]}@{run.kind}"
        t = int(body.get("wall_ns", run.wall_ns)) / _NS
        return Item(place, body["value"], self._units_of(route), t, seq, GOOD, taint_names(int(body.get("taints", 0))))

    def _readings(self, run: Run) -> list[Item | Missing]:
        """Return what readings tell. Neighbours mostly have the same layout and no marks: that is looked at once."""
        found: list[Item | Missing] = []
        add, wall_of, route = found.append, _WALL.unpack_from, run.route or ""
        decode: Callable[[bytes], Row] | None = None
        known = None
        for seq, body in enumerate(run.bodies, run.first):
            try:
                if body[:_KEY_END] != known:
                    version, flags, key = _HEAD.unpack_from(body)
                    layout = self._layouts.get((route, key)) or self._layout(route, key)
                    decode = None if flags or version != 1 else layout.decode
                    known, places = body[:_KEY_END], layout.places
                if decode is None:
                    wall_ns, row = self._careful(route, layout, body)
                else:
                    (wall_ns,) = wall_of(body, _KEY_END)
                    row = decode(body[_PLAIN_HEAD:])
            except _UNTELLABLE as error:
                known = None
                add(self._aside(seq, _reason(error)))
                continue
            t, taints = wall_ns / _NS, taint_names(row[-1]) if row[-1] else ()
            for place, text, units in places:
                value = row[place]
                if value is not ABSENT:
                    add(Item(text, value, units, t, seq, BAD if value is None else GOOD, taints))
        return found

    def _careful(self, route: str, layout: _Layout, body: bytes) -> tuple[int, Row]:
        """Decode a reading that has taints or more, or takes what other messages said. Raises: RecordError, Refused."""
        reading = decode_reading(body)
        if layout.decode is None:
            return reading.wall_ns, self._schemas.decode(route.partition("/")[0], reading)[1]
        row = layout.decode(reading.payload)
        return reading.wall_ns, (*row[:-1], row[-1] | reading.taints)

    def _layout(self, route: str, key: bytes) -> _Layout:
        """Return how readings of a route become values. Raises: RecordError."""
        recorded = self._schemas.recorded(key)
        device, family = route.split("/")[:2]
        known = self._streams_of(device, recorded.layout.message) or {}
        streams = self._streams.setdefault(device, Streams())
        places = tuple(
            (place, f"{device}/{family}/{known.get(name) or streams.segment(family, name)}", units)
            for place, (name, units) in enumerate(zip(recorded.plan.names, recorded.plan.units, strict=True))
        )
        decode: Callable[[bytes], Row] | None = None
        if self._schemas.is_alone(recorded):
            decode = recorded.row if recorded.layout.adjust else recorded.plan.decode
        layout = self._layouts[route, key] = _Layout(recorded, decode, places)
        return layout

    def _aside(self, seq: int, reason: str) -> Missing:
        if not self.first_reason:
            self.first_reason = f"record {seq}: {reason}"
            log.warning("record %d is set aside, it cannot be told: %s", seq, reason)
        return Missing(Span(seq, seq, f"{ASIDE}: {reason}"[:200]))


def _reason(error: Exception) -> str:
    if isinstance(error, (RecordError, Refused)):
        return str(error)
    return f"{type(error).__name__}: {error}"
