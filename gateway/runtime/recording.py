"""Layer 6: what keeps one message: batch by batch, as bytes with the id of the schema that decodes them.

Which rows are worth it is decided in `record_rule`, how they become durable in `committer`. The common case, a batch
that came too soon after the last one kept, costs a comparison and a note of its newest frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import repeat
from operator import itemgetter
from typing import Final

from gateway.ledger.reading import Reading, encode_reading, encode_run
from gateway.profile.model import Profile
from gateway.profile.recorded import Adjust, Layout, Schema, layout_of, schema_of
from gateway.route import Route, Variant, segment_of
from gateway.runtime.device import Device
from gateway.runtime.message import RSSI, Message, Streams
from gateway.runtime.parcel import Parcel
from gateway.runtime.record_rule import Judge, Rule, merged, rule_of
from gateway.schema.plan import Row
from gateway.schema.spec import MessageSpec

ADVERTISEMENT: Final = {"advertisement": MessageSpec(fields=[RSSI])}  # of every BLE device, whatever its profile says

_taints_of = itemgetter(-1)


class Recording:
    """What keeps one message. `take` is called before the message counts the frames of the batch."""

    __slots__ = (
        "_adjust",
        "_judge",
        "_late",
        "_offer",
        "_profile",
        "_schema",
        "due_ns",
        "keeps",
        "keeps_all",
        "message",
        "owed",
        "route",
        "rule",
    )

    def __init__(
        self,
        message: Message,
        route: str,
        rule: Rule,
        *,
        profile: Profile,
        adjust: Mapping[str, Adjust],
        offer: Callable[[Recording, list[bytes]], bool],
    ) -> None:
        """Take where it is kept and how; `offer` takes bodies and returns whether they will be kept.

        `adjust` is what the site adjusts of the device's values.
        """
        self.message = message
        self.route = route
        self.rule = rule
        self.owed = 0  # taints that the next reading must carry
        self.keeps = True  # False: nothing is kept, and the rule holds for frames that wait on the medium alone
        self.keeps_all = rule.keeps_all
        self.due_ns = 0  # no batch before this instant (monotonic) is looked at
        self._judge = Judge(rule)
        self._schema: Schema | None = None
        self._profile = profile
        self._adjust = adjust
        self._offer = offer
        self._late: tuple[int, Row, bytes, int, int] | None = None  # the newest frame that came too soon to be kept

    @property
    def schema(self) -> Schema:
        """Return the layout that decodes what is kept; made when first needed."""
        if self._schema is None:
            self._schema = schema_of(self.layout, self.message.plan, self._profile.profile.id)
        return self._schema

    @property
    def layout(self) -> Layout:
        """Return what decoding takes, as the schema tells it."""
        names = self.message.plan.names
        mine = {value: change for value, change in self._adjust.items() if value in names}
        specs = self._profile.message if self.message.name in self._profile.message else ADVERTISEMENT
        return layout_of(self.message.name, specs, mine)

    def shared_route(self, owner: str) -> str:
        """Return where the layout is told that all devices of `owner` have; another layout has another route."""
        message, digest = self.message, self.schema.digest.hex()[:16]
        return str(Route(owner, message.family, f"{segment_of(message.name)}-{digest}", Variant.FRAME))

    def take(self, rows: list[Row], parcel: Parcel, key: str | None) -> None:
        """Keep what is worth it of a batch; `key` picks this message's frames out of a mixed one, with their `rows`."""
        if parcel.received_ns < self.due_ns and not parcel.is_stored:
            place = -1 if key is None else _last_place(parcel.keys, key)
            wall_ns = parcel.wall_ns if parcel.stamps_ns is None else parcel.stamps_ns[place]
            count = len(rows) if key is None else (parcel.keys or []).count(key)
            sequence = self.message.sequence + count
            self._late = (sequence, rows[place], parcel.items[place], wall_ns, parcel.taints)
            return
        if key is not None:
            chosen = [place for place, each in enumerate(parcel.keys or []) if each == key]
            rows, parcel = [rows[place] for place in chosen], parcel.select(chosen)
        if parcel.is_stored:
            self._judge.kept(rows[-1], parcel.received_ns)
            self.due_ns = self._judge.due_ns
        elif self.keeps_all:
            self._keep_all(rows, parcel)
        else:
            self._keep_some(rows, parcel)

    def late(self, now_ns: int) -> None:
        """Keep what came too soon, now that it is not too soon any more, if it still differs from what was kept."""
        late = self._late
        if late is None or now_ns < self.due_ns:
            return
        self._late = None
        sequence, row, item, wall_ns, taints = late
        if self._judge.choose([row], now_ns):
            self._keep([self._body(sequence, row, item, wall_ns, taints)])
        self.due_ns = self._judge.due_ns

    def restart(self) -> None:
        """What was kept is not there any more: the next frame is kept whatever it says."""
        self._judge.forget()
        self.due_ns = 0

    def _keep_all(self, rows: list[Row], parcel: Parcel) -> None:
        first = self.message.sequence + 1
        stamps = parcel.stamps_ns
        taints = set(map(_taints_of, rows))
        if self.owed or len(taints) > 1:
            walls = repeat(parcel.wall_ns) if stamps is None else stamps
            each = zip(range(first, first + len(rows)), rows, parcel.items, walls, strict=False)
            self._keep([self._body(*one, parcel.taints) for one in each])
            return
        walls = repeat(parcel.wall_ns) if stamps is None else stamps
        self._keep(encode_run(self.schema.key, first, walls, parcel.items, taints.pop() | parcel.taints))

    def _keep_some(self, rows: list[Row], parcel: Parcel) -> None:
        places = self._judge.choose(rows, parcel.received_ns)
        self.due_ns = self._judge.due_ns
        if not places:
            self._late = None
            return
        first = self.message.sequence + 1
        bodies = []
        for place in places:
            wall_ns = parcel.wall_ns if parcel.stamps_ns is None else parcel.stamps_ns[place]
            bodies.append(self._body(first + place, rows[place], parcel.items[place], wall_ns, parcel.taints))
        end = len(rows) - 1
        self._late = None
        if places[-1] != end:
            wall_ns = parcel.wall_ns if parcel.stamps_ns is None else parcel.stamps_ns[end]
            self._late = (first + end, rows[end], parcel.items[end], wall_ns, parcel.taints)
        self._keep(bodies)

    def _body(self, sequence: int, row: Row, item: bytes, wall_ns: int, taints: int) -> bytes:
        taints |= row[-1] | self.owed
        self.owed = 0
        return encode_reading(Reading(self.schema.key, sequence, wall_ns, item, taints))

    def _keep(self, bodies: list[bytes]) -> None:
        if not self._offer(self, bodies):
            self._judge.forget()


def recordings_of(device: Device, offer: Callable[[Recording, list[bytes]], bool]) -> dict[str, Recording]:
    """Return what keeps each message of a device, by name: of those too of which nothing is kept."""
    segments = Streams()
    profile = device.profile.profile
    found = {}
    for message in device.all_messages():
        spec = profile.message.get(message.name)
        rule = rule_of(merged(None if spec is None else spec.record, profile.record), message.plan)
        segment = segments.segment(message.family, message.name)
        route = str(Route(device.name, message.family, segment, Variant.FRAME))
        recording = Recording(message, route, rule or Rule(), profile=profile, adjust=device.adjust, offer=offer)
        recording.keeps = rule is not None
        found[message.name] = recording
    return found


def _last_place(keys: list[str] | None, key: str) -> int:
    assert keys is not None
    return len(keys) - 1 - keys[::-1].index(key)
