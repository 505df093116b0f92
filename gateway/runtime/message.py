"""Layer 6: one message of one device as the latest-value table holds it: at message grain, one row for all fields."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, Protocol

from gateway.envelope import Envelope
from gateway.errors import EncodeError
from gateway.notation import duration_ns
from gateway.profile.build import CompiledProfile
from gateway.profile.recorded import Adjust, adjusted
from gateway.route import Route, RoutePattern, segment_of
from gateway.runtime.parcel import Parcel
from gateway.runtime.uptime import Uptime
from gateway.schema.plan import ABSENT, MessagePlan, Refused, Row
from gateway.schema.spec import FieldSpec, MessageSpec
from gateway.taint import COHERENCE_STALE, names_of

NS: Final = 1_000_000_000


class Streams:
    """Route segments of field names, for one device: equal names of one family are one stream, others never collide."""

    def __init__(self) -> None:
        """Start without any."""
        self._names: dict[tuple[str, str], str] = {}
        self._taken: set[tuple[str, str]] = set()

    def segment(self, family: str, name: str) -> str:
        """Return the segment of `name`; a second spelling with the same segment gets `_2`."""
        if (family, name) not in self._names:
            plain = segment_of(name)
            segment, number = plain, 1
            while (family, segment) in self._taken:
                number += 1
                segment = f"{plain}_{number}"
            self._taken.add((family, segment))
            self._names[family, name] = segment
        return self._names[family, name]


class Records(Protocol):
    """What keeps a message in the ledger: `gateway.runtime.recording`."""

    owed: int  # taints that the next reading must carry

    def take(self, rows: list[Row], parcel: Parcel, key: str | None) -> None:
        """Keep what is worth it of a batch, before its frames are counted; `key` picks out of a mixed one."""
        ...


class Message:
    """What is known of one message: its latest row, when it came, and how it is read."""

    __slots__ = (
        "_adjust",
        "_decoder_of",
        "_device_time",
        "_plan",
        "_plan_of",
        "_streams",
        "decode",
        "device",
        "family",
        "heard",
        "is_restored",
        "lost_ns",
        "name",
        "received_ns",
        "recording",
        "row",
        "runtime",
        "sequence",
        "stale_after_ns",
        "streams_of_device",
        "taints",
        "uptime",
        "wall_ns",
    )

    def __init__(
        self,
        device: str,
        name: str,
        *,
        family: str,
        plan_of: Callable[[], MessagePlan],
        stale_after_ns: int,
        streams: Streams,
        adjust: dict[str, Adjust] | None = None,
        device_time: str | None = None,
        decoder_of: Callable[[], Callable[[bytes], Row]] | None = None,
    ) -> None:
        """Take names, the plan (compiled when first needed) and what the site file adjusts.

        `decoder_of` gives what decodes it where that is not the plan alone: the device's memory of other messages.
        """
        self.device = device
        self.name = name
        self.family = segment_of(family)
        self.stale_after_ns = stale_after_ns
        self.streams_of_device = streams
        self.sequence = 0  # frames decoded so far
        self.row: Row | None = None
        self.taints = 0  # of the latest row, beyond its own
        self.received_ns = 0  # monotonic
        self.wall_ns = 0
        self.is_restored = False  # the row is of an earlier run, from the ledger: stale until the device speaks
        self.lost_ns = -1  # monotonic, when its device was last lost: what came before is stale, whatever its age
        self.runtime: str | None = None  # that run's boot id; None: this one's
        self.recording: Records | None = None  # what keeps it in the ledger
        self.heard: Callable[[list[Row], list[bytes], Parcel], None] | None = None  # who waits for what it says
        self.uptime: Uptime | None = None  # what it tells of for how long its device has run; known with its layout
        self._plan: MessagePlan | None = None
        self._plan_of = plan_of
        self._decoder_of = decoder_of or (lambda: self.plan.decode)
        self._streams: tuple[str, ...] | None = None
        self._adjust = adjust or {}
        self._device_time = device_time  # the field that says when the device made it
        self.decode: Callable[[bytes], Row] = self._first_decode

    @property
    def plan(self) -> MessagePlan:
        """Return the compiled layout."""
        if self._plan is None:
            self._plan = self._plan_of()
        return self._plan

    @property
    def streams(self) -> tuple[str, ...]:
        """Return the route segments, parallel to `plan.names`."""
        if self._streams is None:
            self._streams = tuple(self.streams_of_device.segment(self.family, name) for name in self.plan.names)
        return self._streams

    def warm(self) -> None:
        """Pay now for what the first decode or the first question would take from the loop."""
        assert len(self.streams) == len(self.plan.names)
        if self.plan.path == "construct":
            with contextlib.suppress(Refused):
                self.plan.decode(b"")

    def is_stale(self, now_ns: int) -> bool:
        """Return whether it is too old, or from before its device was last lost or this start; False without value."""
        if self.is_restored or self.row is None:
            return self.is_restored
        return self.received_ns <= self.lost_ns or now_ns - self.received_ns > self.stale_after_ns

    @property
    def is_earlier(self) -> bool:
        """Return whether the latest row is of an earlier run: only the wall clock tells its age."""
        return self.is_restored and self.runtime is not None

    def restore(self, row: Row, sequence: int, wall_ns: int, received_ns: int, runtime: str | None) -> None:
        """Take the latest row of an earlier run, unless the device has spoken already; numbers go on from there."""
        self.sequence += sequence
        if self.row is not None:
            return
        self.row = row
        self.taints = COHERENCE_STALE
        self.wall_ns = wall_ns
        self.received_ns = received_ns
        self.runtime = runtime
        self.is_restored = True

    def record(
        self, sequence: int, row: Row, wall_ns: int, taints: int, chosen: Iterable[int] | None
    ) -> dict[str, Any]:
        """Return what `watch --json` prints of one row; `chosen` are the places of the fields asked for, None: all."""
        names = self.plan.names
        places = range(len(names)) if chosen is None else chosen
        return {
            "device": self.device,
            "message": self.name,
            "seq": sequence,
            "t": wall_ns / NS,
            "values": {names[place]: row[place] for place in places if row[place] is not ABSENT},
            "taints": names_of(row[-1] | taints),
        }

    def envelope(self, place: int, producer: str, runtime: str) -> Envelope:
        """Return the field at `place` of the latest row as a record of its own. Raises: ValueError before the first."""
        if self.row is None:
            raise ValueError(f"{self.device}/{self.name}: nothing came yet")
        told = self.row[self.plan.names.index(self._device_time)] if self._device_time else None
        return Envelope(
            route=Route(self.device, self.family, self.streams[place]),
            producer=producer,
            runtime=(self.runtime or runtime) if self.is_restored else runtime,
            sequence=self.sequence,
            received_ns=self.received_ns,
            wall_ns=self.wall_ns,
            value=None if self.row[place] is ABSENT else self.row[place],
            device_time=told if isinstance(told, str) else None,
            taints=self.row[-1] | self.taints,
        )

    def latest(self, now_ns: int) -> dict[str, Any]:
        """Return the latest row with units and age, for `status`-like answers; age None: nothing came yet."""
        plan = self.plan
        row: Row = self.row if self.row is not None else ((None,) * len(plan.names) + (0,))
        stale = self.is_stale(now_ns)
        return {
            "device": self.device,
            "message": self.name,
            "family": self.family,
            "seq": self.sequence,
            "t": None if self.row is None else self.wall_ns / NS,
            "age": None if self.row is None else (now_ns - self.received_ns) / NS,
            "stale": stale,
            "taints": names_of(row[-1] | self.taints | (COHERENCE_STALE if stale else 0)),
            "values": {name: value for name, value in zip(plan.names, row, strict=False) if value is not ABSENT},
            "units": dict(zip(plan.names, plan.units, strict=True)),
            "streams": dict(zip(plan.names, self.streams, strict=True)),
        }

    def fields_for(self, pattern: RoutePattern) -> tuple[int, ...] | None:
        """Return the places of the fields whose route matches, () for none of them and None for all."""
        if not pattern.matches(self.device, self.family):
            return ()
        places = tuple(
            place for place, stream in enumerate(self.streams) if pattern.matches(self.device, self.family, stream)
        )
        return None if len(places) == len(self.streams) else places

    def _first_decode(self, body: bytes) -> Row:
        """Compile, then be out of the way: later frames go straight to the plan."""
        self.decode = self._adjusted() if self._adjust else self._decoder_of()
        self.uptime = Uptime.of(self.plan)
        return self.decode(body)

    def _adjusted(self) -> Callable[[bytes], Row]:
        plan = self.plan
        decode = self._decoder_of()
        places = [(plan.names.index(name), *self._adjust[name]) for name in self._adjust if name in plan.names]
        if not places:
            return decode

        def decode_and_adjust(body: bytes) -> Row:
            return adjusted(decode(body), places)

        return decode_and_adjust


def stale_after_ns(profile: CompiledProfile, spec: MessageSpec) -> int:
    """Return for how long a message may be silent: its own figure, 3 x `every`, else the lifecycle's."""
    if spec.stale_after is not None:
        return duration_ns(spec.stale_after)
    if spec.ask is not None and spec.every not in {"connect", "never"}:
        return 3 * duration_ns(spec.every or "1s")
    return duration_ns(profile.profile.lifecycle.stale_after)


ADVERTISEMENT: Final = "advertisement"
RSSI: Final = FieldSpec(name="rssi", type="s8", units="dBm", deadband=10)  # it flickers by less, standing still


class _Advertisement:
    """The layout that every BLE advertisement has: its signal strength."""

    name = ADVERTISEMENT
    names: tuple[str, ...] = ("rssi",)
    units: tuple[str, ...] = ("dBm",)
    fields: tuple[FieldSpec | Any, ...] = (RSSI,)
    path: Literal["generated", "construct", "text"] = "generated"
    why = "signal strength comes with every advertisement"

    def decode(self, body: bytes) -> Row:
        """Return the row of one byte; the runtime fills rows from `Element.rssi` itself."""
        return (int.from_bytes(body[:1], "big", signed=True), 0)

    def decode_raw(self, body: bytes) -> dict[str, Any]:
        """Return the byte as a number."""
        return {"rssi": self.decode(body)[0]}

    def encode(self, values: dict[str, Any]) -> bytes:
        """Raise EncodeError: a receiver measures this, nobody sends it."""
        del values
        raise EncodeError("the signal strength of an advertisement is measured, not written")


def advertisement_of(device: str, stale_ns: int, streams: Streams) -> Message:
    """Return the message that carries the signal strength of a device's advertisements."""
    return Message(
        device, ADVERTISEMENT, family="health", plan_of=_Advertisement, stale_after_ns=stale_ns, streams=streams
    )
