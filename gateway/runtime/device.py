"""Layer 6: one device: its mailboxes, its latest values, its account of frames. Its connection is `connection`'s.

Frames in = delivered + dropped + refused + pending at every instant. A frame is `in` when it is offered; what is
refused before it ever was a frame of a message (garbage, unknown) is counted by `refuse`. No I/O here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from gateway.clock import Clock
from gateway.frame import Address, Element
from gateway.lifecycle import Event, Lifecycle, State
from gateway.notation import duration_ns
from gateway.profile.build import CompiledProfile
from gateway.profile.recorded import Adjust
from gateway.runtime.account import Frames, PollCounts
from gateway.runtime.connection import Connection
from gateway.runtime.mailbox import Lane, Mailbox, check_policy
from gateway.runtime.message import Message, Streams, advertisement_of, stale_after_ns
from gateway.runtime.parcel import Parcel
from gateway.runtime.stubs import Origin
from gateway.runtime.watch import Watcher, numbered
from gateway.schema.plan import Refused, Row
from gateway.taint import DELIVERY_DROPPED, DELIVERY_GARBAGE, DELIVERY_RECONNECTED

log = logging.getLogger(__name__)


class Device(Connection):
    """One profile instance behind one port."""

    def __init__(
        self,
        name: str,
        profile: CompiledProfile,
        clock: Clock,
        *,
        adjust: dict[str, Adjust] | None = None,
        label: str | None = None,
        area: str | None = None,
        has_store: bool = False,
    ) -> None:
        """Take the compiled profile and what the site file says; `has_store`: there is a ledger to spill to.

        Raises: ConfigError for a queue that cannot be.
        """
        super().__init__(name, clock, duration_ns(profile.profile.lifecycle.stale_after))
        self.profile = profile
        self.label = label
        self.area = area
        self.origin: Origin | None = None  # of one that was discovered
        self.adjust = adjust or {}
        self.watchers: list[Watcher] = []
        self._has_store = has_store
        self.polls = PollCounts()
        self.on_restarted: Callable[[str], None] | None = None  # told that it began anew, before its frame is heard
        self.in_hand = 0  # frames offered that the pipeline has not put yet: it waits for room
        self._in = self._delivered = self._dropped = 0
        self._refused = 0  # before they came into a mailbox: garbage, unknown
        self._refused_here = 0  # by their decode
        self._owed = 0  # taints that the next frame must carry
        self._owed_each: dict[str, int] = {}  # taints that the next frame of each message must carry
        self._memory = profile.memory()  # what transforms need of other messages
        streams = Streams()
        self.messages: dict[str, Message] = {
            key: self._message(key, streams, adjust)
            for key, spec in profile.profile.message.items()
            if spec.direction != "out"
        }
        self._advertisement: Message | None = None
        if profile.profile.link.bus == "ble":
            self._advertisement = advertisement_of(name, self.stale_after_ns, streams)
        self.mailboxes: dict[Lane, Mailbox] = self._mailboxes()
        self._lane_of: dict[str, Lane] = {key: self._lane(key) for key in self.messages}

    def all_messages(self) -> list[Message]:
        """Return every message that can come, the advertisement's included."""
        extra = [self._advertisement] if self._advertisement is not None else []
        return [*self.messages.values(), *extra]

    # ---- towards the mailbox

    def parcels(self, items: list[bytes], names: list[str], parcel: Parcel) -> list[tuple[Mailbox, Parcel]]:
        """Count frames as in and return them ready for their mailboxes; times and producer are those of `parcel`.

        Whoever puts them takes them off `in_hand`.
        """
        self._in += len(items)
        self.in_hand += len(items)
        self.heard(parcel.received_ns)
        stamps_ns, producer = parcel.stamps_ns, parcel.producer
        whole = Parcel(items, names, parcel.received_ns, parcel.wall_ns, stamps_ns, producer, 0, parcel.taints)
        if self._owed or self._owed_each:
            whole = whole.marked(self._debts(names))
        if len(self.mailboxes) == 1:
            ((_, mailbox),) = self.mailboxes.items()
            return [(mailbox, whole)]
        found = []
        for lane, mailbox in self.mailboxes.items():
            mine, whole = whole.part({key for key in names if self._lane_of[key] == lane})
            if mine.items:
                found.append((mailbox, mine))
        return found

    def refuse(self, count: int, *, marks: bool = True) -> None:
        """Count pieces that came for this device and are no frame of it; the next frame says so if `marks`."""
        self._in += count
        self._refused += count
        if marks:
            self._owed |= DELIVERY_GARBAGE

    def lose(self, count: int) -> None:
        """Count frames that the driver dropped before they came here; the next frame says so."""
        self._in += count
        self._dropped += count
        self._owed |= DELIVERY_DROPPED

    def advertise(self, addresses: list[Address], parcel: Parcel) -> None:
        """Take the signal strength of each advertisement, once however many elements it has."""
        message = self._advertisement
        if message is None:
            return
        previous: Element | None = None
        seen: set[tuple[object, ...]] = set()
        for place, element in enumerate(addresses):
            if not isinstance(element, Element) or element.rssi is None:
                continue
            part = (element.manufacturer, element.service, element.characteristic)
            if previous is None or _origin(previous) != _origin(element) or part in seen:
                seen = set()
                row: Row = (element.rssi, 0)
                wall_ns = parcel.stamps_ns[place] if parcel.stamps_ns else parcel.wall_ns
                self._settle_one(message, row, parcel, wall_ns)
            seen.add(part)
            previous = element

    # ---- from the mailbox

    def owe(self, key: str, bits: int) -> None:
        """Let the next frame of a message carry these taints."""
        self._owed_each[key] = self._owed_each.get(key, 0) | bits

    def serve(self, parcel: Parcel) -> None:
        """Decode a parcel whole and hand the rows to the latest-value table and to who looks on."""
        keys, items = parcel.keys, parcel.items
        assert keys is not None
        messages = self.messages
        first = keys[0]
        try:
            if keys.count(first) == len(keys):
                rows = list(map(messages[first].decode, items))
            else:
                rows = [messages[key].decode(item) for key, item in zip(keys, items, strict=True)]
        except Refused:
            keys, rows, parcel = self._one_by_one(parcel)
            if not rows:
                return
        self._delivered += len(rows)
        if parcel.marks:
            _mark(rows, keys, parcel.marks)
            for key, bits in parcel.marks.items():
                self._record_with(key, bits)
        self._settle(keys, rows, parcel)

    def broke(self, reason: str) -> None:
        """A fault of our own interrupted `serve`: what it left undone is refused, and the fault stays visible."""
        served = sum(mailbox.statistics().delivered for mailbox in self.mailboxes.values())
        self._refused_here = served - self._delivered
        self._owed |= DELIVERY_GARBAGE
        self.fault = self.fault or reason
        self.health.faults += 1

    def pass_over(self, count: int) -> None:
        """Refuse frames of a parcel that is not served: our own part has failed, and is not tried with these."""
        self._refused_here += count
        self._owed |= DELIVERY_GARBAGE

    def _one_by_one(self, parcel: Parcel) -> tuple[list[str], list[Row], Parcel]:
        """Decode a parcel of which at least one frame is refused; return what is left of it, marks paid."""
        kept: list[int] = []
        rows: list[Row] = []
        owed = dict(parcel.marks or {})
        keys = parcel.keys or []
        for index, (key, item) in enumerate(zip(keys, parcel.items, strict=True)):
            try:
                row = self.messages[key].decode(item)
            except Refused as refusal:
                self._refused_here += 1
                owed[key] = owed.get(key, 0) | DELIVERY_GARBAGE
                log.debug("frame refused: device=%s message=%s reason=%s", self.name, key, refusal.reason)
                continue
            bits = owed.pop(key, 0)
            if bits:
                self._record_with(key, bits)
            rows.append((*row[:-1], row[-1] | bits) if bits else row)
            kept.append(index)
        for key, bits in owed.items():
            self._owed_each[key] = self._owed_each.get(key, 0) | bits
        left = parcel.select(kept)
        return left.keys or [], rows, left

    def _record_with(self, key: str, bits: int) -> None:
        """Let the next reading that is kept carry these taints, though not every row is kept."""
        recording = self.messages[key].recording
        if recording is not None:
            recording.owed |= bits

    def _settle(self, keys: list[str], rows: list[Row], parcel: Parcel) -> None:
        last = dict(zip(keys, rows, strict=True))
        self._look_for_restart(last, parcel.received_ns)
        if self.watchers:
            self._tell(keys, rows, parcel, [self.messages[key] for key in last])
        for key, row in last.items():
            message = self.messages[key]
            count = len(rows) if len(last) == 1 else keys.count(key)
            if message.recording is not None:
                message.recording.take(rows, parcel, None if len(last) == 1 else key)
            message.sequence += count
            message.row = row
            message.is_restored = False
            message.taints = parcel.taints
            message.received_ns = parcel.received_ns
            message.wall_ns = parcel.wall_ns if parcel.stamps_ns is None else _last_stamp(keys, key, parcel.stamps_ns)
            if message.heard is not None:
                mine = [place for place, each in enumerate(keys) if each == key]
                message.heard([rows[place] for place in mine], [parcel.items[place] for place in mine], parcel)

    def _look_for_restart(self, last: dict[str, Row], received_ns: int) -> None:
        """Tell of a device that its own running time shows to have begun anew since it stands CONNECTED."""
        if not self.is_up or received_ns < self.lifecycle.since_ns:
            return
        for key, row in last.items():
            uptime = self.messages[key].uptime
            why = "" if uptime is None else uptime.went_back(row, received_ns)
            if why and self.on_restarted is not None:
                self.on_restarted(f"it restarted: {key}.{why}")
                return

    def _tell(self, keys: list[str], rows: list[Row], parcel: Parcel, messages: list[Message]) -> None:
        """Number the rows, once for all who look on."""
        wanting = [watcher for watcher in self.watchers if any(map(watcher.wants, messages))]
        told = numbered(messages, keys, rows) if wanting else []
        for watcher in wanting:
            watcher.offer(told, parcel, messages)

    def _settle_one(self, message: Message, row: Row, parcel: Parcel, wall_ns: int) -> None:
        for watcher in self.watchers:
            single = Parcel([row], None, parcel.received_ns, wall_ns, taints=parcel.taints)
            watcher.offer([(message, message.sequence + 1, row)], single, [message])
        if message.recording is not None:
            byte = Parcel([bytes([row[0] & 0xFF])], None, parcel.received_ns, wall_ns, taints=parcel.taints)
            message.recording.take([row], byte, None)
        message.sequence += 1
        message.row = row
        message.is_restored = False
        message.taints = parcel.taints
        message.received_ns = parcel.received_ns
        message.wall_ns = wall_ns

    # ---- account and lifecycle

    def dropped_by(self) -> dict[str, int]:
        """Return how many frames were dropped since the start, by who dropped them."""
        boxes = sum(mailbox.dropped for mailbox in self.mailboxes.values())
        return {"driver": self._dropped, "mailbox": boxes}

    def frames(self) -> Frames:
        """Return the account of frames at this instant."""
        boxes = [mailbox.statistics() for mailbox in self.mailboxes.values()]
        account = Frames(
            self._in,
            self._delivered,
            self._dropped + sum(box.dropped for box in boxes),
            self._refused + self._refused_here + sum(box.refused for box in boxes),
            self.in_hand + sum(box.pending for box in boxes),
        )
        return account if self.origin is None else account.after(self.origin.earlier)

    @property
    def has_stored(self) -> bool:
        """Return whether frames wait on the medium for room in a mailbox."""
        return any(mailbox.store is not None and mailbox.store.pending for mailbox in self.mailboxes.values())

    def moved(self, before: Lifecycle, event: Event) -> None:
        """Distrust what a device that goes had said; the first frames of one that returns tell of it."""
        was_up = before.state is State.CONNECTED
        if self.lost_ns is not None and was_up and not self.is_up:
            for message in self.all_messages():
                message.lost_ns = self.lost_ns
        if event in {Event.LOST, Event.CLOSED, Event.MISSING} or (was_up and not self.is_up):
            self.forget()
        if was_up is not self.is_up:
            for message in self.messages.values():
                if message.uptime is not None:
                    message.uptime.forget()
        if self.is_up and not was_up and self._delivered:
            self._owed_each = {key: self._owed_each.get(key, 0) | DELIVERY_RECONNECTED for key in self.messages}

    def forget(self) -> None:
        """Forget what transforms remember: what speaks next may be another device, its calibration is read again."""
        self._memory.forget()

    # ---- wiring

    def _message(self, key: str, streams: Streams, adjust: dict[str, Adjust] | None) -> Message:
        profile = self.profile

        def plan_of() -> Any:
            return profile.messages[key]

        return Message(
            self.name,
            key,
            family=profile.family_of(key),
            plan_of=plan_of,
            stale_after_ns=stale_after_ns(profile, profile.profile.message[key]),
            streams=streams,
            adjust=adjust,
            device_time=profile.profile.message[key].device_time,
            decoder_of=lambda: self._memory.decoder(key),
        )

    def _lane(self, key: str) -> Lane:
        return self.profile.profile.message[key].lane or self.profile.profile.queue.lane

    def _mailboxes(self) -> dict[Lane, Mailbox]:
        queue = self.profile.profile.queue
        check_policy(queue.when_full, self.profile.profile.profile.id, has_store=self._has_store)
        lanes = sorted({self._lane(key) for key in self.messages} or {queue.lane})
        deadline_ns = duration_ns(queue.deadline) if queue.when_full == "deadline_drop" else None
        return {
            lane: Mailbox(
                self.name,
                queue.capacity,
                when_full=queue.when_full,
                lane=lane,
                deadline_ns=deadline_ns,
                clock=self._clock,
            )
            for lane in lanes
        }

    def _debts(self, names: list[str]) -> dict[str, int]:
        """Return the marks that these frames pay off."""
        marks = {key: self._owed_each.pop(key) for key in set(names) if key in self._owed_each}
        if self._owed:
            marks[names[0]] = marks.get(names[0], 0) | self._owed
            self._owed = 0
        return marks


def _origin(element: Element) -> tuple[str, int | None, str | None]:
    return element.address, element.rssi, element.name


def _mark(rows: list[Row], keys: list[str], marks: dict[str, int]) -> None:
    """Put the marks on the first row of each key."""
    for key, bits in marks.items():
        if bits:
            place = keys.index(key)
            rows[place] = (*rows[place][:-1], rows[place][-1] | bits)


def _last_stamp(keys: list[str], key: str, stamps_ns: list[int]) -> int:
    return stamps_ns[len(keys) - 1 - keys[::-1].index(key)]
